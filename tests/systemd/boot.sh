#!/bin/sh
# A scratch machine: systemd as PID 1 over a throw-away copy of this root. Run by test_boot.py as
#   unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child boot.sh FOLDER UNIT [DIR=AT]...
# FOLDER holds what survives (console.log) and files/, laid over the root; each DIR is bound at AT.
# Everything else is gone with the namespaces: the files (tmpfs over overlay), the processes (killed with
# PID 1), the network (a loopback of its own). It cannot load modules, set the clock or reboot the machine.
set -eu
folder=$1 unit=$2
shift 2

mount --make-rprivate /
mkdir -p "$folder/machine"
mount -t tmpfs -o mode=0755 tmpfs "$folder/machine"
mkdir "$folder/machine/upper" "$folder/machine/work" "$folder/machine/root"
root=$folder/machine/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/machine/upper,workdir=$folder/machine/work" overlay "$root"

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
touch "$folder/console.log" "$root/dev/console"
mount --bind "$folder/console.log" "$root/dev/console"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# Nothing of this machine's own services or mounts comes up in it.
: >"$root/etc/fstab"
mount -t tmpfs -o mode=0755 tmpfs "$root/etc/systemd/system"
for wants in "$root"/usr/lib/systemd/system/*.target.wants; do
    mount -t tmpfs -o mode=0755 tmpfs "$wants"
done
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/usr/lib/systemd/system-generators/*; do
    ln -sf /dev/null "$root/etc/systemd/system-generators/${generator##*/}"
done

cp -r "$folder/files/." "$root/"
for bind in "$@"; do
    mkdir -p "$root/${bind#*=}"
    mount --bind "${bind%%=*}" "$root/${bind#*=}"
done
ip link set lo up

# Not chroot: the kernel makes no user namespace (PrivateUsers=) inside one.
cd "$root"
pivot_root . mnt
cd /
umount --lazy /mnt
# As on a real machine: systemd mounts credentials where a unit is to see them.
mount --make-rshared /
exec env -i container=scratch PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set -sys_module,-sys_time,-sys_boot,-sys_rawio,-syslog \
    /lib/systemd/systemd --system --unit="$unit" --show-status=no --log-target=console --log-level=notice

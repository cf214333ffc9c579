"""Runs as root inside the scratch machine: installs from the notes, then looks at what the units became.

Its working folder is laid out by `notes.release`. It writes /srv/exam/result.json for test_boot.py, which
judges it: here is only gathered what can be seen from inside.
"""

import grp
import json
import pwd
import subprocess
import time
from pathlib import Path

from tests.systemd import notes

OUT = Path("/srv/exam")
GROUPS = {"edge": "plugside", "cloud": "plugside-cloud"}
SEND = """
import socket, sys
with socket.socket(socket.AF_UNIX) as local:
    local.connect(sys.argv[1])
    local.sendall(sys.argv[2].encode())
"""
PATIENCE_S = 30  # for systemd to do what it must; reached only when it does not


def run(command: str) -> None:
    """Run one command of the notes as it stands, with no ROOT."""
    notes.run(command, Path.cwd(), notes.environment())


def show(unit: str, *properties: str) -> dict[str, str]:
    """The unit's properties, as systemd tells them."""
    command = ["systemctl", "show", unit, *(f"--property={name}" for name in properties)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def owner_and_mode(path: Path) -> str:
    """Owner, group and mode of a file, for example "plugside-edge plugside 660"."""
    status = path.stat()
    return f"{pwd.getpwuid(status.st_uid)[0]} {grp.getgrgid(status.st_gid)[0]} {status.st_mode & 0o7777:o}"


def as_nobody(groups: str, socket: Path, line: str) -> int:
    """Send a line to the socket as nobody with these groups; the exit status."""
    command = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        groups,
        "python3",
        "-c",
        SEND,
        str(socket),
        line,
    ]
    return subprocess.run(command, env=notes.environment(), stderr=subprocess.DEVNULL, check=False).returncode


def install(role: str) -> None:
    """The notes' "Install"; before the start, the environment of the test is lent to the new one."""
    *before, start = notes.commands("Install", role)
    for command in before:
        run(command)
    packages = next(Path("/opt/plugside/current/lib").glob("python3*/site-packages"))
    (packages / "lent.pth").write_text("/opt/dependencies\n")
    run(start)


def wait_for_restart(unit: str) -> dict[str, str]:
    """The unit's state after systemd has brought it back once."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        state = show(unit, "NRestarts", "ActiveState")
        if state == {"NRestarts": "1", "ActiveState": "active"} or time.monotonic() > deadline:
            return state
        time.sleep(0.05)


def examine(role: str) -> dict[str, object]:
    """What is to be seen of one role's unit, from its first start through a stall to its stop."""
    unit = f"plugside-{role}.service"
    socket, state = Path(f"/run/plugside-{role}/{role}.sock"), Path(f"/var/lib/plugside-{role}")
    result: dict[str, object] = {"started": show(unit, "ActiveState", "SubState", "NRestarts", "Type")}
    status = Path(f"/proc/{show(unit, 'MainPID')['MainPID']}/status").read_text().splitlines()
    result["process"] = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    result["owners"] = {str(path): owner_and_mode(path) for path in (socket, socket.parent, state)}
    result["files"] = {path.name: owner_and_mode(path) for path in state.iterdir()}
    result["probe"] = json.loads((state / "probe.json").read_text())
    member = f"--groups={grp.getgrnam(GROUPS[role]).gr_gid}"
    result["stranger"] = as_nobody("--clear-groups", socket, "hello\n")
    result["member"] = as_nobody(member, socket, "hello\n")
    as_nobody(member, socket, "stall\n")
    result["after_stall"] = wait_for_restart(unit)
    result["last_words"] = (OUT / f"{role}.log").read_text()
    return result


def main() -> None:
    result: dict[str, object] = {}
    for role in notes.ROLES:
        install(role)
        result[role] = examine(role)
    for command in notes.commands("A certificate for the cloud", "cloud"):
        run(command)
    result["with_certificate"] = json.loads(Path("/var/lib/plugside-cloud/probe.json").read_text())
    for role in notes.ROLES:
        for command in notes.commands("Upgrade", role):
            run(command)
        kept = Path(f"/var/backups/plugside/{role}.tar.gz")
        result[f"kept_{role}"] = owner_and_mode(kept.parent)
        result[f"upgraded_{role}"] = show(f"plugside-{role}.service", "ActiveState", "NRestarts")
        names = subprocess.run(
            ["tar", "--list", "--file", str(kept)], capture_output=True, text=True, check=True
        )
        result[f"in_copy_{role}"] = names.stdout.split()
    for role in notes.ROLES:
        subprocess.run(["systemctl", "stop", f"plugside-{role}.service"], check=True)
        result[f"stopped_{role}"] = show(f"plugside-{role}.service", "ActiveState", "Result", "UnitFileState")
    (OUT / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()

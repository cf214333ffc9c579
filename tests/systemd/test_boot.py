"""The notes and the units under a real systemd: PID 1 of a scratch machine made of namespaces.

A program that uses the daemons' libraries as the daemons do stands in for them (probe.py), so what is shown
here is the sandbox: that it lets through what they need and refuses the rest.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.needs import needs
from tests.systemd import notes

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a scratch machine of namespaces"),
    pytest.mark.skipif(find_spec("ensurepip") is None, reason="needs `ensurepip` (python3-venv)"),
    needs("systemd-analyze"),
    needs("ip"),
    pytest.mark.xdist_group("scratch-machine"),
    pytest.mark.timeout(300),  # half a minute when it has a processor for itself
]
APART = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child"]
# What the sandbox answers to each attempt of probe.py that it must refuse.
REFUSED = {
    "write_and_execute": "PermissionError",
    "new_namespace": "PermissionError",
    "set_uid_bit": "PermissionError",
    "packet_socket": "OSError",
    "pin_to_a_core": "PermissionError",
    "write_settings": "OSError",
    "write_program": "OSError",
    "read_homes": "PermissionError",
    "see_other_processes": "PermissionError",
    "read_kernel_settings": "FileNotFoundError",
}
DROP_IN = """
[Service]
ExecStart=
ExecStart=/opt/plugside/current/bin/python /srv/plugside/tests/systemd/probe.py {role}
Environment=LD_LIBRARY_PATH={home}/lib
StandardOutput=append:/srv/exam/{role}.log
StandardError=append:/srv/exam/{role}.log
# Half a minute is too long for a test; less than this, and a busy machine would be taken for one that hangs.
WatchdogSec=3
RestartSec=0.1
"""
EXAM = """
[Unit]
DefaultDependencies=no
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
WorkingDirectory=/srv/plugside
Environment=HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/srv/plugside
ExecStart={python} -m tests.systemd.exam
StandardOutput=append:/srv/exam/exam.log
StandardError=append:/srv/exam/exam.log
"""


def control_group() -> Path:
    """Where a control group for the machine may be made: below ours, in the unified hierarchy."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    mounted = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    if mounted is None:
        pytest.skip("needs a mounted `cgroup2` file system (kernel)")
    places = Path("/proc/self/cgroup").read_text().splitlines()
    ours = next(line.removeprefix("0::/") for line in places if line.startswith("0::/"))
    return mounted / ours / f"plugside-test-{os.getpid()}"


def boot(folder: Path, unit: str, binds: Sequence[tuple[object, str]]) -> str:
    """Boot the scratch machine in `folder` until `unit` ends it; what it said. Nothing outlives the call."""
    group = control_group()
    group.mkdir()
    enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    machine = [str(HERE / "boot.sh"), str(folder), unit, *(f"{here}={there}" for here, there in binds)]
    try:
        with (folder / "boot.log").open("wb") as log:
            subprocess.run(
                ["/bin/sh", "-c", enter, str(group), *APART, *machine],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=240,
                check=False,
            )
    finally:
        for made, _, _ in os.walk(group, topdown=False):
            Path(made).rmdir()
    return (folder / "boot.log").read_text() + (folder / "console.log").read_text()


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=3650))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), private


@pytest.fixture(scope="module")
def seen(certificate: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What exam.py saw in a machine of its own, installed from the notes."""
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make namespaces (`unshare`)")
    folder = tmp_path_factory.mktemp("machine")
    checkout, out = notes.release(folder / "checkout"), folder / "out"
    out.mkdir()
    binds = [
        (checkout, "/srv/plugside"),
        (HERE, "/srv/plugside/tests/systemd"),
        (out, "/srv/exam"),
        (sysconfig.get_path("purelib"), "/opt/dependencies"),
        (sys.prefix, sys.prefix),
        (sys.base_prefix, sys.base_prefix),
    ]
    # The units cannot see anybody's home, where this interpreter may live; so it is shown elsewhere, too.
    home = sys.base_prefix
    if home != "/usr":
        home = "/opt/python"
        binds.append((sys.base_prefix, home))
    units, settings = folder / "files/etc/systemd/system", folder / "files/etc/plugside"
    settings.mkdir(parents=True)
    for name, content in zip(("tls.crt", "tls.key"), certificate, strict=True):
        (settings / name).touch(0o600)
        (settings / name).write_bytes(content)
    for role in notes.ROLES:
        (units / f"plugside-{role}.service.d").mkdir(parents=True)
        (units / f"plugside-{role}.service.d/test.conf").write_text(DROP_IN.format(role=role, home=home))
    (units / "exam.service").write_text(EXAM.format(python=f"{home}/bin/python3"))
    console = boot(folder, "exam.service", binds)
    result = out / "result.json"
    logs = "".join(path.read_text() for path in sorted(out.glob("*.log")))
    assert result.exists(), f"the exam did not end\n{console}\n{logs}"
    return dict(json.loads(result.read_text()))


each_role = pytest.mark.parametrize("role", notes.ROLES)


@each_role
def test_the_daemon_starts_when_it_says_ready(seen: dict[str, Any], role: str) -> None:
    assert seen[role]["started"] == {
        "Type": "notify",
        "ActiveState": "active",
        "SubState": "running",
        "NRestarts": "0",
    }


@each_role
def test_the_daemon_has_no_privilege_left(seen: dict[str, Any], role: str) -> None:
    process = seen[role]["process"]
    assert "0" not in process["Uid"].split() + process["Gid"].split() + process["Groups"].split()
    assert {process[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2")


@each_role
def test_the_sandbox_lets_through_what_the_daemon_lives_on(seen: dict[str, Any], role: str) -> None:
    probe = seen[role]["probe"]
    needed = {"libraries", "signatures", "journal", "names"}
    needed |= {"interfaces", "multicast"} if role == "edge" else set()
    assert {name: probe[name] for name in needed} == dict.fromkeys(needed, "ok")
    assert probe["loop"] == "uvloop"
    assert len(probe["certificate"]) == 64, "both listeners were reached, one of them over TLS"


@each_role
def test_the_sandbox_refuses_the_rest(seen: dict[str, Any], role: str) -> None:
    assert REFUSED.items() <= {name: said.split(":")[0] for name, said in seen[role]["probe"].items()}.items()


@each_role
def test_only_the_group_reaches_the_local_socket(seen: dict[str, Any], role: str) -> None:
    user, group = f"plugside-{role}", {"edge": "plugside", "cloud": "plugside-cloud"}[role]
    assert seen[role]["owners"] == {
        f"/run/plugside-{role}/{role}.sock": f"{user} {group} 660",
        f"/run/plugside-{role}": f"{user} {group} 750",
        f"/var/lib/plugside-{role}": f"{user} {group} 700",
    }
    assert (seen[role]["member"], seen[role]["stranger"]) == (0, 1)


@each_role
def test_what_the_daemon_writes_is_its_own(seen: dict[str, Any], role: str) -> None:
    assert "probe.db" in seen[role]["files"]
    assert {said.split()[0] for said in seen[role]["files"].values()} == {f"plugside-{role}"}
    assert {said.split()[2] for said in seen[role]["files"].values()} == {"600"}


@each_role
def test_a_stalled_daemon_says_where_it_stood_and_is_started_again(seen: dict[str, Any], role: str) -> None:
    assert "stand_still" in seen[role]["last_words"]
    assert seen[role]["after_stall"] == {"NRestarts": "1", "ActiveState": "active"}


def test_the_clouds_certificate_is_read_though_root_alone_may(
    seen: dict[str, Any], certificate: tuple[bytes, bytes]
) -> None:
    given = x509.load_pem_x509_certificate(certificate[0]).fingerprint(hashes.SHA256()).hex()
    assert seen["with_certificate"]["certificate"] == given
    assert seen["cloud"]["probe"]["certificate"] != given


@each_role
def test_an_upgrade_keeps_a_copy_that_root_alone_may_read(seen: dict[str, Any], role: str) -> None:
    assert seen[f"upgraded_{role}"] == {"ActiveState": "active", "NRestarts": "0"}
    assert seen[f"kept_{role}"] == "root root 700"
    assert f"plugside-{role}/probe.db" in seen[f"in_copy_{role}"]


@each_role
def test_the_unit_stops_when_told_and_comes_back_at_boot(seen: dict[str, Any], role: str) -> None:
    assert seen[f"stopped_{role}"] == {
        "ActiveState": "inactive",
        "Result": "success",
        "UnitFileState": "enabled",
    }

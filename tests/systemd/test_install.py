"""systemd/install.md, run from that very file into a scratch root."""

import os
import stat
import subprocess
import sys
import sysconfig
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.needs import needs
from tests.systemd import notes

MAX_COMMANDS = 10
pytestmark = [
    needs("systemd-analyze"),  # Debian's package systemd, which has the other tools of the notes, too
    pytest.mark.skipif(find_spec("ensurepip") is None, reason="needs `ensurepip` (python3-venv)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make root's files in a scratch root"),
    pytest.mark.xdist_group("scratch-root"),
    pytest.mark.timeout(300),  # ten seconds when it has a processor for itself
]
each_role = pytest.mark.parametrize("role", notes.ROLES)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds nothing but /etc, after the notes for both roles."""
    folder = tmp_path_factory.mktemp("scratch")
    checkout, root = notes.release(folder / "checkout"), folder / "root"
    (root / "etc").mkdir(parents=True)
    # systemctl is told that no systemd runs here: what would start a daemon says so and does nothing.
    environment = notes.environment(ROOT=str(root), SYSTEMD_OFFLINE="1")
    for role in notes.ROLES:
        for command in notes.commands("Install", role):
            notes.run(command, checkout, environment)
    return root


def entries(path: Path) -> dict[str, list[str]]:
    """A passwd or group file by name."""
    return {line.split(":")[0]: line.split(":") for line in path.read_text().splitlines()}


def mode(path: Path) -> tuple[str, int, int]:
    """Permissions as ls shows them, owner and group."""
    status = path.stat()
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid


@each_role
def test_the_notes_are_short(role: str) -> None:
    assert 0 < len(notes.commands("Install", role)) <= MAX_COMMANDS


def test_the_notes_are_of_this_release() -> None:
    version = tomllib.loads((notes.ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"/opt/plugside/versions/{version}" in notes.NOTES.read_text()


def test_the_daemons_have_users_that_nobody_can_log_in_as(root: Path) -> None:
    users, groups = entries(root / "etc/passwd"), entries(root / "etc/group")
    assert users.keys() == {"plugside-edge", "plugside-cloud"}
    assert groups.keys() == {"plugside", "plugside-cloud"}
    assert users["plugside-edge"][3] == groups["plugside"][2]
    assert users["plugside-cloud"][3] == groups["plugside-cloud"][2]
    assert {user[6] for user in users.values()} == {"/usr/sbin/nologin"}
    assert {fields[1][0] for fields in entries(root / "etc/shadow").values()} == {"!"}
    assert {group[3] for group in groups.values()} == {""}, "who may use a local socket is for people to say"


def test_the_folders_are_roots(root: Path) -> None:
    assert mode(root / "etc/plugside") == ("drwxr-xr-x", 0, 0)
    assert mode(root / "opt/plugside") == ("drwxr-xr-x", 0, 0)
    assert mode(root / "opt/plugside/versions") == ("drwxr-xr-x", 0, 0)
    assert mode(root / "var/backups/plugside") == ("drwx------", 0, 0)


@each_role
def test_the_unit_is_installed_and_enabled(root: Path, role: str) -> None:
    unit = root / f"etc/systemd/system/plugside-{role}.service"
    assert unit.read_bytes() == (notes.UNITS / unit.name).read_bytes()
    assert mode(unit) == ("-rw-r--r--", 0, 0)
    wanted = unit.parent / "multi-user.target.wants" / unit.name
    assert wanted.readlink() == Path("/etc/systemd/system") / unit.name


def test_the_version_in_use_is_a_link_that_holds_in_any_root(root: Path) -> None:
    current = root / "opt/plugside/current"
    assert not current.readlink().is_absolute()
    assert current.resolve().parent == root / "opt/plugside/versions"


@pytest.mark.parametrize("command", ["plugside", "plugside-edge", "plugside-cloud"])
def test_the_commands_run_in_their_own_version(root: Path, command: str) -> None:
    script = root / "opt/plugside/current/bin" / command
    assert mode(script)[0] == "-rwxr-xr-x"
    # The running daemon stays the version that it is, wherever `current` points meanwhile.
    interpreter = Path(script.read_text().splitlines()[0].removeprefix("#!"))
    assert interpreter.parent == script.parent.resolve()


@pytest.mark.parametrize("command", ["plugside", "plugside-edge", "plugside-cloud"])
def test_the_commands_say_what_they_do(root: Path, command: str) -> None:
    # The notes' requirements are left out in this test; the dependencies are those of the tests.
    environment = notes.environment(PYTHONPATH=sysconfig.get_path("purelib"))
    script = root / "opt/plugside/current/bin" / command
    done = subprocess.run([script, "--help"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: {command}" in done.stdout


def test_what_is_installed_is_the_wheel_and_no_test(root: Path) -> None:
    listing = "import common, os; print(*os.listdir(os.path.dirname(common.__path__[0])))"
    python = root / "opt/plugside/current/bin/python"
    done = subprocess.run([python, "-I", "-c", listing], cwd=root, capture_output=True, text=True, check=True)
    assert {"common", "edge", "cloud"} <= set(done.stdout.split())
    assert "tests" not in done.stdout.split()
    assert sys.prefix not in done.stdout

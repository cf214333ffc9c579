"""The units: what systemd itself says of them, and that they name what the daemons know."""

import json
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from common.config import DaemonSettings
from tests.needs import find_tool, needs
from tests.systemd.notes import NOTES, ROLES, UNITS

MAX_EXPOSURE = 1.5
pytestmark = needs("systemd-analyze")
each_role = pytest.mark.parametrize("role", ROLES)


def analyze(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on the units below `root`; never on this machine's."""
    tool = find_tool("systemd-analyze")
    assert tool
    command = [tool, "--no-pager", "--man=no", f"--root={root}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with both units, the drop-in, the program they start, and systemd's own targets."""
    units, programs = tmp_path / "etc/systemd/system", tmp_path / "opt/plugside/current/bin"
    for folder in (units / "plugside-cloud.service.d", programs):
        folder.mkdir(parents=True)
    for role in ROLES:
        shutil.copy(UNITS / f"plugside-{role}.service", units)
        (programs / f"plugside-{role}").write_text("#!/bin/sh\n")
        (programs / f"plugside-{role}").chmod(0o755)
    shutil.copy(UNITS / "plugside-cloud-tls.conf", units / "plugside-cloud.service.d")
    shutil.copytree(
        "/usr/lib/systemd/system",
        tmp_path / "usr/lib/systemd/system",
        ignore=lambda _, names: [name for name in names if not name.endswith(".target")],
    )
    return tmp_path


@each_role
def test_systemd_finds_nothing_wrong_with_the_unit(root: Path, role: str) -> None:
    verified = analyze(root, "verify", f"plugside-{role}.service")
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_systemd_does_find_what_is_wrong(root: Path) -> None:
    """The test above can fail: by its message, for systemd calls a mistyped line a success."""
    unit = root / "etc/systemd/system/plugside-edge.service"
    unit.write_text(unit.read_text().replace("PrivateIPC=yes", "PrivateIPC=perhaps"))
    assert "perhaps" in analyze(root, "verify", "plugside-edge.service").stderr


@each_role
def test_the_exposure_is_low(root: Path, role: str) -> None:
    unit = f"plugside-{role}.service"
    judged = analyze(root, "security", "--offline=true", f"--threshold={MAX_EXPOSURE * 10:.0f}", unit)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    stated = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert stated, judged.stdout
    assert float(stated[1]) <= MAX_EXPOSURE


@each_role
def test_what_stays_exposed_is_what_the_daemon_needs(root: Path, role: str) -> None:
    judged = analyze(root, "security", "--offline=true", "--json=short", f"plugside-{role}.service")
    exposed = {
        line["name"] for line in json.loads(judged.stdout) if line["set"] is False and line["exposure"]
    }
    needed = {
        "RootDirectory=/RootImage=",
        "RestrictAddressFamilies=~AF_UNIX",
        "RestrictAddressFamilies=~AF_(INET|INET6)",
        "PrivateNetwork=",
        "DeviceAllow=",  # what ProtectClock= leaves: reading the real-time clock
        "IPAddressDeny=",
    }
    assert exposed == needed | ({"RestrictAddressFamilies=~AF_NETLINK"} if role == "edge" else set())


def settings_of(role: str) -> type[DaemonSettings]:
    """The settings class of the edge or the cloud."""
    found: type[DaemonSettings] = getattr(import_module(f"{role}.settings"), f"{role.capitalize()}Settings")
    return found


@each_role
def test_every_variable_that_is_named_is_a_setting(role: str) -> None:
    prefix = f"PLUGSIDE_{role.upper()}_"
    texts = [path.read_text() for path in UNITS.iterdir()]
    named = {name for text in texts for name in re.findall(rf"{prefix}([A-Z_]*[A-Z])", text)} - {"CONFIG"}
    assert {"DATA", "SOCKET"} <= named
    assert settings_of(role).model_config["env_prefix"] == prefix
    assert {name.lower() for name in named} <= settings_of(role).model_fields.keys()
    assert settings_of(role).config_variable() == f"{prefix}CONFIG"


@each_role
def test_the_unit_and_the_daemon_agree_on_the_data_folder(role: str) -> None:
    unit = (UNITS / f"plugside-{role}.service").read_text()
    state = re.search(r"^StateDirectory=(.+)$", unit, re.MULTILINE)
    assert state
    assert settings_of(role).model_fields["data"].default == Path("/var/lib") / state[1]


def test_the_defaults_that_the_notes_state_are_the_defaults() -> None:
    stated = dict(re.findall(r"^PLUGSIDE_EDGE_(OCPP|LAN)=(.+)$", NOTES.read_text(), re.MULTILINE))
    fields = settings_of("edge").model_fields
    assert {name: fields[name.lower()].default for name in stated} == stated != {}

"""Group 36: a whole run with every packet, log and answer on file: nobody who listens or reads along learns a
grant, an invite, a tag, a password, a key or a name, but for what OCPP of profiles 0 and 1 tells everybody.

That a tag *is* found where it has to be is what makes the search worth something.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from websockets.frames import Frame, Opcode

from tests.attacks.eavesdrop import Flow, alone, flows, found, overheard, views
from tests.needs import needs

ROOT = Path(__file__).resolve().parents[2]
SECRET = "CAFE/0000?QUAGGA~Ä"
#: What OCPP without TLS shows to whoever listens, and `doctor` warns of.
PLAIN = {"tag of CP0", "minted tag of CP0", "tag of CP1", "minted tag of CP1", "password of CP1"}


class Run(NamedTuple):
    """What `wholerun` has left."""

    folder: Path
    capture: bytes
    secrets: dict[str, str]
    ports: dict[str, int]
    packets: int
    lost: int

    def to(self, name: str, protocol: str) -> list[Flow]:
        """What came to this port, or went from it."""
        return [
            one for one in flows(self.capture) if one.protocol == protocol and self.ports[name] in one.ports
        ]

    def told(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in sorted((self.folder / "told").iterdir())}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if subprocess.run([*alone(), "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make network namespaces (`unshare`)")
    folder = tmp_path_factory.mktemp("w")
    story = [*alone(), sys.executable, "-m", "tests.attacks.wholerun", str(folder)]
    done = subprocess.run(story, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads((folder / "story.json").read_text())
    return Run(folder, (folder / "lo.pcap").read_bytes(), **told)


@needs("unshare")
@needs("ip")
def test_every_way_to_box_and_cloud_is_on_the_capture(run: Run) -> None:
    assert run.lost == 0
    assert len(run.secrets) > 25
    least = {
        ("ocpp", "tcp"): 5_000,
        ("ocpps", "tcp"): 5_000,
        ("lan", "tcp"): 20_000,  # native clients, and the app's page
        ("lan", "udp"): 10_000,  # WebTransport
        ("page", "tcp"): 500,
        ("files", "tcp"): 9_000,
        ("cloud", "tcp"): 50_000,  # tunnel, app links, enrolment, REST, the app's page
        ("mdns", "udp"): 200,
    }
    heard = {key: sum(len(one.data) for one in run.to(*key)) for key in least}
    assert {key: size for key, size in heard.items() if size < least[key]} == {}


@needs("unshare")
@needs("ip")
def test_who_listens_hears_what_plain_ocpp_tells_and_nothing_else(run: Run) -> None:
    heard = overheard(run.capture, run.secrets)
    assert heard.keys() == PLAIN, "less, and the search is blind; more, and somebody tells secrets"
    ocpp, known = run.ports["ocpp"], set(run.ports.values())
    assert {name: ports & known for name, ports in heard.items()} == {name: {ocpp} for name in PLAIN}
    # Packets of no conversation that was read, too.
    assert found(run.capture, run.secrets) <= PLAIN


@needs("unshare")
@needs("ip")
def test_phones_and_tunnel_speak_tls_1_3(run: Run) -> None:
    for name in ("lan", "cloud"):
        answers = [one.data for one in run.to(name, "tcp") if one.source[1] == run.ports[name] and one.data]
        assert answers
        for answer in answers:
            # A ServerHello whose supported_versions say 0x0304 (RFC 8446 §4.2.1).
            assert answer[:2] == b"\x16\x03"
            assert b"\x00\x2b\x00\x02\x03\x04" in answer[:200]


@needs("unshare")
@needs("ip")
def test_logs_answers_and_proc_hold_no_secret(run: Run) -> None:
    told = run.told()
    assert {"edge.log", "cloud.log", "doctor.json", "health.json", "tags-list.json"} <= told.keys()
    assert {"proc-box-cmdline", "proc-box-environ", "proc-cloud-cmdline"} <= told.keys()
    assert b"DEBUG" in told["edge.log"], "as talkative as it can be"
    assert b" BINARY " not in told["edge.log"], "no frame of any link"
    assert b" TEXT " not in told["edge.log"]
    assert b'"findings"' in told["doctor.json"]
    held = {name: found(data, run.secrets) for name, data in told.items()}
    # Who stands at the box lists chargers by the names that people gave them; that is what they are for.
    assert held.pop("chargers-list.json") == {"charger's name"}
    assert {name: secrets for name, secrets in held.items() if secrets} == {}


@needs("unshare")
@needs("ip")
@pytest.mark.parametrize("daemon", ["box", "cloud"])
def test_no_daemon_leaves_a_core(run: Run, daemon: str) -> None:
    (line,) = [
        line for line in run.told()[f"proc-{daemon}-limits"].decode().splitlines() if "core file" in line
    ]
    assert line.split()[4:6] == ["0", "0"]
    (mask,) = [
        line for line in run.told()[f"proc-{daemon}-status"].decode().splitlines() if line.startswith("Umask")
    ]
    assert mask.split()[1] == "0077"
    unit = (ROOT / "systemd" / f"plugside-{'edge' if daemon == 'box' else daemon}.service").read_text()
    assert {"LimitCORE=0", "UMask=0077", "ProtectProc=invisible"} <= set(unit.splitlines())


@needs("unshare")
@needs("ip")
def test_of_all_files_only_those_of_names_and_keys_hold_any(run: Run) -> None:
    """Grants, invites, passwords and tokens are on neither's disk as they are. A pairing code is at the cloud
    that it was typed into; it is worth nothing once its box was taken in.
    """
    never = {
        name: secret
        for name, secret in run.secrets.items()
        if name.startswith(("grant", "invite", "password", "token", "recovery"))
    }
    for folder in ("edge", "cloud"):
        files = [file for file in (run.folder / "place" / folder).rglob("*") if file.is_file()]
        assert files
        holding = {str(file): found(file.read_bytes(), never) for file in files}
        assert {name: secrets for name, secrets in holding.items() if secrets} == {}


@needs("unshare")
@needs("ip")
def test_nothing_on_either_disk_is_anybody_elses_to_read(run: Run) -> None:
    folders = [run.folder / "place" / name for name in ("edge", "cloud")]
    files = [file for folder in folders for file in (folder, *folder.rglob("*"))]
    assert len(files) > 25
    assert {str(file): oct(file.stat().st_mode) for file in files if file.stat().st_mode & 0o077} == {}
    if os.geteuid() == 0:  # else nobody here can be somebody else
        for folder, database in zip(folders, ("journal.db", "cloud.db"), strict=True):
            # In the folder already, so that no folder above it is what keeps them out.
            read = ["cat", database]
            mine = subprocess.run(read, cwd=folder, capture_output=True, check=False)
            other = subprocess.run(read, cwd=folder, user=65534, capture_output=True, check=False)
            assert (mine.returncode, other.returncode != 0, other.stdout) == (0, True, b"")


# --- the search itself -------------------------------------------------------------------------------------


def masked(text: bytes, *, packed: bool = False) -> bytes:
    """A client's WebSocket frame."""
    if packed:
        packer = zlib.compressobj(wbits=-15)
        text = (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    frame = bytearray(Frame(Opcode.TEXT, text).serialize(mask=True))
    frame[0] |= 0x40 if packed else 0
    return bytes(frame)


HEAD = b"GET /CP1 HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n"
HIDDEN: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda text: b"x" + text + b"y",
    "in another case": lambda text: text.lower(),
    "base64": b64encode,
    "base64 of another case": lambda text: b64encode(text.decode().lower().encode()),
    "hex of another case": lambda text: text.decode().lower().encode().hex().encode(),
    "base64 behind one": lambda text: b64encode(b"a" + text + b"z"),
    "base64 behind two": lambda text: b64encode(b"ab" + text),
    "base64url": lambda text: urlsafe_b64encode(b"\xff\xfe" + text + b"\xff"),
    "hex": lambda text: text.hex().upper().encode(),
    "percent": lambda text: quote(text.decode()).encode(),
    "percent, everything": lambda text: "".join(f"%{byte:02X}" for byte in text).encode(),
    "masked": lambda text: HEAD + masked(b"[2]") + masked(b'["' + text + b'"]' * 100),
    "masked and packed": lambda text: HEAD + masked(b'["a"]', packed=True) + masked(text, packed=True),
    "a body with gzip": lambda text: b"HTTP/1.1 200 OK\r\n\r\n" + _gzip(text),
}


def _gzip(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(text * 3) + packer.flush()


@pytest.mark.parametrize("how", HIDDEN)
def test_the_search_finds_a_secret_however_it_is_written(how: str) -> None:
    data = HIDDEN[how](SECRET.encode())
    assert any(found(view, {"it": SECRET}) for view in views(data))
    other = HIDDEN[how](SECRET[::-1].encode())
    assert not any(found(view, {"it": SECRET}) for view in views(other))

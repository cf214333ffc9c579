"""The file server over real sockets: what chargers do, and what somebody hostile tries."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from common import facts
from common.clock import SystemIds
from common.commands import FetchDiagnostics, Name, UpdateFirmware
from common.errors import Code, PlugsideError, Unavailable
from edge.chargers.files import shelf as shelves
from edge.chargers.files.passes import Passes
from edge.chargers.files.server import FileServer, Limits
from edge.chargers.files.shelf import Firmware, Shelf
from edge.chargers.ports import ReplyTo
from edge.core import inputs
from tests.box.support import eventually
from tests.core.world import MINUTE, Site, operator

IMAGE = os.urandom(300_000)
DIGEST = hashlib.sha256(IMAGE).hexdigest()
PATIENCE_S = 30


class Yard:
    """A real core with one charger at 127.0.0.1, a real shelf and a real server."""

    def __init__(self, folder: Path, *, limits: Limits | None = None, **bounds: int) -> None:
        self.site = Site()
        self.accepting = True
        self.site.connect()
        self.site.boot()
        seen = inputs.StationConnected(charger="CP1", protocol="ocpp1.6", address="::ffff:127.0.0.1")
        self.site.feed(seen)
        self.folder = folder
        self.shelf = Shelf(folder, limits=shelves.Limits(**({"reserve_bytes": 0} | bounds)))
        self.passes = Passes(b"s" * 32, lambda: self.site.state)
        self.server = FileServer(
            self.shelf, self.passes, self, host="127.0.0.1", port=0, ids=SystemIds(), limits=limits
        )

    def submit(self, given: inputs.Input, reply_to: ReplyTo | None = None) -> None:
        if not self.accepting:
            raise Unavailable(Code.JOURNAL_UNAVAILABLE)
        reply = self.site.feed(given).reply
        if reply_to is not None and reply is not None:
            reply_to.send(reply_to.render(reply))

    def keep(self, image: bytes = IMAGE) -> str:
        """Put firmware on the shelf as an installer does."""
        about = Firmware(sha256=hashlib.sha256(image).hexdigest(), size_bytes=len(image), name="v2.bin")
        incoming = self.shelf.begin_firmware("up-1", len(image))
        incoming.write(image)
        self.shelf.keep_firmware(incoming, about)
        return about.sha256

    def url(self, command: str, name: str = "") -> str:
        return f"http://127.0.0.1:{self.server.port}/{self.passes.token(command)}/{name}"

    def upload(self, command: str = "log") -> str:
        """A command for a log, agreed to by the charger; the address."""
        self._agreed(Name.FETCH_DIAGNOSTICS, FetchDiagnostics(), command)
        return self.url(command)

    def update(self, command: str = "firmware", digest: str = DIGEST) -> str:
        self._agreed(Name.UPDATE_FIRMWARE, UpdateFirmware(digest), command)
        return self.url(command, "v2.bin")

    def _agreed(self, name: Name, args: FetchDiagnostics | UpdateFirmware, command: str) -> None:
        more = {"id": command, "claims": operator(), "expires_ms": self.site.now + MINUTE}
        decision = self.site.command(name, args, **more)
        while decision.requests:
            decision = self.site.answer(decision)

    def files(self, folder: str) -> list[str]:
        place = self.folder / folder
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []

    async def raw(self, data: bytes) -> bytes:
        """Send these bytes and return all that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        return answer

    def path(self, command: str) -> str:
        return f"/{self.passes.token(command)}/x"


@asynccontextmanager
async def serving(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    await yard.server.start()
    try:
        async with httpx.AsyncClient(timeout=PATIENCE_S, verify=False, trust_env=False) as http:
            yield http
    finally:
        await yard.server.close()


# --- firmware ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status", "start", "end"),
    [
        (None, 200, 0, 300_000),
        ("bytes=0-", 206, 0, 300_000),
        ("bytes=1000-1999", 206, 1000, 2000),
        ("bytes=299999-400000", 206, 299_999, 300_000),
        ("bytes=-5", 206, 299_995, 300_000),
        ("bytes=-999999999", 206, 0, 300_000),
        ("bytes=0-1,5-6", 200, 0, 300_000),  # several at once, and what is no range: the whole file
        ("bytes=-", 200, 0, 300_000),
        ("bytes=9-2", 200, 0, 300_000),
        ("lines=0-1", 200, 0, 300_000),
        ("bytes=300000-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
    ],
)
async def test_a_charger_resumes_where_it_was(
    tmp_path: Path, header: str | None, status: int, start: int, end: int
) -> None:
    yard = Yard(tmp_path)
    yard.keep()
    async with serving(yard) as http:
        url = yard.update()
        answer = await http.get(url, headers={"Range": header} if header else {})
        assert answer.status_code == status
        if status == 416:
            return
        assert answer.content == IMAGE[start:end]
        assert ("content-range" in answer.headers) == (status == 206)
        head = await http.head(url, headers={"Range": header} if header else {})
        assert (head.status_code, head.headers["content-length"], head.content) == (
            status,
            str(end - start),
            b"",
        )
        fetched = [body.status for body in yard.site.all(facts.FirmwareChanged)]
        assert fetched == (["fetched"] if end == len(IMAGE) else [])


async def test_bytes_that_changed_on_the_disk_are_not_served(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    digest = yard.keep()
    async with serving(yard) as http:
        url = yard.update()
        assert (await http.get(url)).content == IMAGE
        (tmp_path / "firmware" / digest).write_bytes(b"x" + IMAGE[1:])
        answer = await http.get(url)
        assert answer.status_code == 404
        assert "is not what it was" in answer.text
        (tmp_path / "firmware" / digest).unlink()
        (tmp_path / "firmware" / digest).symlink_to("/etc/hostname")
        assert (await http.get(url)).status_code == 404


async def test_an_address_is_good_for_its_command_and_no_longer(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.keep()
    async with serving(yard) as http:
        url = yard.update()
        assert (await http.get(url)).status_code == 200
        yard.site.feed(inputs.ProgressReported(charger="CP1", job="firmware", status="installed"))
        assert (await http.get(url)).status_code == 404
        # another box, or this one with other keys, gives other addresses
        assert Passes(b"t" * 32, lambda: yard.site.state).token("firmware") not in url


async def test_an_address_expires_when_the_charger_falls_silent(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    async with serving(yard) as http:
        url = yard.upload()
        yard.site.wait(30 * MINUTE)
        assert (await http.put(url, content=b"late")).status_code == 404
        assert yard.files("uploads") == []


# --- logs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_log_arrives_by_either_method_with_or_without_a_length(
    tmp_path: Path, method: str, chunked: bool
) -> None:
    yard = Yard(tmp_path)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(IMAGE), 70_001):
            yield IMAGE[start : start + 70_001]

    async with serving(yard) as http:
        url = yard.upload()
        answer = await http.request(method, url + "log.tar", content=pieces() if chunked else IMAGE)
        assert answer.status_code == 201
        (name,) = yard.files("uploads")
        assert (tmp_path / "uploads" / name).read_bytes() == IMAGE
        body = yard.site.last(facts.UploadChanged)
        assert (body.status, body.name, body.size_bytes, body.sha256) == (
            "received",
            "log.tar",
            len(IMAGE),
            DIGEST,
        )
        assert yard.site.last(facts.CommandSettled).outcome == "succeeded"
        assert (await http.request(method, url, content=b"again")).status_code == 404


async def test_a_client_that_waits_to_be_told_to_go_on_is_told(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    async with serving(yard):
        yard.upload()
        head = f"PUT {yard.path('log')} HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        answer = await yard.raw(head.encode() + b"abc")
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


async def test_what_a_charger_calls_its_file_is_no_path_here(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    async with serving(yard):
        yard.upload()
        path = f"/{yard.passes.token('log')}/../..%2f..%5c..%2fetc%2fpass%00wd%0a"
        answer = await yard.raw(f"PUT {path} HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".encode())
        assert b" 201 " in answer
        assert yard.site.last(facts.UploadChanged).name == "pass_wd_"
        assert [name for _, _, names in os.walk(tmp_path) for name in names] == yard.files("uploads")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"PUT {} HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"PUT {} HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", 400),
        (b"PUT {} HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9000 + b"\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 99 + b"\r\n", 400),
        (b"PUT {} HTTP/1.1\r\n\r\n", 411),
        (b"DELETE {} HTTP/1.1\r\n\r\n", 405),
        (b"GET {} HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET //%2e%2e/%2e%2e/journal.db HTTP/1.1\r\n\r\n", 404),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n", 400),
        (b"PUT {} HTTP/1.1\r\nContent-Length : 5\r\n\r\nabcde", 400),
        (b"PUT {} HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"get {} HTTP/1.1\r\n\r\n", 400),
        (b"PUT {} HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_wrong_is_answered_and_leaves_nothing(
    tmp_path: Path, request_: bytes, status: int
) -> None:
    yard = Yard(tmp_path)
    async with serving(yard):
        yard.upload()
        before = len(yard.site.journal)
        answer = await yard.raw(request_.replace(b"{}", yard.path("log").encode()))
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        assert yard.files("uploads") == []
        assert len(yard.site.journal) == before


async def test_more_than_is_allowed_is_cut_off_while_it_comes(tmp_path: Path) -> None:
    yard = Yard(tmp_path, upload_bytes_max=100_000)
    async with serving(yard):
        yard.upload()
        head = f"PUT {yard.path('log')} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        answer = await yard.raw(head + b"10000\r\n" + b"x" * 0x10000 + b"\r\n10000\r\n" + b"x" * 0x10000)
        assert b" 413 " in answer
        assert yard.files("uploads") == []


async def test_a_disk_that_is_nearly_full_is_left_to_the_journal(tmp_path: Path) -> None:
    yard = Yard(tmp_path, reserve_bytes=2**60)
    async with serving(yard) as http:
        answer = await http.put(yard.upload(), content=b"x")
        assert answer.status_code == 507
        assert "no room" in answer.text
    with pytest.raises(PlugsideError) as full:
        yard.shelf.begin_firmware("up", 10)
    assert full.value.code is Code.DISK_FULL


def test_the_newest_logs_are_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, limits=shelves.Limits(uploads_max=3, uploads_bytes_max=250, reserve_bytes=0))
    for number, size in enumerate((10, 20, 30, 40, 200)):
        incoming = shelf.begin_upload(f"u{number}", size)
        incoming.write(b"x" * size)
        shelf.keep_upload(incoming, f"u{number}")
        os.utime(tmp_path / "uploads" / f"u{number}.bin", (number, number))
    assert sorted(path.name for path in (tmp_path / "uploads").iterdir()) == ["u3.bin", "u4.bin"]
    for wrong in ("../firmware/x", "u0", "", "u3.bin"):
        with pytest.raises(PlugsideError) as unknown:
            shelf.read_upload(wrong, 0, 10)
        assert unknown.value.code is Code.UNKNOWN_FILE
    assert shelf.read_upload("u3", 35, 10) == (b"xxxxx", 40)


# --- time, numbers, trouble --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"", b"PUT /x HTTP/1.1\r\nConte", b"PUT {} HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"]
)
async def test_a_peer_that_says_nothing_more_is_let_go(tmp_path: Path, sent: bytes) -> None:
    yard = Yard(tmp_path, limits=Limits(head_s=0.1, idle_s=0.1))
    async with serving(yard):
        yard.upload()
        answer = await yard.raw(sent.replace(b"{}", yard.path("log").encode()))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert yard.files("uploads") == []


async def test_a_reader_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    image = os.urandom(1024) * 16 * 1024  # beyond what the kernel holds for both ends
    yard = Yard(tmp_path, limits=Limits(idle_s=0.2))
    digest = yard.keep(image)
    async with serving(yard):
        yard.update(digest=digest)
        _, writer = await asyncio.open_connection("127.0.0.1", yard.server.port, limit=1024)
        writer.write(f"GET {yard.path('firmware')} HTTP/1.1\r\n\r\n".encode())
        await eventually(lambda: yard.server.busy > 0, "the connection")
        await eventually(lambda: yard.server.busy == 0, "its end")
        assert yard.site.all(facts.FirmwareChanged) == []
        writer.close()


async def test_one_address_has_a_few_connections_and_a_few_requests(tmp_path: Path) -> None:
    yard = Yard(tmp_path, limits=Limits(connections_each=2, burst=3, per_s=0.0001))
    async with serving(yard) as http:
        held = [await asyncio.open_connection("127.0.0.1", yard.server.port) for _ in range(2)]
        await eventually(lambda: yard.server.busy == 2, "two connections")
        with pytest.raises(httpx.TransportError):
            await http.get(f"http://127.0.0.1:{yard.server.port}/x")
        for _, writer in held:
            writer.close()
        await eventually(lambda: yard.server.busy == 0, "their end")
        statuses = [
            (await http.get(f"http://127.0.0.1:{yard.server.port}/guess{n}")).status_code for n in range(5)
        ]
        assert statuses == [404, 404, 404, 429, 429]


async def test_what_cannot_be_written_down_is_not_taken(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    async with serving(yard) as http:
        url = yard.upload()
        yard.accepting = False
        assert (await http.put(url, content=b"x")).status_code == 503
        yard.accepting = True
        assert (await http.put(url, content=b"x")).status_code == 201


async def test_a_connection_that_breaks_leaves_nothing_and_the_next_try_works(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    async with serving(yard) as http:
        url = yard.upload()
        _, writer = await asyncio.open_connection("127.0.0.1", yard.server.port)
        writer.write(f"PUT {yard.path('log')} HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc".encode())
        await eventually(lambda: yard.files("uploads") != [], "its first bytes")
        writer.transport.abort()
        await eventually(lambda: yard.files("uploads") == [], "the end of what broke off")
        assert (await http.put(url, content=b"whole")).status_code == 201


async def test_what_an_earlier_process_left_is_cleared_and_the_port_comes_back(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "old.part").write_bytes(b"half")
    yard = Yard(tmp_path)
    async with serving(yard):
        assert yard.files("uploads") == []
    assert yard.server.port is None
    async with serving(yard) as http:
        assert (await http.put(yard.upload(), content=b"x")).status_code == 201

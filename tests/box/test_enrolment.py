"""Joining a cloud, over a real socket: what is asked, how often, and how much of an answer is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from common import trust
from common.clock import SystemClock, SystemIds
from common.errors import Code, Refused, RemoteFault, Unavailable
from common.keystore import Keystore
from edge.authority import Authority
from edge.enrolment import ANSWER_BYTES_MAX, ASK_LATER_EVERY_S, Enrolment, ask, pause_s
from edge.sitefile import UNNAMED
from tests.box.cloud import FakeCloud

CHUNK = 16 * 1024


class Desk:
    """An HTTP server that answers each request with the next of its answers."""

    def __init__(self, *answers: tuple[int, bytes | Callable[[bytes], bytes]]) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Desk]:
        server = await asyncio.start_server(self._attend, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            self.asked.append(await reader.readexactly(length))
            status, answer = self.answers.pop(0)
            body = answer if isinstance(answer, bytes) else answer(self.asked[-1])
            writer.write(b"HTTP/1.1 %d X\r\nconnection: close\r\n\r\n" % status)
            for at in range(0, len(body), CHUNK):
                writer.write(body[at : at + CHUNK])
                await writer.drain()
        except ConnectionError:
            pass  # whoever asked has read enough
        finally:
            writer.close()


def authority(folder: Path, name: str = "") -> Authority:
    return Authority(Keystore(folder), name=name, clock=SystemClock(), ids=SystemIds())


def request(box: Authority) -> trust.EnrolRequest:
    box.pair()
    asked = box.enrolment()
    assert asked is not None
    return asked


def answers(cloud: FakeCloud, box: Authority, name: str) -> Callable[[bytes], bytes]:
    """What a cloud says that has the code which this box shows, to whatever it is asked."""
    code = box.pair()

    def answer(asked: bytes) -> bytes:
        request = msgspec.json.decode(asked, type=trust.EnrolRequest)
        bundle = trust.TrustBundle(
            site=box.site,
            root=cloud.root.public,
            keys=cloud.keys(),
            url="https://cloud.example",
            cloud="cloud-fingerprint",
            name=name,
        )
        return msgspec.json.encode(trust.answer_enrolment(bundle, request, code.secret))

    return answer


async def test_a_box_is_taken_in_past_a_proxy_that_is_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody is there
    box = authority(tmp_path)
    async with Desk((202, b"{}"), (200, answers(FakeCloud(), box, "Home"))).open() as desk:
        enrolment = Enrolment(desk.url, box, SystemClock())
        async with asyncio.timeout(20):
            await enrolment.done()
        assert len(desk.asked) == 2
    assert box.cloud_url == "https://cloud.example"


async def test_an_answer_is_read_up_to_its_bound(tmp_path: Path) -> None:
    box = authority(tmp_path)
    async with Desk((200, b"x" * (ANSWER_BYTES_MAX + 1)), (200, b"{"), (500, b"")).open() as desk:
        for code in (Code.TOO_LARGE, Code.PROTOCOL, Code.PROTOCOL):
            with pytest.raises(RemoteFault) as refused:
                await ask(desk.url, request(box))
            assert refused.value.code is code


async def test_a_box_that_is_refused_says_what_the_cloud_said(tmp_path: Path) -> None:
    box = authority(tmp_path)
    box.pair()
    body = b'{"code":"bad_request","message":"the site has another box","hint":"type --replace"}'
    newer = b'{"code":"of a newer cloud","message":"no room"}'
    async with Desk((400, body), (403, newer), (502, b"<html>" * 1000)).open() as desk:
        with pytest.raises(Refused) as refused:
            await Enrolment(desk.url, box, SystemClock()).done()
        assert str(refused.value) == "the site has another box type --replace"
        for said in ("no room", "answered 502"):
            with pytest.raises(RemoteFault, match=said) as fault:
                await ask(desk.url, request(box))
            assert fault.value.code is Code.PROTOCOL


async def test_a_cloud_that_is_away_is_told_from_a_network_that_is(tmp_path: Path) -> None:
    async with Desk().open() as desk:
        pass
    with pytest.raises(Unavailable) as away:
        await ask(desk.url, request(authority(tmp_path)))
    assert away.value.code is Code.CLOUD_UNREACHABLE
    assert "internet connection of the box" in away.value.hint


def test_a_cloud_is_asked_each_second_for_a_minute_and_then_less_often() -> None:
    assert [pause_s(ms) for ms in (0, 59_999, 60_000, 899_000)] == [
        1,
        1,
        ASK_LATER_EVERY_S,
        ASK_LATER_EVERY_S,
    ]


@pytest.mark.parametrize(("given", "then"), [("", "Home"), ("Depot", "Depot")])
def test_a_site_takes_the_name_that_its_cloud_gave_it_unless_it_has_one_here(
    tmp_path: Path, given: str, then: str
) -> None:
    box = authority(tmp_path, given)
    assert box.name == (given or UNNAMED)
    answer = answers(FakeCloud(), box, "Home")
    asked = box.enrolment()
    assert asked is not None
    told = msgspec.json.decode(answer(msgspec.json.encode(asked)), type=trust.EnrolAnswer)
    box.enrolled(told, asked, "https://cloud.example")
    assert box.name == then
    assert authority(tmp_path, given).name == then, "and keeps it"

"""The chargers' door over real loopback sockets: who comes in, who is refused how, who replaces whom."""

import asyncio
import base64
import socket
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import InvalidStatus

from common.errors import LocalFault
from common.facts import ChargerAdopted, SecurityNoted
from edge.chargers.connection import ChargerConnection
from edge.core import inputs as core
from tests.chargers.site import PATIENCE_S, Charger, Site, limits


async def refusal(site: Site, path: str = "CP1", **settings: Any) -> int:
    """Dial and return the HTTP status of the refusal."""
    with pytest.raises(InvalidStatus) as refused:
        async with site.charger(path, **settings):
            pass
    return refused.value.response.status_code


async def handshake(site: Site, path: str = "/CP1", *lines: str) -> bytes:
    """Send a handshake as written and return the head of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
    head = [
        f"GET {path} HTTP/1.1",
        "Host: box",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *lines,
    ]
    writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    return answer


def basic(user: str, password: bytes) -> dict[str, str]:
    token = base64.b64encode(user.encode() + b":" + password).decode()
    return {"Authorization": f"Basic {token}"}


@pytest.mark.parametrize("path", ["CP1", "cp1", "/ocpp/16/CP1", "//CP1/", "CP1?x=1", "%43P1"])
async def test_the_identity_is_the_last_segment_in_the_stored_spelling(path: str) -> None:
    async with Site() as site, site.charger(path) as charger:
        assert await charger.alive()
        connected = await site.memory.first(core.StationConnected)
        assert (connected.charger, connected.protocol, connected.address) == ("CP1", "ocpp1.6", "127.0.0.1")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "CP%201",
        "C%00",
        "x" * 49,
        "CP1%2F",
        "%F0%9F%94%8C",
        "$(id)",
        "%60id%60",
        "a;b",
        "a|b",
        "a'b",
        "%22",
    ],
)
async def test_what_is_no_identity_is_refused_and_noted_nowhere(path: str) -> None:
    async with Site() as site:
        assert await refusal(site, path) == 404
        assert site.memory.inputs == []
        assert list(site.listener.waiting()) == []
        assert site.listener.refusals == {"not_an_identity" if path else "no_identity": 1}


async def test_an_unknown_charger_is_refused_queued_and_reported_once_a_minute() -> None:
    async with Site() as site:
        for _ in range(3):
            assert await refusal(site, "New-1") == 404
        assert [type(given) for given in site.memory.inputs] == [core.StationWaiting]
        waiting = await site.memory.first(core.StationWaiting)
        assert (waiting.charger, waiting.address, waiting.protocol) == ("New-1", "127.0.0.1", "ocpp1.6")
        assert [(one.charger, one.dials) for one in site.listener.waiting()] == [("New-1", 3)]
        site.memory.adopted["new-1"] = "New-1"
        async with site.charger("New-1") as charger:
            assert await charger.alive()
            assert list(site.listener.waiting()) == []


async def test_the_adoption_queue_is_bounded() -> None:
    async with Site() as site:
        for number in range(66):
            assert await refusal(site, f"stranger-{number}") == 404
        waiting = [one.charger for one in site.listener.waiting()]
        assert waiting == [f"stranger-{number}" for number in range(2, 66)]
        assert site.listener.refusals["adoption_queue_full"] == 2


async def test_adopt_any_takes_a_stranger_in_and_says_so_before_it_is_connected() -> None:
    async with Site(adopt_any=True, limits=limits(adopt_any_max=1)) as site:
        async with site.charger("Stranger") as charger:
            assert await charger.alive()
        note, connected = site.memory.inputs[:2]
        assert isinstance(note, core.Note)
        assert note.body == ChargerAdopted(charger="Stranger")
        assert isinstance(connected, core.StationConnected)
        assert await refusal(site, "Another") == 404


async def test_nobody_comes_in_while_nothing_can_be_written() -> None:
    async with Site() as site:
        site.memory.accepting = False
        assert await refusal(site) == 503
        assert b"Retry-After: 30" in await handshake(site)
        assert site.memory.inputs == []
        site.memory.accepting = True
        async with site.charger() as charger:
            assert await charger.alive()


@pytest.mark.parametrize("offered", ["ocpp1.6", "OCPP1.6", "ocpp1.6J", "ocpp2.0.1, Ocpp1.6"])
async def test_the_offered_subprotocol_is_echoed_exactly(offered: str) -> None:
    async with Site() as site:
        answer = await handshake(site, "/CP1", f"Sec-WebSocket-Protocol: {offered}")
        echoed = offered.rpartition(" ")[2]
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert f"Sec-WebSocket-Protocol: {echoed}\r\n".encode() in answer


async def test_a_charger_that_offers_no_subprotocol_is_served_as_1_6() -> None:
    async with Site() as site, site.charger(subprotocols=None) as charger:
        assert charger.ws.subprotocol is None
        assert await charger.alive()


async def test_with_no_common_subprotocol_the_handshake_completes_and_the_connection_closes() -> None:
    async with Site() as site:
        async with site.charger(subprotocols=["ocpp2.0.1"]) as charger:
            assert charger.ws.subprotocol is None
            code, reason = await charger.closed()
            assert (code, reason) == (1002, "no common subprotocol; this box speaks ocpp1.6")
        assert site.memory.inputs == []


async def test_odd_requests_do_not_trouble_the_listener() -> None:
    async with Site() as site:
        assert (await handshake(site, "/CP1", "Host: other", "Host: third")).startswith(b"HTTP/1.1 101 ")
        two = ("Authorization: Digest x", "Authorization: Basic %%%")
        assert (await handshake(site, "/CP1", *two)).startswith(b"HTTP/1.1 101 ")
        reader, writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
        writer.write(b"GET /favicon.ico HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 426 ")
        writer.close()
        assert list(site.listener.waiting()) == []
        async with site.charger("CP2") as charger:
            assert await charger.alive()


async def test_a_password_is_asked_for_where_one_is_stored() -> None:
    secret = bytes(range(240, 260 - 4)) + b":\x00\xff\xfe"
    async with Site() as site:
        site.memory.passwords["CP1"] = secret
        wrong = [{}, basic("CP1", b"x" * 20), basic("CP2", secret), {"Authorization": "Basic ?"}]
        for headers in wrong:
            assert await refusal(site, additional_headers=headers) == 401
        notes = [note.body for note in site.memory.of(core.Note)]
        assert notes == [
            SecurityNoted(what=what, charger="CP1", address="127.0.0.1")
            for what in ("wrong_password", "identity_mismatch")
        ], "each is noted once"
        for right in (secret, secret.hex().encode()):
            async with site.charger(additional_headers=basic("cp1", right)) as charger:
                assert await charger.alive()
        async with site.charger("", additional_headers=basic("CP1", secret)) as charger:
            assert await charger.alive()


async def test_the_newest_connection_is_the_charger_and_the_older_ones_end_changes_nothing() -> None:
    async with Site() as site, site.charger() as old:
        await site.memory.first(core.StationConnected)
        site.request(core.StartCharge(1, 1, "0123456789ABCDEF"))
        assert (await old.recv())[2] == "RemoteStartTransaction"
        async with site.charger() as new:
            assert await old.closed() == (1008, "replaced by a newer connection")
            assert await new.alive()
            kinds = [type(given) for given in site.memory.inputs]
            assert kinds == [core.StationConnected, core.CallEnded, core.StationConnected]
            assert (await site.memory.first(core.CallEnded)).answer == "lost"
            site.request(core.StopCharge("1"), core.PRIORITY_STOP)
            assert (await new.recv())[2] == "RemoteStopTransaction"
            assert site.about()["connected"]
        await site.memory.first(core.StationDisconnected)
        assert len(site.memory.of(core.StationDisconnected)) == 1
        assert not site.about()["connected"]


async def test_a_half_open_connection_does_not_lock_its_charger_out() -> None:
    async with Site(limits=limits(close_s=0.05)) as site, site.charger() as dead:
        dead.ws.transport.pause_reading()  # it neither reads nor answers the close
        async with site.charger() as new:
            assert await new.alive()
            assert site.about()["connections"] == 2
        dead.ws.transport.abort()


@asynccontextmanager
async def dialling_from(address: str, site: Site, path: str = "CP1") -> Any:
    async with connect(
        site.url(path), proxy=None, subprotocols=["ocpp1.6"], local_addr=(address, 0), ping_interval=None
    ) as ws:
        yield ws


async def test_without_a_password_a_living_charger_is_not_replaced_from_another_address() -> None:
    async with Site() as site, dialling_from("127.0.0.2", site):
        with pytest.raises(InvalidStatus, match="409"):
            async with dialling_from("127.0.0.3", site):
                pass
        notes = [note.body for note in site.memory.of(core.Note)]
        assert notes == [SecurityNoted(what="charger_clone", charger="CP1", address="127.0.0.3")]


async def test_one_that_is_gone_without_a_goodbye_is_replaced_from_another_address() -> None:
    quick = limits(probe_s=0.05, close_s=0.05)
    async with Site(limits=quick) as site, dialling_from("127.0.0.2", site) as gone:
        gone.transport.pause_reading()
        async with dialling_from("127.0.0.3", site) as new:
            assert await Charger(new).alive()
            assert site.about()["address"] == "127.0.0.3"
        gone.transport.abort()


async def test_two_boxes_with_one_identity_do_not_evict_each_other_for_ever() -> None:
    async with Site() as site:
        site.memory.passwords["CP1"] = b"secret"
        settings = {"additional_headers": basic("CP1", b"secret"), "proxy": None, "ping_interval": None}
        addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3", "127.0.0.2"]
        sockets = [await connect(site.url(), local_addr=(one, 0), **settings) for one in addresses]
        with pytest.raises(InvalidStatus, match="409"):
            await connect(site.url(), local_addr=("127.0.0.3", 0), **settings)
        assert site.about()["address"] == "127.0.0.2"
        for ws in sockets:
            await ws.close()


async def test_the_number_of_connections_is_bounded() -> None:
    async with Site(limits=limits(connections_max=1)) as site, site.charger() as charger:
        assert await charger.alive()
        with pytest.raises(Exception, match=r"HTTP|reset|closed|EOF"):
            async with site.charger("CP2"):
                pass
        assert site.listener.refusals["too_many_connections"] == 1
        assert await charger.alive()


class Silent:
    """Those who dial and begin a request that has no end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def dial(self, *addresses: str) -> None:
        for address in addresses:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
            writer.write(b"GET /CP1 HTTP/1.1\r\nX: ")
            self._open.append((reader, writer))

    def end(self) -> None:
        for _, writer in self._open:
            writer.transport.abort()


async def test_who_says_nothing_holds_no_place_that_a_charger_wants() -> None:
    """Three strangers take every place, and each that falls free; chargers come in and stay all the same."""
    async with Site(limits=limits(connections_max=8)) as site, site.charger() as charger:
        silent = Silent(site.listener.port)
        await silent.dial(*(f"127.0.0.{2 + number % 3}" for number in range(40)))
        async with site.charger("CP2") as other:
            assert await other.alive()
            await silent.dial(*["127.0.0.9"] * 40)
            assert await other.alive()
            assert await charger.alive()
        assert site.listener.refusals["too_many_connections"] >= 70
        silent.end()


async def test_dials_from_one_address_are_paced() -> None:
    async with Site(limits=limits(dials_burst=2, dials_per_s=0)) as site:
        async with site.charger() as charger, site.charger("CP2"):
            assert await charger.alive()
        with pytest.raises(Exception, match=r"HTTP|reset|closed|EOF"):
            async with site.charger():
                pass
        assert site.listener.refusals["dials_too_often"] == 1


async def test_a_peer_that_says_nothing_is_dropped() -> None:
    async with Site(limits=limits(open_timeout_s=0.05)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()


async def test_it_stops_with_1001_and_starts_again() -> None:
    site = Site()
    async with site, site.charger() as charger:
        assert await charger.alive()
        await site.listener.stop()
        assert (await charger.closed())[0] == 1001
        await site.listener.stop()
        with pytest.raises(OSError, match="onnect"):
            async with site.charger():
                pass
        await site.listener.start()
        async with site.charger() as again:
            assert await again.alive()


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site = Site(port=port)
        with pytest.raises(LocalFault, match=f"{port}: .*in use") as failed:
            await site.listener.start()
        assert "--ocpp " in failed.value.hint


async def test_chargers_can_be_disconnected_one_or_all() -> None:
    async with Site() as site, site.charger() as one, site.charger("CP2") as two:
        assert await one.alive()
        assert await two.alive()
        site.listener.disconnect("CP1", code=1008, reason="no longer of this site")
        assert await one.closed() == (1008, "no longer of this site")
        assert await two.alive()
        site.listener.disconnect(reason="the journal cannot commit")
        assert await two.closed() == (1011, "the journal cannot commit")


async def test_a_charger_whose_arrival_cannot_be_written_down_is_sent_away() -> None:
    async with Site() as site:
        site.memory.broken = True
        async with site.charger() as charger:
            assert (await charger.closed())[0] == 1011


class _OpenDoor:
    def entered(self, connection: ChargerConnection) -> bool:
        return True

    def left(self, connection: ChargerConnection) -> None:
        pass


async def test_frames_leave_at_once_whatever_made_the_listening_socket() -> None:
    # asyncio sets TCP_NODELAY only on sockets with a protocol number, which this one has not
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def attend(ws: ServerConnection) -> None:
        accepted = ws.transport.get_extra_info("socket")
        found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def make(protocol: Any, server: Server, **settings: Any) -> ChargerConnection:
        return ChargerConnection(protocol, server, door=_OpenDoor(), **settings)

    async with serve(attend, sock=listening, create_connection=make) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None):
            assert await found == 1

"""One suite for every transport: the app link behaves alike whatever carries it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path as Folder

import pytest

from common import wire
from common.applink import Limits, Peer
from common.budget import Bucket, Rate
from common.domain import Path
from common.errors import Code
from common.threshold import STRANGERS_EACH
from common.trust import revoked_principal, seal
from tests.applink.transports import TRANSPORTS, Transport
from tests.applink.world import PATIENCE_S, World, fact_frame, world
from tests.trust.cast import DAY_MS, NOW_MS, PHONE, SITE, STRANGER, command, grant, payload

GRANTED = [transport for transport in TRANSPORTS if transport.path is not Path.LOCAL]


@pytest.fixture(params=TRANSPORTS, ids=str)
def transport(request: pytest.FixtureRequest) -> Transport:
    chosen: Transport = request.param
    return chosen


@pytest.fixture
async def box(transport: Transport, tmp_path: Folder) -> AsyncIterator[World]:
    async with world(transport, tmp_path) as box:
        yield box


def envelope(box: World) -> str:
    return payload().decode() if box.local else seal(payload(), PHONE)


async def test_a_link_opens_and_both_ends_see_the_same_transport(box: World) -> None:
    async with await box.opened() as app:
        (served,) = box.links
        assert served.binding == app.link.binding
        assert bool(served.binding) is box.transport.bound
        assert served.path is app.link.path is box.transport.path
        assert served.peer
        assert app.session.welcome is not None
        assert [site.site for site in app.session.welcome.sites] == [SITE]
        assert list(box.backend.peers[0].claims) == [SITE]
    await box.ended()
    assert box.ends == [None]
    assert box.backend.gone == box.backend.peers


async def test_a_follower_gets_a_snapshot_then_facts_in_order(box: World) -> None:
    async with await box.opened() as app:
        app.session.follow(SITE)
        await app.flush()
        assert (await app.until(wire.Snapshot)).seq == 10
        for seq in (9, 10, 11, 12, 12, 15):
            box.backend.followers[0].push(fact_frame(seq))
        box.backend.followers[0].send(wire.Pong())
        await app.until(wire.Pong)
        facts = [one for one in app.heard if isinstance(one, wire.FactMessage)]
        assert [fact.seq for fact in facts] == [11, 12, 15]
        assert bytes(facts[0].record) == b'{"n":11,"pad":""}'


async def test_a_command_is_answered_to_its_end(box: World) -> None:
    async with await box.opened() as app:
        await app.ask(wire.SendCommand(id=command().id, site=SITE, envelope=envelope(box)))
        await app.until(wire.Settled)
        assert [type(message).__name__ for message in app.heard[-3:]] == ["Accepted", "Confirmed", "Settled"]
        assert box.backend.asked == [("command", payload())]


async def test_a_link_over_its_pace_is_read_later_and_loses_nothing(box: World) -> None:
    async with await box.opened() as app:
        peer = box.backend.peers[0]
        peer.pace = Bucket(Rate(per_s=100, burst=2))
        try:
            for number in range(5):
                await app.ask(wire.Query(id=str(number), site=SITE, what="sessions"))
            await app.until(wire.Page)
            await app.until(wire.Page)
            peer.send(wire.Pong())
            await app.until(wire.Pong)
            assert [one.id for one in app.heard if isinstance(one, wire.Page)] == ["0", "1"]
            for number in (2, 3, 4):
                box.clock.at_ms += 15
                assert (await app.until(wire.Page)).id == str(number)
            await app.ask(wire.Ping())
            peer.cut(Code.REVOKED)
            assert await app.end() == [Code.REVOKED, Code.REVOKED], "who waits to be read is cut all the same"
        finally:
            peer.pace = None  # this clock stands still
    await box.ended()


async def test_what_is_declined_says_why_and_the_link_lives(
    box: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with await box.opened() as app:
        await app.ask(wire.SendCommand(id="other", site=SITE, envelope=envelope(box)))
        refusal = await app.until(wire.Refusal)
        assert (refusal.code, refusal.id) == (Code.BAD_REQUEST, "other")
        assert box.backend.asked == []
        for what, code in {"nonsense": Code.BAD_REQUEST, "broken": Code.INTERNAL}.items():
            await app.ask(wire.Query(id="q1", site=SITE, what=what))
            refusal = await app.until(wire.Refusal)
            assert (refusal.code, refusal.id) == (code, "q1")
            assert refusal.hint
        assert "ZeroDivisionError" in caplog.text
        await app.ask(wire.Query(id="q2", site=SITE, what="sessions", args={"a": 1}))
        assert (await app.until(wire.Page)).rows == ({"a": 1},)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 4096, 60_000])
async def test_frames_keep_their_borders_and_their_bytes(box: World, size: int) -> None:
    text = ('"\n\\\x00 é漢😀' * (size // 8 + 1))[: size // 4]
    async with await box.opened() as app:
        for number in range(3):
            await app.ask(wire.Manage(id=str(number), site=SITE, name="echo", args={"text": text}))
        for number in range(3):
            answer = await app.until(wire.Managed)
            assert (answer.id, answer.result) == (str(number), {"text": text})


async def test_a_large_snapshot_passes(box: World) -> None:
    async with await box.opened() as app:
        frame = fact_frame(11, wire.SERVER_BYTES_MAX - 1000)
        app.session.follow(SITE)
        await app.flush()
        await app.until(wire.Snapshot)
        box.backend.peers[0].push(frame)
        assert (await app.until(wire.FactMessage)).seq == 11


async def test_garbage_ends_this_link_with_a_reason_and_no_other(box: World) -> None:
    async with await box.opened() as good, await box.opened() as bad:
        await bad.link.send(b"}{")
        assert Code.PROTOCOL in await bad.end()
        await box.ended()
        assert box.ends == [Code.PROTOCOL]
        await good.ask(wire.Ping(at=1))
        assert (await good.until(wire.Pong)).at == 1


async def test_an_oversized_frame_ends_this_link_and_no_other(box: World) -> None:
    async with await box.opened() as good, await box.opened() as bad:
        with suppress(ConnectionError):
            await bad.link.send(b" " * (8 * wire.CLIENT_BYTES_MAX))
        await bad.end()
        await box.ended()
        await good.ask(wire.Ping(at=1))
        assert (await good.until(wire.Pong)).at == 1


async def test_an_app_that_vanishes_is_noticed_once(box: World) -> None:
    app = await box.opened()
    await app.link.close()
    await app.link.close()
    assert await app.link.receive() is None
    with pytest.raises(ConnectionError):
        await app.link.send(b"{}")
    await box.ended()
    assert len(box.backend.gone) == 1
    box.backend.gone[0].push(b"{}")  # late news for somebody who left is dropped
    box.backend.gone[0].cut(Code.BUSY)


async def test_a_cut_sends_what_is_queued_then_says_why(box: World) -> None:
    async with await box.opened() as app:
        peer = box.backend.peers[0]
        for seq in range(100):
            peer.send(wire.Pong(at=seq))
        peer.cut(Code.SHUTTING_DOWN)
        peer.cut(Code.BUSY)
        peer.send(wire.Pong(at=100))
        assert await app.end() == [Code.SHUTTING_DOWN] * 2
        assert [one.at for one in app.heard if isinstance(one, wire.Pong)] == list(range(100))
        await box.ended()
        assert box.ends == [Code.SHUTTING_DOWN]


async def test_a_slow_reader_is_cut_alone(transport: Transport, tmp_path: Folder) -> None:
    limits = Limits(queue_frames=64, queue_bytes=1024 * 1024, goodbye_s=0.02)
    async with (
        world(transport, tmp_path, limits) as box,
        await box.opened() as slow,
        await box.opened() as quick,
    ):
        for app in (slow, quick):
            app.session.follow(SITE)
            await app.flush()
            await app.until(wire.Snapshot)
        slow_peer, quick_peer = box.backend.followers
        pushed = 10
        async with asyncio.timeout(PATIENCE_S):
            while slow_peer.ended is None:
                pushed += 1
                frame = fact_frame(pushed, 60_000)
                slow_peer.push(frame)
                quick_peer.push(frame)
                assert (await quick.until(wire.FactMessage)).seq == pushed
        assert slow_peer.ended is Code.SLOW_READER
        assert len(slow_peer._queue) <= 1  # what it did not read takes no memory; its last word may wait
        assert quick_peer.ended is None
        await slow.link.close()
        await box.ended()
        assert box.ends == [Code.SLOW_READER]
        await quick.ask(wire.Ping(at=1))
        await quick.until(wire.Pong)


@pytest.mark.parametrize("words", ["silence", "hello"])
async def test_who_does_not_authenticate_in_time_is_cut(
    transport: Transport, tmp_path: Folder, words: str
) -> None:
    limits = Limits(auth_s=0.03, goodbye_s=0.02)
    async with world(transport, tmp_path, limits) as box, await box.app() as app:
        if words == "hello":
            app.session.hello()
            await app.link.send(app.session.data_to_send()[0])
        async with asyncio.timeout(PATIENCE_S):
            while await app.link.receive() is not None:
                pass
        await box.ended()
        assert box.ends == [Code.PROTOCOL]
        assert box.backend.peers == []
        assert len(box.backend.gone) == 1


async def test_many_apps_at_once(box: World) -> None:
    async def session(number: int) -> int:
        async with await box.opened() as app:
            await app.ask(wire.Manage(id="1", site=SITE, name="echo", args={"n": number}))
            result: int = (await app.until(wire.Managed)).result["n"]
            return result

    many = STRANGERS_EACH  # more of one address at once are sent away before any cryptography
    numbers = await asyncio.gather(*(session(number) for number in range(many)))
    assert numbers == list(range(many))
    await box.ended(many)
    assert len(box.backend.gone) == many


async def test_a_closed_listener_ends_its_links(transport: Transport, tmp_path: Folder) -> None:
    async with world(transport, tmp_path) as box:
        app = await box.opened()
    assert await app.end() == []
    await app.link.close()
    assert len(box.backend.gone) == 1
    with pytest.raises(Exception) as raised:
        await box.connect()
    assert getattr(raised.value, "code", None) in {Code.NO_PATH, Code.NOT_RUNNING}


# --- with grants -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", GRANTED, ids=str)
async def test_an_invite_becomes_a_grant_and_the_link_opens(box: World) -> None:
    async with await box.app(invite="the secret") as app:
        await app.hello()
        granted = await app.until(wire.Granted)
        await app.until(wire.Welcome)
        assert app.session.grants == (granted.grant,)
    async with await box.app(invite="a guess") as app:
        await app.hello()
        assert (await app.until(wire.Refusal)).code == Code.BAD_INVITE


@pytest.mark.parametrize("transport", GRANTED, ids=str)
async def test_a_grant_that_ran_out_is_renewed_on_connect(box: World) -> None:
    old = grant(now_ms=NOW_MS - 8 * DAY_MS)
    async with await box.app(grants=(old,)) as app:
        await app.hello()
        assert (await app.until(wire.Refusal)).code == Code.GRANT_EXPIRED
        app.session.renew(old)
        await app.flush()
        await app.until(wire.Welcome)
        assert box.backend.peers[0].claims[SITE].grant == "renewed"


@pytest.mark.parametrize("transport", GRANTED, ids=str)
async def test_a_strangers_grant_opens_nothing(box: World) -> None:
    async with await box.app(key=STRANGER) as app:
        await app.hello()
        assert (await app.until(wire.Refusal)).code == Code.BAD_SIGNATURE
    assert box.backend.peers == []


@pytest.mark.parametrize("transport", GRANTED, ids=str)
async def test_an_app_leaves_a_box_that_is_not_its_own(box: World) -> None:
    async with await box.app(server=STRANGER.fingerprint) as app:
        await app.hello()
        frame = await app.link.receive()
        assert frame is not None
        app.session.receive(frame)
        assert app.session.data_to_send() == []
    assert box.backend.peers == []


@pytest.mark.parametrize("transport", GRANTED, ids=str)
async def test_withdrawn_rights_end_an_open_link(transport: Transport, tmp_path: Folder) -> None:
    async with world(transport, tmp_path, Limits(check_s=0.01)) as box, await box.opened() as app:
        box.verifier.revoked = frozenset({revoked_principal("driver-1")})
        assert await app.end() == [Code.REVOKED] * 2
    assert box.ends == [Code.REVOKED]


def test_a_peer_is_told_apart_from_another() -> None:
    assert Peer.__hash__ is object.__hash__

"""Boxes: being taken in, proving themselves, and getting their records over exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cloud.service import Cloud
from common import sync, trust
from common.client.local import local
from common.errors import Code, Refused, RemoteFault, Unavailable
from common.keystore import generate_identity
from tests.cloud.parts import FakeBox, claims, join, running, until, until_closed

# --- being taken in ----------------------------------------------------------------------------------------


async def test_a_box_waits_until_its_code_was_typed_and_then_knows_its_cloud(cloud: Cloud) -> None:
    box = FakeBox(cloud.url)
    code = box.pair()
    assert (await box.ask_in()).status_code == 202
    async with local(cloud._settings.socket_path) as operator:
        told = await operator.manage("site_add", {"name": "Home", "code": code})
        assert told["box"] == box.identity.fingerprint
    response = await box.ask_in()
    answer = msgspec.json.decode(response.content, type=trust.EnrolAnswer)
    assert box.code is not None
    assert box.asked is not None
    bundle, keys = trust.open_enrolment(answer, box.asked, box.code.secret)
    assert bundle.name == "Home"
    assert (bundle.site, bundle.url, bundle.cloud) == (
        box.site,
        cloud.url,
        cloud.accounts.identity.fingerprint,
    )
    assert len(keys.keys) == 1
    assert (await box.ask_in()).status_code == 200, "an answer that was lost is given again"


async def test_another_box_cannot_use_the_code(cloud: Cloud) -> None:
    box, thief = FakeBox(cloud.url), FakeBox(cloud.url)
    code = box.pair()
    thief.code = box.code
    async with local(cloud._settings.socket_path) as operator:
        await operator.manage("site_add", {"name": "Home", "code": code})
    response = await thief.ask_in()
    assert (response.status_code, response.json()["code"]) == (403, "bad_invite")
    async with local(cloud._settings.socket_path) as operator:
        assert await operator.query("sites") == []


async def test_a_box_cannot_take_over_another_ones_site(cloud: Cloud, box: FakeBox) -> None:
    intruder = FakeBox(cloud.url, site=box.site)
    code = intruder.pair()
    async with local(cloud._settings.socket_path) as operator:
        await operator.manage("site_add", {"name": "Elsewhere", "code": code})
    response = await intruder.ask_in()
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")
    async with box.connected():
        pass


async def test_a_box_is_replaced_by_adding_its_site_again(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        box.ledger.charge("s1", 0, 10)
        await box._send_due()
        await until(lambda: box.drained)
    spare = FakeBox(cloud.url, site=box.site)
    spare.ledger = box.ledger
    await spare.join(cloud, "Home", replace=True)
    async with spare.connected():
        await until(lambda: spare.drained)
    with pytest.raises(AssertionError, match="has another box"):
        async with box.connected():
            pass
    store = cloud._store
    assert store is not None
    assert set(await store.ledger(box.site)) == {"s1"}


@pytest.mark.parametrize("text", ["", "plugsidebox1_x", "plugside1_AAAA"])
async def test_a_code_that_is_none_is_refused_with_what_to_do(cloud: Cloud, text: str) -> None:
    async with local(cloud._settings.socket_path) as operator:
        with pytest.raises(Refused) as refused:
            await operator.manage("site_add", {"name": "Home", "code": text})
    assert refused.value.code is Code.BAD_INVITE
    assert "plugside-edge pair" in refused.value.hint


# --- proving itself ----------------------------------------------------------------------------------------


async def last_word(box: FakeBox, hello: object) -> sync.TunnelBye:
    """What the cloud says to a hello that it does not believe."""
    async with box.dial() as (socket, challenge):
        made = hello(challenge) if callable(hello) else hello
        await socket.send(made if isinstance(made, bytes | str) else sync.encode(made))
        message = sync.decode_cloud(await socket.recv())
        assert isinstance(message, sync.TunnelBye), message
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    return message


async def test_a_hello_that_proves_nothing_is_turned_away(cloud: Cloud, box: FakeBox) -> None:
    other = generate_identity()

    def signed_by_another(challenge: sync.Challenge) -> sync.TunnelHello:
        host = box.url.partition("://")[2]
        return box.hello(challenge.nonce, signature=trust.sign_tunnel(other, challenge.nonce, host))

    for hello, code in (
        (signed_by_another, Code.UNTRUSTED_PEER),
        (lambda challenge: box.hello(trust.b64(b"x" * 32)), Code.UNTRUSTED_PEER),
        (lambda challenge: box.hello(challenge.nonce, host="evil.example"), Code.UNTRUSTED_PEER),
        (lambda challenge: box.hello(challenge.nonce, key=other.public), Code.UNTRUSTED_PEER),
        (lambda challenge: box.hello(challenge.nonce, site="nowhere"), Code.UNKNOWN_SITE),
        (lambda challenge: box.hello(challenge.nonce, site="Home"), Code.UNKNOWN_SITE),
        (lambda challenge: box.hello(challenge.nonce, versions=(99,)), Code.UNSUPPORTED_VERSION),
        (lambda challenge: box.hello(challenge.nonce, epoch=""), Code.PROTOCOL),
        (lambda challenge: box.hello(challenge.nonce, software="x" * sync.HELLO_BYTES_MAX), Code.TOO_LARGE),
        (sync.TunnelBye(code="protocol", message=""), Code.PROTOCOL),
        (b"\xc1 no message", Code.PROTOCOL),
        ('{"kind":"hello"}', Code.PROTOCOL),
    ):
        assert (await last_word(box, hello)).code == code
    assert cloud.hub.online == 0
    assert cloud.hub.link(box.site) == 0


async def test_a_copy_of_the_box_is_turned_away_and_the_box_stays(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        bye = await last_word(box, lambda challenge: box.hello(challenge.nonce, instance_id="clone"))
        assert (bye.code, "pair" in bye.hint) == (Code.UNTRUSTED_PEER, True)
        assert cloud.hub.online == 1


async def test_a_box_that_begins_to_issue_with_another_key_is_believed_by_its_identity(
    cloud: Cloud, box: FakeBox
) -> None:
    from common.keystore import generate_issuer

    fresh = generate_issuer()
    voucher = trust.vouch(box.identity, fresh.public, box.site)
    forged = {
        "issuer": fresh.public,
        "vouching": trust.vouch(generate_identity(), fresh.public, box.site).signature,
    }
    assert (await last_word(box, lambda c: box.hello(c.nonce, **forged))).code == Code.BAD_SIGNATURE
    assert cloud.accounts.verifier.trust.issuer(fresh.kid) is None
    async with box.dial() as (socket, challenge):
        hello = box.hello(challenge.nonce, issuer=fresh.public, vouching=voucher.signature)
        await socket.send(sync.encode(hello))
        assert isinstance(sync.decode_cloud(await socket.recv()), sync.TunnelWelcome)
    assert cloud.accounts.verifier.trust.issuer(fresh.kid) is not None


# --- getting records over ----------------------------------------------------------------------------------


async def test_records_arrive_once_over_links_that_break(cloud: Cloud, box: FakeBox) -> None:
    for number in range(4):
        box.ledger.charge(f"s{number}", number * 100, number * 100 + 90)
    async with box.dial() as (socket, challenge):
        # A link that dies with a batch on its way and its ack unread.
        await box._agree(socket, challenge)
        batch = box.ledger.next_batch()
        assert batch is not None
        await socket.send(sync.encode(batch))
    box.ledger.cursor.disconnected()
    async with box.connected():
        await until(lambda: box.drained)
    store = cloud._store
    assert store is not None
    assert set(await store.ledger(box.site)) == {"s0", "s1", "s2", "s3"}
    state = await store.chain_state(box.site)
    assert (state.hwm, state.intact) == (12, True)


async def test_a_restored_box_begins_a_new_epoch_on_the_same_link(cloud: Cloud, box: FakeBox) -> None:
    box.ledger.charge("s0", 0, 10)
    box.ledger.charge("s1", 10, 20)
    async with box.connected():
        await until(lambda: box.drained)
    box.ledger.journal.rows = box.ledger.journal.rows[:3]
    box.ledger.cursor = sync.EdgeCursor(box.ledger.journal.epoch, 3)
    async with box.connected():
        box.ledger.charge("s2", 20, 30)
        await box._send_due()
        await until(lambda: box.drained)
        assert box.ledger.journal.epoch == "2-a"
    store = cloud._store
    assert store is not None
    assert set(await store.ledger(box.site)) == {"s0", "s1", "s2"}


async def test_the_next_link_ends_the_one_before(cloud: Cloud, box: FakeBox) -> None:
    async with box.dial() as (first, challenge):
        await first.send(sync.encode(box.hello(challenge.nonce)))
        assert isinstance(sync.decode_cloud(await first.recv()), sync.TunnelWelcome)
        async with box.connected():
            bye = sync.decode_cloud(await first.recv())
            assert isinstance(bye, sync.TunnelBye)
            assert bye.code == Code.SHUTTING_DOWN
            await until(lambda: cloud.hub.online == 1)
            box.ledger.charge("s0", 0, 10)
            await box._send_due()
            await until(lambda: box.drained)


async def test_two_batches_at_once_end_the_link_and_lose_nothing(cloud: Cloud, box: FakeBox) -> None:
    box.ledger.charge("s0", 0, 10)
    async with box.dial() as (socket, challenge):
        await box._agree(socket, challenge)
        batch = box.ledger.next_batch()
        assert batch is not None
        for _ in range(40):
            await socket.send(sync.encode(batch))
        await until_closed(socket)
    box.ledger.cursor.disconnected()
    async with box.connected():
        await until(lambda: box.drained)
    store = cloud._store
    assert store is not None
    assert set(await store.ledger(box.site)) == {"s0"}


async def test_poison_is_named_in_the_ack_and_counted(cloud: Cloud, box: FakeBox) -> None:
    box.ledger.start("s0", 0)
    box.ledger.write_record("bad", b"{")
    box.ledger.end("s0", 0, 10)
    async with box.connected():
        await until(lambda: box.drained)
    assert [m.quarantined for m in box.said if isinstance(m, sync.Ack)] == [(2,)]
    assert cloud.counters.quarantined == 1
    store = cloud._store
    assert store is not None
    assert (await store.session(claims(box.site), "s0")) is not None


async def test_a_batch_that_cannot_be_written_now_is_asked_for_again(cloud: Cloud, box: FakeBox) -> None:
    store = cloud._store
    assert store is not None
    async with box.connected():
        async with store._db.writer.connect() as busy:  # somebody holds the one writing connection
            await busy.begin()
            store._db.writer.sync_engine.pool._timeout = 0.01
            box.ledger.charge("s0", 0, 10)
            await box._send_due()
            await until(lambda: any(isinstance(m, sync.Nack) for m in box.said))
        (nack,) = [m for m in box.said if isinstance(m, sync.Nack)]
        assert (nack.reason, nack.expected) == ("busy", 1)
        assert nack.retry_after_ms > 0
        assert isinstance(box.ledger.cursor.on_nack(nack, 0), sync.Resume)
        store._db.writer.sync_engine.pool._timeout = 10
        box.ledger.cursor._not_before = 0
        await box._send_due()
        await until(lambda: box.drained)


async def test_the_cloud_stops_in_good_order_and_starts_where_it_was(folder: Path) -> None:
    async with running(folder) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        box.ledger.charge("s0", 0, 10)
        async with box.dial() as (socket, challenge):
            await box._agree(socket, challenge)
            port = cloud.url.rpartition(":")[2]
            stopping = cloud.edges
            stopping.end_all(Code.SHUTTING_DOWN)
            bye = sync.decode_cloud(await socket.recv())
            assert isinstance(bye, sync.TunnelBye)
            assert bye.code == Code.SHUTTING_DOWN
    box.ledger.cursor.disconnected()
    async with running(folder, listen=f"127.0.0.1:{port}") as again, box.connected():
        await until(lambda: box.drained)
        assert again.accounts.identity.fingerprint == cloud.accounts.identity.fingerprint


async def test_a_question_to_a_box_that_goes_away_is_answered_with_that(cloud: Cloud, box: FakeBox) -> None:
    asked: asyncio.Task[list[object]]
    async with asyncio.TaskGroup() as tasks, box.dial() as (socket, challenge):
        await box._agree(socket, challenge)
        asked = tasks.create_task(_ask(cloud, box.site))
        assert isinstance(sync.decode_cloud(await socket.recv()), sync.Ask)
    assert isinstance(asked.result(), Exception)


async def _ask(cloud: Cloud, site: str) -> object:
    try:
        return await cloud.edges.ask(site, "ledger")
    except Exception as refused:
        return refused


async def test_a_live_fact_out_of_turn_ends_the_link(cloud: Cloud, box: FakeBox) -> None:
    async with box.dial() as (socket, challenge):
        await box._agree(socket, challenge)
        await socket.send(sync.encode(sync.LiveFact(epoch="1-a", seq=1, record=b"{}")))
        bye = sync.decode_cloud(await socket.recv())
        assert isinstance(bye, sync.TunnelBye)
        assert bye.code == RemoteFault(Code.PROTOCOL).code


async def test_a_stopping_cloud_lets_nobody_in(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    async with box.dial() as (late, challenge):
        cloud.say_goodbye()
        await late.send(sync.encode(box.hello(challenge.nonce)))
        bye = sync.decode_cloud(await late.recv())
        assert isinstance(bye, sync.TunnelBye)
        assert bye.code == Code.SHUTTING_DOWN
    with pytest.raises(InvalidStatus) as refused:
        async with box.dial():
            pass
    assert refused.value.response.status_code == 503
    with pytest.raises(Unavailable):
        async with device.link():
            pass
    with pytest.raises(Unavailable) as told:  # a link that is there already gets a goodbye
        async with local(cloud._settings.socket_path) as operator:
            raise await operator.closed()
    assert told.value.code is Code.SHUTTING_DOWN

"""Apps: what each follower sees, and what becomes of a command."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from cloud.service import Cloud
from common import facts, sync, trust, wire
from common.client.connection import Connection
from common.client.local import local
from common.commands import Name
from common.domain import ConnectorState, Role, Target
from common.errors import Code, PlugsideError, Refused
from common.view import View, apply
from tests.cloud.parts import SOON_S, Device, FakeBox, invite, join, running, send, settle, until


class Following:
    """What one link was pushed, and the view that it comes to."""

    def __init__(self) -> None:
        self.pushes: list[object] = []
        self.view: View | None = None
        self.kinds: list[str] = []

    def __call__(self, push: object) -> None:
        self.pushes.append(push)
        match push:
            case wire.Snapshot():
                self.view = push.view
                self.kinds.append(f"snapshot:{push.source}")
            case wire.FactMessage():
                fact = facts.read(push.epoch, push.seq, bytes(push.record))
                assert self.view is not None
                apply(self.view, fact)
                self.kinds.append(fact.kind)
            case wire.Presence():
                self.kinds.append("online" if push.online else "offline")

    def count(self, kind: str) -> int:
        return self.kinds.count(kind)


def follow(connection: Connection, *sites: str) -> Following:
    seen = Following()
    connection.follow_with(seen, *sites)
    return seen


async def a_charger(box: FakeBox, *chargers: str) -> None:
    for charger in chargers:
        await box.tell(
            facts.ChargerSeen(charger=charger, protocol="ocpp1.6"),
            facts.ConnectorChanged(charger=charger, evse=1, state=ConnectorState.AVAILABLE),
        )


def started(session: str, principal: str, charger: str = "CP1") -> facts.SessionStarted:
    return facts.SessionStarted(
        session=session,
        charger=charger,
        evse=1,
        transaction="7",
        principal=principal,
        started_at="2026-03-01T08:00:00Z",
        received_at="2026-03-01T08:00:00Z",
        meter_start_wh=0.0,
    )


# --- following ---------------------------------------------------------------------------------------------


async def test_each_sees_what_they_may_in_the_same_order(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await a_charger(box, "CP1", "CP2")
        ann = await join(cloud, "Home", chargers=["CP1"], name="Ann")
        bob = await join(cloud, "Home", name="Bob")
        boss = await join(cloud, "Home", Role.OPERATOR)
        assert ann.granted is not None
        assert bob.granted is not None
        async with ann.link() as a, bob.link() as b, boss.link() as c:
            views = [follow(link, box.site) for link in (a, b, c)]
            await until(lambda: all(view.view for view in views))
            await box.tell(
                started("s-ann", ann.granted.site.principal),
                facts.ConnectorChanged(charger="CP1", evse=1, state=ConnectorState.CHARGING),
                started("s-bob", bob.granted.site.principal, "CP2"),
                facts.ConnectorChanged(charger="CP2", evse=1, state=ConnectorState.CHARGING),
                facts.SecurityNoted(what="clone"),
                facts.ChargerLost(charger="CP1", reason="end"),
            )
            await until(lambda: all(view.count("charger_lost") for view in views))
        ann_view, bob_view, boss_view = views
        everything = [
            *("session_started", "connector_changed", "session_started", "connector_changed"),
            *("security_noted", "charger_lost"),
        ]
        assert boss_view.kinds == ["snapshot:edge", *everything]
        assert ann_view.kinds == ["snapshot:edge", "session_started", "connector_changed", "charger_lost"]
        assert bob_view.kinds == [
            *("snapshot:edge", "connector_changed", "session_started", "connector_changed", "charger_lost"),
        ]
        assert ann_view.view is not None
        assert bob_view.view is not None
        assert set(ann_view.view.chargers) == {"CP1"}
        assert set(ann_view.view.sessions) == {"s-ann"}
        assert set(bob_view.view.sessions) == {"s-bob"}
        assert bob_view.view.chargers["CP1"].connectors[1].state is ConnectorState.CHARGING


async def test_a_page_learns_from_the_cloud_what_the_box_will_serve_for_a_year(
    cloud: Cloud, box: FakeBox
) -> None:
    async with box.connected():
        device = await join(cloud, "Home")
        async with device.link() as link:
            assert link.sites[box.site].addresses == ("192.0.2.7:9443",)
            assert link.sites[box.site].certificates == tuple(f"{number:064x}" for number in range(61))


async def test_a_site_whose_box_is_away_shows_its_last_state_and_its_age(folder: Path) -> None:
    async with running(folder) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        device = await join(cloud, "Home")
        async with box.connected():
            await a_charger(box, "CP1")
            await until(lambda: box.drained)
        await until(lambda: cloud.hub.online == 0)
        port = cloud.url.rpartition(":")[2]
    async with running(folder, listen=f"127.0.0.1:{port}") as cloud:
        device.cloud = cloud
        async with device.link() as link:
            assert not link.sites[box.site].online
            seen = follow(link, box.site)
            await until(lambda: "offline" in seen.kinds)
            assert seen.kinds == ["snapshot:copy", "offline"]
            assert seen.view is not None
            assert seen.view.chargers["CP1"].online
            (snapshot,) = [push for push in seen.pushes if isinstance(push, wire.Snapshot)]
            assert snapshot.age_ms > 0
            async with box.connected():
                await until(lambda: "online" in seen.kinds)
                assert seen.kinds[2:] == ["snapshot:edge", "online"]
            await until(lambda: seen.kinds[-1] == "offline")


async def test_a_new_epoch_begins_with_a_new_snapshot(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await a_charger(box, "CP1")
        device = await join(cloud, "Home")
        async with device.link() as link:
            seen = follow(link, box.site)
            await until(lambda: seen.count("snapshot:edge"))
            box.ledger.rotate()
            assert box.socket is not None
            box.ledger.cursor.rotated("9-z", len(box.ledger.journal.rows))
            await box.show()
            await until(lambda: seen.count("snapshot:edge") == 2)


async def test_one_link_follows_several_sites_and_changes_its_mind(cloud: Cloud, box: FakeBox) -> None:
    other = FakeBox(cloud.url)
    await other.join(cloud, "Work")
    device = await join(cloud, "Home")
    made = await join(cloud, "Work")
    device.key, device.grants = made.key, made.grants
    second = Device(cloud)
    second.key = device.key
    await second.join((await invite(cloud, "Home"))["invite"])
    async with box.connected(), other.connected():
        grants = (*device.grants, *second.grants)
        async with second.link(grants=grants) as link:
            assert set(link.sites) == {box.site, other.site}
            seen = follow(link, box.site, other.site)
            await until(lambda: seen.count("snapshot:edge") == 2)
            only = follow(link, other.site)
            await until(lambda: only.count("snapshot:edge") == 1)
            await a_charger(box, "CP1")
            await a_charger(other, "CP9")
            await until(lambda: only.count("charger_seen") == 1)
            assert only.view is not None
            assert set(only.view.chargers) == {"CP9"}


async def test_a_site_without_a_grant_cannot_be_followed(cloud: Cloud, box: FakeBox) -> None:
    other = FakeBox(cloud.url)
    await other.join(cloud, "Work")
    device = await join(cloud, "Home")
    async with device.link() as link:
        seen = follow(link, box.site, other.site)
        await until(lambda: any(isinstance(push, wire.Refusal) for push in seen.pushes))
        assert seen.kinds == []


# --- commands ----------------------------------------------------------------------------------------------


async def test_the_box_gets_the_very_bytes_and_its_answers_come_back(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    async with box.connected(), device.link() as link:
        message = device.command(box.site)
        told = await send(link, message)
        assert [type(step) for step in told] == [wire.Accepted, wire.Confirmed, wire.Settled]
        (relayed,) = box.relayed
        assert relayed.command.envelope == message.envelope
        _, signer = trust.open_envelope(relayed.command.envelope)
        assert signer == device.key.thumbprint
        assert relayed.command.grant == device.grants[0], "the edge judges the grant itself"
    store = cloud._store
    assert store is not None
    await until(lambda: _state(cloud, box.site, message.id, "settled"))
    assert cloud.counters.commands["succeeded"] == 1


async def _state(cloud: Cloud, site: str, command: str, state: str) -> bool:
    assert cloud._store is not None
    row = await cloud._store.command(site, command)
    return row is not None and row.state == state


async def test_a_box_that_is_away_is_said_to_be_away_and_nothing_is_kept(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    async with device.link() as link:
        message = device.command(box.site)
        (refusal,) = await send(link, message)
        assert (refusal.code, refusal.id) == (Code.SITE_OFFLINE, message.id)
        async with box.connected():
            await a_charger(box, "CP1")
            await until(lambda: box.drained)
        assert box.relayed == []


async def test_the_same_id_again_goes_to_the_box_again_and_is_answered_without_it(
    cloud: Cloud, box: FakeBox
) -> None:
    device = await join(cloud, "Home")
    async with device.link() as link:
        async with box.connected():
            message = device.command(box.site)
            first = await send(link, message)
            again = await send(link, message)
            assert again == first
            assert len(box.relayed) == 2, "the box recognises a repeat, nobody else"
            await until(lambda: _state(cloud, box.site, message.id, "settled"))
        await until(lambda: cloud.hub.online == 0)
        (stored,) = await send(link, message)
        assert stored == first[-1]
        other = device.command(box.site, Name.RESET, id_=message.id)
        (refusal,) = await send(link, other)
        assert refusal.code == Code.SITE_OFFLINE, "other content under the id is another command"


async def test_what_a_broken_tunnel_left_unanswered_is_given_back(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    box.answers = lambda command: []
    async with device.link() as link, asyncio.TaskGroup() as tasks:
        async with box.connected():
            sent = tasks.create_task(send(link, device.command(box.site)))
            await until(lambda: bool(box.relayed))
        (refusal,) = await sent
        assert refusal.code == Code.SITE_OFFLINE
    assert cloud.router.under_way == 0


async def test_what_the_box_had_taken_on_is_asked_again_when_it_returns(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    box.answers = lambda command: [wire.Accepted(id=command.id)]
    async with device.link() as link, asyncio.TaskGroup() as tasks:
        async with box.connected():
            sent = tasks.create_task(send(link, device.command(box.site)))
            await until(lambda: bool(box.relayed))
            await until(lambda: _state(cloud, box.site, box.relayed[0].command.id, "accepted"))
        await until(lambda: cloud.hub.online == 0)
        assert not sent.done()
        box.answers = settle
        async with box.connected():
            told = await sent
        assert [type(step) for step in told] == [wire.Accepted, wire.Confirmed, wire.Settled], "each once"
        assert box.relayed[0] == box.relayed[1], "the same bytes, for the same asker"


async def test_a_stop_leaves_without_waiting_for_our_disk(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    store = cloud._store
    assert store is not None
    async with box.connected(), device.link() as link, asyncio.TaskGroup() as tasks:
        async with store._db.writer.connect() as busy:
            await busy.begin()
            stop = tasks.create_task(send(link, device.command(box.site, Name.STOP, args={"session": "s1"})))
            start = tasks.create_task(send(link, device.command(box.site)))
            told = await stop
            assert isinstance(told[-1], wire.Settled)
            assert [relay.command.id for relay in box.relayed] == [told[-1].id]
            assert not start.done(), "a start is written down first"
        assert isinstance((await start)[-1], wire.Settled)


async def test_nobody_else_hears_of_a_command(cloud: Cloud, box: FakeBox) -> None:
    ann, bob = await join(cloud, "Home"), await join(cloud, "Home")
    async with box.connected(), ann.link() as a, bob.link() as b:
        seen = follow(b, box.site)
        await until(lambda: seen.count("snapshot:edge"))
        await send(a, ann.command(box.site))
        await b.ping(SOON_S)
        assert seen.kinds == ["snapshot:edge"]


async def test_progress_of_another_sites_command_is_not_believed(cloud: Cloud, box: FakeBox) -> None:
    intruder = FakeBox(cloud.url)
    await intruder.join(cloud, "Work")
    device = await join(cloud, "Home")
    box.answers = lambda command: []
    async with box.connected(), intruder.connected(), device.link() as link, asyncio.TaskGroup() as tasks:
        sent = tasks.create_task(send(link, device.command(box.site)))
        await until(lambda: bool(box.relayed))
        (relay,) = box.relayed
        end = wire.Settled(id=relay.command.id, outcome="succeeded")
        assert intruder.socket is not None
        assert box.socket is not None
        await intruder.socket.send(sync.encode(sync.Progress(ref=relay.ref, message=end)))
        foreign = wire.Settled(id="another", outcome="succeeded")
        await box.socket.send(sync.encode(sync.Progress(ref=relay.ref, message=foreign)))
        refused = wire.Refusal(id=relay.command.id, code=Code.CONNECTOR_IN_USE, message="", hint="")
        await box.socket.send(sync.encode(sync.Progress(ref=relay.ref, message=refused)))
        assert await sent == [refused]


async def test_a_command_of_another_key_or_for_another_site_never_leaves(cloud: Cloud, box: FakeBox) -> None:
    other = FakeBox(cloud.url)
    await other.join(cloud, "Work")
    device, thief = await join(cloud, "Home"), Device(cloud)
    async with box.connected(), other.connected(), device.link() as link:
        for message, code in (
            (thief.command(box.site), Code.BAD_SIGNATURE),
            (device.command(other.site), Code.UNKNOWN_SITE),
        ):
            (refusal,) = await send(link, message)
            assert refusal.code == code
        assert box.relayed == other.relayed == []


async def test_too_many_commands_of_one_link_are_refused(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    box.answers = lambda command: []
    told: list[object] = []
    async with box.connected(), device.link() as link:
        for _ in range(70):
            link.send_command(device.command(box.site), told.append, told.append)
        await until(lambda: len(told) == 6)
        assert {refusal.code for refusal in told} == {Code.BUSY}  # type: ignore[attr-defined]
        assert cloud.router.under_way == 64
    await until(lambda: cloud.router.under_way == 0)


async def test_the_local_socket_administers_and_commands_nothing(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected(), local(cloud._settings.socket_path) as operator:
        stages = operator.command(Name.START, Target(charger="CP1"), site=box.site)
        with pytest.raises(Refused) as refused:
            await stages.settled()
        assert refused.value.code is Code.NOT_PERMITTED
        assert box.relayed == []


# --- queries -----------------------------------------------------------------------------------------------


async def test_queries_answer_by_the_same_policy(cloud: Cloud, box: FakeBox) -> None:
    ann, bob = await join(cloud, "Home", name="Ann"), await join(cloud, "Home")
    boss = await join(cloud, "Home", Role.OPERATOR)
    assert ann.granted is not None
    principal = ann.granted.site.principal
    box.ledger.charge("s1", 0, 4000, principal=principal)
    async with box.connected():
        await until(lambda: box.drained)
    async with ann.link() as a, bob.link() as b, boss.link() as c:
        (row,) = await a.query("sessions")
        assert (row["session"], row["energy_wh"], row["state"], row["ended"]) == ("s1", 4000, "ended", True)
        assert "name" not in row
        assert "tag_ref" not in row
        assert [fact["kind"] for fact in await a.query("session", {"session": "s1"})] == [
            "session_started",
            "session_ended",
        ]
        assert await b.query("sessions") == []
        for what in ("session", "meter"):
            with pytest.raises(Refused) as refused:
                await b.query(what, {"session": "s1"})
            assert refused.value.code is Code.UNKNOWN_SESSION
        (told,) = await c.query("sessions")
        assert told["name"] == "Ann"
        (sample,) = await c.query("meter", {"session": "s1"})
        assert sample["sample"]["energy_wh"] == 2000
        assert {device["name"] for device in await c.query("devices")} == {"Ann", ""}
        for what in ("devices", "sites", "acts", "health"):
            with pytest.raises(Refused):
                await a.query(what)
        with pytest.raises(Refused):
            await a.query("nonsense")
    async with local(cloud._settings.socket_path) as operator:
        assert len(await operator.query("sessions", site="Home")) == 1
        with pytest.raises(Refused):
            await operator.query("sessions", site="elsewhere")
        assert {act["what"] for act in await operator.query("acts")} >= {"site_add", "site_joined", "invite"}


async def test_a_link_that_reads_too_slowly_is_cut_alone(cloud: Cloud, box: FakeBox) -> None:
    """Nothing of a stalled follower reaches the box or another follower."""
    slow, quick = await join(cloud, "Home", Role.OPERATOR), await join(cloud, "Home", Role.OPERATOR)
    async with box.connected(), quick.link() as q:
        seen = follow(q, box.site)
        async with slow.link() as s:
            s.follow_with(lambda push: None, box.site)
            await until(lambda: cloud.hub.followers == 2)
            s._link._connection.transport.pause_reading()  # type: ignore[attr-defined]
            filler = facts.SecurityNoted(what="noise", detail="x" * 12_000)
            for _ in range(80):
                await box.tell(*[filler] * 10)
                await q.ping(SOON_S)
                if cloud.hub.followers == 1:
                    break
            await until(lambda: cloud.hub.followers == 1)
        await until(lambda: seen.count("security_noted") == box.ledger.made)


async def test_a_stopping_cloud_says_goodbye(folder: Path) -> None:
    async with running(folder) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        device = await join(cloud, "Home")
        links = contextlib.AsyncExitStack()
        link = await links.enter_async_context(device.link())
    async with links:
        fault = await link.closed()
        assert isinstance(fault, PlugsideError)
        assert fault.code is Code.SHUTTING_DOWN

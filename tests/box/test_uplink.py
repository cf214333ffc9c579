"""The tunnel from the box: over a real socket, to a cloud that loses, refuses, forgets and goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common import commands, facts, sync, trust, wire
from common.commands import Command, Name
from common.domain import Role, Target, iso
from common.errors import Code
from common.keystore import generate_identity
from common.policy import Claims
from edge.authority import OFFLINE_GRACE_MS
from edge.enrolment import tunnel_url
from edge.inheritance import Inheritance
from edge.journal import pruning
from edge.settings import EdgeSettings
from edge.site import Site
from edge.uplink import ASKS_MAX, LIVE_MAX, Uplink
from tests.box.cloud import FakeCloud
from tests.box.support import eventually, living


@asynccontextmanager
async def place(
    folder: Path, *, enrolled: bool = True, adopt: str = "none"
) -> AsyncIterator[tuple[Site, FakeCloud]]:
    """A box that runs, and its cloud."""
    cloud = FakeCloud()
    await cloud.start()
    site = Site(
        EdgeSettings.load(
            {
                "ocpp": "127.0.0.1:0",
                "lan": "127.0.0.1:0",
                "data": folder,
                "cloud": cloud.url,
                "adopt": adopt,
            }
        )
    )
    if enrolled:
        cloud.take_in(site.authority)
    try:
        async with living(site):
            yield site, cloud
    finally:
        await cloud.stop()


def note(site: Site, count: int = 1) -> None:
    for number in range(count):
        site.gateway.note(facts.SecurityNoted(what="clone", charger=f"CP{number}"))


def uplink(site: Site) -> Uplink:
    assert site.uplink is not None
    return site.uplink


async def connected(site: Site) -> None:
    await eventually(lambda: uplink(site).connected, "the tunnel")


async def synced(site: Site, cloud: FakeCloud) -> None:
    """Everything is in the cloud, each record once, by one unbroken chain."""
    uplink(site).cursor.committed(site.journal.last_seq, "session_started", 0)  # send without waiting
    uplink(site).work.set()

    def there() -> bool:
        mark = cloud.marks.get(site.journal.epoch)
        return mark is not None and mark.hwm == site.journal.last_seq

    await eventually(there, "the cloud to have everything")
    mark = cloud.marks[site.journal.epoch]
    assert mark.chain == site.journal.chain_at(mark.hwm)
    await eventually(lambda: uplink(site).cursor.backlog == 0, "the last ack")


def live_is_gapless(cloud: FakeCloud) -> int:
    """Every live fact follows what came before it; returns the last seq."""
    seq, epoch = -1, ""
    for message in cloud.live:
        if isinstance(message, sync.LiveFact):
            assert (message.epoch, message.seq) == (epoch, seq + 1)
        seq, epoch = message.seq, message.epoch
    return seq


async def test_batches_and_the_live_lane_carry_every_fact(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        note(site, 3)
        await connected(site)
        note(site, 20)
        await synced(site, cloud)
        await eventually(lambda: live_is_gapless(cloud) == site.journal.last_seq, "the live facts")
        assert len(cloud.facts) == site.journal.last_seq
        assert cloud.batches >= 3, "seven records a batch"
        assert isinstance(cloud.live[0], sync.LiveSnapshot)


async def test_a_lost_ack_a_refusal_and_a_cloud_that_goes_lose_nothing(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        await connected(site)
        cloud.nacks = ["busy"]
        cloud.lose_acks = 1
        note(site, 10)
        uplink(site).cursor.committed(0, "session_started", 0)
        await site.journal.probe()
        uplink(site).cursor.committed(site.journal.last_seq, "session_started", 0)
        uplink(site).work.set()
        await eventually(lambda: cloud.lose_acks == 0, "the ack to be lost")
        await cloud.stop()
        await eventually(lambda: not uplink(site).connected, "the link's end")
        note(site, 5)
        assert site.authority.verifier.grace_ms == OFFLINE_GRACE_MS
        await cloud.start()
        await connected(site)
        assert site.authority.verifier.grace_ms == 0, "grace is for while the cloud cannot be reached"
        await synced(site, cloud)
        assert len(cloud.facts) == site.journal.last_seq
        assert len({hello.epoch for hello in cloud.hellos}) == 1


async def test_another_history_in_the_cloud_begins_a_new_epoch_and_resends_all(tmp_path: Path) -> None:
    async with place(tmp_path, enrolled=False) as (site, cloud):
        note(site, 5)
        await site.journal.probe()
        old = site.journal.epoch
        cloud.marks[old] = sync.Mark(old, 2, b"x" * 32)
        cloud.take_in(site.authority)
        await eventually(lambda: site.journal.epoch != old, "a new epoch")
        await connected(site)
        await synced(site, cloud)
        assert len(cloud.facts) == site.journal.last_seq


async def test_a_box_of_years_fills_a_cloud_that_has_nothing_of_it(tmp_path: Path) -> None:
    """What is older than it keeps has left its journal; the rest goes under an epoch that begins there."""
    async with place(tmp_path) as (site, cloud):
        await connected(site)
        note(site, 600)
        for _ in range(2):
            site.gateway.snapshot()
        await site.journal.probe()
        assert await site.journal.submit(lambda db: pruning.cut(db, 300)) == 256
        await forgets_everything(site, cloud)
        assert site.journal.epoch.startswith("2-")
        assert cloud.hellos[-1].begins_after == site.journal.begins_after == 256
        assert len(cloud.facts) == site.journal.last_seq - 256
        assert "history_gap" in {getattr(fact.body, "what", "") for fact in cloud.facts.values()}
        # And once more: that epoch begins within what is kept.
        await forgets_everything(site, cloud)
        assert site.journal.epoch.startswith("2-")
        assert len(cloud.facts) == site.journal.last_seq - 256


async def forgets_everything(site: Site, cloud: FakeCloud) -> None:
    """The cloud's database is lost; it is filled again."""
    await cloud.stop()
    cloud.facts.clear()
    cloud.marks.clear()
    hellos = len(cloud.hellos)
    await cloud.start()
    await eventually(lambda: len(cloud.hellos) > hellos and uplink(site).connected, "the tunnel")
    await synced(site, cloud)


async def test_a_chain_nack_in_the_middle_begins_a_new_epoch(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        await connected(site)
        note(site, 5)
        await synced(site, cloud)
        old = site.journal.epoch
        cloud.nacks = ["chain"]
        note(site, 5)
        await site.journal.probe()
        uplink(site).cursor.committed(site.journal.last_seq, "session_started", 0)
        uplink(site).work.set()
        await eventually(lambda: site.journal.epoch != old, "a new epoch")
        await eventually(lambda: cloud.links > 1, "the next link")
        await connected(site)
        await synced(site, cloud)
        assert len(cloud.facts) == site.journal.last_seq, "a record that came twice is known by its uid"


async def test_a_box_that_ends_between_its_new_epoch_and_the_estate_asks_for_it_all_the_same(
    tmp_path: Path,
) -> None:
    async with place(tmp_path) as (site, cloud):
        await connected(site)
        assert not Inheritance(site.gateway, site.journal).wanted, "its first hello has asked"
        await cloud.stop()
        await eventually(lambda: not uplink(site).connected, "the link's end")
        await uplink(site).rotate(sync.Rotate("the cloud holds another history"))
        assert Inheritance(site.gateway, site.journal).wanted, "in the next process, too"
        await cloud.start()
        await connected(site)
        assert cloud.hellos[-1].inherits
        assert not Inheritance(site.gateway, site.journal).wanted


def signed(site: Site, key: trust.IdentityKey, command_id: str = "cmd-1") -> wire.SendCommand:
    command = Command(
        site=site.authority.site,
        id=command_id,
        name=Name.START,
        target=Target("CP1", 1),
        args={},
        expires_at=iso(site.clock.now_ms() + 10_000),
    )
    return wire.SendCommand(
        id=command_id, site=command.site, envelope=trust.seal(commands.encode(command), key), grant=""
    )


async def test_a_relayed_command_is_judged_here_and_its_stages_go_back(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        await connected(site)
        key, thief = generate_identity(), generate_identity()
        claims = Claims(
            site=site.authority.site, principal="p-1", role=Role.DRIVER, key=trust.thumbprint(key.public)
        )
        grant = cloud.grant(claims, site.clock.now_ms())
        for ref, signer, permit in (("r1", key, grant), ("r2", thief, grant), ("r3", key, "no.grant.this")):
            sent: Any = signed(site, signer)
            sent = wire.SendCommand(id=sent.id, site=sent.site, envelope=sent.envelope, grant=permit)
            await cloud.say(sync.Relay(ref=ref, command=sent))
        await eventually(lambda: len(cloud.progress) == 3, "three answers")
        told = dict(cloud.progress)
        codes = {ref: getattr(message, "code", "") for ref, message in told.items()}
        assert codes == {"r1": Code.UNKNOWN_CHARGER, "r2": Code.BAD_SIGNATURE, "r3": Code.BAD_GRANT}
        assert uplink(site).connected


async def test_questions_are_answered_and_bad_ones_do_not_end_the_link(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        await connected(site)
        where = site.authority.site
        asked = [
            wire.Query(id="1", site=where, what="ledger"),
            wire.Query(id="2", site=where, what="nothing"),
            wire.Query(id="3", site=where, what="ledger", limit=10_000),
            wire.Query(id="4", site=where, what="sessions", after="²"),
            wire.Query(id="5", site=where, what="health"),
        ]
        for query in asked:
            await cloud.say(sync.Ask(ref=f"r{query.id}", query=query))
        await eventually(lambda: len(cloud.answers) == len(asked), "the answers")
        kinds = {ref: type(message) for ref, message in cloud.answers}
        page, refused = wire.Page, wire.Refusal
        assert kinds == {"r1": page, "r2": refused, "r3": refused, "r4": refused, "r5": page}
        for number in range(ASKS_MAX * 4):
            await cloud.say(sync.Ask(ref=f"f{number}", query=asked[0]))
        await eventually(lambda: len(cloud.answers) == len(asked) + ASKS_MAX * 4, "an answer to each")
        assert uplink(site).connected


async def test_what_ends_a_link_is_named_by_health(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        await connected(site)

        def reason() -> str:
            (room,) = [room for room in site.supervisor.health() if room.name == "uplink"]
            return room.last_error

        cloud.farewell = sync.TunnelBye(code="a_code_of_next_year", message="the contract has ended")
        await cloud.hang_up()
        await eventually(lambda: "the contract has ended" in reason(), "the cloud's own words")
        await cloud.stop()
        await eventually(lambda: "the site goes on without it" in reason(), "no cloud")
        assert "TaskGroup" not in reason()


async def test_more_facts_than_the_live_lane_holds_end_in_a_snapshot_and_no_gap(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        await connected(site)
        await eventually(lambda: bool(cloud.live), "the first snapshot")
        note(site, LIVE_MAX + 500)
        await site.journal.probe()
        await eventually(lambda: live_is_gapless(cloud) == site.journal.last_seq, "the live lane")


async def test_a_box_without_a_cloud_waits_for_its_code(tmp_path: Path) -> None:
    async with place(tmp_path, enrolled=False) as (site, cloud):
        assert cloud.links == 0
        cloud.take_in(site.authority)
        await connected(site)
        assert site.health()["cloud"] == {
            "url": cloud.url,
            "enrolled": True,
            "connected": True,
            "backlog": uplink(site).cursor.backlog,
        }


def test_the_tunnels_address_is_under_the_clouds() -> None:
    assert tunnel_url("http://127.0.0.1:1/") == "ws://127.0.0.1:1/v1/edge"
    assert tunnel_url("https://c.example/base") == "wss://c.example/base/v1/edge"

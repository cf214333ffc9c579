"""A command goes by whichever path works, under one id, and has one effect."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from common import commands, facts, trust, wire
from common.client.client import Client, Via
from common.client.profile import Profile
from common.clock import SystemClock
from common.commands import Name
from common.domain import Path, Target, from_iso
from common.errors import Code, LocalFault, Refused, Unavailable
from tests.client.backend import FakeSite, refuse_with, stay_silent, wrong
from tests.client.world import FAST, World, soon, until, world

CP1 = Target("CP1")


def accept_only(site: FakeSite, command: commands.Command) -> None:
    """In the journal; the charger takes its time."""
    site.tell(command.id, wire.Accepted(id=command.id))


def finish(site: FakeSite, command_id: str) -> None:
    """The charger has answered, and its effect was seen."""
    site.tell(
        command_id,
        wire.Confirmed(id=command_id, answer="accepted"),
        wire.Settled(id=command_id, outcome="succeeded", session="x-1"),
    )


async def both_open(here: World, client: Client) -> None:
    """Until the cloud's link is there beside the LAN's."""
    client._sites["s-home"].want_cloud()
    await until(client, lambda: client._sites["s-home"].cloud.open is not None)
    client._sites["s-home"].wants_cloud = False


#: For what is not about silence: a busy machine takes longer than the 30 ms of the others now and then.
PATIENT = msgspec.structs.replace(FAST, silence_s=5.0)


async def test_a_start_by_the_lan() -> None:
    async with world() as here, here.client(here.device(), pace=PATIENT) as client:
        run = client.command("s-home", Name.START, CP1)
        await run.accepted()
        confirmed = await run.confirmed()
        assert confirmed is not None
        assert confirmed.answer == "accepted"
        assert (await run.settled()).outcome == "succeeded"
        assert run.path is Path.LAN
        assert here.site.deliveries == [("lan", run.id)]
        assert None not in (run.accepted_ms, run.confirmed_ms, run.settled_ms)
        assert sorted(run.timings_ms.values()) == list(run.timings_ms.values())


async def test_the_box_gets_the_devices_own_signature_and_the_grant_it_rests_on() -> None:
    async with world() as here:
        profile = here.device()
        async with here.client(profile) as client:
            run = client.command("s-home", Name.STOP, CP1, {"session": "x-1"})
            await run.settled()
        (sent,) = [asked for asked in here.box.backend.asked if isinstance(asked, wire.SendCommand)]
        payload, signer = trust.envelope.open_envelope(sent.envelope)
        assert signer == profile.key.thumbprint
        assert sent.grant == profile.get("s-home").grant
        command = commands.decode(payload)
        assert (command.id, command.args) == (run.id, {"session": "x-1"})


async def test_a_silent_lan_is_overtaken_by_the_cloud_with_the_same_bytes() -> None:
    async with world() as here, here.client(here.device()) as client:
        here.box.backend.deaf = True
        run = client.command("s-home", Name.START, CP1)
        await run.settled()
        assert run.path is Path.CLOUD
        assert run.sent_by == [Path.LAN, Path.CLOUD]
        by_lan, by_cloud = (
            [asked for asked in server.backend.asked if isinstance(asked, wire.SendCommand)]
            for server in (here.box, here.cloud)
        )
        assert by_lan[0].envelope == by_cloud[0].envelope
        assert len(here.site.effects) == 1


async def test_both_paths_deliver_and_there_is_one_effect() -> None:
    async with world() as here, here.client(here.device()) as client:
        here.site.script = stay_silent  # the box has it and does not say so in time
        run = client.command("s-home", Name.START, CP1)
        await soon(lambda: len(here.site.deliveries) == 2)
        assert here.site.deliveries == [("lan", run.id), ("cloud", run.id)]
        assert len(here.site.effects) == 1
        finish(here.site, run.id)
        assert (await run.settled()).session == "x-1"


async def test_a_path_that_dies_after_accepting_is_replaced_and_the_outcome_learnt() -> None:
    async with world() as here, here.client(here.device()) as client:
        here.site.script = accept_only
        run = client.command("s-home", Name.START, CP1)
        await run.accepted()
        await here.box.stop()
        await soon(lambda: len(here.site.deliveries) == 2)
        finish(here.site, run.id)
        assert (await run.settled()).outcome == "succeeded"
        assert (run.path, len(here.site.effects)) == (Path.LAN, 1)


async def test_a_box_that_restarts_is_asked_again_under_the_same_id() -> None:
    async with world(cloud=False) as here, here.client(here.device()) as client:
        here.site.script = accept_only
        run = client.command("s-home", Name.START, CP1)
        await run.accepted()
        await here.box.stop()
        await here.box.start()
        await soon(lambda: len(here.site.deliveries) == 2)
        finish(here.site, run.id)
        assert (await run.settled()).outcome == "succeeded"
        assert len(here.site.effects) == 1


async def test_the_box_refuses_for_good_and_no_other_path_is_tried() -> None:
    async with world() as here, here.client(here.device(), pace=PATIENT) as client:
        await both_open(here, client)
        here.site.script = refuse_with(Code.CONNECTOR_IN_USE)
        run = client.command("s-home", Name.START, CP1)
        with pytest.raises(Refused) as refused:
            await run.settled()
        assert refused.value.code is Code.CONNECTOR_IN_USE
        assert (run.path, run.sent_by) == (Path.LAN, [Path.LAN])
        assert client.profile.pending(0) == ()


async def test_a_cloud_that_cannot_reach_the_box_says_so_at_once() -> None:
    async with world(box=False) as here:
        here.cloud.backend.online = False
        async with here.client(here.device()) as client:
            run = client.command("s-home", Name.START, CP1)
            with pytest.raises(Unavailable) as refused:
                await run.accepted()
            assert refused.value.code is Code.SITE_OFFLINE
        assert here.site.effects == []


async def test_what_the_cloud_cannot_deliver_goes_by_the_lan() -> None:
    async with world(box=False) as here:
        here.cloud.backend.online = False
        async with here.client(here.device()) as client:
            await here.box.start()
            run = client.command("s-home", Name.START, CP1)
            assert (await run.settled()).outcome == "succeeded"
            assert run.path is Path.LAN


async def test_a_command_waits_for_the_first_path() -> None:
    async with world() as here, here.client(here.device(), ready_s=0) as client:
        assert client.status("s-home").path is None
        run = client.command("s-home", Name.START, CP1)
        await run.settled()


async def test_with_no_path_at_all_a_command_says_so_and_leaves_nothing_behind() -> None:
    async with world(box=False, cloud=False) as here, here.client(here.device()) as client:
        run = client.command("s-home", Name.START, CP1)
        for stage in (run.accepted, run.confirmed, run.settled):
            with pytest.raises(Unavailable) as failed:
                await stage()
            assert failed.value.code is Code.NO_PATH
        assert run.sent_by == []
        assert client.profile.pending(0) == ()


async def test_a_command_is_stored_before_it_leaves_and_forgotten_when_it_has_ended() -> None:
    async with world() as here, here.client(here.device()) as client:
        stored: list[str] = []

        def look(site: FakeSite, command: commands.Command) -> None:
            stored.extend(one.id for one in Profile(client.profile.folder).pending(0))
            accept_only(site, command)

        here.site.script = look
        run = client.command("s-home", Name.START, CP1)
        await run.accepted()
        assert stored == [run.id]
        finish(here.site, run.id)
        await run.settled()
        assert client.profile.pending(0) == ()


async def test_a_program_that_died_learns_the_outcome_under_the_old_id() -> None:
    async with world() as here:
        profile = here.device()
        here.site.script = accept_only
        async with here.client(profile) as client:
            first = client.command("s-home", Name.START, CP1)
            await first.accepted()
        with pytest.raises(Unavailable):
            await first.settled()
        async with here.client(profile) as client:
            (known,) = client.pending("s-home")
            assert (known.id, known.name, known.target) == (first.id, Name.START, CP1)
            again = client.resume(known)
            await again.accepted()
            finish(here.site, first.id)
            assert (await again.settled()).outcome == "succeeded"
            assert client.pending("s-home") == ()
        assert len(here.site.effects) == 1


@pytest.mark.parametrize("via", ["lan", "cloud"])
async def test_a_commands_life_is_counted_in_the_boxs_time(via: Via) -> None:
    async with world() as here:
        # The box's clock is an hour slow, and its word counts, also when the cloud passes it on.
        here.box.lag_ms = here.site.lag_ms = -3_600_000
        profile = here.device()
        early = here.grant(profile.key.thumbprint, now_ms=SystemClock().now_ms() - 7_200_000)
        profile.put(msgspec.structs.replace(profile.get("s-home"), grant=early))
        async with here.client(profile, via) as client:
            await client.command("s-home", Name.START, CP1).settled()
        expires_ms = from_iso(here.site.effects[0].expires_at)
        ttl_ms = commands.CLASSES[Name.START].ttl_ms
        assert 0 < expires_ms - here.box.now_ms() <= ttl_ms


async def test_a_dead_path_does_not_hold_up_the_end_of_the_program() -> None:
    async with world() as here:
        here.site.script = stay_silent
        async with here.client(here.device()) as client:
            run = client.command("s-home", Name.START, CP1)
            await soon(lambda: here.site.deliveries)
        with pytest.raises(Unavailable) as ended:
            await run.settled()
        assert ended.value.code is Code.SHUTTING_DOWN


async def test_a_failed_outcome_is_an_answer_not_an_error() -> None:
    async with world() as here, here.client(here.device()) as client:
        here.site.script = lambda site, command: site.tell(
            command.id,
            wire.Accepted(id=command.id),
            wire.Confirmed(id=command.id, answer="rejected"),
            wire.Settled(id=command.id, outcome="failed", code="charger_rejected"),
        )
        end = await client.command("s-home", Name.START, CP1).settled()
        assert (end.outcome, end.code) == ("failed", "charger_rejected")


async def test_many_commands_at_once_each_get_their_own_stages() -> None:
    async with world() as here, here.client(here.device()) as client:
        runs = [client.command("s-home", Name.START, Target(f"CP{n}")) for n in range(50)]
        await asyncio.gather(*(run.settled() for run in runs))
        assert sorted(command.id for command in here.site.effects) == sorted(run.id for run in runs)


async def test_a_query_is_answered_by_the_path_that_is_left() -> None:
    async with world() as here, here.client(here.device()) as client:
        rows = [{"session": str(n)} for n in range(250)]
        here.box.backend.rows["sessions"] = here.cloud.backend.rows["sessions"] = rows
        assert await client.query("s-home", "sessions") == rows
        await here.box.stop()
        assert await client.query("s-home", "sessions", limit=3) == rows[:3]
        with pytest.raises(Refused):
            await client.query("s-home", "nonsense")
        assert await client.manage("s-home", "echo", {"n": 1}) == {"name": "echo", "n": 1}


async def test_a_site_that_is_not_ours_is_refused_here() -> None:
    async with world() as here, here.client(here.device()) as client:
        with pytest.raises(Refused) as refused:
            client.command("s-other", Name.START, CP1)
        assert refused.value.code is Code.UNKNOWN_SITE


async def test_outside_its_block_a_client_says_how_it_is_used() -> None:
    async with world() as here:
        with pytest.raises(LocalFault):
            here.client(here.device()).view("s-home")


async def test_drivers_on_either_path_see_the_same_facts_in_the_same_order() -> None:
    async with world() as here:
        ann, bob = here.device("ann"), here.device("bob")
        async with here.client(ann, "lan") as at_home, here.client(bob, "cloud") as away:
            seen = {client: client.changes() for client in (at_home, away)}
            here.site.happen(*(facts.ChargerAdopted(charger="CP1", name=str(n)) for n in range(50)))
            told: dict[Client, list[int]] = {client: [] for client in seen}
            for client, changes in seen.items():
                while len(told[client]) < 50:
                    change = await anext(changes)
                    if change.fact is not None:
                        told[client].append(change.fact.seq)
            assert told[at_home] == told[away] == sorted(told[away])


async def test_a_fact_that_cannot_be_read_ends_the_link_not_the_client() -> None:
    async with world(cloud=False) as here, here.client(here.device()) as client:
        (peer,) = here.box.backend.peers
        peer.send(wire.FactMessage(site="s-home", epoch="1-aa", seq=99, record=msgspec.Raw(b'{"uid":1}')))
        await until(client, lambda: Path.LAN in client.status("s-home").failures)
        assert wrong(client.status("s-home").failures[Path.LAN]) is Code.PROTOCOL
        await until(client, lambda: client.status("s-home").path is Path.LAN)

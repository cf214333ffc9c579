"""One link: answers find who asked, ends reach everybody who waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path as FilePath

import pytest

from common import commands, policy, trust, wire
from common.applink import new_session, serve
from common.appsession import Serving
from common.client.connection import Connection
from common.client.local import local
from common.clock import SystemClock, SystemIds
from common.commands import Name
from common.domain import Path, Target, from_iso
from common.errors import Code, LocalFault, PlugsideError, Refused
from common.facts import ChargerAdopted
from common.keystore import generate_identity
from common.link import Link
from common.link.unix import listen_unix
from tests.client.backend import FakeBackend, FakeSite, refuse_with, stay_silent


def access(claims: policy.Claims) -> wire.SiteAccess:
    return wire.SiteAccess(site=claims.site, role=claims.role.value, principal=claims.principal)


@asynccontextmanager
async def daemon(socket: FilePath) -> AsyncIterator[FakeBackend]:
    """A process's local socket, with a backend whose answers the test decides."""
    backend = FakeBackend(FakeSite(), access)
    clock, ids = SystemClock(), SystemIds()

    serving = Serving(
        identity=generate_identity(), verifier=trust.Verifier(trust.TrustSet()), path=Path.LOCAL
    )
    presence = policy.local_presence(backend.site.site)

    async def on_link(link: Link) -> None:
        await serve(link, new_session(serving, link, ids, local=presence), backend, clock=clock)

    listener = await listen_unix(socket, on_link)
    try:
        yield backend
    finally:
        await listener.close()


@asynccontextmanager
async def pair(tmp_path: FilePath) -> AsyncIterator[tuple[FakeBackend, Connection]]:
    async with daemon(tmp_path / "d.sock") as backend, local(tmp_path / "d.sock") as connection:
        yield backend, connection


async def test_nothing_listens(tmp_path: FilePath) -> None:
    with pytest.raises(LocalFault) as failed:
        async with local(tmp_path / "none.sock"):
            pass
    assert failed.value.code is Code.NOT_RUNNING
    assert "run" in failed.value.hint


async def test_a_query_gathers_its_pages_up_to_a_limit(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        backend.rows["sessions"] = list(range(450))
        assert await connection.query("sessions") == list(range(450))
        assert await connection.query("sessions", limit=3) == [0, 1, 2]
        page = await connection.page("sessions", after="440", limit=100)
        assert (page.rows, page.next) == (tuple(range(440, 450)), "")


async def test_requests_at_once_get_their_own_answers(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        backend.rows["health"] = [{"ok": True}]
        asked = [connection.manage("echo", {"n": n}) for n in range(20)]
        answers = await asyncio.gather(*asked, connection.query("health"))
        assert answers[:-1] == [{"name": "echo", "n": n} for n in range(20)]
        assert answers[-1] == [{"ok": True}]


async def test_a_refused_request_raises_the_servers_own_words(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (_, connection):
        with pytest.raises(Refused, match="no query 'nonsense'") as refused:
            await connection.query("nonsense")
        assert refused.value.code is Code.BAD_REQUEST
        assert (await connection.manage("next"))["name"] == "next"  # and the link lives


async def test_the_stages_of_a_local_command(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        stages = connection.command(Name.ADOPT, Target("CP1"), {"name": "Bay 12"})
        await stages.accepted()
        confirmed = await stages.confirmed()
        assert confirmed is not None
        assert confirmed.answer == "accepted"
        assert (await stages.settled()).outcome == "succeeded"
        (taken,) = backend.site.effects
        assert (taken.name, taken.target, taken.args) == (Name.ADOPT, Target("CP1"), {"name": "Bay 12"})
        assert list(stages.timings_ms) == ["accepted", "confirmed", "settled"]


async def test_a_command_settled_without_a_charger_has_no_confirmation(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        backend.site.script = lambda site, command: site.tell(
            command.id, wire.Settled(id=command.id, outcome="succeeded")
        )
        stages = connection.command(Name.ADOPT, Target("CP1"))
        await stages.accepted()
        assert await stages.confirmed() is None


async def test_a_refused_command_raises_at_every_stage(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        backend.site.script = refuse_with(Code.UNKNOWN_CHARGER)
        stages = connection.command(Name.RESET, Target("CP9"))
        for stage in (stages.accepted, stages.confirmed, stages.settled):
            with pytest.raises(Refused) as refused:
                await stage()
            assert refused.value.code is Code.UNKNOWN_CHARGER


async def test_when_the_link_ends_everybody_who_waits_hears_why(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        backend.site.script = stay_silent
        stages = connection.command(Name.RESET, Target("CP1"))
        waiting = asyncio.gather(connection.manage("hang"), stages.settled(), return_exceptions=True)
        await connection.manage("echo")  # both are under way
        backend.cut_all(Code.SHUTTING_DOWN)
        failures = await waiting
        assert [failed.code for failed in failures if isinstance(failed, PlugsideError)] == [
            Code.SHUTTING_DOWN,
            Code.SHUTTING_DOWN,
        ]
        assert (await connection.closed()).code is Code.SHUTTING_DOWN
        with pytest.raises(PlugsideError):
            await connection.manage("echo")


async def test_an_error_of_the_block_comes_out_as_it_is(tmp_path: FilePath) -> None:
    with pytest.raises(KeyError):
        async with pair(tmp_path):
            raise KeyError("mine")


async def test_following_yields_a_snapshot_then_facts_and_ends_with_the_reason(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        backend.site.happen(ChargerAdopted(charger="CP1"))
        pushes = connection.follow()
        first = await anext(pushes)
        assert isinstance(first, wire.Snapshot)
        assert list(first.view.chargers) == ["CP1"]
        backend.site.happen(ChargerAdopted(charger="CP2"), ChargerAdopted(charger="CP3"))
        seqs = [
            push.seq
            for push in (await anext(pushes), await anext(pushes))
            if isinstance(push, wire.FactMessage)
        ]
        assert seqs == [2, 3]
        backend.cut_all(Code.SHUTTING_DOWN)
        with pytest.raises(PlugsideError) as ended:
            await anext(pushes)
        assert ended.value.code is Code.SHUTTING_DOWN


async def test_a_ping_is_answered(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (_, connection):
        await connection.ping(5.0)


async def test_a_commands_life_follows_the_servers_clock(tmp_path: FilePath) -> None:
    async with pair(tmp_path) as (backend, connection):
        stages = connection.command(Name.START, Target("CP1"))
        await stages.settled()

        ttl_ms = commands.CLASSES[Name.START].ttl_ms
        left_ms = from_iso(backend.site.effects[0].expires_at) - connection.server_time_ms()
        assert 0 < left_ms <= ttl_ms

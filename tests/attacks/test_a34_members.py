"""Group 34: a member of a site, with a good grant, who asks without end: nobody else waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from cloud.service import Cloud
from common import wire
from common.budget import Bucket
from common.client.connection import Connection
from common.client.local import local
from common.commands import Name
from common.domain import Role
from common.errors import Code, PlugsideError
from common.policy import Claims
from tests.box.phones import Phone, place
from tests.cloud.parts import CLOCK, SOON_S, Device, FakeBox, Steps, join, running, send, until

LINKS = 3
#: On each link more than all places that there are, at the box and at the cloud.
QUESTIONS = 256


class Slow:
    """A question whose answer takes as long as the test wants."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()

    async def answer(self, query: wire.Query, _claims: Claims) -> wire.Page:
        self.asked += 1
        await self.go.wait()
        return wire.Page(id=query.id, rows=())


async def _ends(asked: Awaitable[object]) -> str:
    """How a question of the flood ended."""
    try:
        await asked
    except PlugsideError as declined:
        return declined.code
    return "answered"


@asynccontextmanager
async def flooded(links: list[Connection], slow: Slow, site: str) -> AsyncIterator[list[asyncio.Task[str]]]:
    """All of these links ask for as much as a client can, until the block ends."""
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(_ends(link.query("slow", site=site)))
            for _ in range(QUESTIONS)
            for link in links
        ]
        # Once something is refused, everything that could be taken was.
        await until(lambda: any(one.done() for one in asked))
        try:
            yield asked
        finally:
            slow.go.set()


async def test_a34_at_the_box_a_flood_of_questions_holds_up_nobody_else(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _), AsyncExitStack() as stack:
        slow = Slow()
        site.queries.offer({"slow": slow.answer})
        flooder, honest = await Phone(site).join(), await Phone(site).join(Role.OPERATOR)
        links = [await stack.enter_async_context(flooder.link()) for _ in range(LINKS)]
        async with (
            honest.link() as link,
            local(tmp_path / "edge.sock") as installer,
            flooded(links, slow, site.authority.site) as asked,
        ):
            assert 0 < slow.asked < 16, "a key has a few at a time, however many links it opens"
            for _ in range(20):
                (health,) = await link.query("health")
                assert health["site"] == site.authority.site
            (health,) = await installer.query("health")
            assert health["site"] == site.authority.site
            assert {one.result() for one in asked if one.done()} == {Code.BUSY}
        ends = [one.result() for one in asked]
        assert ends.count("answered") == slow.asked > 16, "what had been taken was answered, in turn"
        assert await links[0].query("allowance"), "and whoever flooded is no less welcome than before"


@asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[tuple[Cloud, FakeBox]]:
    async with running(folder) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        async with box.connected():
            yield cloud, box


async def test_a34_at_the_cloud_a_flood_of_questions_holds_up_nobody_else(tmp_path: Path) -> None:
    async with a_site(tmp_path) as (cloud, box), AsyncExitStack() as stack:
        slow = Slow()
        cloud.queries.offer({"slow": slow.answer})
        flooder, honest = await join(cloud, "Home"), await join(cloud, "Home")
        links = [await stack.enter_async_context(flooder.link()) for _ in range(LINKS)]
        async with (
            honest.link() as link,
            local(cloud._settings.socket_path) as operator,
            flooded(links, slow, box.site) as asked,
        ):
            assert 0 < slow.asked < 16
            for _ in range(20):
                assert await link.query("sessions") == []
            assert await operator.query("sites")
            started = await send(link, honest.command(box.site))
            assert isinstance(started[-1], wire.Settled)
            stopped = await send(links[0], flooder.command(box.site, Name.STOP, args={"session": "s1"}))
            assert isinstance(stopped[-1], wire.Settled), "a stop does not wait behind its own sender's flood"
            assert {one.result() for one in asked if one.done()} == {Code.BUSY}
        assert [one.result() for one in asked].count("answered") == slow.asked > 16


def _used_up(budget: Bucket) -> None:
    """As after a flood of minutes, all but a little."""
    while budget.level(CLOCK.mono_ms() / 1000) > 3:
        budget.take(CLOCK.mono_ms() / 1000)


async def _declined(link: Connection, made: Callable[[], wire.SendCommand]) -> tuple[wire.SendCommand, Steps]:
    """The first command of a flood that is declined, and what was said."""
    for _ in range(100):
        flood = [(made(), Steps()) for _ in range(60)]
        for message, steps in flood:
            link.send_command(message, steps.tell, steps.lost)
        async with asyncio.timeout(SOON_S):
            for _, steps in flood:
                await steps.over.wait()
        for message, steps in flood:
            if isinstance(steps.told[-1], wire.Refusal):
                return message, steps
    raise AssertionError("the cloud carried a flood of commands")


async def test_a34_a_flood_of_commands_is_declined_and_none_of_them_is_kept(tmp_path: Path) -> None:
    async with a_site(tmp_path) as (cloud, box):
        flooder, honest = await join(cloud, "Home"), await join(cloud, "Home")
        _used_up(cloud.apps._commands.of(flooder.key.thumbprint))
        async with flooder.link() as link, honest.link() as other:
            message, steps = await _declined(link, lambda: flooder.command(box.site))
            (refusal,) = steps.told
            assert refusal.code == Code.BUSY
            assert "Try again in" in refusal.hint
            assert message.id not in {one.command.id for one in box.relayed}
            assert cloud._store is not None
            assert await cloud._store.command(box.site, message.id) is None
            for device, way, name in ((flooder, link, Name.STOP), (honest, other, Name.START)):
                args = {"session": "s1"} if name is Name.STOP else None
                told = await send(way, device.command(box.site, name, args=args))
                assert isinstance(told[-1], wire.Settled), name
            again: list[object] = []

            async def carried() -> bool:
                again[:] = await send(link, message)
                return isinstance(again[-1], wire.Settled)

            await until(carried)  # the very same command, once there is room: declined is not done
            assert message.id in {one.command.id for one in box.relayed}


async def test_a34_a_token_reads_no_more_than_an_app(tmp_path: Path) -> None:
    async with a_site(tmp_path) as (cloud, box):
        flooder, honest = await join(cloud, "Home"), await join(cloud, "Home", Role.OPERATOR)
        tokens = [await _token(cloud, box.site, device) for device in (flooder, honest)]
        url = f"{cloud.url}/v1/sites/{box.site}/sessions"
        principal = cloud.accounts.verifier.claims(flooder.grants[0], CLOCK.now_ms()).principal
        async with httpx.AsyncClient(timeout=SOON_S) as client:

            async def read(token: str) -> httpx.Response:
                return await client.get(url, headers={"authorization": f"Bearer {token}"})

            assert (await read(tokens[0])).status_code == 200
            budget = cloud.reads.of(f"{box.site} {principal}")
            # Later than any answer comes: the bucket has been emptied for some time to come.
            budget.level(CLOCK.mono_ms() / 1000 + 3600)
            while budget.take(CLOCK.mono_ms() / 1000):
                pass
            busy = await read(tokens[0])
            assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (503, "busy", "1")
            assert (await read(tokens[1])).status_code == 200


async def _token(cloud: Cloud, site: str, device: Device) -> str:
    claims = cloud.accounts.verifier.claims(device.grants[0], CLOCK.now_ms(), site)
    return (await cloud.accounts.issue_token(claims)).token

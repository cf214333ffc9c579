"""Every fault on every line, in mid-session: nothing lost, nothing doubled, and each command's end is true.

Chargers are `ocpp-rpc` with less patience than a bad line needs, so they say things again; box and cloud are
the real processes. Each line has a bay whose driver stops one charge and starts the next while it is bad.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from common import wire
from common.client.local import local
from common.commands import Name
from common.domain import Path
from tests.e2e.cable import Cable
from tests.e2e.chargers import PATIENCE_S, NpmCharger, rpc
from tests.e2e.phone import Phone, Sealed, Talk
from tests.e2e.place import Place
from tests.faults.lines import FAULTS, Fault, through_a_cable
from tests.needs import needs

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs("ocpp-rpc")]

#: How long a line is bad, in s: longer than the charger waits for an answer, so that it says things again.
BAD_S = 0.8
PATIENCE_MS = 350


class Bay:
    """One charger, its driver, and the line that goes bad: of the charger, of the phone, or of the box."""

    def __init__(self, here: Place, line: str, cable: Cable, charger: NpmCharger, phone: Phone) -> None:
        self.line, self.cable, self.charger = line, cable, charger
        self._here, self._phone = here, phone
        self.begun = 0  #: charges so far

    async def lives(self, fault: Fault) -> None:
        """A charge that is stopped while the line is bad, and one that is started so."""
        async with self._link() as talk:
            await self._plugged()
            session = await self._started(talk)
            await self._metered()
            stop = await self._while_bad(fault, talk, Name.STOP, session)
            ended = await self._end(talk, stop)
            assert (ended.outcome, ended.session) == ("succeeded", session)
            await self.charger.heard("stopped", self.begun)
            await self.charger.tell("unplug")
        async with self._link() as talk:
            await self._plugged()
            heard = self._asked_to_start()
            start = await self._while_bad(fault, talk, Name.START)
            if self.line == "charger-box" and fault.loses_calls and await self._was_lost(talk, start, heard):
                await self._started(talk)  # the driver sees nothing, and presses again
                await self._is_not_said_to_have_been(start)
            else:
                assert (await self._end(talk, start)).outcome == "succeeded"
                self.begun += 1
            assert self._asked_to_start() == heard + 1, "a start is never sent twice"
            await self._metered()
            await self.charger.tell("unplug")
            await self.charger.heard("stopped", self.begun)
        if self.line != "phone-box":  # (a phone may have several links; one that is silent ends by its pings)
            async with asyncio.timeout(PATIENCE_S):
                await self.cable.noticed()
        await self._agrees()

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Talk]:
        by_cloud = self.line == "box-cloud"
        lan = f"127.0.0.1:{self.cable.here}" if self.line == "phone-box" else ""
        async with self._phone.link(Path.CLOUD if by_cloud else Path.LAN, lan=lan) as talk:
            yield talk

    async def _plugged(self) -> None:
        """A car comes, and the box has heard of it and of all before."""
        before = len(self.charger.of("delivered", method="StatusNotification"))
        await self.charger.tell("plug")
        await self.charger.heard("delivered", before + 1, method="StatusNotification")

    async def _metered(self) -> None:
        await self.charger.heard("started", self.begun)
        before = len(self.charger.of("delivered", method="MeterValues"))
        await self.charger.heard("delivered", before + 2, method="MeterValues")

    async def _while_bad(self, fault: Fault, talk: Talk, name: Name, session: str = "") -> Sealed:
        """Say this while the line is bad, and hear nothing of it before it is good again."""
        heard = self._asked_to_start()
        fault.begins(self.cable)
        sealed = self._sealed(name, session)
        with contextlib.suppress(ConnectionError):  # a phone that knows says it again when it can
            await talk.send(sealed)
        await asyncio.sleep(BAD_S)
        if name is Name.START and self.line == "charger-box" and not (fault.resumes or fault.loses_calls):
            # It has come through by now, unless the box's disk is slow: then it would not be sent at all.
            await self.charger.heard("asked", heard + 1, method="RemoteStartTransaction")
        fault.ends(self.cable)
        return sealed

    def _sealed(self, name: Name, session: str = "") -> Sealed:
        named = {"session": session} if session else {}
        return self._phone.seal(name, self.charger.identity, **named)

    async def _end(self, talk: Talk, sealed: Sealed) -> wire.Settled:
        """What came of a command, said once more, in the same bytes, over a line that is good."""
        async with self._phone.link(Path.LAN) as good:
            await good.send(sealed)
            end = await good.ended(sealed.command.id)
        assert isinstance(end, wire.Settled), end
        heard = [told for told in talk.answers(sealed.command.id) if isinstance(told, wire.Settled)]
        assert heard in ([], [end]), "one command has one end, wherever it is told"
        return end

    async def _started(self, talk: Talk) -> str:
        start = self._sealed(Name.START)
        end = await self._end(talk, start)
        assert end.outcome == "succeeded", end
        self.begun += 1
        return end.session

    async def _was_lost(self, talk: Talk, start: Sealed, heard: int) -> bool:
        """Whether the start went down a connection that the charger had left."""
        await talk.until(lambda: bool(talk.answers(start.command.id)), "the start to be accepted")
        for _ in range(2):  # by then whatever else has come
            await self._plugged()
        return self._asked_to_start() == heard

    async def _is_not_said_to_have_been(self, start: Sealed) -> None:
        async with self._phone.link(Path.LAN) as good:
            await good.send(start)
            await good.until(lambda: bool(good.answers(start.command.id)), "what is known of it")
            told = good.answers(start.command.id)
        assert not [one for one in told if isinstance(one, wire.Settled) and one.outcome == "succeeded"]

    def _asked_to_start(self) -> int:
        return len(self.charger.of("asked", method="RemoteStartTransaction"))

    async def _agrees(self) -> None:
        """Charger, box and cloud have the same sessions, Wh by Wh; nothing of ours offended the charger."""
        here, name = self._here, self.charger.identity
        counted = [(str(e["transaction"]), e["start_wh"], e["stop_wh"]) for e in self.charger.of("stopped")]

        async def arrived() -> bool:
            rows = await here.in_cloud(name)
            return len(rows) >= len(counted) and all(row["ended_at"] for row in rows)

        await here.until(arrived, "its sessions in the cloud", patience_s=60)
        for ledger in (here.sessions, here.in_cloud):
            assert [_account(row) for row in await ledger(name)] == [
                (*one, one[2] - one[1], "ended") for one in counted
            ]
        for bad in ("violation", "refused", "said"):
            assert not self.charger.of(bad), self.charger.of(bad)[:3]


def _account(row: dict[str, Any]) -> tuple[object, ...]:
    names = ("transaction", "meter_start_wh", "meter_stop_wh", "energy_wh", "state")
    return tuple(row[name] for name in names)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Place, list[Bay]]]:
    """Box, cloud, and a bay for each line. Whatever is on another line is dialled without a cable."""
    async with AsyncExitStack() as parts:
        here, tunnel = await parts.enter_async_context(through_a_cable(tmp_path_factory.mktemp("l")))
        cables = {
            "charger-box": await parts.enter_async_context(Cable(here.ocpp_port)),
            "box-cloud": tunnel,
            "phone-box": await parts.enter_async_context(Cable(here.lan_port)),
        }
        bays = []
        for number, (line, cable) in enumerate(cables.items(), 1):
            name = f"LINE{number}"
            await here.adopt(name)
            phone = await here.phone(name, by_cloud=True)
            phone.cloud = here.stage.cloud_url
            url = f"ws://127.0.0.1:{cable.here}" if line == "charger-box" else here.url
            charger = await parts.enter_async_context(rpc(url, name, patience_ms=PATIENCE_MS))
            await charger.heard("booted")
            bays.append(Bay(here, line, cable, charger, phone))
        yield here, bays


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_charges_over_lines_that_go_bad(site: tuple[Place, list[Bay]], fault: Fault) -> None:
    here, bays = site
    lives = [asyncio.get_running_loop().create_task(bay.lives(fault), name=bay.line) for bay in bays]
    await asyncio.wait(lives)
    for life in lives:  # each told by its line
        if (failed := life.exception()) is not None:
            failed.add_note(f"on the line {life.get_name()}, while {fault.name}")
            raise failed
    async with local(here.cloud.control) as link:
        report = await link.manage("reconcile", {"site": "Home"})
    assert (report["lost"], report["doubled"], report["differing"]) == (0, 0, 0), report
    assert report["chain_intact"]

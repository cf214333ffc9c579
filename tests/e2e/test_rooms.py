"""Failures stay in their room: each part of a running box is killed in turn, and the others do not notice.

The real `Site`, in this process, on real sockets. A part is killed by cancelling what it waits for, which is
what a bug in it looks like to the supervisor; a charger's link by breaking its connection off.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path as Folder
from typing import Any

import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from common import wire
from common.client.local import local
from common.domain import Path, Role
from common.errors import Code, PlugsideError
from edge.demo.stage import free_port, until
from edge.discovery import SERVICE
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import living
from tests.e2e import chargers
from tests.e2e.cable import Cable
from tests.e2e.chargers import PATIENCE_S, WireCharger
from tests.e2e.phone import Phone, Talk

HOUR_MS = 3_600_000
#: Meter values that fill a follower's queue (512 frames), and before it the kernel's 3 MB for a connection on
#: loopback: so many messages of so many samples. A charger may have this many calls on their way.
MESSAGES, SAMPLES, AT_ONCE = 1200, 100, 30


class Running:
    """A box that runs in this process."""

    def __init__(self, site: Site, socket: Folder) -> None:
        self.site = site
        self.socket = socket
        self.url = site.ocpp_url.rstrip("/")

    async def phone(self) -> Phone:
        """An operator, invited at the box."""
        invite, _ = self.site.authority.invite(Role.OPERATOR, None, HOUR_MS)
        return await Phone("operator").join(invite)

    def room(self, name: str) -> dict[str, Any]:
        """What health says of one part."""
        return next(room for room in self.site.health()["rooms"] if room["name"] == name)

    def kill(self, part: str) -> None:
        """Make this part fail where it waits."""
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == part]
        task.cancel()
        task.uncancel()  # nobody asked for its end: to the supervisor it has failed

    async def until_back(self, part: str) -> None:
        async def back() -> bool:
            room = self.room(part)
            return room["restarts"] >= 1 and room["state"] == "running"

        await until(back, PATIENCE_S, f"{part} to run again")

    async def serves_again(self, part: str) -> None:
        """Wait until the part does what it is for: it runs a moment before it listens."""

        async def serves() -> bool:
            try:
                await ROOMS[part](self)
            except (OSError, PlugsideError):
                return False
            return True

        await until(serves, PATIENCE_S, f"{part} to serve again")


@asynccontextmanager
async def running(folder: Folder) -> AsyncIterator[Running]:
    settings = {
        "ocpp": f"127.0.0.1:{free_port()}",
        "lan": f"127.0.0.1:{free_port()}",
        "interfaces": "127.0.0.1",
        "cloud": f"http://127.0.0.1:{free_port()}",  # nobody listens there: the uplink waits to be paired
        "data": folder,
        "adopt": "any",
    }
    site = Site(EdgeSettings.load(settings))
    async with living(site):
        yield Running(site, folder / "edge.sock")


async def beats(charger: WireCharger) -> bool:
    return "currentTime" in await charger.call("Heartbeat")


async def serves_chargers(box: Running) -> None:
    async with chargers.wire(box.url, "NEW") as charger:
        assert await beats(charger)


async def serves_apps(box: Running) -> None:
    phone = await box.phone()
    async with phone.link(Path.LAN) as talk:
        assert await talk.follow()


async def serves_commands(box: Running) -> None:
    async with local(box.socket) as link:
        assert await link.query("health")


async def is_found(box: Running) -> None:
    """The box answers an mDNS question on loopback."""
    name = f"plugside-{box.site.authority.edge_id[:8]}.{SERVICE}"
    async with AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only) as seeker:
        info = AsyncServiceInfo(SERVICE, name)
        assert await info.async_request(seeker.zeroconf, PATIENCE_S * 1000)
    assert info.properties[b"id"] == box.site.authority.edge_id.encode()


async def dials_the_cloud(box: Running) -> None:
    assert box.site.health()["cloud"]["connected"] is False


ROOMS = {
    "charger listener": serves_chargers,
    "LAN listener": serves_apps,
    "local socket": serves_commands,
    "discovery": is_found,
    "uplink": dials_the_cloud,
}


@pytest.mark.parametrize("part", ROOMS)
async def test_a_part_that_dies_comes_back_named_by_health_and_alone(tmp_path: Folder, part: str) -> None:
    async with running(tmp_path) as box:
        phone = await box.phone()
        async with chargers.wire(box.url, "CP1") as charger, phone.link(Path.LAN) as talk:
            await charger.boot()
            await talk.follow()
            box.kill(part)
            for other, serves in ROOMS.items():
                if other != part:
                    await serves(box)
            await box.until_back(part)
            assert box.room(part)["last_error"]
            assert [r["name"] for r in box.site.health()["rooms"] if r["restarts"]] == [part]
            await box.serves_again(part)
            if part != "charger listener":
                await charger.status("Charging")
            if part != "LAN listener":
                await talk.query("health")  # the link was never touched


async def test_a_charger_that_breaks_off_is_missed_and_the_others_go_on(tmp_path: Folder) -> None:
    async with running(tmp_path) as box, Cable(box.site.listener.port) as cable:
        phone = await box.phone()
        async with chargers.wire(box.url, "CP2") as other, phone.link(Path.LAN) as talk:
            await other.boot()
            async with chargers.wire(f"ws://127.0.0.1:{cable.here}", "CP1") as charger:
                await charger.boot()
                await talk.follow()
                cable.cut()
                await talk.until(lambda: "charger_lost" in kinds(talk), "the news that CP1 is gone")
                assert await beats(other)
            about = {row["id"]: row for row in await talk.query("chargers")}
            assert not about["CP1"].get("online")
            assert about["CP2"]["online"]
            assert about["CP1"]["lost_reason"]
            cable.mend()
            async with chargers.wire(f"ws://127.0.0.1:{cable.here}", "CP1") as charger:
                assert await beats(charger)
            assert not [room for room in box.site.health()["rooms"] if room["restarts"]]


def kinds(talk: Talk) -> list[str]:
    """The kinds of the facts that a follower got."""
    return [str(json.loads(bytes(fact.record))["kind"]) for fact in talk.of(wire.FactMessage)]


async def test_a_follower_that_reads_too_slowly_is_cut_alone(tmp_path: Folder) -> None:
    async with running(tmp_path) as box, Cable(lan_port(box)) as cable:
        lazy, keen = await box.phone(), await box.phone()
        async with (
            chargers.wire(box.url, "CP1") as charger,
            keen.link(Path.LAN) as quick,
            lazy.link(Path.LAN, lan=f"127.0.0.1:{cable.here}") as slow,
        ):
            await charger.boot()
            began = await quick.follow()
            await slow.follow()
            cable.block(there=False)
            slow.stop_reading()
            for _ in range(MESSAGES // AT_ONCE):
                await asyncio.gather(*(charger.call("MeterValues", samples()) for _ in range(AT_ONCE)))
                if await _links(box, 1):
                    break
            await until(lambda: _links(box, 1), PATIENCE_S, "the slow follower to be cut")
            final = box.site.journal.committed_seq
            await quick.until(lambda: quick.of(wire.FactMessage)[-1].seq >= final, "the last fact")
            told = [fact.seq for fact in quick.of(wire.FactMessage) if fact.seq <= final]
            assert told == [*range(began.seq + 1, final + 1)]
            cable.unblock()
            slow.read_on()
        async with lazy.link(Path.LAN) as again:
            assert (await again.follow()).seq >= final


#: Its own: so many times in a moment run ahead of the clock, and other tests' chargers are not to.
STAMP = chargers.Stamps()


def samples() -> dict[str, Any]:
    """Meter values of a connector on which no charge runs."""
    values = [{"timestamp": STAMP(), "sampledValue": [{"value": str(number)}]} for number in range(SAMPLES)]
    return {"connectorId": 1, "meterValue": values}


async def _links(box: Running, number: int) -> bool:
    return bool(box.site.health()["links"] == number)


def lan_port(box: Running) -> int:
    """The port that apps dial."""
    return int(box.site.lan_addresses.rpartition(":")[2])


async def test_a_second_box_on_the_same_folder_is_refused(tmp_path: Folder) -> None:
    async with running(tmp_path) as box:
        with pytest.raises(PlugsideError) as refused:
            Site(EdgeSettings.load({"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": tmp_path}))
        assert refused.value.code is Code.FOLDER_IN_USE
        await serves_chargers(box)

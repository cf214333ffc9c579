"""Caps where box and cloud meet: what cards are good for is told to the box, and counts outlive the box."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cloud.service import Cloud
from common import sync
from common.caps import Caps, Used
from common.client.local import local
from common.domain import ConnectorState, iso
from common.facts import ChargerAdopted
from edge.core import allowance, inputs
from edge.core.inputs import Stamp
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import begin, eventually, status
from tests.cloud.parts import FakeBox, join, running, until

SESSION_WH = 4000


@asynccontextmanager
async def real_box(folder: Path, cloud: Cloud, *, replaces: bool = False) -> AsyncIterator[Site]:
    """A real box whose tunnel to the cloud stands, taken in as the site Home."""
    given = {"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": folder, "cloud": cloud.url}
    site = Site(EdgeSettings.load(given))
    stop = asyncio.Event()
    try:
        await site.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(site.run(stop))
            try:
                code = site.authority.pair().to_text()
                async with local(cloud._settings.socket_path) as operator:
                    await operator.manage("site_add", {"name": "Home", "code": code, "replace": replaces})
                await eventually(lambda: site.tunnel_stands, "the tunnel")
                yield site
            finally:
                stop.set()
    finally:
        await site.close()


async def charge(site: Site, principal: str) -> None:
    """One whole charge by card, acknowledged by the cloud."""
    site.gateway.note(ChargerAdopted(charger="CP1"))
    site.gateway.submit(inputs.StationConnected(charger="CP1", protocol="ocpp1.6"))
    async with local(site._settings.socket_path) as installer:
        await installer.manage("tag_assign", {"tag": "C0FFEE", "principal": principal, "chargers": None})
    site.gateway.submit(status(ConnectorState.PREPARING))
    at_ms = site.clock.now_ms()
    site.gateway.submit(begin(site.authority.document.tag_ref("C0FFEE"), at_ms, meter_start_wh=0.0))
    sessions = site.gateway.state.look("CP1").sessions
    await eventually(lambda: bool(site.gateway.state.look("CP1").sessions), "the session")
    (session,) = sessions.values() if sessions else site.gateway.state.look("CP1").sessions.values()
    ended = inputs.TransactionEnded(
        charger="CP1",
        transaction=session.transaction,
        meter_stop_wh=float(SESSION_WH),
        ended=Stamp(iso(at_ms + 1000), at_ms + 1000),
    )
    site.gateway.submit(ended)
    uplink = site.uplink
    assert uplink is not None
    await eventually(lambda: session.ended and uplink.cursor.backlog == 0, "the cloud's word for it")


async def test_what_was_counted_and_agreed_is_known_to_the_next_box(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        async with real_box(tmp_path / "old", cloud) as old:
            driver = await join(cloud, "Home", caps={"sessions": 1, "energy_wh": 50_000})
            assert driver.granted is not None
            who = driver.granted.site.principal
            # Their phone has never been at the box: the cloud tells what their card is good for.
            await eventually(lambda: who in old.gateway.state.caps, "the caps")
            await charge(old, who)
            assert allowance.used(old.gateway.state, who, 0) == Used(energy_wh=SESSION_WH, sessions=1)
        async with real_box(tmp_path / "new", cloud, replaces=True) as new:
            assert new.authority.site == old.authority.site
            state = new.gateway.state
            assert allowance.used(state, who, 0) == Used(energy_wh=SESSION_WH, sessions=1)
            await eventually(lambda: who in state.caps, "the caps")
            caps = state.caps[who].caps
            assert caps is not None
            assert (caps.sessions, caps.energy_wh) == (1, 50_000)
            async with local(new._settings.socket_path) as installer:
                rows = await installer.query("audit", {"kinds": ["allowance_carried"]})
                args = {"principal": who, "caps": {"sessions": 1}}
                (left,) = await installer.query("allowance", args)
            assert len(rows) == 1, "told once"
            assert (left["sessions"], left["energy_wh"]) == (1, SESSION_WH)
            # The card is judged by it before anybody has shown a phone.
            async with local(new._settings.socket_path) as installer:
                await installer.manage("tag_assign", {"tag": "C0FFEE", "principal": who, "chargers": None})
            new.gateway.submit(inputs.StationConnected(charger="CP1", protocol="ocpp1.6"))
            new.gateway.submit(status(ConnectorState.PREPARING))
            new.gateway.submit(begin(new.authority.document.tag_ref("C0FFEE"), new.clock.now_ms()))
            await eventually(lambda: bool(state.look("CP1").sessions), "the start")
            (session,) = state.look("CP1").sessions.values()
            assert session.authorization == "blocked"


async def test_rights_of_those_with_caps_come_behind_the_welcome_and_when_they_are_new(
    cloud: Cloud, box: FakeBox
) -> None:
    told: list[str] = []

    def come() -> bool:
        told[:] = [text for m in box.said if isinstance(m, sync.Statements) for text in m.rights]
        return bool(told)

    async with box.connected():
        plain = await join(cloud, "Home")
        driver = await join(cloud, "Home", caps={"sessions": 3})
        await until(come)
    (right,) = told
    claims = cloud.accounts.verifier.renewable(right, box.site)
    assert claims.key == driver.key.thumbprint != plain.key.thumbprint
    assert claims.caps == Caps(sessions=3, offset_min=claims.caps.offset_min if claims.caps else 0)
    box.said.clear()
    async with box.connected():
        await until(come)
    (again,) = told
    assert cloud.accounts.verifier.renewable(again, box.site).key == driver.key.thumbprint

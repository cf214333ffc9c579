"""What is attacked: a whole box in this process, a phone that joined it honestly, a charger of raw wire."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from common import facts
from common.budget import Rate
from common.commands import Name
from common.domain import Path as Way
from common.domain import Role
from common.errors import Unavailable
from common.threshold import Threshold
from edge.journal.journal import Journal
from edge.settings import EdgeSettings
from edge.site import Site
from tests.browsers.pages import APP
from tests.e2e import chargers
from tests.e2e.chargers import WireCharger
from tests.e2e.phone import Phone, Talk
from tests.journal.support import table

HOUR_MS = 3_600_000


class Stand:
    """A running site and those who belong there."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder

    @property
    def port(self) -> int:
        """Of the LAN: TCP for native clients, UDP for pages."""
        return self.site.lan.port

    @property
    def url(self) -> str:
        """Where chargers dial; the identity comes behind a slash."""
        return self.site.ocpp_url.rstrip("/")

    @property
    def link_url(self) -> str:
        """The app link, as a page opens it."""
        return f"https://127.0.0.1:{self.port}/v1/link"

    def invite(self, role: Role = Role.DRIVER, *chargers: str) -> str:
        """An invite made at the box."""
        return self.site.authority.invite(role, chargers or None, HOUR_MS)[0]

    async def phone(self, *chargers: str, role: Role = Role.DRIVER) -> Phone:
        """A device that joined by an invite."""
        return await Phone("honest").join(self.invite(role, *chargers))

    @asynccontextmanager
    async def charger(self, name: str = "CP1") -> AsyncIterator[WireCharger]:
        """A charger that is there, booted, with a car plugged in."""
        async with chargers.wire(self.url, name) as charger:
            await charger.boot()
            yield charger

    async def written(self, kind: str = "") -> list[facts.Fact]:
        """The facts in the journal, of one kind or all."""
        await self.site.journal.probe()
        rows = table(
            self.site.journal.path, "SELECT seq, record FROM fact WHERE record NOT NULL ORDER BY seq"
        )
        epoch = self.site.journal.epoch
        read = [facts.read(epoch, int(str(seq)), _bytes(record)) for seq, record in rows]
        return [fact for fact in read if kind in ("", fact.kind)]

    async def commands(self) -> int:
        """How many commands were ever taken on: zero is what most attackers get."""
        return len(await self.written("command_accepted"))

    async def works_for(self, phone: Phone) -> None:
        """The honest side is served still: a link opens and shows the site."""
        async with phone.link(Way.LAN) as talk:
            await talk.follow()


def _bytes(record: object) -> bytes:
    assert isinstance(record, bytes)
    return record


@asynccontextmanager
async def stand(
    folder: Path, *, paced: bool = False, open_journal: Callable[..., Journal] = Journal.open, **settings: Any
) -> AsyncIterator[Stand]:
    """A box that takes every charger, and pages from https://app.example.

    paced: with the limits that it has in the field. Else all attempts of a group are looked at for what they
    are, although they come from one address within a second.
    """
    given: dict[str, Any] = {
        "ocpp": "127.0.0.1:0",
        "lan": "127.0.0.1:0",
        "data": folder / "box",
        "adopt": "any",
        "app_origins": APP,
    }
    site = Site(EdgeSettings.load(given | settings), open_journal=open_journal)
    if not paced:
        plenty = Rate(10_000, 10_000)
        site.lan.threshold = Threshold(site.clock, everyone=plenty, each=plenty, failures_free=10**6)
    stop = asyncio.Event()
    try:
        await site.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_run(site, stop))
            while site.lan._browsers is None:  # noqa: ASYNC110 - the room that opens it makes no event
                await asyncio.sleep(0.005)
            try:
                yield Stand(site, folder)
            finally:
                stop.set()
    finally:
        await site.close()


async def _run(site: Site, stop: asyncio.Event) -> None:
    # A box whose disk failed ends; what an attempt at it found is not lost for that.
    with suppress(Unavailable):
        await site.run(stop)


async def raw_https(port: int, request: bytes) -> bytes:
    """Send bytes over TLS to the box as whoever looks at no certificate; returns all that it answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return await reader.read(65536)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def asked(charger: WireCharger) -> list[str]:
    """What the box asked of a charger that starts or stops anything."""
    return [name for name, _ in charger.asked if name.startswith("Remote")]


async def begun(talk: Talk, phone: Phone, charger: WireCharger, *, meter_wh: int = 0) -> str:
    """A charge that the phone starts and the charger begins; returns the session."""
    before = len(charger.asked_for("RemoteStartTransaction"))
    sealed = phone.seal(Name.START, "CP1")
    await talk.send(sealed)
    wanted = await charger.is_asked("RemoteStartTransaction", before + 1)
    start = {
        "connectorId": 1,
        "idTag": wanted["idTag"],
        "meterStart": meter_wh,
        "timestamp": chargers.now(),
    }
    await charger.call("StartTransaction", start)
    await charger.status("Charging")
    settled = await talk.ended(sealed.command.id)
    return str(json.loads(json.dumps(getattr(settled, "session", ""))))


__all__ = ["Role", "Stand", "Talk", "asked", "begun", "raw_https", "stand"]

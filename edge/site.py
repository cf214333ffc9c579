"""The site: the box's composition root. It reads the settings, makes every part and runs them as rooms.

    open     take the data folder, check the journal, rebuild the state, open every door
    run      supervise the rooms until told to stop, or until journal or loop fail
    close    in order: doors first, then what is pending to disk, then the folder

Nothing else in `edge` sees a setting.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path as FilePath
from typing import Any

from common import applink
from common.clock import BUILT_MS, SystemClock, SystemIds
from common.config import split_endpoint
from common.domain import Path
from common.errors import Code, LocalFault
from common.keystore import Keystore
from common.link import Link
from common.link.unix import UnixListener, listen_unix
from common.link.websocket import WebSocketListener
from common.notify import notify, watchdog_interval_s
from common.policy import local_presence
from common.supervise import Supervisor
from common.view import spelling
from edge import discovery, opening, outage, report, timekeeping, vigil
from edge.apps import Apps
from edge.authority import Authority
from edge.bundles import Exports
from edge.bus import Bus
from edge.charger_side import ChargerSide, Places
from edge.chargers.files.server import FileServer
from edge.chargers.files.shelf import Shelf
from edge.commander import Commander
from edge.copying import Copies
from edge.core.engine import SiteState
from edge.core.estate import vacant
from edge.discovery import lan_addresses
from edge.doors import ChargersDoor, Door, Listener
from edge.filing import Filing
from edge.gateway import Gateway
from edge.journal.folder import Damaged
from edge.journal.history import History
from edge.journal.journal import Journal
from edge.keeping import Keeper
from edge.lan import Lan, named, serving
from edge.management import Management
from edge.overview import Overview
from edge.queries import Queries
from edge.receipts import Receipts
from edge.recovery import Recovery
from edge.rekeying import Rekeying
from edge.rights import Rights
from edge.settings import EdgeSettings
from edge.tag_recovery import TagPart
from edge.tags import Tags
from edge.uplink import Uplink

log = logging.getLogger("plugside.site")


class Site:
    """One site's box. `open`, then `run`, then `close`; or `serve` for all three."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        open_journal: Callable[..., Journal] = Journal.open,
        has_room: Callable[[FilePath], bool] = outage.has_room,
    ) -> None:
        """Take the data folder. open_journal, has_room: a test gives a slow, failing or full disk.

        Raises LocalFault: folder_in_use, folder_unusable.
        """
        self._settings, self.folder = settings, settings.data
        self.clock = SystemClock(BUILT_MS)
        self.ids = SystemIds()
        self.boot_id = self.ids.uid()
        self.started_ms = self.clock.now_ms()
        try:
            settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as unusable:
            why = f"{settings.data}: {unusable.strerror or unusable}"
            raise LocalFault(Code.FOLDER_UNUSABLE, why) from None
        self._open_journal, self.has_room = open_journal, has_room
        self.journal = opening.opened(settings.data, self.ids, open_journal)
        try:
            self._make()
        except BaseException:
            self.journal.close()
            raise

    def _make(self) -> None:
        """Everything that needs no event loop."""
        settings, clock, ids = self._settings, self.clock, self.ids
        self._store = Keystore(settings.data / "keys")
        self.authority = Authority(self._store, name=settings.site_name, clock=clock, ids=ids)
        state = self._recover()
        # What was written down has happened: time never goes back behind it (design §4).
        boot = timekeeping.boot_id(os.environ, self.boot_id)
        known, missed = timekeeping.begun(self.journal, boot, clock, state)
        self.bus = Bus(self.authority.site)
        self.gateway = Gateway(state, self.journal, self.bus, clock, ids)
        keep = timekeeping.kept_in(self.journal)
        self.watch = timekeeping.ClockWatch(clock, self.gateway, known, missed, keep=keep)
        # A step that no process saw stands before the first fact of the new time: a kill cannot part them.
        self.gateway.first = self.watch.begin
        self.supervisor = Supervisor(clock, ids)
        self.history = History(self.journal.path)
        self.commander = Commander(self.gateway, self.authority.claims_of, clock)
        receipts = Receipts(
            self.journal.path, self.authority, clock, committed=lambda: self.journal.committed_seq
        )
        self.queries = Queries(
            self.history, self.health, self.chargers, self.dials, receipts=receipts, used=self.gateway.used
        )
        shelf = Shelf(settings.data)
        self._filing = filing = Filing(shelf, clock, ids)
        self.management = management = Management(self.authority, self.gateway, self.journal, clock, filing)
        self.tags = Tags(self.authority, self.gateway, self.journal, clock, self.supervisor.spawn)
        self.bus.tap(self.tags.committed)
        exports = Exports(
            self.authority, self.gateway, self.journal, clock, connected=lambda: self.tunnel_stands
        )
        self.recovery = Recovery(self._store, lambda: self.authority.site, clock, ids)
        self.recovery.parts.append(TagPart(self.authority, self.gateway, self.journal))
        self.bus.tap(self.recovery.committed)
        management.keep(self.recovery)
        self.apps = Apps(
            *(self.gateway, self.commander, self.queries, management, self.authority, self.supervisor),
            *(clock, ids),
        )
        self.rights = Rights(self.authority, self.gateway, self.journal, self.apps)
        overview = Overview(self, receipts)
        self.queries.offer(overview.queries)
        self.rekeying = Rekeying(self.authority, self.gateway, self.journal, self.apps)
        parts = self.tags.requests | overview.requests | self.rights.requests | self.rekeying.requests
        for name, request in {"export": exports.request, "clock": self.watch.request, **parts}.items():
            management.offer(name, request)
        self.authority.verifier.heard = self.watch.heard
        self.authority.verifier.sure = lambda: self.clock.sure
        self.keeper = Keeper(
            self.gateway, self.journal, clock, acked=self._acked, quota_mib=settings.journal_quota_mib
        )
        management.offer("backup", Copies(self.keeper, settings.data).request)
        self.authority.granted = self.gateway.note
        self.authority.vacant = lambda: vacant(self.gateway.state)
        self.authority.moved = self._moved
        self.authority.asks = settings.cloud
        self.uplink: Uplink | None = None
        self._doors: list[Door] = []
        self.lan = Lan(
            *(self.authority, self.apps, self._store, self.supervisor, clock, ids),
            origins=settings.app_origins,
            named=named(settings.lan_cert, settings.lan_key),
        )
        self._make_chargers_side(shelf)

    def _make_chargers_side(self, shelf: Shelf) -> None:
        """The listener, the file server beside it, and what stands between them and the gateway."""
        settings = self._settings
        places = Places(
            plain=split_endpoint(settings.ocpp),
            secure=split_endpoint(settings.ocpps) if settings.ocpps else None,
            files=settings.files_endpoint,
            names=settings.ocpps_names,
            networks=settings.ocpp_networks,
        )
        self._side = side = ChargerSide(
            places,
            self.gateway,
            self.authority,
            self._store,
            self.tags,
            shelf,
            self.supervisor,
            self.clock,
            self.ids,
            adopted=self._adopted,
            in_session=self._in_session,
            adopt_any=settings.adopt == "any",
        )
        self.listener, self.files = side.listener, side.files
        side.joins(self.bus, self.management, self.recovery)

    def _acked(self) -> int | None:
        """The cloud's mark, if this process knows it; with no cloud everything counts as acknowledged."""
        if not self.authority.cloud_url:
            return self.journal.committed_seq
        cursor = self.uplink.cursor if self.uplink is not None and self.uplink.connected else None
        return cursor.acked if cursor is not None and cursor.epoch == self.journal.epoch else None

    def _recover(self) -> SiteState:
        """The state as the journal has it; of a damaged one what can be saved."""
        try:
            return opening.state_of(self.journal, self.authority.site)
        except Damaged as found:
            self.journal.close()
            why, folder = found.detail, self.folder
        self.journal = opening.saved(folder, self.ids, self._open_journal, why)
        return opening.state_of(self.journal, self.authority.site)

    # --- what the charger side asks ----------------------------------------------------------------------

    def _adopted(self, identity: str) -> str | None:
        """The stored spelling of an adopted charger, matched in any case (quirk 5)."""
        known = self.gateway.state.view
        entry = known.chargers.get(spelling(known, identity))
        return entry.id if entry is not None and entry.adopted else None

    def _in_session(self, charger: str) -> bool:
        entry = self.gateway.state.view.chargers.get(charger)
        return entry is not None and any(place.session for place in entry.connectors.values())

    def _moved(self, site: str) -> None:
        """The box has taken another one's place, and had nothing of its own."""
        self.gateway.state.view.site = self.bus.site = site
        log.info("this box is site %s from now on", site)

    # --- life --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start deciding and open every door. Raises LocalFault when one cannot be opened."""
        settings = self._settings
        await self.history.open()
        self.gateway.start(self._side.requests)
        self.rights.settle()
        self._doors = [
            Door("LAN listener", self._open_lan),
            Door("charger listener", self._open_chargers),
            # The last one: whoever waits for this socket then finds every door open.
            Door("local socket", self._open_local),
        ]
        self.supervisor.room("gateway", lambda: vigil.gateway(self), fatal=True)
        if (news := opening.news(self.journal)) is not None:
            await self.gateway.written(news.fact())
            await opening.news_told(self.journal)
        await self.rekeying.catch_up()
        # No charge depends on it: a port that somebody else holds keeps no charger from charging.
        if settings.app_origins or settings.cloud:
            self.supervisor.room("browsers", Door("browsers", self._open_browsers).run)
        if settings.page:
            self.supervisor.room("page", Door("page", self._open_page).run)
        self.supervisor.room("file server", Door("file server", self._open_files).run)
        for door in self._doors:
            await door.open()
            self.supervisor.room(door.name, door.run)
        self.supervisor.room("LAN certificate", self.lan.keep_certificate)
        self.supervisor.room("journal keeper", self.keeper.run)
        if settings.ocpps:
            self.supervisor.room("chargers' certificates", self._side.keep_certificates)
        self.supervisor.room("clock", self.watch.run)
        if settings.interfaces:
            self.supervisor.room("discovery", self._announce)
        if settings.cloud:
            self.uplink = Uplink(
                *(settings.cloud, self.authority, self.gateway, self.journal, self.commander, self.queries),
                *(self.recovery, self.apps.renewals, self.clock),
                boot_id=self.boot_id,
            )
            self.rights.tell = self.uplink.withdrawn
            self.rights.released = self.rekeying.leave = self.uplink.left.set
            self.uplink.heard_of_key = self.rekeying.welcomed
            self.uplink.hear_time = self.watch.told_by_cloud
            self.supervisor.room("uplink", self.uplink.run)
        if (interval_s := watchdog_interval_s(os.environ)) is not None:
            self.supervisor.room("watchdog", lambda: vigil.feed_watchdog(self.journal, interval_s))
        log.info(
            "site %s: chargers at %s, apps at %s", self.authority.site, self.ocpp_url, self.lan_addresses
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run the rooms until `stop` is set. Raises what ended journal or loop."""
        notify("READY=1", environ=os.environ)
        rooms = self.supervisor.spawn("rooms", self.supervisor.run())
        stopped = self.supervisor.spawn("stop", stop.wait())
        try:
            await asyncio.wait({rooms, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                log.info("stopping, as asked")
        finally:
            notify("STOPPING=1", environ=os.environ)
            self.apps.cut_all(Code.SHUTTING_DOWN)
            await asyncio.sleep(vigil.GOODBYE_S)
            stopped.cancel()
            rooms.cancel()
            await asyncio.wait({rooms, stopped})
        if not rooms.cancelled() and (failed := rooms.exception()) is not None:
            raise failed

    async def close(self) -> None:
        """Close the doors, write what is pending, let go of the folder: each, though another one fails."""
        async with AsyncExitStack() as parts:  # the last one first
            parts.callback(self.journal.close)
            parts.push_async_callback(self.history.close)
            parts.push_async_callback(self.gateway.stop)
            parts.callback(self._filing.close)
            parts.push_async_callback(self.files.close)
            parts.push_async_callback(self.listener.stop)
            for door in self._doors:
                parts.push_async_callback(door.close)

    # --- doors -------------------------------------------------------------------------------------------

    async def _open_chargers(self) -> ChargersDoor:
        await self.listener.start()
        return ChargersDoor(self.listener)

    async def _open_lan(self) -> WebSocketListener:
        host, port = split_endpoint(self._settings.lan)
        return await self.lan.open(host, port, self._settings.interfaces)

    async def _open_page(self) -> Listener:
        return await self.lan.open_page(*split_endpoint(self._settings.page))

    async def _open_browsers(self) -> Listener:
        return await self.lan.open_browsers(split_endpoint(self._settings.lan)[0])

    async def _open_files(self) -> FileServer:
        await self.files.start()
        return self.files

    async def _open_local(self) -> UnixListener:
        return await listen_unix(self._settings.socket_path, self._serve_local)

    async def _serve_local(self, link: Link) -> None:
        local = local_presence(self.authority.site)
        session = applink.new_session(serving(self.authority, Path.LOCAL), link, self.ids, local=local)
        await applink.serve(link, session, self.apps, clock=self.clock)

    async def _announce(self) -> None:
        lan, keys = self.lan, self.authority.keys
        await discovery.announce(lambda: keys.names, lan.port, self._settings.interfaces, lan.look)

    # --- what it tells of itself -------------------------------------------------------------------------

    @property
    def ocpp_urls(self) -> dict[str, str]:
        """Where chargers dial in: `ocpp_url`, with TLS `ocpps_url`; their identity goes behind the slash."""
        host, _ = split_endpoint(self._settings.ocpp)
        return self._side.urls(lan_addresses((), host)[0])

    @property
    def ocpp_url(self) -> str:
        """Where a charger dials in, without TLS."""
        return self.ocpp_urls["ocpp_url"]

    @property
    def lan_addresses(self) -> str:
        """Where apps on the LAN connect."""
        return ", ".join(self.authority.addresses)

    @property
    def tunnel_stands(self) -> bool:
        """Whether the cloud is connected."""
        return self.uplink is not None and self.uplink.connected

    def health(self) -> dict[str, Any]:
        """Every room, the journal and the tunnel, as plain data."""
        return report.health(self)

    def dials(self) -> Iterable[dict[str, Any]]:
        """Whom the chargers' door turned away, and why."""
        return report.dials(self.listener)

    def chargers(self) -> Iterable[dict[str, Any]]:
        """Every charger: as people see it, and its connection."""
        return report.chargers(self.gateway.state.view, self.listener)


async def serve(settings: EdgeSettings, stop: asyncio.Event) -> None:
    """Open, run until `stop`, close. Raises LocalFault at the start, Unavailable when the journal failed."""
    site = Site(settings)
    try:
        await site.open()
        await site.run(stop)
    finally:
        await site.close()

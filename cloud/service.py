"""The cloud's composition root: it reads the settings, makes every part and runs them as rooms.

    open     take the data folder, bring the database up to date, open the doors
    run      supervise the rooms until told to stop
    close    in order: links are told goodbye, doors, database, folder

Nothing else in `cloud` sees a setting.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cloud.accounts import Accounts
from cloud.api.frontdoor import Buckets, FrontDoor
from cloud.api.pages import Pages
from cloud.api.routes import Doors, make_app
from cloud.api.server import Listener
from cloud.apps import Apps
from cloud.boxkeys import BoxKeys
from cloud.bundles import Bundles
from cloud.callers import crowded
from cloud.counters import Counters
from cloud.edges import Edges
from cloud.exports import Exports
from cloud.folder import Folder
from cloud.glance import Glance
from cloud.hub import Hub
from cloud.joining import Joining
from cloud.keydesk import KeyDesk
from cloud.keyring import Keyring
from cloud.management import Management
from cloud.queries import Queries
from cloud.rightsdesk import RightsDesk
from cloud.roster import People
from cloud.router import Router
from cloud.settings import CloudSettings
from cloud.store.ports import Store
from cloud.store.sql import open_store, sqlite_url
from cloud.tunnel import Shared
from common import applink, trust
from common.answering import PACE
from common.appsession import ServerSession, Serving
from common.appsession.server import State
from common.budget import Sources
from common.clock import SystemClock, SystemIds
from common.config import split_endpoint
from common.domain import Path, iso
from common.errors import Code, Unavailable
from common.keystore import Keystore
from common.link import Link
from common.link.unix import UnixListener, listen_unix
from common.link.websocket import is_loopback
from common.notify import notify, watchdog_interval_s
from common.policy import local_presence
from common.supervise import Supervisor
from common.webapp import WebApp

log = logging.getLogger("plugside.cloud")

#: How often the keys' calendar is looked at, in s. Its windows are weeks long.
KEYS_EVERY_S = 3600.0
#: For the last goodbye to apps and boxes before the process ends, in s.
GOODBYE_S = 0.5
GOODBYE_STEP_S = 0.02


class Cloud:
    """One cloud process. `open`, then `run`, then `close`; or `serve` for all three."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self.clock = SystemClock()
        self.ids = SystemIds()
        self.started_ms = self.clock.now_ms()
        self.counters = Counters()
        self.supervisor = Supervisor(self.clock, self.ids)
        self.url = ""
        self.reads = Sources(PACE)
        self._folder = Folder(settings.data)
        self._store: Store | None = None
        self._front: FrontDoor | None = None
        self._listener: Listener | None = None
        self._local: UnixListener | None = None
        self._app_links: dict[Link, ServerSession] = {}

    async def open(self) -> None:
        """Open database and doors. Raises LocalFault when one cannot be opened."""
        settings = self._settings
        database = settings.database or sqlite_url(self._folder.database)
        # Before any key is made: whoever mistypes the database's URL should not find a root key behind it.
        store = self._store = await open_store(database, self.ids, self.started_ms)
        keyring = Keyring(Keystore(self._folder.keys), self.clock)
        self.accounts = Accounts(store, keyring, self.clock, self.ids)
        await self.accounts.open()
        self._make(store)
        host, port = split_endpoint(settings.listen)
        app = self._front = FrontDoor(
            Pages(make_app(self._doors(store)), WebApp()),
            trusted_proxy=settings.trusted_proxy,
            buckets=Buckets(self.clock),
            counters=self.counters,
        )
        self._listener = Listener(app, host, port, cert=settings.tls_cert, key=settings.tls_key)
        self.url = self.accounts.url = settings.url_at(self._listener.port)
        self._local = await listen_unix(settings.socket_path, self._serve_local)
        self.supervisor.room("listener", self._run_listener, fatal=True)
        self.supervisor.room("keys", self._keep_keys)
        if (interval_s := watchdog_interval_s(os.environ)) is not None:
            self.supervisor.room("watchdog", lambda: self._feed_watchdog(interval_s))

    def _make(self, store: Store) -> None:
        clock, ids = self.clock, self.ids
        self.hub = Hub(store, clock)
        self.router = Router(store, self.counters, clock, ids, self.supervisor.spawn)
        boxkeys = BoxKeys(store, self.accounts, clock)
        self.edges = Edges(
            Shared(
                store=store,
                accounts=self.accounts,
                boxkeys=boxkeys,
                hub=self.hub,
                router=self.router,
                counters=self.counters,
                clock=clock,
                ids=ids,
            )
        )
        self.router.relay = self.edges.relay
        self.accounts.tell_boxes = self.edges.tell
        self.accounts.capped = self.edges.capped
        self.joining = Joining(store, self.accounts, clock)
        self.joining.box_replaced = self.edges.replaced
        self.accounts.withdrawals.changed = self._withdrawn
        self.accounts.box_hears = lambda site: bool(self.hub.link(site))
        self.router.online = lambda site: bool(self.hub.link(site))
        self.exports = Exports(store, self.clock)
        self.queries = Queries(store, self.hub, self.exports, self.health, self.edges.ask)
        self.queries.offer(self.joining.queries)
        management = Management(
            store, self.accounts, self.joining, self.hub, self.queries, self.exports, self.edges.pages
        )
        self.bundles = Bundles(store, boxkeys, self.counters, clock)
        management.offer("import", self.bundles.request)
        for part in (
            KeyDesk(self.accounts),
            RightsDesk(store, self.accounts),
            Glance(store, self.accounts, self.hub, clock),
            People(store, self.accounts, clock),
        ):
            for name, request in part.requests.items():
                management.offer(name, request)
            if isinstance(part, Glance | People):
                self.queries.offer(part.queries)
        self.apps = Apps(
            store,
            self.accounts,
            self.hub,
            self.router,
            self.queries,
            management,
            self.counters,
            self.supervisor,
            clock,
        )

    def _withdrawn(self, one: trust.RevocationList) -> None:
        """A list is new: to the site's box (which may be where it came from), and to apps."""
        self.edges.withdrawn(one)
        self.apps.rights_changed(one.site)

    def _doors(self, store: Store) -> Doors:
        return Doors(
            store=store,
            accounts=self.accounts,
            joining=self.joining,
            queries=self.queries,
            exports=self.exports,
            edges=self.edges,
            bundles=self.bundles,
            hub=self.hub,
            counters=self.counters,
            serve_app=self._serve_app,
            mono_s=lambda: self.clock.mono_ms() / 1000,
            reads=self.reads,
            hosts=self.hosts,
            origins=lambda: frozenset({self.url}),
        )

    def hosts(self) -> frozenset[str]:
        """The names by which a box may know this cloud; its signature is for one of them."""
        parts = urlsplit(self.url)
        names = {parts.netloc.lower()}
        if parts.port is None and parts.hostname:
            names.add(f"{parts.netloc.lower()}:{443 if parts.scheme == 'https' else 80}")
        host, _ = split_endpoint(self._settings.listen)
        if is_loopback(host):
            assert self._listener is not None
            names |= {f"{name}:{self._listener.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        return frozenset(names)

    # --- life ----------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Run the rooms until `stop` is set. Raises what ended the listener."""
        rooms = self.supervisor.spawn("rooms", self.supervisor.run())
        stopped = self.supervisor.spawn("stop", stop.wait())
        ready = self.supervisor.spawn("ready", self._announce())
        try:
            await asyncio.wait({rooms, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            notify("STOPPING=1", environ=os.environ)
            self.say_goodbye()
            await self._goodbyes()
            for task in (ready, stopped, rooms):
                task.cancel()
            await asyncio.wait({ready, stopped, rooms})
        if not rooms.cancelled() and (failed := rooms.exception()) is not None:
            raise failed

    def say_goodbye(self) -> None:
        """Tell every link that this process ends, and let none in again meanwhile."""
        assert self._front is not None
        self._front.stopping = True
        self.apps.cut_all(Code.SHUTTING_DOWN)
        self.edges.end_all(Code.SHUTTING_DOWN)

    async def _goodbyes(self) -> None:
        """Let last words out; whoever does not read them is not waited for."""
        waited_s = 0.0
        while waited_s < GOODBYE_S and (self.apps.links or self.edges.open):
            await asyncio.sleep(GOODBYE_STEP_S)
            waited_s += GOODBYE_STEP_S

    async def _announce(self) -> None:
        assert self._listener is not None
        await self._listener.started()
        notify("READY=1", environ=os.environ)
        log.info("serving at %s; local socket %s", self.url, self._settings.socket_path)

    async def close(self) -> None:
        """Let go of doors, database and folder."""
        if self._local is not None:
            await self._local.close()
        if self._listener is not None:
            self._listener.close()
        if self._store is not None:
            await self._store.close()
        self._folder.release()

    async def _run_listener(self) -> None:
        """Fatal: without its door a cloud is nothing; the service manager starts it again."""
        assert self._listener is not None
        await self._listener.run()
        raise Unavailable(Code.SHUTTING_DOWN, "the listener has ended")

    async def _keep_keys(self) -> None:
        while True:
            await asyncio.sleep(KEYS_EVERY_S)
            await self.accounts.renew_keys()

    async def _feed_watchdog(self, interval_s: float) -> None:
        """WATCHDOG=1 only if the loop ticked and the database answered."""
        assert self._store is not None
        while True:
            await self._store.alive()
            notify("WATCHDOG=1", environ=os.environ)
            await asyncio.sleep(interval_s)

    # --- app links -----------------------------------------------------------------------------------------

    async def _serve_app(self, link: Link) -> None:
        strangers = (other.peer for other, s in self._app_links.items() if s.state is not State.OPEN)
        if crowded(link.peer, strangers):
            self.counters.refused["strangers"] += 1
            await link.close(Code.BUSY)
            return
        session = applink.new_session(self._serving(Path.CLOUD), link, self.ids)
        self._app_links[link] = session
        try:
            await applink.serve(link, session, self.apps, clock=self.clock)
        finally:
            del self._app_links[link]

    async def _serve_local(self, link: Link) -> None:
        session = applink.new_session(self._serving(Path.LOCAL), link, self.ids, local=local_presence(""))
        await applink.serve(link, session, self.apps, clock=self.clock)

    def _serving(self, path: Path) -> Serving:
        return Serving(identity=self.accounts.identity, verifier=self.accounts.verifier, path=path)

    # --- what it tells of itself ---------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """Every room and what is connected, as plain data."""
        return {
            "url": self.url,
            "started_at": iso(self.started_ms),
            "time": iso(self.clock.now_ms()),
            "cloud": self.accounts.identity.fingerprint,
            "root_key_is_here": self.accounts.root_is_here,
            "boxes": self.hub.online,
            "app_links": self.counters.links,
            "commands_under_way": self.router.under_way,
            "rooms": [msgspec.to_builtins(room) for room in self.supervisor.health()],
        }


async def serve(settings: CloudSettings, stop: asyncio.Event) -> None:
    """Open, run until `stop`, close. Raises LocalFault at the start, Unavailable when the listener failed."""
    cloud = Cloud(settings)
    try:
        await cloud.open()
        await cloud.run(stop)
    finally:
        await cloud.close()

"""The client: a device's sites, each by the best path there is, as if there were only one (design §11).

    async with Client(profile) as client:
        run = client.command(site, Name.START, Target("CP1"))
        await run.confirmed()
        async for change in client.changes(): show(client.view(change.site))

LAN and cloud are raced and kept; the view never goes back when they change; a command goes with one id by
whichever path works. What a path is, and when it is tried: `paths`; how a command travels: `courier`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Literal, Self

import msgspec

from common import commands, trust
from common.appsession import Positions
from common.client import pairing
from common.client.background import Background
from common.client.changes import Changes, Hub
from common.client.connection import Connection
from common.client.courier import Courier, Run
from common.client.device import Device
from common.client.pace import Pace
from common.client.paths import CloudPath, LanPath
from common.client.profile import Pending, Profile, SiteEntry
from common.client.race import telling
from common.client.site import Site
from common.clock import SystemClock, SystemIds
from common.domain import Path, Target, iso
from common.errors import Code, LocalFault, PlugsideError, Refused, Unavailable
from common.ports import Clock, Ids
from common.view import View

Via = Literal["auto", "lan", "cloud"]

#: How long entering waits for every site to be shown or known to be out of reach.
READY_S = 5.0
#: Commands of one client that are on their way at once.
RUNS_MAX = 256


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a site is reached, and how fresh what is shown is."""

    site: str
    name: str
    path: Path | None  #: the best that is open; None = none
    shown: bool  #: there is something to show
    age_ms: int  #: of what is shown; 0 = live
    online: bool  #: as the cloud last told: the box is connected to it
    failures: dict[Path, PlugsideError]  #: of paths that are not open: why
    principal: str = ""  #: this device's pseudonym there
    grace_until: str = ""  #: the right has run out, and counts until then while no cloud can be reached


class Client:
    """See the module. Until entered, it can only pair; afterwards its paths run on their own."""

    def __init__(
        self,
        profile: Profile,
        via: Via = "auto",
        clock: Clock | None = None,
        ids: Ids | None = None,
        interfaces: tuple[str, ...] | None = (),
        *,
        sites: Collection[str] | None = None,
        ready_s: float = READY_S,
        pace: Pace | None = None,
    ) -> None:
        """via: which paths may be used. interfaces: where mDNS looks for a box that has moved; () = nowhere,
        None = on this machine for one that was only ever here, else everywhere. sites: ids, None = all.
        ready_s: how long entering waits for something to show; 0 = not at all.
        """
        self.profile = profile
        self._via, self._wanted, self._ready_s = via, sites, ready_s
        self._clock, self._ids = clock or SystemClock(), ids or SystemIds()
        self._device = Device(
            profile=profile,
            clock=self._clock,
            ids=self._ids,
            positions=Positions(),
            interfaces=interfaces,
            pace=pace or Pace(),
        )
        self._hub = Hub()
        self._sites: dict[str, Site] = {}
        self._clouds: dict[tuple[str, str], CloudPath] = {}
        self._runs: dict[str, Run] = {}
        self._tasks: Background | None = None

    async def __aenter__(self) -> Self:
        self._tasks = Background()
        await self._tasks.__aenter__()
        for entry in self.profile.sites:
            if self._wanted is None or entry.site in self._wanted:
                self._add(entry)
        try:
            await self._ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tasks is not None
        await self._tasks.__aexit__()
        self._tasks = None
        for run in tuple(self._runs.values()):
            run.fail(Unavailable(Code.SHUTTING_DOWN, "this program ended before the outcome was known"))

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(self._ready_s):
                await asyncio.gather(*(self.shown(site) for site in self._sites), return_exceptions=True)
        except TimeoutError:
            pass

    # --- sites ---------------------------------------------------------------------------------------------

    async def pair(self, invite: str, device_name: str) -> SiteEntry:
        """Join a site by an invite. Raises PlugsideError; bad_invite when it is not good any more."""
        entry = await pairing.redeem(
            self._device, invite, device_name, lan=self._via != "cloud", cloud=self._via != "lan"
        )
        if self._tasks is not None:
            known = self._sites.get(entry.site)
            if known is None:
                self._add(entry)
            else:
                known.replace(entry)
        return entry

    @property
    def sites(self) -> tuple[str, ...]:
        """The ids of this client's sites."""
        return tuple(self._sites)

    def _add(self, entry: SiteEntry) -> None:
        assert self._tasks is not None
        site = Site(
            entry,
            self.profile,
            self._clock,
            self._hub.publish,
            lan=self._via != "cloud",
            cloud=self._via != "lan",
        )
        self._sites[entry.site] = site
        if site.lan.enabled:
            self._tasks.start(LanPath(self._device, site).run())
        if site.cloud.enabled:
            cloud = (entry.cloud_url, entry.cloud_key)
            if cloud in self._clouds:
                self._clouds[cloud].add(site)
                return
            delay_s = self._device.pace.cloud_delay_s if self._via == "auto" else 0.0
            self._clouds[cloud] = path = CloudPath(self._device, [site], delay_s=delay_s)
            self._tasks.start(path.run())

    def _site(self, site: str) -> Site:
        if self._tasks is None:
            raise LocalFault(Code.INTERNAL, "the client is used inside `async with` only")
        known = self._sites.get(site)
        if known is None:
            raise Refused(Code.UNKNOWN_SITE, site)
        return known

    # --- what is there -------------------------------------------------------------------------------------

    def view(self, site: str) -> View:
        """The site as it is shown to this device now; empty until something was heard. Not to be changed."""
        return self._site(site).view

    def status(self, site: str) -> Status:
        """How the site is reached."""
        known = self._site(site)
        return Status(
            site=site,
            name=known.entry.name,
            path=known.path,
            shown=known.known,
            age_ms=known.age_ms,
            online=known.online,
            failures={
                way.path: way.failure for way in known.ways if way.open is None and way.failure is not None
            },
            principal=known.entry.principal,
            grace_until=known.grace_until,
        )

    def changes(self) -> Changes:
        """An iterator over what changes from now on, in the order of the site."""
        return self._hub.changes()

    async def shown(self, site: str) -> View:
        """Wait until there is something to show. Raises PlugsideError when no path can be had."""
        known = self._site(site)
        await self._until(known, lambda: known.known)
        return known.view

    async def query(
        self, site: str, what: str, args: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> list[Any]:
        """Rows that are not live, by the first path that answers. Raises PlugsideError."""
        spent: list[Connection] = []
        failures: list[PlugsideError] = []
        while True:
            try:
                link = await self._path(site, spent)
            except PlugsideError as hopeless:
                raise telling([*failures, hopeless]) from None
            try:
                return await link.query(what, args, site=site, limit=limit)
            except Unavailable as failed:
                spent.append(link)
                failures.append(failed)

    async def manage(self, site: str, name: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Administration by the best open path; never repeated. Raises PlugsideError."""
        return await (await self._path(site, [])).manage(name, args, site=site)

    async def _path(self, site: str, spent: list[Connection]) -> Connection:
        known = self._site(site)
        await self._until(known, lambda: any(link not in spent for link in known.open_ways), spent)
        return next(link for link in known.open_ways if link not in spent)

    async def _until(self, site: Site, holds: Callable[[], bool], spent: Collection[Connection] = ()) -> None:
        """Wait for something of a site. Raises what tells most once no path can be had."""
        changed = asyncio.Event()
        site.listeners.add(changed.set)
        since = site.kick()
        try:
            while not holds():
                hopeless = site.hopeless(since, spent)
                if hopeless is not None:
                    raise hopeless
                await changed.wait()
                changed.clear()
        finally:
            site.listeners.discard(changed.set)

    # --- commands ------------------------------------------------------------------------------------------

    def command(
        self,
        site: str,
        name: commands.Name,
        target: Target,
        args: Mapping[str, Any] | None = None,
    ) -> Run:
        """Ask for an effect at a charger. Returns at once; await the run's stages.

        The command is stored before it is sent, and sent as often as it takes, under one id.
        """
        known = self._site(site)
        run = Run(self._ids.uid(), site, name, target)
        self._start(run, self._send_new(known, run, dict(args or {})))
        return run

    def pending(self, site: str) -> tuple[Pending, ...]:
        """Commands of this device whose end nobody has heard, and which may still be carried out."""
        now_ms = self._site(site).now_ms()
        if now_ms is None:
            return ()
        return tuple(
            one
            for one in self.profile.pending(now_ms)
            if one.site == site and one.id not in self._runs and one.expires_ms > now_ms
        )

    def resume(self, pending: Pending) -> Run:
        """Send a stored command again, under its own id, to learn its outcome: it has one effect at most."""
        known = self._site(pending.site)
        run = Run(pending.id, pending.site, pending.name, pending.target)
        self._start(run, self._carry(known, run, pending))
        return run

    def _start(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        if len(self._runs) >= RUNS_MAX:
            work.close()
            raise Unavailable(Code.BUSY)
        self._runs[run.id] = run
        run.when_over = lambda: self._over(run)
        self._tasks.start(work)

    def _over(self, run: Run) -> None:
        self._runs.pop(run.id, None)
        if run.end is not None or isinstance(run.failure, Refused):
            self.profile.settle(run.id)

    async def _send_new(self, site: Site, run: Run, args: dict[str, Any]) -> None:
        try:
            # A command's end is counted in the site's own time, so the site has to be heard first.
            await self._until(site, lambda: site.known and site.now_ms() is not None)
            pending = self._seal(site, run, args)
            self.profile.remember(pending)
        except PlugsideError as failed:
            run.fail(failed)
            return
        await self._carry(site, run, pending)

    def _seal(self, site: Site, run: Run, args: dict[str, Any]) -> Pending:
        now_ms = site.now_ms()
        assert now_ms is not None, "it was just waited for"
        expires_ms = now_ms + commands.CLASSES[run.name].ttl_ms
        command = commands.Command(
            site=site.id,
            id=run.id,
            name=run.name,
            target=run.target,
            args=args,
            expires_at=iso(expires_ms),
        )
        return Pending(
            id=run.id,
            site=site.id,
            name=run.name,
            target=run.target,
            envelope=trust.seal(commands.encode(command), self.profile.key),
            expires_ms=expires_ms,
        )

    async def _carry(self, site: Site, run: Run, pending: Pending) -> None:
        await Courier(site, run, pending, self._device.pace).carry()

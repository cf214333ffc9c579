"""The paths: keep a link to each box on the LAN, and one link to each cloud for all its sites.

    LAN     known addresses raced, then mDNS; from the first moment, for ever again with back-off
    cloud   150 ms later, and only while a site has no LAN link; one link, all its sites

Whoever answers has to be the one that was pinned at pairing. Followed is each site once: on the LAN where
that is open, else through the cloud.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from common import wire
from common.client.background import Background
from common.client.connection import Connection, Push
from common.client.device import Device, Shown
from common.client.handshake import Opened
from common.client.profile import renewal_due
from common.client.race import race
from common.client.site import Site
from common.domain import Path
from common.errors import Code, LocalFault, PlugsideError, from_wire

log = logging.getLogger("plugside.client")

#: Grants in the first frame: the server reads 16 KiB before it knows us, and base64 and a key are in it too.
FIRST_GRANTS_CHARS = 12 * 1024


class _Keeper:
    """What both paths do: try, keep, and try again."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        failures, retry = 0, self.device.pace.retry
        while True:
            await self.needed()
            self.begin()
            lived_ms = 0
            try:
                lived_ms = await self._serve(await self.find())
            except PlugsideError as failed:
                self.failed(failed)
            except Exception as failed:
                # A bug in one path is no reason to lose the other.
                log.exception("a path failed")
                self.failed(LocalFault(Code.INTERNAL, type(failed).__name__))
            # A link that ended after it had worked is replaced at once.
            failures = 0 if lived_ms >= retry.healthy_ms else failures + 1
            await self._pause(retry.delay_s(failures, self.device.ids.jitter()) if failures else 0.0)

    async def _serve(self, opened: Opened) -> int:
        """Run a link to its end. Returns how long it lived, in ms."""
        began_ms = self.device.clock.mono_ms()
        async with Connection(
            opened, pushed=self.pushed, clock=self.device.clock, ids=self.device.ids
        ) as link:
            try:
                async with Background() as tasks:
                    tasks.start(self._use(link))
                    await self._keep(link)
            finally:
                self.down(link.fault)
        return self.device.clock.mono_ms() - began_ms

    async def _use(self, link: Connection) -> None:
        try:
            await self.up(link)
        except PlugsideError as failed:
            link.end(failed)

    async def _keep(self, link: Connection) -> None:
        """Until the link has ended; asks whether it is alive now and then."""
        while link.fault is None:
            try:
                async with asyncio.timeout(self.device.pace.ping_every_s):
                    await link.closed()
            except TimeoutError:
                link.doubt(self.device.pace.pong_within_s)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            pass
        self.wake.clear()

    async def needed(self) -> None:
        """Wait until this path is wanted."""

    def begin(self) -> None:
        """An attempt begins."""
        raise NotImplementedError

    async def find(self) -> Opened:
        """A proved link. Raises PlugsideError."""
        raise NotImplementedError

    def failed(self, failure: PlugsideError) -> None:
        """No link was found."""
        raise NotImplementedError

    async def up(self, link: Connection) -> None:
        """The link is open; goes on beside it until it ends."""
        raise NotImplementedError

    def down(self, why: PlugsideError | None) -> None:
        """The link is gone."""
        raise NotImplementedError

    def pushed(self, push: Push) -> None:
        """Something came that was not asked for."""
        raise NotImplementedError

    async def renew(self, link: Connection, sites: Iterable[Site]) -> None:
        """Renew what is past half its life, or was not welcome any more; for ever, now and then."""
        while True:
            for site in tuple(sites):
                if link.fault is None and (
                    site.id not in link.sites or renewal_due(site.entry.grant, link.server_time_ms())
                ):
                    await self._renew_one(link, site)
            await asyncio.sleep(self.device.pace.renew_every_s)

    async def _renew_one(self, link: Connection, site: Site) -> None:
        try:
            granted = await link.renew(site.entry.grant)
        except PlugsideError as refused:
            log.info("%s did not renew the grant for %s: %s", link.path, site.id, refused)
            if site.id not in link.sites:
                self.unwelcome(site, refused)
            elif refused.code in {Code.NOT_PERMITTED, Code.CLOUD_UNREACHABLE}:
                # The box has no way to the cloud, which alone renews this; perhaps this device has one.
                site.want_cloud()
        else:
            site.learn_grant(granted, from_box=link.path is Path.LAN)

    def unwelcome(self, site: Site, refused: PlugsideError) -> None:
        """The link is open, but not for this site."""


class LanPath(_Keeper):
    """The link to one site's box."""

    def __init__(self, device: Device, site: Site) -> None:
        super().__init__(device)
        self._site, self._way = site, site.lan
        self.wake = site.lan.wake
        self._address = ""
        self._link: Connection | None = None

    async def find(self) -> Opened:
        entry = self._site.entry
        known = tuple(dict.fromkeys(filter(None, (entry.last_good, *entry.addresses))))
        shown = Shown(
            grants=(entry.grant,),
            revocations=entry.lists,
            site=entry.site,
            rotation=entry.box_number,
            gone=tuple(entry.was),
        )
        self._address, opened = await race(
            known,
            lambda address: self.device.dial_lan(address, entry.box, shown),
            lambda: self.device.search(entry.box, known),
            search_after_s=self.device.pace.search_after_s,
        )
        # Kept at once: whoever has the key before this one is not to be believed again.
        self._site.learn_rotated(opened.session.rotated)
        return opened

    def begin(self) -> None:
        self._way.attempts += 1

    def failed(self, failure: PlugsideError) -> None:
        self._site.fail(self._way, failure)

    async def up(self, link: Connection) -> None:
        site, self._link = self._site, link
        for granted in link.granted:
            site.learn_grant(granted, from_box=True)
        self._learn(link)
        link.follow_with(self.pushed, site.id)
        site.up(self._way, link)
        await self.renew(link, [site])

    def _learn(self, link: Connection) -> None:
        access = link.sites.get(self._site.id)
        if access is not None:
            self._site.learn_access(access, from_box=True, last_good=self._address)

    def down(self, why: PlugsideError | None) -> None:
        self._link = None
        self._site.down(self._way, why)

    def pushed(self, push: Push) -> None:
        if isinstance(push, wire.Welcome) and self._link is not None:
            self._learn(self._link)
        elif isinstance(push, wire.Snapshot | wire.FactMessage) and push.site == self._site.id:
            _take(self._link, self._site, push)
        elif isinstance(push, wire.Refusal) and self._link is not None:
            # Nothing but the follow goes unnumbered here, and a link that shows nothing is no path.
            self._link.end(from_wire(push.code, push.message, push.hint))


def _take(
    link: Connection | None, site: Site, push: wire.Snapshot | wire.FactMessage | wire.Presence
) -> None:
    assert link is not None, "pushes come from an open link"
    try:
        site.take(push, link.path)
    except PlugsideError as broken:
        link.end(broken)


class CloudPath(_Keeper):
    """The one link to a cloud, for all the sites that belong to it."""

    def __init__(self, device: Device, sites: Iterable[Site], *, delay_s: float) -> None:
        super().__init__(device)
        self._sites: dict[str, Site] = {}
        self._delay_s = delay_s
        self._changed = asyncio.Event()
        self._link: Connection | None = None
        self._followed: frozenset[str] | None = None
        for site in sites:
            self.add(site)

    def _wanted(self) -> bool:
        return any(site.lan.open is None or site.wants_cloud for site in self._sites.values())

    async def needed(self) -> None:
        delay_s, self._delay_s = self._delay_s, 0.0
        try:
            async with asyncio.timeout(delay_s):
                while self._wanted():
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            return
        while not self._wanted():
            await self._changed.wait()
            self._changed.clear()

    async def find(self) -> Opened:
        entry = next(iter(self._sites.values())).entry
        grants = _first([site.entry.grant for site in self._sites.values()])
        lists = tuple(one for site in self._sites.values() for one in site.entry.lists)
        shown = Shown(grants=grants, revocations=lists)
        return await self.device.dial_cloud(entry.cloud_url, entry.cloud_key, shown)

    def begin(self) -> None:
        for site in self._sites.values():
            site.cloud.attempts += 1

    def failed(self, failure: PlugsideError) -> None:
        for site in self._sites.values():
            site.fail(site.cloud, failure)

    async def up(self, link: Connection) -> None:
        self._link, self._followed = link, None
        for granted in link.granted:
            known = self._sites.get(granted.site.site)
            if known is not None:
                known.learn_grant(granted, from_box=False)
        grants = [site.entry.grant for site in self._sites.values()]
        more = grants[len(_first(grants)) :]
        while more:
            link.show(*_first(more))
            more = more[len(_first(more)) :]
        self._welcome()
        async with Background() as tasks:
            tasks.start(self.renew(link, self._sites.values()))
            await self._follow(link)

    def _welcome(self) -> None:
        """Which sites this link is good for, as last told."""
        link = self._link
        assert link is not None, "a welcome comes from an open link"
        for access in link.sites.values():
            site = self._sites.get(access.site)
            if site is not None:
                site.learn_access(access, from_box=False)
                if site.cloud.connection is not link:
                    site.up(site.cloud, link)
        self._changed.set()

    async def _follow(self, link: Connection) -> None:
        """Follow the sites that are not on the LAN, as that changes."""
        while link.fault is None:
            wanted = frozenset(
                site.id for site in self._sites.values() if site.id in link.sites and site.lan.open is None
            )
            if wanted != self._followed and (wanted or self._followed):
                link.follow_with(self.pushed, *sorted(wanted))
                self._followed = wanted
            await self._changed.wait()
            self._changed.clear()

    def down(self, why: PlugsideError | None) -> None:
        self._link = None
        for site in self._sites.values():
            site.down(site.cloud, why)

    def unwelcome(self, site: Site, refused: PlugsideError) -> None:
        site.cloud.unwelcome = True
        site.fail(site.cloud, refused)

    def add(self, site: Site) -> None:
        """One more site of this cloud."""
        self._sites[site.id] = site
        site.cloud.wake = self.wake
        site.listeners.add(self._changed.set)
        if self._link is not None and self._link.fault is None:
            self._link.show(site.entry.grant)
        self._changed.set()

    def pushed(self, push: Push) -> None:
        if isinstance(push, wire.Welcome):
            self._welcome()
        elif isinstance(push, wire.Snapshot | wire.FactMessage | wire.Presence):
            site = self._sites.get(push.site)
            if site is not None:
                _take(self._link, site, push)
        elif isinstance(push, wire.Refusal):
            log.warning("the cloud declined: %s %s", push.message, push.hint)


def _first(grants: list[str]) -> tuple[str, ...]:
    """As many grants as fit into one frame, one at least."""
    taken: list[str] = []
    room = FIRST_GRANTS_CHARS
    for grant in grants:
        room -= len(grant) + 3
        if taken and room < 0:
            break
        taken.append(grant)
    return tuple(taken)

"""One site as this client sees it: what is shown, which paths are open, and what time it is there.

Fed by the paths, read by everybody else. Does no I/O but to store what it learns about finding the site. What
is shown never goes back: the links' shared `Positions` have dropped what is older before it comes here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from common import facts, wire
from common.client.connection import Connection
from common.client.profile import ADDRESSES_MAX, Profile, SiteEntry, placed, rotated, succeeded
from common.client.race import telling
from common.domain import Path, from_iso
from common.errors import Code, PlugsideError, RemoteFault, Unavailable
from common.facts import Fact
from common.ports import Clock
from common.trust import Rotation, newest_lists
from common.view import View, apply

log = logging.getLogger("plugside.client")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a site has changed; the view already holds it."""

    site: str
    kind: Literal["snapshot", "fact", "path", "presence"]
    fact: Fact | None = None  #: for `fact`: what happened; the same for everybody who may see it
    path: Path | None = None  #: by which it came; for `path`: the best that is open now


class Way:
    """One path of a site: the cloud's or the LAN's."""

    def __init__(self, path: Path, enabled: bool) -> None:
        self.path, self.enabled = path, enabled
        self.connection: Connection | None = None  #: open, and good for this site
        self.failure: PlugsideError | None = None  #: why the latest attempt failed
        self.attempts = 0  #: begun so far
        self.failed = 0  #: the latest attempt that has failed, by its number
        self.unwelcome = False  #: the other side is there, and does not serve this site
        self.wake = asyncio.Event()  #: set: try now, not when the pause is over

    @property
    def open(self) -> Connection | None:
        """Its connection, unless that has ended already."""
        connection = self.connection
        return connection if connection is not None and connection.fault is None else None


class Site:
    """See the module. `listeners` are called, synchronously, when a path opens, fails or closes."""

    def __init__(
        self,
        entry: SiteEntry,
        profile: Profile,
        clock: Clock,
        publish: Callable[[Change], None],
        *,
        lan: bool,
        cloud: bool,
    ) -> None:
        self.entry = entry
        self.view = View(site=entry.site)
        self.known = False  #: something has been shown
        self.online = True  #: as the cloud last told: the box has its tunnel
        self.lan = Way(Path.LAN, lan and bool(entry.box))
        self.cloud = Way(Path.CLOUD, cloud and bool(entry.cloud_url and entry.cloud_key))
        self.wants_cloud = False  #: a command found the LAN silent
        self.listeners: set[Callable[[], None]] = set()
        self._profile, self._clock, self._publish = profile, clock, publish
        self._copy = False
        self._fresh_ms = clock.mono_ms()
        self._box_time: int | None = None  # what to add to the clock that never steps; the box said so
        self._cloud_time: int | None = None  # the same by the cloud's clock

    @property
    def id(self) -> str:
        return self.entry.site

    # --- paths ---------------------------------------------------------------------------------------------

    @property
    def ways(self) -> tuple[Way, ...]:
        """The paths in use, the preferred one first."""
        return tuple(way for way in (self.lan, self.cloud) if way.enabled)

    @property
    def open_ways(self) -> list[Connection]:
        """Connections that are open now, the preferred one first."""
        return [connection for way in self.ways if (connection := way.open) is not None]

    @property
    def path(self) -> Path | None:
        """The best path that is open."""
        return self.open_ways[0].path if self.open_ways else None

    @property
    def grace_until(self) -> str:
        """Where the grant has run out and counts on while no cloud can be reached: until then; else empty."""
        told = (connection.sites.get(self.id) for connection in self.open_ways)
        return next((access.expires_at for access in told if access is not None and access.grace), "")

    def up(self, way: Way, connection: Connection) -> None:
        """A path has opened."""
        way.connection, way.failure, way.unwelcome = connection, None, False
        offset_ms = connection.server_time_ms() - self._clock.mono_ms()
        if way.path is Path.LAN:
            self._box_time = offset_ms
        else:
            self._cloud_time = offset_ms
        self._ways_changed()

    def down(self, way: Way, why: PlugsideError | None) -> None:
        """A path has closed."""
        way.unwelcome = False
        if way.connection is not None:
            way.failure = why
            if self._is_live():
                self._fresh_ms = self._clock.mono_ms()
            way.connection = None
            self._ways_changed()

    def fail(self, way: Way, failure: PlugsideError) -> None:
        """An attempt at a path has failed."""
        told = way.failure is not None and way.failure.code is failure.code
        way.failure = failure
        way.failed = way.attempts
        if told:
            self._tell_listeners()
        else:
            self._ways_changed()

    def kick(self) -> dict[Way, int]:
        """Try closed paths now. Returns what `hopeless` wants to know."""
        for way in self.ways:
            if way.open is None:
                way.wake.set()
        return {way: way.attempts for way in self.ways}

    def want_cloud(self) -> None:
        """The LAN is open but silent: have the cloud at hand as well."""
        if not self.wants_cloud:
            self.wants_cloud = True
            self._tell_listeners()

    def hopeless(self, since: dict[Way, int], spent: Collection[Connection] = ()) -> PlugsideError | None:
        """Why no path can be had: each was tried after `since` and has failed. None while there is hope.

        spent: open connections that are of no use to the caller any more.
        """
        for way in self.ways:
            if way.open is not None:
                if way.open not in spent:
                    return None
            elif not way.unwelcome and way.failed <= since.get(way, 0):
                return None
        return self.failure()

    def failure(self) -> PlugsideError:
        """What tells most about why there is no path."""
        failures = [way.failure for way in self.ways if way.failure is not None]
        if not self.ways:
            return Unavailable(Code.NO_PATH, "this device knows no such way to the site")
        return telling(failures) if failures else Unavailable(Code.NO_PATH, "nothing answered in time")

    def _ways_changed(self) -> None:
        self._publish(Change(site=self.id, kind="path", path=self.path))
        self._tell_listeners()

    def _tell_listeners(self) -> None:
        for listener in tuple(self.listeners):
            listener()

    # --- what is shown -------------------------------------------------------------------------------------

    def take(self, push: wire.Snapshot | wire.FactMessage | wire.Presence, path: Path) -> None:
        """What a followed link has pushed about this site. Raises RemoteFault on a fact that is none."""
        match push:
            case wire.Snapshot():
                self.view = push.view
                self.view.epoch, self.view.seq = push.epoch, push.seq
                self._copy = push.source != "edge"
                self._fresh_ms = self._clock.mono_ms() - push.age_ms
                if not self._copy:
                    self._hear_time(push.at, now=True)
                self.known = True
                self._publish(Change(site=self.id, kind="snapshot", path=path))
                self._tell_listeners()
            case wire.FactMessage():
                try:
                    fact = facts.read(push.epoch, push.seq, bytes(push.record))
                except (msgspec.DecodeError, RecursionError) as unreadable:
                    raise RemoteFault(Code.PROTOCOL, f"fact {push.seq}: {unreadable}") from None
                self._hear_time(fact.at, now=False)
                apply(self.view, fact)
                self._publish(Change(site=self.id, kind="fact", fact=fact, path=path))
            case wire.Presence():
                self._present(push.online)

    def _present(self, online: bool) -> None:
        if online != self.online or (online and self._copy):
            if not online and self._is_live():
                self._fresh_ms = self._clock.mono_ms()
            self.online = online
            self._copy = self._copy and not online
            self._publish(Change(site=self.id, kind="presence", path=Path.CLOUD))
            self._tell_listeners()

    def _is_live(self) -> bool:
        if self.lan.open is not None:
            return True
        return self.cloud.open is not None and self.online and not self._copy

    @property
    def age_ms(self) -> int:
        """How old what is shown is; 0 while a path to the box is open."""
        return 0 if self._is_live() else max(0, self._clock.mono_ms() - self._fresh_ms)

    # --- time at the site ----------------------------------------------------------------------------------

    def now_ms(self) -> int | None:
        """Site time: the box's own statement, else what the cloud thinks it is; None = not heard yet."""
        offset_ms = self._box_time if self._box_time is not None else self._cloud_time
        return None if offset_ms is None else self._clock.mono_ms() + offset_ms

    def _hear_time(self, at: str, *, now: bool) -> None:
        """The box has stated its time; now: the time now, else one that has passed already."""
        try:
            offset_ms = from_iso(at) - self._clock.mono_ms()
        except ValueError:
            return
        if now:
            self._box_time = offset_ms
        elif self._box_time is not None:
            self._box_time = max(offset_ms, self._box_time)

    # --- what is learnt about finding it -------------------------------------------------------------------

    def learn_access(self, access: wire.SiteAccess, *, from_box: bool, last_good: str = "") -> None:
        """What a welcome says about the site. Another box is believed on the pinned cloud's word only."""
        try:
            entry = self._placed(access, from_box=from_box)
        except RemoteFault as unproved:
            log.warning("%s: %s; pair again if it was replaced", self.entry.name or self.id, unproved)
            return
        addresses = access.addresses[:ADDRESSES_MAX] or entry.addresses
        # Where a site has a cloud, its operator has named it there; the box has the name it was set up with.
        named = access.name if not (from_box and entry.cloud_url) else ""
        moved = entry.box != self.entry.box
        self._store(
            msgspec.structs.replace(
                entry,
                name=named or entry.name or access.name,
                role=access.role or entry.role,
                box=entry.box or access.key,
                addresses=addresses,
                last_good=last_good or entry.last_good,
                box_lists=newest_lists(entry.box_lists, access.revocations if from_box else ()),
                cloud_lists=newest_lists(entry.cloud_lists, () if from_box else access.revocations),
            )
        )
        if not from_box:
            self.online = access.online
        if moved or addresses != entry.addresses:
            self.lan.wake.set()

    def _placed(self, access: wire.SiteAccess, *, from_box: bool) -> SiteEntry:
        """The entry with the site's box by this access. Raises RemoteFault: not by its cloud's word."""
        entry = self.entry
        if access.key in ("", entry.box) or not entry.box:
            told = bool(access.succession and entry.box) and not from_box
            return placed(entry, access) if told else entry
        try:
            entry = succeeded(entry, access)
        except RemoteFault:
            if access.key in entry.was:
                return self.entry  # the cloud has not heard yet that the box has another key
            raise
        log.info("%s has another box now, and its cloud says so", entry.name or entry.site)
        if self.lan.open is not None:
            self.lan.open.end(Unavailable(Code.SHUTTING_DOWN, "the site has another box"))
        return entry

    def learn_rotated(self, chain: tuple[Rotation, ...]) -> None:
        """The box has proved another key than the pinned one, and how it came to it (design §10)."""
        if chain and chain[-1].number > self.entry.box_number:
            log.info("the box of %s has another key now, by its own word", self.entry.name or self.id)
            self._store(rotated(self.entry, chain))

    def replace(self, entry: SiteEntry) -> None:
        """The device was paired with this site again: links of the old rights end."""
        self.entry = entry
        for link in self.open_ways:
            link.end(Unavailable(Code.SHUTTING_DOWN, "paired again"))
        self.kick()

    def learn_grant(self, granted: wire.Granted, *, from_box: bool) -> None:
        """A renewed grant. From the box itself also which cloud it belongs to."""
        entry = msgspec.structs.replace(self.entry, grant=granted.grant)
        if from_box and granted.cloud and granted.cloud_key:
            entry = msgspec.structs.replace(entry, cloud_url=granted.cloud, cloud_key=granted.cloud_key)
        self._store(entry)

    def _store(self, entry: SiteEntry) -> None:
        self.entry = entry
        try:
            self.entry = self._profile.put(entry)
        except PlugsideError as unwritten:
            # Known until this program ends; the next one finds it out again.
            log.warning("what was learnt about %s could not be kept: %s", entry.site, unwritten)

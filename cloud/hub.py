"""The hub: what each site looks like right now, and who follows it. One loop, no I/O but the copy's.

    tunnel ──live snapshot, live facts──▶ view ──filtered by policy──▶ followers
    tunnel ends ─────────────────────────▶ presence; the view stays, with its age, here and in the store

A snapshot and the following facts have no gap between: both are pushed from this loop, with no await in
between. A follower that reads too slowly is cut by its own link.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

import msgspec

from cloud.store.ports import Store
from cloud.store.rows import ViewCopy
from common import facts, policy, sync, wire
from common.domain import from_iso, iso
from common.errors import Code, RemoteFault
from common.policy import Claims
from common.ports import Clock
from common.view import View, apply

log = logging.getLogger("plugside.hub")

_view_encoder = msgspec.msgpack.Encoder()
_view_decoder = msgspec.msgpack.Decoder(View)


class Follower(Protocol):
    """A connected app (`common.applink.Peer`)."""

    @property
    def claims(self) -> Mapping[str, Claims]: ...

    def push(self, frame: bytes) -> None: ...

    def send(self, message: wire.Message) -> None: ...


class Present:
    """One site as this cloud sees it."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.link = 0  #: link_epoch of the tunnel that is open; 0 = the box is away
        self.view: View | None = None
        self.live = False  #: the view follows the box; else it is a copy
        self.seen_ms = 0  #: when the view was last true, by our clock
        self.site_ms = 0  #: site time at its last snapshot …
        self.site_mono_ms = 0  #: … and our steady clock then
        self.skew_ms = 0  #: … and how far it was ahead of our clock
        self.followers: dict[int, Follower] = {}


class Hub:
    """See the module."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._sites: dict[str, Present] = {}
        self._turns: dict[int, int] = {}  # follower → how often it has asked to follow

    # --- the tunnel's side ---------------------------------------------------------------------------------

    def arrived(self, site: str, link: int) -> None:
        """A box has been welcomed. What it looks like comes with its snapshot."""
        present = self._present(site)
        present.link, present.live = link, False

    def left(self, site: str, link: int) -> ViewCopy | None:
        """A tunnel has ended: tells followers, unless another has taken its place. Returns what to keep."""
        present = self._sites.get(site)
        if present is None or present.link != link:
            return None
        if present.live:
            present.seen_ms = self._clock.now_ms()
        present.link, present.live = 0, False
        gone = wire.Presence(site=site, online=False, at=iso(self._clock.now_ms()))
        for follower in tuple(present.followers.values()):
            follower.send(gone)
        copy = self.copy(site)
        self._let_go(present)
        return copy

    def snapshot(self, site: str, message: sync.LiveSnapshot) -> None:
        """The box has said how everything is: everyone begins anew from there."""
        if message.view.site != site:
            raise RemoteFault(Code.PROTOCOL, "a snapshot of another site")
        present = self._present(site)
        try:
            present.site_ms = from_iso(message.at)
        except ValueError:
            raise RemoteFault(Code.PROTOCOL, "a snapshot without a time") from None
        present.site_mono_ms = self._clock.mono_ms()
        present.skew_ms = present.site_ms - self._clock.now_ms()
        present.view, present.live = message.view, True
        present.view.epoch, present.view.seq = message.epoch, message.seq
        for follower in tuple(present.followers.values()):
            self._show(present, follower)
            follower.send(wire.Presence(site=site, online=True, at=iso(self._clock.now_ms())))

    def fact(self, site: str, message: sync.LiveFact) -> None:
        """One fact, committed at the box. Raises RemoteFault when one before it is missing."""
        present = self._sites.get(site)
        if present is None or present.view is None or not present.live:
            raise RemoteFault(Code.PROTOCOL, "a live fact before the snapshot")
        view = present.view
        if message.epoch == view.epoch and message.seq <= view.seq:
            return
        if message.epoch != view.epoch or message.seq != view.seq + 1:
            raise RemoteFault(
                Code.PROTOCOL, f"live fact {message.seq} of {message.epoch} after {view.seq} of {view.epoch}"
            )
        try:
            fact = facts.read(message.epoch, message.seq, message.record)
        except (ValueError, RecursionError):
            # Quarantine is the durable lane's business; here its place is kept and nobody is shown anything.
            view.seq = message.seq
            return
        apply(view, fact)
        if not present.followers:
            return
        frame = wire.encode(
            wire.FactMessage(site=site, epoch=fact.epoch, seq=fact.seq, record=msgspec.Raw(message.record))
        )
        for follower in tuple(present.followers.values()):
            claims = _rights(follower, site)
            if claims is not None and policy.visible(claims, fact.body):
                follower.push(frame)

    # --- the apps' side ------------------------------------------------------------------------------------

    def link(self, site: str) -> int:
        """The link_epoch of the site's open tunnel; 0 = the box is away."""
        present = self._sites.get(site)
        return present.link if present else 0

    def present(self, site: str) -> View | None:
        """The site as its connected box tells it; None while that is away or has not said yet."""
        present = self._sites.get(site)
        return present.view if present is not None and present.live else None

    def skew_ms(self, site: str) -> int:
        """How far the connected box's clock was ahead of ours at its last snapshot; 0 where it is away."""
        present = self._sites.get(site)
        return present.skew_ms if present is not None and present.live else 0

    @property
    def online(self) -> int:
        """How many boxes are connected."""
        return sum(1 for present in self._sites.values() if present.link)

    @property
    def followers(self) -> int:
        """How many follow something."""
        return sum(len(present.followers) for present in self._sites.values())

    async def follow(self, follower: Follower, sites: tuple[str, ...]) -> None:
        """Follow exactly these sites: a snapshot each, then facts. The latest call of a follower counts."""
        turn = self._turns[id(follower)] = self._turns.get(id(follower), 0) + 1
        self._stop(follower)
        for site in sites:
            await self._load(site)
            if self._turns.get(id(follower)) != turn:
                return  # asked for something else meanwhile, or left
            present = self._present(site)
            self._show(present, follower)
            present.followers[id(follower)] = follower

    def leave(self, follower: Follower) -> None:
        """The app is gone."""
        self._turns.pop(id(follower), None)
        self._stop(follower)

    def copy(self, site: str) -> ViewCopy | None:
        """What to keep of a site for when its box is away."""
        present = self._sites.get(site)
        if present is None or present.view is None:
            return None
        if present.live:
            present.seen_ms = self._clock.now_ms()
        view = present.view
        return ViewCopy(
            epoch=view.epoch, seq=view.seq, at_ms=present.seen_ms, view=_view_encoder.encode(view)
        )

    async def view(self, site: str) -> View | None:
        """The site as it is now, or was when its box was last here; None when that was never."""
        await self._load(site)
        present = self._present(site)
        view = present.view
        self._let_go(present)
        return view

    def _stop(self, follower: Follower) -> None:
        for present in tuple(self._sites.values()):
            present.followers.pop(id(follower), None)
            self._let_go(present)

    def _show(self, present: Present, follower: Follower) -> None:
        claims = _rights(follower, present.site)
        if claims is None:
            return
        now_ms = self._clock.now_ms()
        view = present.view or View(site=present.site)
        if present.live:
            at_ms = present.site_ms + self._clock.mono_ms() - present.site_mono_ms
            at, age_ms, source = iso(at_ms), 0, "edge"
        else:
            at = view.at or iso(present.seen_ms or now_ms)
            age_ms, source = max(0, now_ms - present.seen_ms) if present.seen_ms else 0, "copy"
        follower.send(
            wire.Snapshot(
                site=present.site,
                epoch=view.epoch,
                seq=view.seq,
                view=policy.view_for(claims, view),
                at=at,
                age_ms=age_ms,
                source=source,
            )
        )
        if not present.link:
            follower.send(wire.Presence(site=present.site, online=False, at=iso(now_ms)))

    async def _load(self, site: str) -> None:
        """Have the stored copy at hand for a site whose box is away."""
        present = self._sites.get(site)
        if present is not None and present.view is not None:
            return
        copy = await self._store.last_view(site)
        present = self._present(site)
        if copy is None or present.view is not None:
            return
        try:
            present.view = _view_decoder.decode(copy.view)
        except msgspec.DecodeError:
            log.warning("the stored view of %s is of another build; it comes back with its box", site)
            return
        present.seen_ms = copy.at_ms

    def _present(self, site: str) -> Present:
        known = self._sites.get(site)
        if known is None:
            known = self._sites[site] = Present(site)
        return known

    def _let_go(self, present: Present) -> None:
        """A site without box and without followers needs no memory: the store has its copy."""
        if not present.link and not present.followers:
            self._sites.pop(present.site, None)


def _rights(follower: Follower, site: str) -> Claims | None:
    """What a follower may see of a site now; whoever may open the cloud's own socket, all of it."""
    claims = follower.claims
    return claims.get(site) or claims.get("")

"""A box for tests: the real link, session and handshake; behind them a journal of one dict.

It recognises a command's id as the real one does: the first delivery has the effect, a repeat is told where
the command stands. What it does with a command is the test's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from common import commands, facts, trust, wire
from common.applink import Peer
from common.clock import SystemClock, SystemIds
from common.domain import iso
from common.errors import Code, PlugsideError, Refused, error
from common.facts import Body, Fact
from common.policy import Claims, view_for, visible
from common.view import View, apply


class FakeSite:
    """The truth about one site: a view, its facts, commands by id, and who listens."""

    def __init__(self, site: str = "s-home", epoch: str = "1-aa") -> None:
        self.view = View(site=site, epoch=epoch)
        self.effects: list[commands.Command] = []  #: each command that had its effect, once
        self.deliveries: list[tuple[str, str]] = []  #: (path, command id) of every delivery
        self.steps: dict[str, list[wire.Message]] = {}
        self.watchers: dict[str, list[Peer]] = {}
        self.followers: dict[int, tuple[Peer, Claims]] = {}
        self.script: Callable[[FakeSite, commands.Command], None] = accept_confirm_settle
        self.lag_ms = 0  #: what the box's clock says besides
        self._ids = SystemIds()
        self._clock = SystemClock()

    @property
    def site(self) -> str:
        return self.view.site

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.lag_ms

    def happen(self, *bodies: Body) -> list[Fact]:
        """Facts come to pass: the view advances, followers are told."""
        return [self._happen(body) for body in bodies]

    def _happen(self, body: Body) -> Fact:
        fact = facts.make(
            epoch=self.view.epoch,
            seq=self.view.seq + 1,
            uid=self._ids.uid(),
            at=iso(self.now_ms()),
            clock="synced",
            body=body,
        )
        apply(self.view, fact)
        frame = wire.encode(
            wire.FactMessage(site=self.site, epoch=fact.epoch, seq=fact.seq, record=msgspec.Raw(fact.record))
        )
        for peer, claims in list(self.followers.values()):
            if visible(claims, body):
                peer.push(frame)
        return fact

    def snapshot(self, claims: Claims, *, source: str = "edge", age_ms: int = 0) -> wire.Snapshot:
        view = view_for(claims, self.view)
        return wire.Snapshot(
            site=self.site,
            epoch=view.epoch,
            seq=view.seq,
            view=view,
            at=iso(self.now_ms()),
            age_ms=age_ms,
            source=source,
        )

    def take(self, peer: Peer, command: commands.Command) -> None:
        """One delivery of a command, the first or a repeat."""
        self.deliveries.append((peer.path.value, command.id))
        first = command.id not in self.steps
        self.watchers.setdefault(command.id, []).append(peer)
        if first:
            self.steps[command.id] = []
            self.effects.append(command)
            self.script(self, command)
        else:
            for step in self.steps[command.id]:
                peer.send(step)

    def tell(self, command_id: str, *steps: wire.Message) -> None:
        """A stage of a command, to all who asked for it."""
        for step in steps:
            self.steps[command_id].append(step)
            for peer in self.watchers[command_id]:
                peer.send(step)


def accept_confirm_settle(site: FakeSite, command: commands.Command) -> None:
    """What a healthy box and charger do."""
    site.tell(
        command.id,
        wire.Accepted(id=command.id),
        wire.Confirmed(id=command.id, answer="accepted"),
        wire.Settled(id=command.id, outcome="succeeded"),
    )


def refuse_with(code: Code) -> Callable[[FakeSite, commands.Command], None]:
    """A box that declines."""

    def script(site: FakeSite, command: commands.Command) -> None:
        why = error(code)
        site.tell(command.id, wire.Refusal(id=command.id, code=why.code, message=why.message, hint=why.hint))

    return script


def stay_silent(site: FakeSite, command: commands.Command) -> None:
    """A box that has it and says nothing."""


class FakeBackend:
    """`common.applink.Backend` over one `FakeSite`. The cloud's has `online` and hands commands through."""

    def __init__(self, site: FakeSite, access: Callable[[Claims], wire.SiteAccess]) -> None:
        self.site = site
        self.access = access
        self.peers: list[Peer] = []
        self.online = True
        self.declines_follow = False
        self.deaf = False  #: commands and pings are read and nothing comes of them
        self.rows: dict[str, Sequence[Any]] = {}
        self.granted: Callable[[str], wire.Granted] | None = None
        self.renewed: Callable[[Claims], wire.Granted] | None = None
        self.asked: list[wire.Message] = []

    def authenticated(self, peer: Peer, claims: tuple[Claims, ...]) -> None:
        if peer not in self.peers:
            self.peers.append(peer)
        peer.send(wire.Welcome(sites=tuple(map(self.access, claims)), time=iso(SystemClock().now_ms())))

    def follow(self, peer: Peer, sites: tuple[str, ...], since: dict[str, tuple[str, int]]) -> None:
        self.asked.append(wire.Follow(sites=sites, since=since))
        if self.declines_follow:
            raise error(Code.BUSY)
        self.site.followers.pop(id(peer), None)
        if self.site.site in sites:
            claims = peer.claims[self.site.site]
            copy = "edge" if self.online else "copy"
            peer.send(self.site.snapshot(claims, source=copy, age_ms=0 if self.online else 60_000))
            self.site.followers[id(peer)] = (peer, claims)

    def command(
        self,
        peer: Peer,
        message: wire.SendCommand,
        claims: Claims,
        payload: bytes,
        command: commands.Command,
    ) -> None:
        self.asked.append(message)
        if self.deaf:
            return
        if not self.online:
            raise error(Code.SITE_OFFLINE)
        assert trust.fingerprint_of(payload)
        self.site.take(peer, command)

    def query(self, peer: Peer, message: wire.Query, claims: Claims) -> None:
        if message.what not in self.rows:
            raise Refused(Code.BAD_REQUEST, f"there is no query {message.what!r}")
        rows = self.rows[message.what]
        start = int(message.after or 0)
        end = start + message.limit
        following = str(end) if end < len(rows) else ""
        peer.send(wire.Page(id=message.id, rows=tuple(rows[start:end]), next=following))

    def manage(self, peer: Peer, message: wire.Manage, claims: Claims) -> None:
        if message.name == "hang":
            return
        peer.send(wire.Managed(id=message.id, result={"name": message.name, **message.args}))

    def redeem(self, peer: Peer, message: wire.Redeem, key: str) -> None:
        self.asked.append(message)
        if self.granted is None:
            raise Refused(Code.BAD_INVITE)
        peer.send(self.granted(key))

    def renew(self, peer: Peer, message: wire.Renew, claims: Claims) -> None:
        self.asked.append(message)
        if self.renewed is None:
            raise Refused(Code.NOT_PERMITTED)
        peer.send(self.renewed(claims))

    def closed(self, peer: Peer) -> None:
        self.site.followers.pop(id(peer), None)
        if peer in self.peers:
            self.peers.remove(peer)

    def cut_all(self, code: Code = Code.SHUTTING_DOWN) -> None:
        """End every link with a reason."""
        for peer in list(self.peers):
            peer.cut(code)


def wrong(failed: BaseException) -> Code:
    """The code of an error of ours."""
    assert isinstance(failed, PlugsideError)
    return failed.code

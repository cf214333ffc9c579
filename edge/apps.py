"""The apps' door at the box: one backend for the LAN and for the local socket (design §6).

It knows no transport: `common.applink` runs each link and calls this. Commands go to the commander, reads to
the queries, administration to the management; all three judge rights by the claims that came with the link.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from common import commands, trust, wire
from common.answering import PACE, Answering
from common.applink import Peer
from common.budget import Rate, Sources
from common.domain import Role, iso
from common.errors import Code, PlugsideError, Refused
from common.facts import SecurityNoted
from common.policy import Claims
from common.ports import Clock, Ids
from common.supervise import Supervisor
from common.turns import Share
from edge import agreed
from edge.authority import Authority
from edge.commander import Commander, Sender
from edge.gateway import Gateway
from edge.management import Management
from edge.queries import Queries
from edge.renewing import Renewals

if TYPE_CHECKING:
    from common.sync import Step

log = logging.getLogger("plugside.apps")

#: Reads under way: a page may take some ms of the disk's reader. One key has four of them at a time, and more
#: waiting than all lists of all screens ask for.
READS = Share(at_once=64, each=4, waiting=512, waiting_each=64, pace=PACE)
#: Of whoever is there in person: served beside all phones, and in no pace.
READS_HERE = Share(at_once=16, each=4, waiting=256, waiting_each=256)
#: Frames of one key that are read: no person and no honest script comes near. The rest waits unread.
FRAMES = Rate(per_s=500, burst=2000)
#: Grants in their grace that are remembered as noted; more than a site has drivers.
GRACED_MAX = 1024


class Apps:
    """`common.applink.Backend` of the box."""

    def __init__(
        self,
        gateway: Gateway,
        commander: Commander,
        queries: Queries,
        management: Management,
        authority: Authority,
        tasks: Supervisor,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._gateway = gateway
        self._commander = commander
        self._queries = queries
        self._management = management
        self._authority = authority
        self._clock = clock
        self._senders: dict[int, Sender] = {}
        self._peers: dict[int, Peer] = {}
        self.renewals = Renewals(authority, clock, ids)
        self._answers = Answering(tasks, clock, READS, here=READS_HERE)
        self._frames = Sources(FRAMES)
        self._graced: dict[str, None] = {}  # grants that were noted, the latest last

    @property
    def links(self) -> int:
        """How many apps are connected."""
        return len(self._peers)

    def cut_all(self, code: Code, *, local: bool = True) -> None:
        """End every link with a reason: for the end of the process, or all but the box's own socket's."""
        for peer in list(self._peers.values()):
            if local or all(one.role is not Role.LOCAL for one in peer.claims.values()):
                peer.cut(code)

    # --- the handshake -----------------------------------------------------------------------------------

    def authenticated(self, peer: Peer, claims: tuple[Claims, ...]) -> None:
        self._peers[id(peer)] = peer
        peer.pace = self._frames.of(peer.key) if peer.key else None
        if any(map(self._authority.withdrawn, claims)):
            peer.cut(Code.REVOKED)  # by a list that it has brought itself
            return
        for one in claims:
            self._authority.authenticated(one, peer.client)
            agreed.learn(self._gateway, one)
            if one.grace:
                self._note_grace(peer, one)
        self._welcome(peer, claims)

    def _welcome(self, peer: Peer, claims: Iterable[Claims]) -> None:
        sites = tuple(map(self._authority.access, claims))
        peer.send(wire.Welcome(sites=sites, time=iso(self._clock.now_ms())))

    def carried(self, peer: Peer, lists: tuple[str, ...]) -> None:
        for one in self._authority.withdrawals.take(lists):
            log.warning("list %d of withdrawn rights came with the app at %s", one.number, peer.address)

    def rights_changed(self) -> None:
        """Something was withdrawn: links of whom it concerns end now, others get the new list to carry."""
        for peer in list(self._peers.values()):
            claims = [one for one in peer.claims.values() if one.role is not Role.LOCAL]
            if any(map(self._authority.withdrawn, claims)):
                peer.cut(Code.REVOKED)
            elif claims:
                self._welcome(peer, claims)

    def _note_grace(self, peer: Peer, claims: Claims) -> None:
        """Shown and audited (design §10), once for each grant: a phone may connect a thousand times."""
        if claims.grant in self._graced:
            return
        body = SecurityNoted(what="offline_grace", address=peer.address, detail=claims.principal)
        self._gateway.note(body)
        log.warning("%s acts on a grant that has run out, within the offline grace", claims.principal)
        while len(self._graced) >= GRACED_MAX:
            del self._graced[next(iter(self._graced))]
        self._graced[claims.grant] = None

    def redeem(self, peer: Peer, message: wire.Redeem, key: str) -> None:
        granted = self._authority.redeem(message.secret, key)
        # The right is told of once the fact about it is on disk.
        self._gateway.when_committed(lambda: peer.send(granted))

    def renew(self, peer: Peer, message: wire.Renew, claims: Claims) -> None:
        self._answer(peer, "", self.renewals.renew(message.grant, claims))

    def noted(self, what: str, address: str) -> None:
        """Something at the doors that an operator should know; nothing hangs on it."""
        with suppress(PlugsideError):
            self._gateway.note(SecurityNoted(what=what, address=address))

    # --- an open link ------------------------------------------------------------------------------------

    def follow(self, peer: Peer, sites: tuple[str, ...], since: dict[str, tuple[str, int]]) -> None:  # noqa: ARG002
        """Always from a snapshot: a site's view is smaller than what a phone may have missed."""
        if sites != (self._authority.site,):
            raise Refused(Code.UNKNOWN_SITE)
        self._gateway.follow(peer, peer.claims[self._authority.site])

    def command(
        self,
        peer: Peer,
        message: wire.SendCommand,  # noqa: ARG002 - opened already
        claims: Claims,
        payload: bytes,
        command: commands.Command,
    ) -> None:
        sender = self._senders.get(id(peer))
        if sender is None:

            def tell(step: Step) -> None:
                peer.send(step)

            sender = self._senders[id(peer)] = Sender(tell)
        self._commander.take(trust.OpenedCommand(payload, command), claims, peer.path, sender)

    def query(self, peer: Peer, message: wire.Query, claims: Claims) -> None:
        self._answer(peer, message.id, self._queries.answer(message, claims))

    def manage(self, peer: Peer, message: wire.Manage, claims: Claims) -> None:
        self._answer(peer, message.id, self._management.answer(message, claims))

    def _answer(self, peer: Peer, request_id: str, asked: Awaitable[wire.Message]) -> None:
        """Answer when it is there, without holding up the link that asked."""
        self._answers.answer(peer, f"answer {request_id}", request_id, asked)

    def closed(self, peer: Peer) -> None:
        self._gateway.bus.leave(peer)
        self._peers.pop(id(peer), None)
        self._answers.leave(peer)
        sender = self._senders.pop(id(peer), None)
        if sender is not None:
            self._commander.leave(sender)

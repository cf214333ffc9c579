"""The apps' door at the cloud: one backend for app links from outside and for the local socket (design §6).

It knows no transport: `common.applink` runs each link and calls this. Reads go to the queries, administration
to the management, commands to the router; rights are the claims that came with the link.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any

from cloud.accounts import Accounts
from cloud.counters import Counters
from cloud.hub import Hub
from cloud.management import Management
from cloud.queries import Queries
from cloud.router import Router
from cloud.store.ports import Store
from common import commands, wire
from common.answering import PACE, Answering
from common.applink import Peer
from common.budget import Rate, Sources
from common.domain import Role, iso
from common.errors import Code, PlugsideError, Refused, Unavailable
from common.policy import Claims
from common.ports import Clock
from common.supervise import Supervisor
from common.turns import Share

log = logging.getLogger("plugside.apps")

#: Requests under way: a page takes some ms of the database's readers. One key has eight of them at a time,
#: and as many waiting as our own client ever asks for.
REQUESTS = Share(at_once=256, each=8, waiting=4096, waiting_each=256, pace=PACE)
#: Of whoever is there in person: served beside all apps, and in no pace.
REQUESTS_HERE = Share(at_once=16, each=8, waiting=256, waiting_each=256)
#: Frames of one key that are read: no person and no honest script comes near. The rest waits unread.
FRAMES = Rate(per_s=200, burst=2000)
#: Commands of one key that are carried: an operator's script for every charger of a large site.
COMMANDS = Rate(per_s=20, burst=400)
#: Stops and limits have a budget of their own: every charge of a large site, at once.
STOPS = Rate(per_s=50, burst=1000)


class Apps:
    """`common.applink.Backend` of the cloud."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        hub: Hub,
        router: Router,
        queries: Queries,
        management: Management,
        counters: Counters,
        tasks: Supervisor,
        clock: Clock,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._hub = hub
        self._router = router
        self._queries = queries
        self._management = management
        self._counters = counters
        self._tasks = tasks
        self._clock = clock
        self._peers: dict[int, Peer] = {}
        self._answers = Answering(tasks, clock, REQUESTS, here=REQUESTS_HERE)
        self._frames, self._commands, self._stops = Sources(FRAMES), Sources(COMMANDS), Sources(STOPS)
        self._ended_with: Code | None = None  #: every link was; so is each that comes after

    @property
    def links(self) -> int:
        """How many apps are connected."""
        return len(self._peers)

    def cut_all(self, code: Code) -> None:
        """End every link with a reason, for the end of the process."""
        self._ended_with = code
        for peer in tuple(self._peers.values()):
            peer.cut(code)

    # --- the handshake -------------------------------------------------------------------------------------

    def authenticated(self, peer: Peer, claims: tuple[Claims, ...]) -> None:
        if self._ended_with is not None:
            peer.cut(self._ended_with)
            return
        self._peers[id(peer)] = peer
        peer.pace = self._frames.of(peer.key) if peer.key else None
        self._counters.links = self.links
        if any(one.role is Role.LOCAL for one in claims):
            everywhere = wire.SiteAccess(site="", role=Role.LOCAL.value, principal="local")
            peer.send(wire.Welcome(sites=(everywhere,), time=iso(self._clock.now_ms())))
            return
        self._begin("welcome", peer, "", self._welcome(claims))

    async def _welcome(self, claims: tuple[Claims, ...]) -> wire.Welcome:
        sites = []
        for one in claims:
            await self._accounts.let_in(one)
            row = await self._store.site(one.site)
            if row is not None:
                await self._accounts.authenticated(one)
                sites.append(self._accounts.access(row, one, online=bool(self._hub.link(one.site))))
        return wire.Welcome(sites=tuple(sites), time=iso(self._clock.now_ms()))

    def carried(self, peer: Peer, lists: tuple[str, ...]) -> None:
        for site in {claims.site for claims in peer.claims.values() if claims.site}:
            self._tasks.spawn("carried", self._accounts.withdrawals.take(site, lists))

    def rights_changed(self, site: str) -> None:
        """Something was withdrawn: links of whom it concerns end now, others get the new list to carry."""
        for peer in tuple(self._peers.values()):
            mine = peer.claims.get(site)
            if mine is None or mine.role is Role.LOCAL:
                continue
            if self._accounts.verifier.withdrawn(mine):
                peer.cut(Code.REVOKED)
            else:
                self._begin("welcome", peer, "", self._welcome(tuple(peer.claims.values())))

    def redeem(self, peer: Peer, message: wire.Redeem, key: str) -> None:
        self._begin("redeem", peer, "", self._accounts.redeem(message.secret, key, message.device[:64]))

    def renew(self, peer: Peer, message: wire.Renew, claims: Claims) -> None:  # noqa: ARG002
        self._begin("renew", peer, "", self._accounts.renew(claims))

    # --- an open link --------------------------------------------------------------------------------------

    def follow(self, peer: Peer, sites: tuple[str, ...], since: dict[str, tuple[str, int]]) -> None:  # noqa: ARG002
        """Always from a snapshot: a site's view is smaller than what a phone may have missed."""
        self._begin("follow", peer, "", self._follow(peer, sites))

    async def _follow(self, peer: Peer, sites: tuple[str, ...]) -> None:
        try:
            for claims in peer.claims.values():
                await self._accounts.let_in(claims)
            await self._hub.follow(peer, sites)
        finally:
            if peer.ended is not None or id(peer) not in self._peers:
                self._hub.leave(peer)  # it went while its snapshot was being fetched

    def command(
        self,
        peer: Peer,
        message: wire.SendCommand,
        claims: Claims,
        payload: bytes,
        command: commands.Command,
    ) -> None:
        if claims.role is Role.LOCAL:
            hint = "Pair a device as operator: `plugside-cloud invite SITE --role operator`."
            raise Refused(Code.NOT_PERMITTED, "the cloud itself commands no charger", hint=hint)
        self._in_budget(claims.key, urgent=commands.CLASSES[command.name].urgent)
        if self._accounts.doubtful(claims):
            self._tasks.spawn("command", self._doubtful(peer, message, claims, payload, command))
        else:
            self._router.command(peer, message, claims, payload, command)

    def _in_budget(self, key: str, *, urgent: bool) -> None:
        """Raises Unavailable(busy): nothing of the command is kept, and the same one may be sent again."""
        budget = (self._stops if urgent else self._commands).of(key)
        now_s = self._clock.mono_ms() / 1000
        if not budget.take(now_s):
            self._counters.commands["busy"] += 1
            hint = f"Try again in {ceil(budget.wait_s(now_s))} s; on the site's own Wi-Fi at once."
            raise Unavailable(Code.BUSY, "too many commands of this device", hint=hint)

    async def _doubtful(
        self,
        peer: Peer,
        message: wire.SendCommand,
        claims: Claims,
        payload: bytes,
        command: commands.Command,
    ) -> None:
        """One whose sender may not be let in: that is looked up first."""
        try:
            await self._accounts.let_in(claims)
            self._router.command(peer, message, claims, payload, command)
        except PlugsideError as declined:
            peer.refuse(declined, message.id)

    async def _served(
        self, claims: Claims, answer: Callable[[Any, Claims], Awaitable[wire.Message]], message: Any
    ) -> wire.Message:
        """What is asked on an open link: of whom it is open to in earnest."""
        await self._accounts.let_in(claims)
        return await answer(message, claims)

    def query(self, peer: Peer, message: wire.Query, claims: Claims) -> None:
        self._begin(message.what, peer, message.id, self._served(claims, self._queries.answer, message))

    def manage(self, peer: Peer, message: wire.Manage, claims: Claims) -> None:
        self._begin(message.name, peer, message.id, self._served(claims, self._management.answer, message))

    def closed(self, peer: Peer) -> None:
        self._peers.pop(id(peer), None)
        self._counters.links = self.links
        self._hub.leave(peer)
        self._answers.leave(peer)
        self._router.closed(peer)

    # --- answers that take a moment ------------------------------------------------------------------------

    def _begin(self, name: str, peer: Peer, request_id: str, asked: Awaitable[wire.Message | None]) -> None:
        """Answer when it is there, without holding up the link that asked."""
        self._answers.answer(peer, name, request_id, asked)

"""The tunnels of this process: which box has one, what goes down it, and how each ends (design §9).

One live tunnel a site: the next hello fences the earlier one in SQL and ends it here. `cloud.tunnel` is one
tunnel's own life.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from cloud.callers import crowded
from cloud.store.rows import SiteRow, ViewCopy
from cloud.tunnel import Shared, Socket, Tunnel
from common import sync, trust, wire
from common.errors import Code, PlugsideError, Refused, RemoteFault, Unavailable, error

log = logging.getLogger("plugside.edges")

#: Rows of a box's answer that are asked for at once: about 50 KiB.
PAGE_ROWS = 200


class Edges:
    """All tunnels of this process."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._tunnels: dict[str, Tunnel] = {}
        self._open: set[Tunnel] = set()
        self._ending_with: Code | None = None  #: every tunnel; so does each that comes after

    async def serve(self, socket: Socket, hosts: frozenset[str]) -> None:
        """Run one tunnel to its end. hosts: the names by which boxes may know this cloud.

        Raises nothing but cancellation.
        """
        if crowded(socket.peer, (other.socket.peer for other in self._open if not other.link)):
            self._shared.counters.refused["strangers"] += 1
            await socket.close(Code.BUSY)
            return
        tunnel = Tunnel(self._shared, socket, hosts, self._take_place)
        self._open.add(tunnel)
        if self._ending_with is not None:
            tunnel.end(error(self._ending_with))
        why: PlugsideError | None = None
        try:
            await tunnel.run()
        except PlugsideError as ended:
            why = ended
        except ExceptionGroup as group:
            why = next((e for e in _leaves(group) if isinstance(e, PlugsideError)), None)
            if why is None and not all(isinstance(e, ConnectionError) for e in _leaves(group)):
                log.exception("a tunnel from %s failed", socket.peer)
                why = error(Code.INTERNAL)
        except TimeoutError:
            why = RemoteFault(Code.PROTOCOL, "no hello came in time")
        except ConnectionError:
            pass
        finally:
            try:
                await self._ended(tunnel, why)
            finally:
                self._open.discard(tunnel)

    async def _ended(self, tunnel: Tunnel, why: PlugsideError | None) -> None:
        site = tunnel.site
        tunnel.give_up_asking()
        copy = None
        if site is not None and tunnel.link:  # it was welcomed
            if self._tunnels.get(site.id) is tunnel:
                del self._tunnels[site.id]
            copy = self._shared.hub.left(site.id, tunnel.link)
            self._shared.router.disconnected(site.id)
        try:
            if why is not None:
                log.warning("tunnel of %s ended: %s", site.name if site else tunnel.socket.peer, why)
                await tunnel.goodbye(why)
            await tunnel.socket.close(why.code if why else None)
        finally:
            if site is not None and copy is not None:
                await self._keep(site, copy)

    async def _keep(self, site: SiteRow, copy: ViewCopy) -> None:
        try:
            await self._shared.store.keep_view(site.id, copy)
        except Unavailable as trouble:
            log.warning("the last state of %s could not be kept: %s", site.name, trouble)

    def _take_place(self, tunnel: Tunnel) -> None:
        """This tunnel is the site's from now on."""
        assert tunnel.site is not None
        before = self._tunnels.get(tunnel.site.id)
        self._tunnels[tunnel.site.id] = tunnel
        if before is not None and before is not tunnel:
            before.end(Refused(Code.SHUTTING_DOWN, "this box has connected again"))

    def relay(self, site: str, frame: sync.Relay) -> None:
        """Hand a command to a site's box. Raises Unavailable: site_offline, busy."""
        self._tunnel(site).say(frame)

    def tell(self, statements: tuple[str, ...]) -> None:
        """Tell every box whom to believe from now on. One that does not read hears it on its return."""
        for tunnel in tuple(self._tunnels.values()):
            with suppress(Unavailable):
                tunnel.say(sync.Statements(trust=statements))

    def capped(self, site: str, grant: str) -> None:
        """Tell a site's box what somebody's cards are good for; in its welcome, if it is away."""
        tunnel = self._tunnels.get(site)
        if tunnel is not None:
            with suppress(Unavailable):
                tunnel.say(sync.Statements(rights=(grant,)))

    def replaced(self, site: str) -> None:
        """Another box is this site's from now on: who had it is heard no longer, whatever it does."""
        for tunnel in tuple(self._open):
            if tunnel.site is not None and tunnel.site.id == site:
                tunnel.end(RemoteFault(Code.UNTRUSTED_PEER, "this site has another box now"))

    def withdrawn(self, one: trust.RevocationList) -> None:
        """Tell a site's box what is withdrawn there from now on; in its welcome, if it is away."""
        tunnel = self._tunnels.get(one.site)
        if tunnel is not None:
            with suppress(Unavailable):
                tunnel.say(sync.Statements(revocations=(one.text,)))

    async def ask(self, site: str, what: str, **args: Any) -> list[Any]:
        """All rows of a question that only the box can answer. Raises Unavailable, or what it was refused."""
        return [row async for page in self.pages(site, what, **args) for row in page]

    async def pages(self, site: str, what: str, **args: Any) -> AsyncIterator[Sequence[Any]]:
        """The same, page by page."""
        after = ""
        while True:
            query_id = self._shared.ids.uid()
            query = wire.Query(id=query_id, site=site, what=what, args=args, after=after, limit=PAGE_ROWS)
            page = await self._tunnel(site).ask(query)
            yield page.rows
            if not page.next or not page.rows:
                return
            after = page.next

    def _tunnel(self, site: str) -> Tunnel:
        tunnel = self._tunnels.get(site)
        if tunnel is None:
            raise Unavailable(Code.SITE_OFFLINE)
        return tunnel

    @property
    def open(self) -> int:
        """How many tunnels are open, welcomed or not yet."""
        return len(self._open)

    def end_all(self, code: Code) -> None:
        """Say goodbye to every box, welcomed or not yet, for the end of the process."""
        self._ending_with = code
        for tunnel in tuple(self._open):
            tunnel.end(error(code))


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for inner in group.exceptions:
        found += _leaves(inner) if isinstance(inner, BaseExceptionGroup) else [inner]
    return found

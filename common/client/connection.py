"""One authenticated app link of a client: requests go out, answers come back to whoever asked.

    caller ──▶ session ──▶ writer ──▶ link        asking never waits; the link's own pace is the writer's
    caller ◀── session ◀── reader ◀── link        the reader never waits for a caller

LAN, cloud and local socket alike. `handshake.authenticate` brings a link to the point where both sides are
proved; `Connection` then runs it. What is pushed (snapshots, facts, presence) goes to one callback, or to an
iterator with a bounded queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

from common import commands, wire
from common.appsession import Closed
from common.client.answers import OPEN_MAX, A, Answers, in_time
from common.client.background import Background
from common.client.handshake import Opened
from common.client.stages import StageMessage, Stages
from common.clock import SystemClock, SystemIds
from common.domain import Path, Target, from_iso, iso
from common.errors import Code, LocalFault, PlugsideError, Unavailable, error, from_wire
from common.ports import Clock, Ids

log = logging.getLogger("plugside.client")

#: Pushes that an iterator may be behind; a site of hundreds of chargers sends as many in half a minute.
PUSHES_MAX = 4096
#: Rows asked for at once.
PAGE_ROWS = 200
#: Pages in a row that may be empty and yet not the last: 20,000 sessions without a flag.
EMPTY_PAGES_MAX = 100

Push = wire.Snapshot | wire.FactMessage | wire.Presence | wire.Welcome | wire.Granted | wire.Refusal
Pushed = Callable[[Push], None]


class Connection:
    """See the module. `async with Connection(opened) as connection`; leaving the block closes the link."""

    def __init__(
        self,
        opened: Opened,
        *,
        pushed: Pushed | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        """pushed: called for all that was not asked for by id, in order; must not wait. Replaced by
        `follow`."""
        self._link, self._session = opened.link, opened.session
        self._proved_ms = opened.proved_ms
        self.granted = opened.granted
        self._pushed: Pushed = pushed or _ignore
        self._clock, self._ids = clock or SystemClock(), ids or SystemIds()
        self._tasks = Background()
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self._fault: PlugsideError | None = None
        self._answers = Answers()
        self._commands: dict[str, tuple[Callable[[StageMessage], None], Callable[[PlugsideError], None]]] = {}
        self._renewing = asyncio.Lock()
        self._doubted = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.start(self._read())
        self._tasks.start(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end(Unavailable(Code.SHUTTING_DOWN, "this connection was closed here"))
        try:
            await self._tasks.__aexit__()
        finally:
            await self._link.close()

    # --- what it is ----------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Which way it goes."""
        return self._link.path

    @property
    def peer(self) -> str:
        """The address at the other end, for people."""
        return self._link.peer

    @property
    def sites(self) -> Mapping[str, wire.SiteAccess]:
        """The sites that this link gives access to, by id, as last told."""
        assert self._session.welcome is not None, "a connection is made of a link that was welcomed"
        return {access.site: access for access in self._session.welcome.sites}

    @property
    def server(self) -> str:
        """The proved fingerprint of who serves."""
        assert self._session.proof is not None
        return self._session.proof.server

    @property
    def fault(self) -> PlugsideError | None:
        """Why it ended; None while it is open."""
        return self._fault

    def server_time_ms(self) -> int:
        """The time by the server's signed proof, carried on by a clock that never steps."""
        assert self._session.proof is not None
        return from_iso(self._session.proof.time) + self._clock.mono_ms() - self._proved_ms

    async def closed(self) -> PlugsideError:
        """Wait until it has ended; returns why."""
        await self._closed.wait()
        assert self._fault is not None
        return self._fault

    # --- asking --------------------------------------------------------------------------------------------

    async def page(
        self,
        what: str,
        args: Mapping[str, Any] | None = None,
        *,
        site: str | None = None,
        after: str = "",
        limit: int = PAGE_ROWS,
    ) -> wire.Page:
        """One page of a query. Raises PlugsideError: what was refused, or why there was no answer."""
        query = wire.Query(
            id=self._ids.uid(),
            site=self._one_site(site),
            what=what,
            args=dict(args or {}),
            after=after,
            limit=limit,
        )
        return await self._answer(query.id, query, wire.Page)

    async def query(
        self,
        what: str,
        args: Mapping[str, Any] | None = None,
        *,
        site: str | None = None,
        limit: int | None = None,
    ) -> list[Any]:
        """All rows of a query, page by page; at most `limit`. Raises as `page` does."""
        rows: list[Any] = []
        after, empty = "", 0
        while limit is None or len(rows) < limit:
            ask_for = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit - len(rows))
            page = await self.page(what, args, site=site, after=after, limit=ask_for)
            rows += page.rows
            after = page.next
            empty = 0 if page.rows else empty + 1  # of what was gone through, none may have been asked for
            if not after or empty > EMPTY_PAGES_MAX:
                break
        return rows

    async def manage(
        self, name: str, args: Mapping[str, Any] | None = None, *, site: str | None = None
    ) -> dict[str, Any]:
        """Ask for administration; never repeated by itself. Raises as `page` does."""
        asked = wire.Manage(id=self._ids.uid(), site=self._one_site(site), name=name, args=dict(args or {}))
        return (await self._answer(asked.id, asked, wire.Managed)).result

    def command(
        self,
        name: commands.Name,
        target: Target,
        args: Mapping[str, Any] | None = None,
        *,
        site: str | None = None,
    ) -> Stages:
        """Ask a charger for something, as local presence: the socket itself is the signature.

        Returns at once; await the stages. A lost link fails them. (A device's commands are signed and fall
        over to another path: `common.client.client`.)
        """
        assert self.path is Path.LOCAL, "a command that leaves this machine is signed and stored first"
        ttl_ms = commands.CLASSES[name].ttl_ms
        command = commands.Command(
            site=self._one_site(site),
            id=self._ids.uid(),
            name=name,
            target=target,
            args=dict(args or {}),
            expires_at=iso(self.server_time_ms() + ttl_ms),
        )
        stages = Stages(command.id)
        message = wire.SendCommand(
            id=command.id, site=command.site, envelope=commands.encode(command).decode()
        )
        self.send_command(message, stages.tell, stages.fail)
        return stages

    def send_command(
        self,
        message: wire.SendCommand,
        tell: Callable[[StageMessage], None],
        lost: Callable[[PlugsideError], None],
    ) -> None:
        """Send a command. `tell` hears its stages; `lost` is called instead when the link ends first."""
        if self._fault is not None:
            lost(self._fault)
        elif len(self._commands) >= OPEN_MAX:
            lost(Unavailable(Code.BUSY))
        else:
            self._commands[message.id] = (tell, lost)
            self._ask(message)

    async def renew(self, grant: str) -> wire.Granted:
        """A fresh grant in place of this one; the session shows it by itself. Raises as `page` does."""
        async with self._renewing:
            self._raise_if_over()
            waiting = self._answers.expect_renewal()
            try:
                self._session.renew(grant)
                self._wake.set()
                return await in_time(waiting, wire.Granted)
            finally:
                self._answers.forget_renewal()

    def show(self, *grants: str) -> None:
        """Show more grants; a new welcome is pushed."""
        self._raise_if_over()
        self._session.show(*grants)
        self._wake.set()

    async def ping(self, timeout_s: float) -> None:
        """Whether the other side still answers. Raises Unavailable(no_path)."""
        self._raise_if_over()
        waiting = self._answers.expect_pong()
        self._ask(wire.Ping())
        await in_time(waiting, wire.Pong, timeout_s)

    def doubt(self, pong_within_s: float) -> None:
        """Ask whether the other side is there, and end the link when it does not say so in time."""
        if not self._doubted and self._fault is None:
            self._doubted = True
            self._tasks.start(self._verify(pong_within_s))

    async def _verify(self, pong_within_s: float) -> None:
        try:
            await self.ping(pong_within_s)
        except PlugsideError as silent:
            self._end(silent)
        finally:
            self._doubted = False

    def end(self, fault: PlugsideError) -> None:
        """Give the link up: whoever waits for an answer gets `fault`."""
        self._end(fault)

    # --- following -----------------------------------------------------------------------------------------

    def follow_with(self, pushed: Pushed, *sites: str) -> None:
        """Follow these sites, in place of any before, from where they were last shown."""
        self._raise_if_over()
        self._pushed = pushed
        self._session.follow(*sites)
        self._wake.set()

    async def follow(self, *sites: str) -> AsyncIterator[Push]:
        """Follow these sites (none named = all of this link), and yield what is pushed until it ends.

        Raises PlugsideError with why it ended; slow_reader when the caller is `PUSHES_MAX` behind.
        """
        queue: deque[Push] = deque()
        came = asyncio.Event()

        def put(push: Push) -> None:
            if len(queue) >= PUSHES_MAX:
                self._end(Unavailable(Code.SLOW_READER))
                return
            queue.append(push)
            came.set()

        self.follow_with(put, *(sites or self.sites))
        over = self._tasks.start(self._closed.wait())
        over.add_done_callback(lambda _: came.set())
        while True:
            await came.wait()
            came.clear()
            while queue:
                push = queue.popleft()
                if isinstance(push, wire.Refusal):
                    raise from_wire(push.code, push.message, push.hint)
                yield push
            self._raise_if_over()

    # --- inside --------------------------------------------------------------------------------------------

    def _one_site(self, site: str | None) -> str:
        if site is not None:
            return site
        if len(self.sites) != 1:
            raise LocalFault(Code.BAD_SETTINGS, f"this link reaches {len(self.sites)} sites; name one")
        return next(iter(self.sites))

    def _raise_if_over(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _ask(self, message: wire.SendCommand | wire.Query | wire.Manage | wire.Ping) -> None:
        self._session.ask(message)
        self._wake.set()

    async def _answer(self, request_id: str, message: wire.Query | wire.Manage, kind: type[A]) -> A:
        self._raise_if_over()
        waiting = self._answers.expect(request_id)
        try:
            self._ask(message)
            return await in_time(waiting, kind)
        finally:
            self._answers.forget(request_id)

    async def _write(self) -> None:
        while not self._closed.is_set():
            await self._wake.wait()
            self._wake.clear()
            for frame in self._session.data_to_send():
                try:
                    await self._link.send(frame)
                except ConnectionError:
                    return  # the reader sees the end, with the reason if there is one

    async def _read(self) -> None:
        said: PlugsideError | None = None
        while (frame := await self._link.receive()) is not None:
            for message in self._session.receive(frame):
                if isinstance(message, wire.Bye):
                    said = from_wire(message.code, message.message, message.hint)
                elif isinstance(message, Closed):
                    self._end(said or error(message.code, message.detail))
                    return
                else:
                    self._take(message)
            self._wake.set()  # the session may have answered by itself
        self._end(self._lost())

    def _lost(self) -> PlugsideError:
        if self.path is Path.LOCAL:
            return LocalFault(Code.NOT_RUNNING, "it went away")
        return Unavailable(Code.NO_PATH, f"{self.peer} hung up")

    def _take(self, message: wire.ServerMessage) -> None:
        answered = self._answers.take(message)
        match message:
            case wire.Accepted() | wire.Confirmed() | wire.Settled():
                self._stage(message)
            case wire.Refusal() if message.id:
                self._stage(message)
            case wire.Refusal() if answered:
                pass
            case (
                wire.Snapshot()
                | wire.FactMessage()
                | wire.Presence()
                | wire.Welcome()
                | wire.Granted()
                | wire.Refusal()
            ):
                self._pushed(message)
            case _ if not answered:
                log.debug("%s sent a %s that nobody waits for", self.peer, type(message).__name__)

    def _stage(self, message: StageMessage) -> None:
        known = self._commands.get(message.id)
        if known is None:
            return
        if isinstance(message, wire.Settled | wire.Refusal):
            del self._commands[message.id]
        known[0](message)

    def _end(self, fault: PlugsideError) -> None:
        if self._fault is not None:
            return
        self._fault = fault
        self._closed.set()
        self._answers.fail(fault)
        commands_open, self._commands = self._commands, {}
        for _, lost in commands_open.values():
            lost(fault)


def _ignore(push: Push) -> None:
    log.debug("nobody follows: %s", type(push).__name__)

"""Several ways at once; the first on which both sides are proved wins (design §11), the others are closed.

Known addresses are dialled together. What takes longer (mDNS) is asked only when they have failed or do not
answer, and joins the same race.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing

from common.client.handshake import Opened
from common.errors import Code, PlugsideError, Refused, Unavailable

#: Ways in one race: known addresses and what mDNS adds.
WAYS_MAX = 16

Dial = Callable[[str], Awaitable[Opened]]
Search = Callable[[], AsyncGenerator[str, None]]


async def race(
    addresses: Iterable[str], dial: Dial, search: Search | None = None, *, search_after_s: float = 1.0
) -> tuple[str, Opened]:
    """The address that won, and its link. dial: raises PlugsideError. search: more addresses, as found.

    search_after_s: how long the known addresses have to themselves, unless they fail sooner.
    Raises the most telling error of those that failed.
    """
    run = _Race(dial, search_after_s)
    try:
        async with asyncio.TaskGroup() as tasks:
            run.enter(tasks, addresses)
            if search is not None:
                run.search(tasks, search)
            try:
                await run.finished()
            finally:
                run.stop()
    except BaseException:
        if run.winner is not None:  # cancelled at the moment of winning
            await run.winner[1].link.close()
        raise
    if run.winner is None:
        raise telling(run.errors)
    return run.winner


class _Race:
    def __init__(self, dial: Dial, search_after_s: float) -> None:
        self.winner: tuple[str, Opened] | None = None
        self.errors: list[PlugsideError] = []
        self._dial, self._search_after_s = dial, search_after_s
        self._tried: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._change = asyncio.Event()

    def enter(self, tasks: asyncio.TaskGroup, addresses: Iterable[str]) -> None:
        for address in addresses:
            if address not in self._tried and len(self._tried) < WAYS_MAX:
                self._tried.add(address)
                self._run(tasks.create_task(self._attempt(address)))

    def search(self, tasks: asyncio.TaskGroup, search: Search) -> None:
        self._run(tasks.create_task(self._search(tasks, search, tuple(self._running))))

    def _run(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._change.set()

    async def finished(self) -> None:
        """Until somebody has won or nobody is left."""
        while self.winner is None and self._running:
            await self._change.wait()
            self._change.clear()

    def stop(self) -> None:
        for task in tuple(self._running):
            task.cancel()

    async def _attempt(self, address: str) -> None:
        try:
            opened = await self._dial(address)
        except PlugsideError as failed:
            self.errors.append(failed)
            return
        if self.winner is None:
            self.winner = (address, opened)
            return
        # Second by a moment. Not among the running any more, so that it is closed in peace.
        task = asyncio.current_task()
        assert task is not None
        self._running.discard(task)
        await opened.link.close()

    async def _search(
        self, tasks: asyncio.TaskGroup, search: Search, known: Sequence[asyncio.Task[None]]
    ) -> None:
        if known:
            await asyncio.wait(known, timeout=self._search_after_s)
        if self.winner is not None:
            return
        # Closed here and now: a search that is cancelled would leave its sockets to the garbage collector.
        async with aclosing(search()) as found:
            async for address in found:
                self.enter(tasks, [address])


def telling(errors: Sequence[PlugsideError]) -> PlugsideError:
    """Of several failures the one that tells a person most: a refusal, then an impostor, then silence."""

    def rank(failed: PlugsideError) -> int:
        if isinstance(failed, Refused):
            return 0
        return {Code.UNTRUSTED_PEER: 1, Code.NO_PATH: 3}.get(failed.code, 2)

    return min(errors, key=rank, default=Unavailable(Code.NO_PATH, "no address of it is known"))

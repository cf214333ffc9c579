"""Turns: who asks for much waits in turn, and whoever asks for little is served at once meanwhile. Pure.

    ask ──▶ waits, in a queue of each asker's own ──▶ begins ──▶ over
             one of each asker in turn; of each only so many at once, and for long so many a second

An asker is a key, however many links it has open. Who has more waiting than a well-built client ever asks for
is told `busy`; where all queues together are full, whoever has most waiting loses the latest of it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import msgspec

from common.budget import Rate, Sources
from common.errors import Code, PlugsideError, Unavailable


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests may be under way, and may wait: of all, and of one asker."""

    at_once: int
    each: int
    waiting: int
    waiting_each: int
    pace: Rate | None = None  #: how fast one asker's may begin; None = as fast as they end


class Turn:
    """One request that waits. `begin` is called when its turn has come, or `drop` with why it never does."""

    __slots__ = ("asker", "begin", "drop", "link")

    def __init__(
        self,
        asker: str,
        link: object,
        begin: Callable[[], None],
        drop: Callable[[PlugsideError | None], None],
    ) -> None:
        """link: what it came by; it waits no longer than that stands."""
        self.asker, self.link, self.begin, self.drop = asker, link, begin, drop


class Turns:
    """See the module. Neither `begin` nor `drop` may raise, or ask at once."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._paces = Sources(share.pace) if share.pace is not None else None
        self._queues: OrderedDict[str, deque[Turn]] = OrderedDict()  # whose turn comes first, first
        self._under_way: Counter[str] = Counter()
        self.under_way = 0
        self.waiting = 0

    def ask(self, turn: Turn) -> None:
        """Let it wait. Raises Unavailable(busy) when too much of its asker's does. `look` begins it."""
        mine = self._queues.get(turn.asker, ())
        if len(mine) >= self._share.waiting_each:
            raise Unavailable(Code.BUSY, f"{len(mine)} requests of yours wait already")
        if self.waiting >= self._share.waiting:
            self._make_room(len(mine))
        self._queues.setdefault(turn.asker, deque()).append(turn)
        self.waiting += 1

    def look(self, now_s: float) -> float | None:
        """Begin what may begin now. Returns after how many seconds more may by its pace alone, if any may."""
        pause_s: float | None = None
        askers = deque(self._queues)
        while askers and self.under_way < self._share.at_once:
            asker = askers.popleft()
            if self._under_way[asker] >= self._share.each:
                continue
            if self._paces is not None:
                bucket = self._paces.of(asker)
                if not bucket.take(now_s):
                    wait_s = bucket.wait_s(now_s)
                    pause_s = wait_s if pause_s is None else min(pause_s, wait_s)
                    continue
            turn = self._take(asker)
            if asker in self._queues:
                askers.append(asker)
            self.under_way += 1
            self._under_way[asker] += 1
            turn.begin()
        return pause_s

    def over(self, asker: str) -> None:
        """One that had begun has ended. `look` begins the next."""
        self.under_way -= 1
        self._under_way[asker] -= 1
        if not self._under_way[asker]:
            del self._under_way[asker]

    def leave(self, link: object, asker: str) -> None:
        """A link is gone: what came by it and waits is dropped, with nobody to tell why."""
        queue = self._queues.pop(asker, None)
        if queue is None:
            return
        gone = [turn for turn in queue if turn.link is link]
        stays = deque(turn for turn in queue if turn.link is not link)
        if stays:
            self._queues[asker] = stays
        self.waiting -= len(gone)
        for turn in gone:
            turn.drop(None)

    def _take(self, asker: str) -> Turn:
        """The first of this asker's, who is the last in turn from now on."""
        queue = self._queues.pop(asker)
        if len(queue) > 1:
            self._queues[asker] = queue
        self.waiting -= 1
        return queue.popleft()

    def _make_room(self, mine: int) -> None:
        asker, queue = max(self._queues.items(), key=lambda one: len(one[1]))
        full = Unavailable(Code.BUSY, f"{self.waiting} requests wait already")
        if len(queue) <= mine + 1:
            raise full
        turn = queue.pop()
        if not queue:
            del self._queues[asker]
        self.waiting -= 1
        turn.drop(full)

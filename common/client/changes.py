"""What has changed, for whoever shows it: an iterator that never holds anybody up.

A consumer that falls behind loses single facts, never the state: what it missed of a site is told as one
change without a fact, and the view holds it all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self
from weakref import WeakSet

from common.client.site import Change

#: Changes that one consumer may be behind.
BEHIND_MAX = 1024


class Changes:
    """`async for change in client.changes()`. Cancelling a wait loses nothing."""

    def __init__(self) -> None:
        self._queue: deque[Change] = deque()
        self._came = asyncio.Event()

    def put(self, change: Change) -> None:
        if len(self._queue) >= BEHIND_MAX:
            sites = dict.fromkeys(known.site for known in (*self._queue, change))
            self._queue = deque(Change(site=site, kind="snapshot") for site in sites)
        else:
            self._queue.append(change)
        self._came.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._queue:
            self._came.clear()
            await self._came.wait()
        return self._queue.popleft()


class Hub:
    """Everybody who wants to know. Whoever drops its iterator is forgotten."""

    def __init__(self) -> None:
        self._all: WeakSet[Changes] = WeakSet()

    def changes(self) -> Changes:
        """A new iterator over what changes from now on."""
        changes = Changes()
        self._all.add(changes)
        return changes

    def publish(self, change: Change) -> None:
        for changes in tuple(self._all):
            changes.put(change)

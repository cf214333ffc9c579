"""Tasks that live as long as a block does: the client's way to keep things going on the side.

A TaskGroup wraps an error of its block in an ExceptionGroup; whoever uses a connection wants the plain one.
Here the block's error stays what it is, and the tasks are cancelled and awaited when the block ends. A task
that fails is a bug of ours: it cancels the block and comes out as the group's error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Background:
    """`async with Background() as tasks: tasks.start(...)`."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` until it ends or the block does."""
        task = self._group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in tuple(self._running):
            task.cancel()
        await self._group.__aexit__(None, None, None)

"""Doors: the box's listeners as supervised rooms. Opened once before the box says it is ready, then kept.

A listener that cannot be opened at the start is the installer's business (a port in use), so its error ends
the start; one that fails later is opened again by its room, with back-off, while everything else goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from common.errors import Code, Unavailable
from edge.chargers.listener import ChargerListener


class Listener(Protocol):
    """Something that listens until it is closed."""

    async def close(self) -> None: ...
    async def ended(self) -> None: ...


class ChargersDoor:
    """The charger listener, which outlives its socket: the site sends requests through it all the time."""

    def __init__(self, listener: ChargerListener) -> None:
        self._listener = listener

    async def close(self) -> None:
        await self._listener.stop()

    async def ended(self) -> None:
        await self._listener.ended()


class Door:
    """One listener that its room opens, watches and closes."""

    def __init__(self, name: str, open_it: Callable[[], Awaitable[Listener]]) -> None:
        self.name = name
        self._open_it = open_it
        self.listener: Listener | None = None

    async def open(self) -> None:
        """Open it now. Raises what keeps it from listening."""
        self.listener = await self._open_it()

    async def run(self) -> None:
        """The room: listen until cancelled. Raises Unavailable when the listener ended by itself."""
        if self.listener is None:
            await self.open()
        assert self.listener is not None
        try:
            await self.listener.ended()
        finally:
            listener, self.listener = self.listener, None
            await listener.close()
        raise Unavailable(Code.INTERNAL, f"{self.name} ended by itself")

    async def close(self) -> None:
        """Close it, if it is open and its room never ran."""
        if self.listener is not None:
            listener, self.listener = self.listener, None
            await listener.close()

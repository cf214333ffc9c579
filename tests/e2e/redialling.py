"""What a charger of the `ocpp` package lacks to be one: it redials, and says what it has to say each time."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import Any, Protocol, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

#: Nothing on loopback takes this long even on a busy machine; who waits for it has failed.
PATIENCE_S = 50.0
AGAIN_S = 0.1


class Role(Protocol):
    """The package's charger on one connection."""

    async def start(self) -> None: ...


class Obeying:
    """Part of a role: does what it was asked once its answer has left; any sooner, it could overtake it."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.then: Callable[[], None] | None = None  #: what an accepted call is followed by

    def answered(self) -> None:
        """For the `after` hooks of the calls that set `then`."""
        then, self.then = self.then, None
        if then is not None:
            then()


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended. Raises what one of them failed with.

    Once does not do: the package waits by `asyncio.wait_for`, which in Python 3.11 drops a cancellation that
    comes together with the answer.
    """
    left: Collection[asyncio.Task[Any]] = tasks
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


class Redialling:
    """Lives within its block: dials, speaks, is cut off, dials again."""

    def __init__(self, url: str, subprotocol: str, **options: Any) -> None:
        """options: as `websockets` takes them."""
        self.online = False
        self._over = False
        self._changed = asyncio.Event()
        self._dial = lambda: connect(url, subprotocols=[Subprotocol(subprotocol)], proxy=None, **options)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until an answer or the loss of the link makes the condition true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @abstractmethod
    def _role(self, socket: ClientConnection) -> Role:
        """The package's charger for this connection."""

    @abstractmethod
    async def _deliver(self, role: Any) -> None:
        """Say what there is to say, for as long as the connection lasts."""

    async def __aenter__(self) -> Self:
        self._life = asyncio.get_running_loop().create_task(self._live())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True  # what ends a connection in this very moment may take the cancellation's place
        self._life.cancel()
        await asyncio.wait([self._life])
        if not self._life.cancelled():
            self._life.result()  # raises what it failed with

    async def _live(self) -> None:
        while not self._over:
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                async with self._dial() as socket:
                    await self._serve(socket)
            self.online = False
            self._changed.set()
            await asyncio.sleep(AGAIN_S)

    async def _serve(self, socket: ClientConnection) -> None:
        role = self._role(socket)
        reading = asyncio.get_running_loop().create_task(role.start())
        deliver = asyncio.get_running_loop().create_task(self._deliver(role))
        try:
            await asyncio.wait([reading, deliver], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(reading, deliver)

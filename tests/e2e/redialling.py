"""What a charger of the `ocpp` package lacks to be one: it redials, and says what it has to say each time."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable
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


class Redialling:
    """Lives within its block: dials, speaks, is cut off, dials again."""

    def __init__(self, url: str, subprotocol: str, **options: Any) -> None:
        """options: as `websockets` takes them."""
        self.online = False
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
        self._life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._life

    async def _live(self) -> None:
        while True:
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
            for task in (reading, deliver):
                task.cancel()
            ended = await asyncio.gather(reading, deliver, return_exceptions=True)
        for one in ended:
            if isinstance(one, Exception):
                raise one

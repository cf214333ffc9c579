"""A charger that is let in for its stop alone, while nothing can be written down (design §5).

A stop waits for no disk. While handshakes get 503, a charger that has a stop to hear is admitted, told it,
and sent away again. Nothing that it says is answered: what is not answered stays in its queue, and comes
again when it can be kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from edge.chargers.connection import ChargerConnection
from edge.chargers.dialect import Dialect, Unsendable
from edge.chargers.frames import CallError, Result, decode_noting, encode_call
from edge.core.inputs import Request

log = logging.getLogger("plugside.chargers")

#: How long a charger may take to answer its stop, in s.
ANSWER_S = 10.0
#: Frames of its own that are passed over meanwhile: a flushed queue. Then it is sent away.
PASSED_OVER_MAX = 1000


class Stops(Protocol):
    """The stops that wait for chargers to dial."""

    def for_charger(self, charger: str, now_ms: int) -> Sequence[Request]:
        """Those of one charger, if there are any."""

    def carried(self, request: Request) -> None:
        """The charger has it."""


class NoStops:
    """None wait."""

    def for_charger(self, charger: str, now_ms: int) -> Sequence[Request]:  # noqa: ARG002
        return ()

    def carried(self, request: Request) -> None:
        """Never called."""


async def carry(
    ws: ChargerConnection, dialect: Dialect, stops: Stops, *, now_ms: int, new_id: Callable[[], str]
) -> None:
    """Tell the charger its stops, then close. Never raises for what the charger does."""
    try:
        for request in stops.for_charger(ws.charger, now_ms):
            async with asyncio.timeout(ANSWER_S):
                if await _told(ws, dialect, request, new_id()):
                    stops.carried(request)
                    log.warning("%s: heard its stop while nothing can be written down", ws.charger)
    except (TimeoutError, ConnectionClosed):
        pass  # it dials again, and hears it again
    await ws.close(CloseCode.TRY_AGAIN_LATER, "nothing can be written down now; dial again")


async def _told(ws: ChargerConnection, dialect: Dialect, request: Request, message_id: str) -> bool:
    try:
        call = dialect.outbound(request.action)
    except Unsendable:
        return True  # no way to say it: nothing to wait for
    await ws.send(encode_call(message_id, call.action, call.payload).decode())
    for _ in range(PASSED_OVER_MAX):
        raw = await ws.recv()
        frame, _ = decode_noting(raw)
        if isinstance(frame, Result | CallError) and frame.message_id == message_id:
            return True
    return False

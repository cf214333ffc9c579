"""Who waits for what on one link: requests by id, pings in order, one renewal at a time. Bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeVar

from common import wire
from common.errors import Code, PlugsideError, RemoteFault, Unavailable, from_wire

#: An answer to a query or to administration. The box's slowest is a page of history read from an SD card.
ANSWER_TIMEOUT_S = 15.0
#: Requests that one link may have open.
OPEN_MAX = 256

Answer = wire.Page | wire.Managed | wire.Granted | wire.Pong
Waiting = asyncio.Future[Answer]
A = TypeVar("A", wire.Page, wire.Managed, wire.Granted, wire.Pong)


class Answers:
    """See the module."""

    def __init__(self) -> None:
        self._by_id: dict[str, Waiting] = {}
        self._pings: deque[Waiting] = deque()
        self._renewal: Waiting | None = None

    def expect(self, request_id: str) -> Waiting:
        """A place for the answer to a request. Raises Unavailable(busy)."""
        if len(self._by_id) >= OPEN_MAX:
            raise Unavailable(Code.BUSY)
        waiting = self._by_id[request_id] = asyncio.get_running_loop().create_future()
        return waiting

    def expect_pong(self) -> Waiting:
        if len(self._pings) >= OPEN_MAX:
            raise Unavailable(Code.BUSY)
        self._pings.append(asyncio.get_running_loop().create_future())
        return self._pings[-1]

    def expect_renewal(self) -> Waiting:
        """A place for the answer to a renewal, which carries no id: one at a time."""
        assert self._renewal is None, "renewals wait for each other"
        self._renewal = asyncio.get_running_loop().create_future()
        return self._renewal

    def forget(self, request_id: str) -> None:
        self._by_id.pop(request_id, None)

    def forget_renewal(self) -> None:
        self._renewal = None

    def take(self, message: wire.ServerMessage) -> bool:
        """Hand an answer or a refusal to whoever waits for it. Returns whether somebody did."""
        match message:
            case wire.Page() | wire.Managed():
                return _resolve(self._by_id.get(message.id), message)
            case wire.Pong():
                return _resolve(self._pings.popleft() if self._pings else None, message)
            case wire.Granted():
                return _resolve(self._renewal, message)
            case wire.Refusal():
                waiting = self._by_id.get(message.id) if message.id else self._renewal
                return _fail(waiting, from_wire(message.code, message.message, message.hint))
            case _:
                return False

    def fail(self, fault: PlugsideError) -> None:
        """No answer will come any more."""
        for waiting in (*self._by_id.values(), *self._pings, self._renewal):
            _fail(waiting, fault)


def _resolve(waiting: Waiting | None, answer: Answer) -> bool:
    if waiting is None or waiting.done():
        return False
    waiting.set_result(answer)
    return True


def _fail(waiting: Waiting | None, fault: PlugsideError) -> bool:
    if waiting is None or waiting.done():
        return False
    waiting.set_exception(fault)
    return True


async def in_time(waiting: Waiting, kind: type[A], timeout_s: float = ANSWER_TIMEOUT_S) -> A:
    """The answer. Raises what it was refused with, or Unavailable(no_path) when none comes."""
    try:
        async with asyncio.timeout(timeout_s):
            answer = await waiting
    except TimeoutError:
        raise Unavailable(Code.NO_PATH, f"no answer within {timeout_s:.0f} s") from None
    if not isinstance(answer, kind):
        raise RemoteFault(Code.PROTOCOL, f"answered with {type(answer).__name__}")
    return answer

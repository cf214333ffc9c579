"""The stages of one command as its sender sees them: accepted → confirmed → settled, or refused.

Fed by whatever link brings an answer, in any order and as often as it likes: the first answer of each stage
counts, and a later stage implies the earlier ones. Times are milliseconds since the tap, on a clock that
never steps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from common import wire
from common.errors import PlugsideError, from_wire

StageMessage = wire.Accepted | wire.Confirmed | wire.Settled | wire.Refusal


class Stages:
    """Awaitable stages of one command. Waiters may be many; each gets the same answer."""

    def __init__(self, command_id: str) -> None:
        self.id = command_id
        self.answer: wire.Confirmed | None = None  #: what the charger said
        self.end: wire.Settled | None = None
        self.failure: PlugsideError | None = None  #: why there will be no `end`
        self.timings_ms: dict[str, float] = {}  #: stage → since the tap
        self.when_over: Callable[[], None] = lambda: None  #: called once, before anybody who waits goes on
        self._began_s = time.monotonic()
        self._accepted, self._confirmed, self._settled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @property
    def is_accepted(self) -> bool:
        """The box has it in its journal."""
        return "accepted" in self.timings_ms

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self._settled.is_set()

    def tell(self, message: StageMessage) -> None:
        """One answer, from any link."""
        if self.is_over:
            return
        if isinstance(message, wire.Refusal):
            self.fail(from_wire(message.code, message.message, message.hint))
            return
        self._reach("accepted", self._accepted)
        if isinstance(message, wire.Confirmed):
            self.answer = self.answer or message
            self._reach("confirmed", self._confirmed)
        elif isinstance(message, wire.Settled):
            self.end = message
            self.when_over()
            self._reach("settled", self._settled)
            self._confirmed.set()

    def fail(self, failure: PlugsideError) -> None:
        """It was refused, or its fate cannot be learnt: every stage not reached raises this."""
        if self.is_over:
            return
        self.failure = failure
        self.when_over()
        for stage in (self._accepted, self._confirmed, self._settled):
            stage.set()

    def _reach(self, name: str, stage: asyncio.Event) -> None:
        if not stage.is_set():
            self.timings_ms[name] = (time.monotonic() - self._began_s) * 1000
            stage.set()

    async def accepted(self) -> None:
        """Wait until the box has it in its journal. Raises PlugsideError when it was refused."""
        await self._accepted.wait()
        if self.failure is not None and not self.is_accepted:
            raise self.failure

    async def confirmed(self) -> wire.Confirmed | None:
        """Wait for the charger's answer; None when the command was settled without one. Raises as above."""
        await self._confirmed.wait()
        if self.answer is None and self.failure is not None:
            raise self.failure
        return self.answer

    async def settled(self) -> wire.Settled:
        """Wait for the command's end, whatever its outcome. Raises when refused, or its fate is unknown."""
        await self._settled.wait()
        if self.end is None:
            assert self.failure is not None, "over means an end or a failure"
            raise self.failure
        return self.end

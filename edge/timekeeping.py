"""The clock's watch: a system clock that is set becomes a fact, with both of its readings.

Times of facts never go back (`common.clock`). So that whoever reads them later can correct them all the same,
the step is written down: what was written in this boot before it is off by as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from common.clock import SystemClock
from common.domain import iso
from common.errors import Unavailable
from common.facts import ClockStepped
from edge.gateway import Gateway

log = logging.getLogger("plugside.clock")

#: How often the two clocks are compared, in s.
LOOK_EVERY_S = 5.0


class ClockWatch:
    """The room. boot: names this run of the process, for facts of one boot."""

    def __init__(self, clock: SystemClock, gateway: Gateway, boot: str) -> None:
        self._clock, self._gateway, self._boot = clock, gateway, boot

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Compare once."""
        step = self._clock.stepped()
        if step is None:
            return
        back = step.after_ms < step.before_ms
        log.warning("the clock was set from %s to %s", iso(step.before_ms), iso(step.after_ms))
        body = ClockStepped(
            before=iso(step.before_ms),
            after=iso(step.after_ms),
            reason="stepped_back" if back else "stepped_forward",
            boot=self._boot,
            mono_ms=step.mono_ms,
        )
        with contextlib.suppress(Unavailable):  # a journal without room has other worries
            self._gateway.note(body)

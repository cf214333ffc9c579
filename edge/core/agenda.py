"""When each charger should be looked at next. Pure; no part of the truth, so no snapshot holds it.

What is due of a charger follows from its entry in the state alone, and a site has hundreds of them while one
message concerns one. So the core keeps an instant for each: never later than the first thing that is due
there, often earlier. Whoever has looked (`engine.advance`) sets it anew.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

NEVER: Final = 2**62
#: Entries that may be overtaken before the queue is made anew, beside as many as there are chargers.
_OVERTAKEN_MAX: Final = 64


class Agenda(msgspec.Struct, omit_defaults=True):
    """An instant for each charger, and the queue of these. Bounded by the number of chargers."""

    at_ms: dict[str, int] = {}
    queue: list[tuple[int, str]] = []  #: a heap; an entry that `at_ms` does not confirm is overtaken

    @property
    def next_ms(self) -> int:
        """Not later than the earliest instant of all; `NEVER` if there is none."""
        return self.queue[0][0] if self.queue else NEVER

    def sooner(self, charger: str, at_ms: int) -> None:
        """Something may be due at `at_ms`."""
        if at_ms < self.at_ms.get(charger, NEVER):
            self.put(charger, at_ms)

    def put(self, charger: str, at_ms: int) -> None:
        """The next instant is this one; `NEVER` takes the charger off."""
        if at_ms >= NEVER:
            self.at_ms.pop(charger, None)
            return
        self.at_ms[charger] = at_ms
        heappush(self.queue, (at_ms, charger))
        if len(self.queue) > 2 * len(self.at_ms) + _OVERTAKEN_MAX:
            self.queue = [(at, name) for name, at in self.at_ms.items()]
            heapify(self.queue)

    def take(self, now_ms: int) -> list[str]:
        """The chargers whose instant has come, each once; each has to be `put` anew."""
        taken = []
        queue = self.queue
        while queue and queue[0][0] <= now_ms:
            at_ms, charger = heappop(queue)
            if self.at_ms.get(charger) == at_ms:
                del self.at_ms[charger]
                taken.append(charger)
        return taken

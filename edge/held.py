"""Stops that came when nothing could be written down: they leave at once and are decided when there is room.

A stop waits for no disk (design §5). While the journal's queue is full the core is asked what the stop would
come to, without that being applied to anything: the call leaves for the charger, and the command itself waits
here to be decided, journaled and answered like any other. The journal fails for good: the call may still be
made (`Held.for_charger`), and the asker is told that nothing was written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from common.commands import CLASSES, Name
from common.errors import Code, Unavailable
from edge.core import engine, inputs
from edge.core.engine import SiteState
from edge.gate import Progress

#: Stops that wait at once: more than a site has connectors in use.
HELD_MAX = 256


class Held:
    """See the module."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[inputs.CommandReceived, Progress]] = deque()
        self._left: set[str] = set()  #: requests that have left already
        self._stops: dict[str, dict[str, inputs.Request]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def without_room(
        self,
        state: SiteState,
        given: inputs.CommandReceived,
        progress: Progress,
        now_ms: int,
        *,
        broken: bool,
    ) -> inputs.Request | None:
        """Take a command that cannot be written down now; the call that leaves at once, if there is one.

        Changes nothing but what is held, and costs no id. broken: there will be no room in this process.
        Raises Unavailable: busy, journal_unavailable.
        """
        request = None
        if CLASSES[given.name].urgent and len(self._waiting) < HELD_MAX:
            decision = engine.decide(state, given, now_ms, _NoIds())
            request = next((one for one in decision.requests if one.urgent), None)
        if broken:
            if request is None:
                raise Unavailable(Code.JOURNAL_UNAVAILABLE)
            self._keep(request)
            raise Unavailable(Code.JOURNAL_UNAVAILABLE, "the stop is passed on when the charger dials")
        if request is None:
            raise Unavailable(Code.BUSY)
        self._waiting.append((given, progress))
        if request.id in self._left:
            return None  # the same command again
        self._left.add(request.id)
        return request

    def has_left(self, request: inputs.Request) -> bool:
        """Whether this call left before its command was decided: it is not made again."""
        if request.id not in self._left:
            return False
        self._left.discard(request.id)
        return True

    def release(self, decide: Callable[[inputs.CommandReceived, Progress], None]) -> None:
        """Room again: decide what waits, in order."""
        while self._waiting:
            decide(*self._waiting.popleft())

    # --- the journal has failed ----------------------------------------------------------------------------

    def _keep(self, request: inputs.Request) -> None:
        """It can only be carried to its charger when that dials."""
        if sum(map(len, self._stops.values())) < HELD_MAX:
            self._stops.setdefault(request.charger.casefold(), {})[request.command or request.id] = request

    def failed(self, state: SiteState) -> None:
        """The journal has failed: stops that no charger has confirmed are kept for when theirs dials."""
        for order in state.orders.values():
            if order.name != Name.STOP or order.state == "settled" or order.answer == "accepted":
                continue
            session = state.look(order.charger).sessions.get(order.session or "")
            if session is not None and not session.ended:
                self._keep(
                    inputs.Request(
                        id=order.id,
                        charger=order.charger,
                        action=inputs.StopCharge(session.transaction),
                        command=order.id,
                        priority=inputs.PRIORITY_STOP,
                        expires_ms=order.expires_ms,
                        urgent=True,
                    )
                )

    def for_charger(self, charger: str, now_ms: int) -> tuple[inputs.Request, ...]:
        """The stops that wait for this charger to dial."""
        kept = self._stops.get(charger.casefold(), {})
        return tuple(request for request in kept.values() if now_ms < request.expires_ms)

    def carried(self, request: inputs.Request) -> None:
        """The charger has it."""
        self._stops.get(request.charger.casefold(), {}).pop(request.command or request.id, None)


class _NoIds:
    """Ids for a decision that nobody carries out."""

    def uid(self) -> str:
        return ""

    def token(self, size: int = 16) -> bytes:
        return bytes(size)

    def transaction(self) -> int:
        return 1

    def jitter(self) -> float:
        return 0.0

"""What the chargers' door writes down about those it does not let in: counts for health, lines for the log.

`listener` tells it of every refusal. Whoever is on the chargers' network can dial as anybody and as often as
the pace allows, so the lines together have a budget: when it is used up they are only counted, and one line
tells the counts when the minute is over.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from edge.chargers.admission import LineBudget, Throttle, Waiting, adopt_command

log = logging.getLogger("plugside.chargers")

#: Once an hour at most the same line about the same charger or address.
_AGAIN_MS: Final = 3_600_000
#: Once a minute at most a waiting charger is reported: Grizzl-E dials every few seconds.
_WAITING_EVERY_MS: Final = 60_000


class Timer(Protocol):
    """What is to come, as the loop's `call_later` makes it."""

    def cancel(self) -> None:
        """It is not to come."""


class Doorbook:
    """Counts and lines of one door. `refusals` are the connections turned away, by reason.

    mono_ms: the loop's time. later: calls after so many seconds, and may be cancelled.
    """

    def __init__(
        self, mono_ms: Callable[[], int], later: Callable[[float, Callable[[], None]], Timer]
    ) -> None:
        self.refusals: Counter[str] = Counter()
        self._mono_ms, self._later = mono_ms, later
        self._again = Throttle(every_ms=_AGAIN_MS)
        self._waiting = Throttle(every_ms=_WAITING_EVERY_MS)
        self._budget = LineBudget()
        self._summary: Timer | None = None

    def refused(self, why: str, address: str) -> None:
        """Count a refusal. why: one of ours, never a stranger's words."""
        self.refusals[why] += 1
        if self._again.passes(f"refused {why} {address}", self._mono_ms()):
            self._line(logging.WARNING, why, "a connection from %s was refused: %s", address, why)

    def misnamed(self, named: bytes, address: str) -> None:
        """Count a dial whose path names no identity."""
        why = "not an identity" if named else "no identity"
        self.refusals[why] += 1
        if self._again.passes(f"refused {why} {address}", self._mono_ms()):
            self._line(
                logging.WARNING,
                why,
                "a connection from %s was refused: its URL names %s. Set the charger's id to letters, digits "
                "and . - _ : = + * @, 48 at most.",
                address,
                ascii(named[:48]) if named else "no charger",
            )

    def waits(self, identity: str, address: str, pushed_out: Waiting | None) -> bool:
        """Count an unknown charger's dial; return whether it is to be reported now."""
        self.refused("not adopted", address)
        if pushed_out is not None:
            self.refusals["adoption queue full"] += 1
            self._line(
                logging.WARNING,
                "adoption queue full",
                "%s is no longer listed as waiting: too many strangers dial. It can be adopted all the same",
                pushed_out.charger,
            )
        reported = self._waiting.passes(identity.casefold(), self._mono_ms())
        if reported:
            command = adopt_command(identity)
            self._line(
                logging.INFO, "waits to be adopted", "%s at %s waits: `%s`", identity, address, command
            )
        return reported

    def without_version(self, charger: str, address: str, offered: str) -> None:
        """Count a charger that speaks no version of ours."""
        why = "no common subprotocol"
        self.refused(why, address)
        line = "%s: offers %s; set it to OCPP 1.6J"
        self._line(logging.WARNING, why, line, charger, offered if offered.isprintable() else ascii(offered))

    def noted(self, what: str, charger: str, address: str) -> bool:
        """Return whether a security note about a charger is to be made now, and not again soon."""
        if not self._again.passes(f"{what} {charger}", self._mono_ms()):
            return False
        self._line(logging.WARNING, what, "%s: %s, from %s", charger, what.replace("_", " "), address)
        return True

    def close(self) -> None:
        """Tell what was withheld so far."""
        if self._summary is not None:
            self._summary.cancel()
            self._tell()

    def _line(self, level: int, kind: str, line: str, *args: str) -> None:
        now_ms = self._mono_ms()
        if self._budget.passes(kind, now_ms):
            log.log(level, line, *args)
        elif self._summary is None:
            self._summary = self._later(self._budget.left_ms(now_ms) / 1000, self._tell)

    def _tell(self) -> None:
        self._summary = None
        counts = self._budget.withheld()
        told = ", ".join(f"{count} x {kind}" for kind, count in counts.items())
        log.warning("%s more lines about refused connections: %s", sum(counts.values()), told)

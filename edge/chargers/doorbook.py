"""What the chargers' door writes down about those it does not let in: counts, records, lines for the log.

`doorman` tells it of every refusal, each with its `Reason`. Whoever is on the chargers' network can dial as
anybody and as often as the pace allows, so all of it is bounded: the records forget the oldest, and the lines
together have a budget; when it is used up they are only counted, and one line tells the counts when the
minute is over. Nothing kept here holds a password or a tag (`firstbytes.readable`).
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec

from edge.chargers.admission import LineBudget, Throttle, Waiting, adopt_command
from edge.chargers.firstbytes import readable
from edge.chargers.reasons import PATH_WORDS, REASONS, Reason

log = logging.getLogger("plugside.chargers")

#: Once an hour at most the same line about the same charger or address.
_AGAIN_MS: Final = 3_600_000
#: Once a minute at most a waiting charger is reported: Grizzl-E dials every few seconds.
_WAITING_EVERY_MS: Final = 60_000
#: Records kept, and of one address: more than an installer sees in a day, below 200 KiB. A flood from one
#: address pushes out its own.
RECORDS_MAX: Final = 128
RECORDS_OF_ADDRESS_MAX: Final = 16
#: How much of a name that is no identity is kept.
_NAMED_MAX: Final = 64


class Dial(msgspec.Struct, kw_only=True):
    """Connections that were turned away alike: one reason, one address, one charger (if any was named)."""

    reason: Reason
    address: str
    charger: str = ""  #: the identity, when the dial named one
    named: str = ""  #: what its URL ended in, when that is none; printable
    offered: str = ""  #: subprotocols
    first_bytes: str = ""  #: `firstbytes.readable`
    detail: str = ""  #: a library's words
    count: int = 0
    first_ms: int  #: UTC
    last_ms: int


class Timer(Protocol):
    """What is to come, as the loop's `call_later` makes it."""

    def cancel(self) -> None:
        """It is not to come."""


class Doorbook:
    """Counts, records and lines of one door. `refusals` are the connections turned away, by reason.

    mono_ms: the loop's time; now_ms: UTC. later: calls after so many seconds, and may be cancelled.
    """

    def __init__(
        self,
        mono_ms: Callable[[], int],
        now_ms: Callable[[], int],
        later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self.refusals: Counter[str] = Counter()
        self._mono_ms, self._now_ms, self._later = mono_ms, now_ms, later
        self._dials: OrderedDict[tuple[str, str, str], Dial] = OrderedDict()
        self._again = Throttle(every_ms=_AGAIN_MS)
        self._waiting = Throttle(every_ms=_WAITING_EVERY_MS)
        self._budget = LineBudget()
        self._summary: Timer | None = None

    # ------------------------------------------------------------------------------------------- refusals

    def refused(
        self,
        why: Reason,
        address: str,
        *,
        charger: str = "",
        named: bytes = b"",
        offered: str = "",
        first: bytes = b"",
        detail: str = "",
    ) -> None:
        """Count and keep a refusal, and say it unless it was said lately.

        named: what the URL ends in, if it is no identity. offered, first: what the peer sent.
        detail: a library's words, never the peer's.
        """
        self.refusals[why] += 1
        dial = self._record(why, address, charger)
        dial.named = ascii(named[:_NAMED_MAX].decode("latin-1"))[1:-1]
        dial.offered = ascii(offered[:_NAMED_MAX])[1:-1]
        dial.first_bytes, dial.detail = readable(first), detail
        if self._again.passes(f"refused {why} {address} {charger}", self._mono_ms()):
            told = f" ({dial.named!r})" if dial.named else ""
            told = f" ({dial.offered})" if why is Reason.NO_COMMON_VERSION else told
            who = f"{charger} at {address}" if charger else f"a connection from {address}"
            line = "%s was refused: %s%s %s"
            self._line(logging.WARNING, why, line, who, REASONS[why].sentence, told, REASONS[why].advice)

    def waits(
        self, identity: str, address: str, offered: str, first: bytes, pushed_out: Waiting | None
    ) -> bool:
        """Count an unknown charger's dial; return whether it is to be reported now."""
        why = Reason.WRONG_PATH if identity.casefold() in PATH_WORDS else Reason.NOT_ADOPTED
        self.refusals[why] += 1
        dial = self._record(why, address, identity)
        dial.offered, dial.first_bytes = ascii(offered[:_NAMED_MAX])[1:-1], readable(first)
        if pushed_out is not None:
            self.refusals[Reason.QUEUE_FULL] += 1
            self._line(
                logging.WARNING,
                Reason.QUEUE_FULL,
                "%s is no longer listed as waiting: too many strangers dial. It can be adopted all the same",
                pushed_out.charger,
            )
        reported = self._waiting.passes(identity.casefold(), self._mono_ms())
        if reported:
            command = adopt_command(identity)
            self._line(
                logging.INFO, "waits", "%s at %s waits to be adopted: `%s`", identity, address, command
            )
        return reported

    def noted(self, what: str, charger: str, address: str) -> bool:
        """Return whether a security note about a charger is to be made now, and not again soon."""
        return self._again.passes(f"{what} {charger} {address}", self._mono_ms())

    # ------------------------------------------------------------------------------------------- records

    def _record(self, why: Reason, address: str, charger: str) -> Dial:
        key = (address, why.value, charger.casefold())
        now_ms = self._now_ms()
        dial = self._dials.pop(key, None)
        if dial is None:
            dial = Dial(reason=why, address=address, charger=charger, first_ms=now_ms, last_ms=now_ms)
        self._dials[key] = dial
        dial.count += 1
        dial.last_ms = now_ms
        of_address = [known for known in self._dials if known[0] == address]
        if len(of_address) > RECORDS_OF_ADDRESS_MAX:
            del self._dials[of_address[0]]
        elif len(self._dials) > RECORDS_MAX:
            self._dials.popitem(last=False)
        return dial

    def let_in(self, charger: str, address: str) -> None:
        """The charger came in from this address: what was wrong there is mended."""
        for key in [known for known in self._dials if known[0] == address]:
            if key[2] in ("", charger.casefold()):
                del self._dials[key]

    def dials(self) -> Iterator[Dial]:
        """Go through what was turned away, the latest first."""
        return reversed(tuple(self._dials.values()))

    # ------------------------------------------------------------------------------------------- lines

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

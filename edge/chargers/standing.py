"""What is known of one charger over all its connections: how it behaves, for `chargers`, health and doctor.

`listener` keeps one for each charger that was let in; its links write into it. Nothing here decides about
sessions: it is what a person looks at when a charger is odd. Pure.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from common.domain import AXES, ConnectorState, Plug

#: Distinct violations that are counted by name; a charger with more than that is summed up under `OTHER`.
NAMES_MAX: Final = 64
OTHER: Final = "other"
#: EVSEs whose last plug is kept: above any one charger.
_EVSES_MAX: Final = 64


class Standing:
    """A charger's counters and marks. Times are UTC milliseconds."""

    def __init__(self, charger: str) -> None:
        self.charger = charger
        self.connections = 0
        self.violations: Counter[str] = Counter()
        self.bad_frames: Counter[str] = Counter()
        self.too_large = 0  #: messages above our limit; each ended its connection
        self.repeats = 0
        self.unmatched_answers = 0
        self.deaf = False
        self.closed_for_deafness = False
        self.last_end = ""
        self.unread: dict[str, str] = {}  #: the first bytes of the latest unreadable frame, by its fault
        self.tag_ms = 0  #: when a tag was last shown
        self._plugs: dict[int, tuple[Plug, int]] = {}

    def violated(self, name: str) -> bool:
        """Count a violation; return whether it is the first of its name, and so worth a line in the log."""
        return _count(self.violations, name)

    def bad_frame(self, fault: str, first_bytes: str = "") -> bool:
        """Count an unreadable frame, keep its beginning; return whether it is the first of its kind."""
        self.unread[fault] = first_bytes
        return _count(self.bad_frames, fault)

    def oversized(self) -> bool:
        """Count a message above our limit; return whether it is the first, and so worth a line in the log."""
        self.too_large += 1
        return self.too_large == 1

    def hears(self) -> None:
        """The charger answered a call."""
        self.deaf = False
        self.closed_for_deafness = False

    def reported(self, evse: int, state: ConnectorState, now_ms: int) -> None:
        """Note when the plug of an EVSE last changed, as far as its states tell."""
        plug = AXES[state].plug
        known = self._plugs.get(evse)
        if plug is Plug.UNKNOWN or (known and known[0] is plug):
            return
        if known or len(self._plugs) < _EVSES_MAX:
            self._plugs[evse] = (plug, now_ms)

    def describe(self) -> dict[str, Any]:
        """Return this as plain data."""
        return {
            "charger": self.charger,
            "connections": self.connections,
            "violations": sum(self.violations.values()),
            "violations_by_name": dict(self.violations.most_common()),
            "bad_frames": sum(self.bad_frames.values()),
            "bad_frames_by_kind": dict(self.bad_frames.most_common()),
            "too_large": self.too_large,
            "repeats": self.repeats,
            "unmatched_answers": self.unmatched_answers,
            "deaf": self.deaf,
            "last_end": self.last_end,
            "unread": dict(self.unread),
            "tag_ms": self.tag_ms,
            "plugs": {evse: {"plug": plug.value, "since_ms": at} for evse, (plug, at) in self._plugs.items()},
        }


def _count(counter: Counter[str], name: str) -> bool:
    if name not in counter and len(counter) >= NAMES_MAX:
        name = OTHER
    counter[name] += 1
    return counter[name] == 1

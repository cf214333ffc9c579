"""Which meter values say so little that a box whose disk is nearly full answers them unwritten. Pure.

Answered they must be: a charger keeps what is not, and the session's end waits behind it in its queue. That
samples are left out is declared before it begins (`common.thinning`), and each is counted. Kept are a
session's first and last samples, what marks an event, signed data, and one sample of each ten minutes. The
energy of a session does not depend on what is left out: it is the register at its end less that at its start.
"""

from __future__ import annotations

from typing import Final

from common.domain import MeterSample
from edge.core.state import Place, Session

#: Samples within a session that no event asked for.
_BETWEEN: Final = frozenset({"periodic", "clock"})
#: "2026-11-20T10:0": the ten minutes of a time.
_TEN_MINUTES: Final = 15


def says_little(
    session: Session, place: Place | None, *, cited: bool, samples: tuple[MeterSample, ...]
) -> bool:
    """Whether these samples of an open session may go unwritten."""
    if session.ended or session.closing_ms or (cited and not session.cited):
        return False  # they decide something: that it goes on, or that the charger knows its number
    if place is not None and place.observed is not None:
        return False
    last = next(reversed(session.seen.values()), None)
    if last is None or last.at is None:
        return False
    this = last.at[:_TEN_MINUTES]
    return all(
        sample.context in _BETWEEN
        and not sample.signed
        and sample.at is not None
        and sample.at[:_TEN_MINUTES] == this
        for sample in samples
    )

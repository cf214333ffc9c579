"""Reconciliation: whether two ledgers tell the same truth, and where they first do not (design §9). Pure.

    lost       one side has the session and the other has not; or the register moved between two sessions
    doubled    two sessions of one connector overlap in time or in register, on either side
    differing  the same session with other values

`fold` says what facts come to as ledger rows, so box and cloud compare the same thing: the box answers the
query `ledger` with rows folded from its journal, the cloud has its tables, and its own facts to fold again.
`compare` judges; it never guesses about what it was not shown, and says what it was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

import msgspec

from common import facts, progress
from common.domain import EnergyMethod, from_iso

#: Registers are told in whole Wh, in tenths of a kWh by some: a step below this between two sessions is
#: rounding and standby, not a session that went missing; an overlap below it is no second bill.
REGISTER_TOLERANCE_WH = 100.0
#: Starts are floored to the second, ends may be exact: back to back can look like a second's overlap.
TIME_TOLERANCE_MS = 1000
#: Starts before 2020, like starts without a zone, come from a clock that was never set (quirk 41): such a
#: session has no place in time, and nothing is claimed about its neighbours.
_CLOCK_BELIEVED_MS = from_iso("2020-01-01T00:00:00Z")
#: Findings that are told one by one; the counts are complete all the same.
FINDINGS_MAX = 100


class LedgerRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One session as a ledger has it: what a bill would depend on, and nothing about a person."""

    session: str
    charger: str
    evse: int
    connector: int = 1
    started_at: str = ""
    ended_at: str = ""  #: empty while the session is open
    meter_start_wh: float | None = None
    meter_stop_wh: float | None = None
    energy_wh: float | None = None
    method: EnergyMethod = EnergyMethod.UNKNOWN
    provisional: bool = False
    revision: int = 0


_LEARNED = frozenset({"evse", "connector", "started_at", "meter_start_wh"})

_row_encoder = msgspec.json.Encoder(order="deterministic")


def session_digest(row: LedgerRow) -> str:
    """SHA-256 (hex, 32 characters) of everything in the row: equal digests, equal rows."""
    # A register that came as 1000 on one way and 1000.0 on the other is the same register.
    floats = {
        name: None if value is None else float(value)
        for name in ("meter_start_wh", "meter_stop_wh", "energy_wh")
        for value in (getattr(row, name),)
    }
    return sha256(_row_encoder.encode(msgspec.structs.replace(row, **floats))).hexdigest()[:32]


def ledger_page(rows: Iterable[LedgerRow]) -> tuple[dict[str, Any], ...]:
    """Rows as the box's answer to the query `ledger` carries them."""
    return tuple(msgspec.to_builtins(row) for row in rows)


def read_ledger(rows: Iterable[Any]) -> list[LedgerRow]:
    """What `ledger_page` wrote. Raises msgspec.ValidationError."""
    return [msgspec.convert(row, LedgerRow) for row in rows]


def fold(row: LedgerRow | None, body: facts.Body) -> LedgerRow | None:
    """The session's row after one of its facts; other kinds leave it as it is.

    A fact whose session has no start here gives a row without one, which no rule calls sound. The outcome
    does not depend on how often a fact is folded in, nor on whether a revision comes before the end.
    """
    if isinstance(body, facts.SessionStarted):
        begun = row or _empty(body.session, body.charger)
        return msgspec.structs.replace(
            begun,
            evse=body.evse,
            connector=body.connector,
            started_at=body.started_at,
            meter_start_wh=body.meter_start_wh,
        )
    if isinstance(body, facts.SessionLearned):
        told = {name: value for name, value in progress.told(body).items() if name in _LEARNED}
        return msgspec.structs.replace(row or _empty(body.session, body.charger), **told)
    if isinstance(body, facts.SessionEnded):
        return _ended(row or _empty(body.session, body.charger, body.evse, body.connector), body)
    if isinstance(body, facts.SessionRevised):
        return _revised(row or _empty(body.session, body.charger), body)
    return row


def _empty(session: str, charger: str, evse: int = 0, connector: int = 1) -> LedgerRow:
    return LedgerRow(session=session, charger=charger, evse=evse, connector=connector)


def _ended(row: LedgerRow, body: facts.SessionEnded) -> LedgerRow:
    if body.provisional and row.ended_at and not row.provisional:
        return row  # a guess never takes the place of what the charger said, in whatever order they come
    if row.revision:  # a later truth is known already: only what it left open is filled in
        return msgspec.structs.replace(
            row,
            ended_at=row.ended_at or body.ended_at,
            meter_stop_wh=row.meter_stop_wh if row.meter_stop_wh is not None else body.meter_stop_wh,
        )
    return msgspec.structs.replace(
        row,
        ended_at=body.ended_at,
        meter_stop_wh=body.meter_stop_wh,
        energy_wh=body.energy_wh,
        method=body.method,
        provisional=body.provisional,
    )


def _revised(row: LedgerRow, body: facts.SessionRevised) -> LedgerRow:
    if body.revision < row.revision:
        return row
    return msgspec.structs.replace(
        row,
        ended_at=body.ended_at or row.ended_at,
        meter_stop_wh=body.meter_stop_wh if body.meter_stop_wh is not None else row.meter_stop_wh,
        energy_wh=body.energy_wh,
        method=body.method,
        provisional=False,
        revision=body.revision,
    )


def fold_all(bodies: Iterable[facts.Body]) -> dict[str, LedgerRow]:
    """The ledger that these facts come to, by session."""
    rows: dict[str, LedgerRow] = {}
    for body in bodies:
        session = getattr(body, "session", None)
        if isinstance(session, str) and (after := fold(rows.get(session), body)) is not None:
            rows[session] = after
    return rows


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that is wrong, in a sentence, with what to look at."""

    kind: str  #: lost | doubled | differing
    charger: str
    sessions: tuple[str, ...]
    side: str = ""  #: where it was seen
    message: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement. `compared` says what was looked at, so that a clean report is not more than it is."""

    sessions: int
    lost: int
    doubled: int
    differing: int
    first_difference: Finding | None
    findings: tuple[Finding, ...]
    compared: dict[str, Any]

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled or differing."""
        return self.lost == self.doubled == self.differing == 0


def compare(
    ours: Mapping[str, LedgerRow],
    theirs: Mapping[str, LedgerRow] | None,
    *,
    side: str,
    other: str,
    compared: Mapping[str, Any] | None = None,
) -> Report:
    """Judge two ledgers of one site, or one alone (`theirs=None`: only doubles and gaps can be seen).

    side, other: what to call them in the findings. compared: what the caller knows about their sources.
    """
    found = [*_within(ours, side)]
    if theirs is not None:
        seen = {(finding.kind, finding.sessions) for finding in found}
        found += [f for f in _within(theirs, other) if (f.kind, f.sessions) not in seen]
        found += _across(ours, theirs, side, other)
    place = {uid: row.started_at for rows in (theirs or {}, ours) for uid, row in rows.items()}
    found.sort(key=lambda finding: min(place.get(uid, "") for uid in finding.sessions))
    counts = {kind: sum(f.kind == kind for f in found) for kind in ("lost", "doubled", "differing")}
    return Report(
        sessions=len({*ours, *(theirs or {})}),
        first_difference=found[0] if found else None,
        findings=tuple(found[:FINDINGS_MAX]),
        compared={**(compared or {}), side: len(ours), other: None if theirs is None else len(theirs)},
        **counts,
    )


def _across(
    ours: Mapping[str, LedgerRow], theirs: Mapping[str, LedgerRow], side: str, other: str
) -> Iterable[Finding]:
    for uid in sorted({*ours, *theirs}):
        here, there = ours.get(uid), theirs.get(uid)
        if here is None or there is None:
            known = here or there
            assert known is not None
            has, has_not = (side, other) if here else (other, side)
            yield Finding(
                kind="lost",
                charger=known.charger,
                sessions=(uid,),
                side=has_not,
                message=f"a session of {known.charger} from {known.started_at} is in {has}, not in {has_not}",
            )
        elif session_digest(here) != session_digest(there):
            yield _differing(here, there, side, other)


def _differing(here: LedgerRow, there: LedgerRow, side: str, other: str) -> Finding:
    fields = [
        f"{name}: {getattr(here, name)!s} in {side}, {getattr(there, name)!s} in {other}"
        for name in LedgerRow.__struct_fields__
        if getattr(here, name) != getattr(there, name)
    ]
    return Finding(
        kind="differing", charger=here.charger, sessions=(here.session,), message="; ".join(fields)
    )


class _Span(msgspec.Struct, frozen=True):
    """A row with its times read. `end_ms` None: open, or not to be read."""

    row: LedgerRow
    start_ms: int
    end_ms: int | None


def _within(rows: Mapping[str, LedgerRow], side: str) -> Iterable[Finding]:
    """What is wrong within one ledger: doubles, and steps of the register that belong to no session."""
    places: dict[tuple[str, int, int], list[_Span]] = {}
    for row in rows.values():
        start_ms = _instant(row.started_at)
        if start_ms is not None and start_ms >= _CLOCK_BELIEVED_MS:
            span = _Span(row, start_ms, _instant(row.ended_at))
            places.setdefault((row.charger, row.evse, row.connector), []).append(span)
    for _, spans in sorted(places.items()):
        spans.sort(key=lambda span: (span.start_ms, span.row.session))
        yield from _overlapping(spans, side)
        yield from _gaps(spans, side)


def _overlapping(spans: Sequence[_Span], side: str) -> Iterable[Finding]:
    """Each pair once. A session's forerunners stay in sight only as long as they can still overlap it."""
    live: list[_Span] = []
    highest: LedgerRow | None = None  # the session that ends highest on the register so far
    claimed: dict[tuple[float, float], str] = {}  # register intervals: exactly the same again is the same
    for span in spans:
        live = [before for before in live if _ends_after(before, span.start_ms)]
        doubles = {before.row.session: "time" for before in live}
        if highest is not None and _register_overlap_wh(highest, span.row) > REGISTER_TOLERANCE_WH:
            doubles.setdefault(highest.session, "register")
        interval = _interval(span.row)
        if interval and (first := claimed.setdefault(interval, span.row.session)) != span.row.session:
            doubles.setdefault(first, "register")
        for session, measure in doubles.items():
            yield Finding(
                kind="doubled",
                charger=span.row.charger,
                sessions=tuple(sorted((session, span.row.session))),
                side=side,
                message=f"two sessions of {_place(span.row)} overlap in {measure} in {side}",
            )
        live.append(span)
        highest = _higher(highest, span.row)


def _ends_after(before: _Span, start_ms: int) -> bool:
    if before.row.provisional:
        return False  # its end is our guess; the register alone can tell
    if before.end_ms is None:
        # Open: the next start on the connector has to have closed it. An end that cannot be read closes too.
        return not before.row.ended_at
    return before.end_ms > start_ms + TIME_TOLERANCE_MS


def _higher(highest: LedgerRow | None, row: LedgerRow) -> LedgerRow | None:
    if row.meter_stop_wh is None or row.meter_start_wh is None:
        return highest
    if highest is None or highest.meter_stop_wh is None or highest.meter_start_wh is None:
        return row
    if row.meter_stop_wh >= highest.meter_stop_wh or row.meter_stop_wh <= highest.meter_start_wh:
        return row  # further up, or the register began anew
    return highest


def _interval(row: LedgerRow) -> tuple[float, float] | None:
    """What of the register this session claims for itself, when that says anything."""
    if not row.meter_start_wh or row.meter_stop_wh is None or row.meter_stop_wh <= row.meter_start_wh:
        return None
    return row.meter_start_wh, row.meter_stop_wh


def _register_overlap_wh(before: LedgerRow, after: LedgerRow) -> float:
    """How much of the register both claim. A later start at 0 is a register that counts within a session."""
    if before.meter_start_wh is None or before.meter_stop_wh is None:
        return 0.0
    if not after.meter_start_wh or after.meter_stop_wh is None:
        return 0.0
    low = max(before.meter_start_wh, after.meter_start_wh)
    return min(before.meter_stop_wh, after.meter_stop_wh) - low


def _gaps(spans: Sequence[_Span], side: str) -> Iterable[Finding]:
    for before, after in pairwise(spans):
        if before.row.meter_stop_wh is None or not after.row.meter_start_wh:
            continue
        step_wh = after.row.meter_start_wh - before.row.meter_stop_wh
        if step_wh > REGISTER_TOLERANCE_WH:
            yield Finding(
                kind="lost",
                charger=after.row.charger,
                sessions=(before.row.session, after.row.session),
                side=side,
                message=f"the register of {_place(after.row)} moved by {step_wh:.0f} Wh between two sessions",
            )


def _place(row: LedgerRow) -> str:
    return f"{row.charger} connector {row.evse}" if row.evse else row.charger


def _instant(text: str) -> int | None:
    try:
        return from_iso(text)
    except ValueError:
        return None

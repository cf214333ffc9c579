"""Reconciliation: whether two ledgers tell the same truth, and where they first do not (design §9). Pure.

    lost       one side has the session and the other has not; or the register moved between two sessions
    doubled    two sessions of one connector overlap in time or in register, on either side
    differing  the same session with other values

`fold` says what facts come to as ledger rows, so box and cloud compare the same thing: the box answers the
query `ledger` with rows folded from its journal, the cloud has its tables, and its own facts to fold again.
`compare` judges; it never guesses about what it was not shown, and says what it was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from common import facts, progress
from common.domain import EnergyMethod
from common.doubles import Finding as Finding
from common.doubles import PlaceWalk, place_order
from common.facts import Fact

#: Findings that are told one by one; the counts are complete all the same.
FINDINGS_MAX = 100
#: Findings that are remembered so that none is counted twice; far beyond them a ledger is beyond counting.
SEEN_MAX = 10_000


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


def in_order(told: Iterable[Fact]) -> list[Fact]:
    """One session's facts, from whatever epochs, in the order in which they are folded.

    By their times, and where those are the same by their numbers; but a start comes before what was learned
    of it, also where the box's clock was set back in between.
    """
    return sorted(
        told, key=lambda f: (not isinstance(f.body, facts.SessionStarted), f.at, f.epoch, f.seq, f.uid)
    )


def fold_all(bodies: Iterable[facts.Body]) -> dict[str, LedgerRow]:
    """The ledger that these facts come to, by session."""
    rows: dict[str, LedgerRow] = {}
    for body in bodies:
        session = getattr(body, "session", None)
        if isinstance(session, str) and (after := fold(rows.get(session), body)) is not None:
            rows[session] = after
    return rows


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
    tally = Tally()
    place = {uid: row.started_at for rows in (theirs or {}, ours) for uid, row in rows.items()}
    found = [*_within(ours, side)]
    if theirs is not None:
        found += [*_within(theirs, other), *_across(ours, theirs, side, other)]
    for finding in found:
        tally.add(finding, min(place.get(uid, "") for uid in finding.sessions))
    findings = tally.findings
    return Report(
        sessions=len({*ours, *(theirs or {})}),
        first_difference=findings[0] if findings else None,
        findings=findings,
        compared={**(compared or {}), side: len(ours), other: None if theirs is None else len(theirs)},
        **tally.counts,
    )


class Tally:
    """Findings as they come: all of them counted, each once; the earliest kept to be told."""

    def __init__(self) -> None:
        self.counts = {"lost": 0, "doubled": 0, "differing": 0}
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        self._kept: list[tuple[str, int, Finding]] = []

    def add(self, finding: Finding, started_at: str | None = None) -> None:
        """started_at: of the earliest session that it is about, where that is known: it is told first."""
        about = (finding.kind, finding.sessions or (finding.message,))
        if about in self._seen:
            return
        if len(self._seen) < SEEN_MAX:
            self._seen.add(about)
        self.counts[finding.kind] += 1
        began = finding.at if started_at is None else started_at
        self._kept.append((began, sum(self.counts.values()), finding))
        if len(self._kept) > 2 * FINDINGS_MAX:
            self._kept = sorted(self._kept)[:FINDINGS_MAX]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The earliest of them, in order."""
        return tuple(finding for _, _, finding in sorted(self._kept)[:FINDINGS_MAX])


def _across(
    ours: Mapping[str, LedgerRow], theirs: Mapping[str, LedgerRow], side: str, other: str
) -> Iterable[Finding]:
    for uid in sorted({*ours, *theirs}):
        finding = difference(ours.get(uid), theirs.get(uid), side, other)
        if finding is not None:
            yield finding


def difference(here: LedgerRow | None, there: LedgerRow | None, side: str, other: str) -> Finding | None:
    """What two sides tell differently of one session; None = the same. None for a side that has it not."""
    known = here or there
    if known is None:
        return None
    if here is None or there is None:
        has, has_not = (side, other) if here else (other, side)
        return Finding(
            kind="lost",
            charger=known.charger,
            sessions=(known.session,),
            side=has_not,
            at=known.started_at,
            message=f"a session of {known.charger} from {known.started_at} is in {has}, not in {has_not}",
        )
    if session_digest(here) == session_digest(there):
        return None
    return Finding(
        kind="differing",
        charger=here.charger,
        sessions=(here.session,),
        at=here.started_at,
        message=told_otherwise(here, there, LedgerRow.__struct_fields__, side, other),
    )


def told_otherwise(here: object, there: object, names: Iterable[str], side: str, other: str) -> str:
    """Which of these fields two rows of one session tell differently, with both values; empty = none."""
    return "; ".join(
        f"{name}: {getattr(here, name)!s} in {side}, {getattr(there, name)!s} in {other}"
        for name in names
        if getattr(here, name) != getattr(there, name)
    )


def _within(rows: Mapping[str, LedgerRow], side: str) -> Iterable[Finding]:
    """What is wrong within one ledger: doubles, and steps of the register that belong to no session."""
    walk = PlaceWalk(side)
    for row in sorted(rows.values(), key=place_order):
        yield from walk.see(row)
    yield from walk.end()

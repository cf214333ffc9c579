"""Charge lines: what a session comes to on a bill, and what a later truth about it adds or takes back. Pure.

    facts of one session ─▶ its revisions in order ─▶ billable ones ─▶ a line each: charge, then corrections

A line says the difference to what its session's lines said before, in whole thousandths of a Wh, so that sums
are exact: all lines of a session together are its energy at its latest billable revision, in whatever order
facts came and however often they were looked at. Its id follows from site, session and revision, so the same
line has the same id in every export, and in a cloud that was filled again from its boxes (design §9).

What waits for an operator never becomes a line by itself: `waiting` says why, and an operator's decision (a
`session_revised` with `obtained="operator"`) settles it. Only kWh so far: prices are the business of whoever
reads the lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from uuid import UUID, uuid5

import msgspec

from common import facts
from common.domain import EnergyMethod, from_iso
from common.facts import Fact
from common.reconcile import LedgerRow, fold, in_order
from common.review import attention

#: Names the ids of lines; made once for this purpose and never changed.
_NAMESPACE = UUID("6a3c1c5e-93a5-5d5b-8f0e-6f1d1d0c5a77")
#: An end that is told as later than this after it was written down, or as earlier than 2020, comes from a
#: clock that cannot be believed: the line is then of the month in which the end was written down.
_AHEAD_MS = 24 * 3_600_000
_CLOCK_BELIEVED_MS = from_iso("2020-01-01T00:00:00Z")

CHARGE, CORRECTION = "charge", "correction"
OPERATOR = "operator"


class ChargeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `energy_milliwh`: this line's own part; `total_milliwh`: the session's up to this line."""

    id: str
    session: str
    revision: int
    kind: str  #: charge | correction
    corrects: str | None = None  #: the line of the same session before this one
    charger: str
    evse: int
    connector: int
    principal: str | None  #: who pays, a pseudonym
    started_at: str
    ended_at: str
    at_ms: int  #: the end, as far as it can be believed: decides the month
    energy_milliwh: int
    total_milliwh: int
    obtained: str  #: measured | operator
    month: str = ""  #: of the export that it is part of, `YYYY-MM`; empty until then


class Standing(msgspec.Struct, frozen=True):
    """A session at one of its revisions."""

    row: LedgerRow
    principal: str | None
    obtained: str
    at_ms: int
    waiting: str  #: why it is not billable; empty = it is
    void: bool = False  #: an operator decided that nothing is to be billed


def line_id(site: str, session: str, revision: int) -> str:
    """The id of a line, from what it is about."""
    return str(uuid5(_NAMESPACE, f"{site}\n{session}\n{revision}"))


def standings(told: Iterable[Fact]) -> list[Standing]:
    """One session at each of its revisions, the first (its end, as first told) being 0.

    told: the session's facts in any order, repeated or not. Of several that claim one revision the latest
    counts, as in the ledger.
    """
    ordered = in_order(told)
    begun = _begun(ordered)
    ends = [fact for fact in ordered if isinstance(fact.body, facts.SessionEnded)]
    revisions = {fact.body.revision: fact for fact in ordered if isinstance(fact.body, facts.SessionRevised)}
    row, principal, resolved = begun.row, begun.principal, False
    found: list[Standing] = []
    for fact in (*ends[-1:], *(revisions[number] for number in sorted(revisions))):
        body = fact.body
        assert isinstance(body, facts.SessionEnded | facts.SessionRevised)
        row = fold(row, body)
        assert row is not None
        principal = principal or body.principal
        obtained = _obtained(body)
        resolved = resolved or obtained == OPERATOR
        flags = (*(() if resolved else begun.flags), *(() if obtained == OPERATOR else body.flags))
        why = _waiting(row, principal, obtained, flags)
        if not (why or resolved) and begun.authorization != "accepted":
            why = f"authorization_{begun.authorization}" if begun.authorization else "no_start"
        void = obtained == OPERATOR and row.energy_wh is None
        found.append(Standing(row, principal, obtained, _instant_ms(row, fact), why, void))
    return found


class _Begun(msgspec.Struct):
    """What is known of a session's beginning: its start, and what was learned of it later."""

    row: LedgerRow | None = None
    principal: str | None = None
    authorization: str = ""
    flags: tuple[str, ...] = ()


def _begun(ordered: Iterable[Fact]) -> _Begun:
    known = _Begun()
    for fact in ordered:
        body = fact.body
        if isinstance(body, facts.SessionEnded | facts.SessionRevised):
            continue
        known.row = fold(known.row, body)
        known.principal = getattr(body, "principal", None) or known.principal
        known.authorization = getattr(body, "authorization", None) or known.authorization
        known.flags += getattr(body, "flags", ())
    return known


def _obtained(body: facts.SessionEnded | facts.SessionRevised) -> str:
    """operator | estimated | measured: the first of them that the fact says in any way."""
    said = {body.method.obtained, getattr(body, "obtained", "measured")}
    return next((word for word in (OPERATOR, "estimated") if word in said), min(said))


def _waiting(row: LedgerRow, principal: str | None, obtained: str, flags: Iterable[str]) -> str:
    """Why a person has to look first, going by the end; empty when nobody has to."""
    if not row.ended_at:
        return "open"
    if row.provisional:
        return "provisional"
    if principal is None:
        return "nobody_pays"
    if row.energy_wh is None or not isfinite(row.energy_wh) or row.energy_wh < 0:
        return "no_energy"
    if "superseded" in flags:
        return "superseded"
    if obtained == OPERATOR:
        return ""
    if row.method is EnergyMethod.UNKNOWN:
        return "no_energy"
    if obtained != "measured":
        return obtained
    return next(iter(attention(tuple(flags), row.method, ended=True, provisional=False)), "")


def _instant_ms(row: LedgerRow, fact: Fact) -> int:
    written_ms = from_iso(fact.at)
    try:
        ended_ms = from_iso(row.ended_at)
    except ValueError:
        return written_ms
    return ended_ms if _CLOCK_BELIEVED_MS <= ended_ms <= written_ms + _AHEAD_MS else written_ms


def waiting(told: Iterable[Fact]) -> Standing | None:
    """A session's latest standing, if that waits for an operator; None = it is on a line, or needs none."""
    found = standings(told)
    if not found or found[-1].void or found[-1].waiting in ("", "superseded"):
        return None
    return found[-1]


def billable_milliwh(told: Iterable[Fact]) -> int:
    """What all lines of a session must come to: its energy at its latest billable revision."""
    total = 0
    for standing in standings(told):
        if standing.void:
            total = 0
        elif not standing.waiting:
            total = milliwh(standing.row)
    return total


def milliwh(row: LedgerRow) -> int:
    """A session's energy in whole thousandths of a Wh."""
    return round((row.energy_wh or 0.0) * 1000)


def due(site: str, told: Iterable[Fact], written: Sequence[ChargeLine]) -> list[ChargeLine]:
    """The lines that a session still lacks, given those already written. [] = none.

    A revision below one that has a line is history: its line would only be taken back by the later one.
    """
    lines = sorted(written, key=lambda line: line.revision)
    fresh: list[ChargeLine] = []
    for standing in standings(told):
        row = standing.row
        last = lines[-1] if lines else None
        if last is not None and row.revision <= last.revision:
            continue
        if standing.void and last is None:
            continue
        if standing.waiting and not standing.void:
            continue
        line = _line(site, standing, last)
        lines.append(line)
        fresh.append(line)
    return fresh


def _line(site: str, standing: Standing, last: ChargeLine | None) -> ChargeLine:
    """The line of a session at a revision, after the one before."""
    row = standing.row
    total = 0 if standing.void else milliwh(row)
    return ChargeLine(
        id=line_id(site, row.session, row.revision),
        session=row.session,
        revision=row.revision,
        kind=CHARGE if last is None else CORRECTION,
        corrects=last.id if last else None,
        charger=row.charger,
        evse=row.evse,
        connector=row.connector,
        principal=last.principal if last else standing.principal,
        started_at=row.started_at,
        ended_at=row.ended_at,
        at_ms=standing.at_ms,
        energy_milliwh=total - (last.total_milliwh if last else 0),
        total_milliwh=total,
        obtained=standing.obtained,
    )


def otherwise(site: str, told: Iterable[Fact], written: Iterable[ChargeLine]) -> str:
    """What a session's lines say otherwise than its facts, in a sentence; empty = nothing.

    Each line there is, in each of its fields but the month. Which revisions have one is not judged: that is
    a matter of when somebody exported.
    """
    known = {standing.row.revision: standing for standing in standings(told)}
    last: ChargeLine | None = None
    for line in sorted(written, key=lambda line: line.revision):
        standing = known.get(line.revision)
        if standing is None:
            return f"its line {line.id} is of revision {line.revision}, of which its facts tell nothing"
        expected = _line(site, standing, last)
        fields = [
            f"{name}: {getattr(line, name)!s} on line {line.id}, {getattr(expected, name)!s} by its facts"
            for name in ChargeLine.__struct_fields__
            if name != "month" and getattr(line, name) != getattr(expected, name)
        ]
        if fields:
            return "; ".join(fields)
        last = line
    return ""


# --- months ------------------------------------------------------------------------------------------------


def month_after(month: str) -> str:
    """The month behind `YYYY-MM`."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12:04}-{number % 12 + 1:02}"


def booked(own_month: str, closed_through: str) -> str:
    """The month whose export a line is part of: that of its session's end, or, once that is closed, the next.

    closed_through: the latest month that was exported; empty = none.
    """
    return max(own_month, month_after(closed_through)) if closed_through else own_month


def energy_wh(amount_milliwh: int) -> float:
    """For JSON: Wh with the thousandths behind the point."""
    return amount_milliwh / 1000


def energy_kwh(amount_milliwh: int) -> str:
    """For a table: kWh in decimal, exact, with at least the Wh: `-3.400`, `0.0005`."""
    whole, part = divmod(abs(amount_milliwh), 1_000_000)
    digits = f"{part:06}".rstrip("0").ljust(3, "0")
    return f"{'-' if amount_milliwh < 0 else ''}{whole}.{digits}"

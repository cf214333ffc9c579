"""Looks through the whole journal: whether it is what was written, adds up, and fits its meters.

    facts      each against its hash, the chain and its marks; its record against its own columns; every
               tombstone under a declaration (`common.thinning`); every end with its start; and
               nothing missing up to where the journal has been written
    sums       each session's row against what its facts come to, and whose it is; the energies, added up
    registers  energy against the registers at start and stop, and those against the samples between;
               sessions of one connector against each other (`common.doubles`)

On a connection and a thread of its own, in pages and without a long transaction, so that charging goes on.
What is remembered is the page, the open sessions and one connector's register intervals: memory grows with
the journal by some 300 bytes for each session of one connector and each declaration, no more. What is
not there to be compared any more (erased, cut off at the front) is counted as such, and nothing is claimed
about it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from common import facts
from common.domain import EnergyMethod
from common.doubles import REGISTER_TOLERANCE_WH, PlaceWalk
from common.errors import Code, Unavailable
from common.facts import Fact
from common.reconcile import Finding, LedgerRow, Tally, difference, fold, told_otherwise
from edge.journal import marks
from edge.journal.declared import Declared
from edge.journal.folder import open_reader
from edge.journal.marks import ChainBroken
from edge.journal.projection import SESSION_KINDS, session_after
from edge.journal.rotation import read_epoch
from edge.journal.rows import SESSION_COLUMNS, SessionRow, StoredRecord, ledger_row, session_row

#: Sessions read at once, and facts between two breaths of the loop's thread.
PAGE: Final = 200
BREATH: Final = 256
BREATH_S: Final = 0.001
#: The journal changed under our eyes (a new epoch, thinning, a cut): begin anew, so often at most.
TRIES: Final = 3
#: Registers are compared as told; a stored energy may have been rounded to a tenth of a Wh.
ENERGY_TOLERANCE_WH: Final = 0.5
#: What a session's row says besides what both sides of a reconciliation compare: whose it is, and why a
#: person has to look at it.
_BESIDE = ("transaction", "principal", "tag_ref", "command", "authorization", "flags")
#: Places on the charger whose register is the session's.
_IN_SESSION: Final = frozenset({"outlet", "cable"})

TABLE, FACTS = "the sessions", "the facts"
_KINDS = ", ".join(f"'{kind}'" for kind in sorted(SESSION_KINDS))
_SESSION = f"SELECT {', '.join(SESSION_COLUMNS)} FROM session"  # noqa: S608 - our own names


class Chain(msgspec.Struct, kw_only=True):
    """What the walk over all facts found."""

    epoch: str
    first_seq: int
    last_seq: int
    facts: int = 0
    tombstones: int = 0
    declarations: int = 0
    unreadable: int = 0  #: records of kinds or versions that this build does not know
    intact: bool = True
    first_break: int = 0  #: seq at which it stops to fit; 0 = nowhere
    why: str = ""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, with what it rests on. `ok`: the chain whole, every sum equal, nothing found."""

    ok: bool
    first_difference: str
    chain: Chain
    sessions: int  #: compared with their facts
    not_compared: int  #: whose facts are not all there any more
    by_register: int  #: of those compared, whose energy was held against registers at start and end
    lost: int
    doubled: int
    differing: int
    sessions_energy_wh: float  #: what the sessions claim, of those compared
    facts_energy_wh: float  #: what their facts come to
    findings: tuple[Finding, ...]


class _Moved(Exception):  # noqa: N818 - not an error: look again
    """The journal began a new epoch, was thinned or cut while it was looked through."""


def verify(path: Path, *, committed: int = 0, breathe: Callable[[float], None] = time.sleep) -> Verified:
    """Look through the journal at `path`. Blocks; the file is only read. Raises Unavailable.

    committed: up to where whoever writes it has written.
    """
    try:
        for _ in range(TRIES):
            with closing(open_reader(path)) as db:
                try:
                    return _Look(db, committed, breathe).whole()
                except _Moved:
                    continue
    except sqlite3.Error as failed:
        raise Unavailable(Code.JOURNAL_UNAVAILABLE, str(failed)) from failed
    raise Unavailable(Code.BUSY, "the journal is being cut or thinned", hint="Try again in a minute.")


class _Look:
    """One look through one journal."""

    def __init__(self, db: sqlite3.Connection, committed: int, breathe: Callable[[float], None]) -> None:
        self._db = db
        self._committed = committed
        self._breathe = breathe
        first, last = marks.bounds(db)
        self._chain = Chain(epoch=read_epoch(db), first_seq=first, last_seq=last)
        self._tally = Tally()
        self._seen: dict[str, _Seen] = {}  # open sessions' registers, by session
        self._sessions = self._not_compared = self._by_register = 0
        self._rows_from = self._first_row()
        self._table_wh = self._facts_wh = 0.0

    def _first_row(self) -> int:
        """From which fact on each session must have its row."""
        if self._chain.first_seq == 1 and self._chain.epoch.startswith("1-"):
            return 1
        (first,) = self._db.execute("SELECT min(started_seq) FROM session").fetchone()
        return first or self._chain.last_seq + 1

    def whole(self) -> Verified:
        """Everything, one after the other. Raises _Moved, sqlite3.Error."""
        self._facts()
        self._unmoved()
        self._sums()
        walk = PlaceWalk(TABLE)
        for row in _by_place(self._db):
            for finding in walk.see(row):
                self._tally.add(finding)
        for finding in walk.end():
            self._tally.add(finding)
        self._unmoved()
        chain, findings, counts = self._chain, self._tally.findings, self._tally.counts
        first = f"fact {chain.first_break} {chain.why}" if not chain.intact else ""
        if not first and findings:
            first = findings[0].message
        return Verified(
            ok=chain.intact and not findings,
            first_difference=first,
            chain=chain,
            sessions=self._sessions,
            not_compared=self._not_compared,
            by_register=self._by_register,
            sessions_energy_wh=round(self._table_wh, 3),
            facts_energy_wh=round(self._facts_wh, 3),
            findings=findings,
            **counts,
        )

    def _unmoved(self) -> None:
        first, _ = marks.bounds(self._db)
        if (read_epoch(self._db), first) != (self._chain.epoch, self._chain.first_seq):
            raise _Moved

    # --- facts -------------------------------------------------------------------------------------------

    def _facts(self) -> None:
        chain = self._chain
        declared = Declared(self._db, chain.epoch)
        chain.declarations = declared.count
        try:
            for stored in marks.verified(self._db, chain.epoch, chain.first_seq - 1, up_to=chain.last_seq):
                chain.facts += 1
                declared.see(stored.seq, stored.uid, gone=stored.record is None)
                if stored.record is None:
                    chain.tombstones += 1
                else:
                    self._fact(stored, stored.record)
                if stored.seq % BREATH == 0:
                    self._breathe(BREATH_S)
        except ChainBroken as broken:
            self._unmoved()
            self._broken(broken.seq, str(broken).removeprefix(f"fact {broken.seq} "))
        if chain.last_seq < self._committed:
            self._broken(chain.last_seq + 1, f"is missing, and so is what followed, up to {self._committed}")
        if declared.undeclared:
            if Declared(self._db, chain.epoch).count != declared.count:
                raise _Moved  # it was thinned while we looked
            self._broken(declared.undeclared, "has lost its content, and no declaration says why")

    def _broken(self, seq: int, why: str) -> None:
        if self._chain.intact:
            self._chain.intact, self._chain.first_break, self._chain.why = False, seq, why

    def _fact(self, stored: StoredRecord, record: bytes) -> None:
        try:
            fact = facts.read(self._chain.epoch, stored.seq, record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._broken(stored.seq, "cannot be read")
            return
        if fact.uid != stored.uid:
            self._broken(stored.seq, "carries another uid than its row")
        body = fact.body
        if isinstance(body, facts.UnknownBody):
            self._chain.unreadable += 1
        elif isinstance(body, facts.SessionStarted):
            self._seen[body.session] = _Seen(body.meter_start_wh)
            self._known(fact.seq, body)
        elif isinstance(body, facts.MeterSampled):
            if body.session in self._seen and not body.late:
                self._seen[body.session].take(body)
        elif isinstance(body, facts.SessionEnded):
            self._ended(body)

    def _known(self, seq: int, body: facts.SessionStarted) -> None:
        if seq < self._rows_from:
            return  # of a journal that was cut, rows of old sessions have left before their facts
        found = self._db.execute("SELECT 1 FROM session WHERE session = ?", (body.session,)).fetchone()
        if found is None:
            self._add(difference(fold(None, body), None, FACTS, TABLE))

    def _ended(self, body: facts.SessionEnded) -> None:
        seen = self._seen.pop(body.session, None)
        if seen is None and self._chain.first_seq == 1 and not self._begun(body.session):
            self._add(self._finding("lost", body, "its end is here, its start is not"))
        if seen is None or seen.low_wh is None or body.flags or body.provisional:
            return  # what is flagged is known to be odd
        if body.method is not EnergyMethod.REGISTER or body.meter_stop_wh is None:
            return
        if seen.high_wh - body.meter_stop_wh > REGISTER_TOLERANCE_WH:
            self._odd(body, f"a sample told {seen.high_wh:.0f} Wh, the end {body.meter_stop_wh:.0f} Wh")
        elif (seen.start_wh or 0.0) - seen.low_wh > REGISTER_TOLERANCE_WH:
            self._odd(body, f"a sample told {seen.low_wh:.0f} Wh, the start {seen.start_wh:.0f} Wh")

    def _begun(self, session: str) -> bool:
        """Whether a start of it is told, or a row is there: neither is where a salvage lost the start."""
        return (
            self._db.execute(
                "SELECT 1 FROM session WHERE session = :session UNION ALL"
                " SELECT 1 FROM fact WHERE subject = :session AND kind = :kind LIMIT 1",
                {"session": session, "kind": facts.SessionStarted.KIND},
            ).fetchone()
            is not None
        )

    def _odd(self, body: facts.SessionEnded, message: str) -> None:
        self._tally.add(self._finding("differing", body, message))

    @staticmethod
    def _finding(kind: str, body: facts.SessionEnded, message: str) -> Finding:
        return Finding(
            kind=kind,
            charger=body.charger,
            sessions=(body.session,),
            side=FACTS,
            at=body.ended_at,
            message=message,
        )

    def _add(self, finding: Finding | None) -> None:
        if finding is not None:
            self._tally.add(finding)

    # --- sums --------------------------------------------------------------------------------------------

    def _sums(self) -> None:
        for row in _by_start(self._db):
            if row.started_seq > self._chain.last_seq or row.last_seq > self._chain.last_seq:
                self._beyond(row)
                continue
            told = self._story(row)
            begun = told is not None and any(isinstance(fact.body, facts.SessionStarted) for fact in told)
            if told is None or (not begun and row.started_seq <= self._chain.first_seq):
                self._not_compared += 1  # its beginning was cut off, or is erased
                continue
            self._sessions += 1
            here, there, whole = ledger_row(row), None, None
            for fact in told:
                there, whole = fold(there, fact.body), session_after(whole, fact)
            self._add(difference(here, there, TABLE, FACTS) or _beside(row, whole))
            if row.ended:
                self._table_wh += row.energy_wh or 0.0
                self._facts_wh += there.energy_wh or 0.0 if there is not None else 0.0
            self._registers(row)

    def _story(self, row: SessionRow) -> list[Fact] | None:
        """The facts that a session's row follows from; None: they are not all there any more."""
        found = self._db.execute(
            f"SELECT seq, record FROM fact WHERE subject = ? AND kind IN ({_KINDS}) ORDER BY seq",  # noqa: S608
            (row.session,),
        ).fetchall()
        if any(record is None for _, record in found):
            return None
        told = [facts.read(self._chain.epoch, seq, record) for seq, record in found]
        return None if any(isinstance(fact.body, facts.UnknownBody) for fact in told) else told

    def _beyond(self, row: SessionRow) -> None:
        """It goes on while we look; a row and its facts are written together."""
        _, last = marks.bounds(self._db)
        if max(row.started_seq, row.last_seq) > last:
            message = f"it goes on to fact {max(row.started_seq, row.last_seq)}, and the last here is {last}"
            self._tally.add(_of_row("lost", row, FACTS, message))

    def _registers(self, row: SessionRow) -> None:
        """What a session claims by its registers is what they differ by."""
        if row.method is not EnergyMethod.REGISTER or row.energy_wh is None:
            return
        if row.meter_start_wh is None or row.meter_stop_wh is None or "superseded" in row.flags:
            return
        self._by_register += 1
        gained_wh = row.meter_stop_wh - row.meter_start_wh
        if abs(gained_wh - row.energy_wh) > ENERGY_TOLERANCE_WH:
            message = f"it claims {row.energy_wh:g} Wh, its registers differ by {gained_wh:g} Wh"
            self._tally.add(_of_row("differing", row, TABLE, message))


def _of_row(kind: str, row: SessionRow, side: str, message: str) -> Finding:
    return Finding(
        kind=kind,
        charger=row.charger,
        sessions=(row.session,),
        side=side,
        at=row.started_at,
        message=message,
    )


def _beside(row: SessionRow, told: SessionRow | None) -> Finding | None:
    """What the row says of whose session it is, and its facts do not."""
    if told is None:
        return None
    message = told_otherwise(row, told, _BESIDE, TABLE, FACTS)
    return _of_row("differing", row, TABLE, message) if message else None


class _Seen(msgspec.Struct):
    """How low and how high the samples of an open session were."""

    start_wh: float | None
    low_wh: float | None = None
    high_wh: float = 0.0

    def take(self, body: facts.MeterSampled) -> None:
        for sample in body.samples:
            value = sample.energy_wh
            if value is None or sample.location not in _IN_SESSION:
                continue
            self.low_wh = value if self.low_wh is None else min(self.low_wh, value)
            self.high_wh = max(self.high_wh, value)


def _by_start(db: sqlite3.Connection) -> Iterator[SessionRow]:
    after: tuple[int, str] = (-1, "")
    while True:
        # Of a journal that an earlier build renumbered, several may have the same first fact.
        rows = db.execute(
            f"{_SESSION} WHERE (started_seq, session) > (?, ?) ORDER BY started_seq, session LIMIT ?",
            (*after, PAGE),
        ).fetchall()
        found = [session_row(values) for values in rows]
        yield from found
        if len(found) < PAGE:
            return
        after = (found[-1].started_seq, found[-1].session)


def _by_place(db: sqlite3.Connection) -> Iterator[LedgerRow]:
    place: tuple[Any, ...] = ("", -1, -1, "", "")
    while True:
        rows = db.execute(
            f"{_SESSION} WHERE (charger, evse, connector, started_at, session) > (?, ?, ?, ?, ?)"
            " ORDER BY charger, evse, connector, started_at, session LIMIT ?",
            (*place, PAGE),
        ).fetchall()
        found = [ledger_row(session_row(values)) for values in rows]
        yield from found
        if len(found) < PAGE:
            return
        last = found[-1]
        place = (last.charger, last.evse, last.connector, last.started_at, last.session)

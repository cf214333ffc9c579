"""Thinning: meter samples lose their content, their place in the chain stays (design §4).

    plan(db, …)        which of the next window's facts may go        read only
    [Thinned]          the declaration, committed first               the caller's
    carry_out(db, …)   tombstones instead of records, pages given back

Functions for `Journal.submit`. Never touched: facts behind the older state snapshot (a restart replays
those), a session's first and last sample in the window, samples that mark a begin, an end or an interruption,
and signed meter data. A window is small, so that no transaction is long.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from common import facts
from common.facts import Fact, MeterSampled
from common.thinning import Thinned, Why
from edge.journal import marks
from edge.journal.projection import METER_KIND
from edge.journal.rotation import read_epoch

#: Facts looked at, and rows written, by one transaction: some 10 ms of a small box.
WINDOW: Final = 500
#: Samples in the middle of a session; all other contexts say something that no neighbour says.
_BETWEEN: Final = frozenset({"periodic", "clock"})
#: "2026-11-20T10:0": the ten minutes of a sample's time.
_TEN_MINUTES: Final = 15
#: A tombstone after its content is gone, and the row's columns in the order of the table.
_ROW: Final = "seq, uid, kind, subject, inner, salt, record"


class Stage(StrEnum):
    """What is taken from a window."""

    RETENTION = "retention"  #: all samples that are not signed
    ROLL_UP = "rolled_up"  #: all between but the first of each ten minutes
    HALVE = "halved"  #: every other one between


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would go from one window. `last`: the window's end, where the next one begins."""

    stage: Stage
    epoch: str
    rows: tuple[tuple[int, str], ...]
    last: int

    def declaration(self, *, acked: bool) -> Thinned:
        """The fact that must be on disk before the plan is carried out."""
        (first_seq, first_uid), (last_seq, last_uid) = self.rows[0], self.rows[-1]
        reason: Why = self.stage.value
        return Thinned(
            reason=reason,
            epoch=self.epoch,
            first_seq=first_seq,
            last_seq=last_seq,
            first_uid=first_uid,
            last_uid=last_uid,
            count=len(self.rows),
            acked=acked,
        )


def horizon(db: sqlite3.Connection) -> int:
    """The last fact that no recovery reads again: the older snapshot's. 0 = there are not two yet."""
    seqs = db.execute("SELECT seq FROM snapshot ORDER BY id DESC LIMIT 2").fetchall()
    return min(seq for (seq,) in seqs) if len(seqs) == 2 else 0


def plan(db: sqlite3.Connection, stage: Stage, after: int, up_to: int) -> Plan | None:
    """What may go of the window behind `after`, up to `up_to` or the horizon. None: there is no window."""
    first, _ = marks.bounds(db)
    after = max(after, first - 1)
    up_to = min(up_to, horizon(db))
    if after >= up_to:
        return None
    last = min(after + WINDOW, up_to)
    epoch = read_epoch(db)
    found = db.execute(
        "SELECT seq, record FROM fact WHERE seq > ? AND seq <= ? AND kind = ? AND record IS NOT NULL"
        " ORDER BY seq",
        (after, last, METER_KIND),
    ).fetchall()
    window = [facts.read(epoch, seq, record) for seq, record in found]
    gone = sorted((fact.seq, fact.uid) for fact in _leaving(stage, window))
    return Plan(stage=stage, epoch=epoch, rows=tuple(gone), last=last)


def _leaving(stage: Stage, window: Sequence[Fact]) -> Iterable[Fact]:
    by_session: dict[str, list[Fact]] = {}
    for fact in window:
        body = fact.body
        # A version that this build cannot read is left as it is.
        if isinstance(body, MeterSampled):
            by_session.setdefault(body.session or f"{body.charger}/{body.evse}", []).append(fact)
    for told in by_session.values():
        yield from _of_one(stage, told)


def _of_one(stage: Stage, told: Sequence[Fact]) -> Iterable[Fact]:
    """Of one session's facts in the window, in order."""
    if stage is Stage.RETENTION:
        return [fact for fact in told if not _signed(fact)]
    between = told[1:-1]
    if stage is Stage.HALVE:
        return [fact for fact in between[::2] if _is_between(fact)]
    kept = {_ten_minutes(told[0])} if told else set()
    leaving = []
    for fact in between:
        if not _is_between(fact):
            continue
        if (ten := _ten_minutes(fact)) in kept:
            leaving.append(fact)
        kept.add(ten)
    return leaving


def _samples(fact: Fact) -> MeterSampled:
    assert isinstance(fact.body, MeterSampled)
    return fact.body


def _signed(fact: Fact) -> bool:
    return any(sample.signed for sample in _samples(fact).samples)


def _is_between(fact: Fact) -> bool:
    return not _signed(fact) and all(sample.context in _BETWEEN for sample in _samples(fact).samples)


def _ten_minutes(fact: Fact) -> str:
    samples = _samples(fact).samples
    return ((samples[0].at if samples else None) or fact.at)[:_TEN_MINUTES]


def carry_out(db: sqlite3.Connection, made: Plan) -> int:
    """Put tombstones where the plan says; how many there are more now. A row that is not as planned stays."""
    if not made.rows or read_epoch(db) != made.epoch or made.rows[-1][0] > horizon(db):
        return 0
    before = db.total_changes
    db.executemany(
        "UPDATE fact SET record = NULL, salt = NULL WHERE seq = ? AND uid = ? AND record IS NOT NULL",
        made.rows,
    )
    count = db.total_changes - before
    _repack(db, made.rows[0][0], made.rows[-1][0])
    return count


def _repack(db: sqlite3.Connection, first: int, last: int) -> None:
    """Write a range of facts anew. Half-empty pages in the middle of a table are never filled again, since
    facts only come at its end; written in one go they are full, and the others are free.
    """
    rows = db.execute(f"SELECT {_ROW} FROM fact WHERE seq BETWEEN ? AND ?", (first, last)).fetchall()  # noqa: S608
    db.execute("DELETE FROM fact WHERE seq BETWEEN ? AND ?", (first, last))
    db.executemany(f"INSERT INTO fact ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608

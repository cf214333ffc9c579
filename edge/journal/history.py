"""History in pages, off the loop: what apps and operators query, on a read-only aiosqlite connection.

Every read is one statement, so it sees one moment of the journal, and it is bounded, so that no reader keeps
the log from being emptied. Who may see what is the caller's business (`common.policy`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import aiosqlite
import msgspec

from common import facts
from common.domain import EnergyMethod
from common.errors import Code, Refused, Unavailable
from common.facts import Fact, MeterSampled, OrphanResolved
from common.review import attention
from common.sought import ALL, Sought
from edge.journal.folder import reader_pragmas, reader_uri
from edge.journal.projection import METER_KIND
from edge.journal.rows import (
    SESSION_COLUMNS,
    Counts,
    LedgerPage,
    MeterRow,
    Page,
    SessionRow,
    ledger_row,
    session_row,
)

#: Most rows in one page; a page of the largest facts is 8 MiB, of usual ones a quarter of one.
PAGE_MAX = 500
#: Facts that one read of a meter series looks through: samples of all sessions lie in one order, so a
#: session's are found by going through its time. About 20 ms of one core.
SCAN_MAX = 20_000

#: How the whole ledger can be walked through; texts by code point.
ORDERS = {
    "session": ("session",),
    "place": ("charger", "evse", "connector", "started_at", "session"),
}
_BAR = "|"

_EPOCH = "(SELECT value FROM meta WHERE name = 'journal.epoch')"
_SESSIONS = f"SELECT {', '.join(SESSION_COLUMNS)} FROM session"  # noqa: S608 - our own names
_FACTS = f"SELECT {_EPOCH}, seq, record FROM fact WHERE record IS NOT NULL AND subject IS NOT NULL"  # noqa: S608
_STORY = (
    f"{_FACTS} AND seq > :after AND subject IN"  # noqa: S608 - our own names
    " (SELECT :session UNION SELECT id FROM command WHERE session = :session) ORDER BY seq LIMIT :limit"
)
_METERS = (
    f"SELECT {_EPOCH}, seq, record FROM fact WHERE seq BETWEEN :low AND :high"  # noqa: S608
    f" AND kind = '{METER_KIND}' AND instr(record, :session) ORDER BY seq LIMIT :limit"
)
#: What `common.review.attention` can find something in.
_FLAGGED = "(flags <> '' OR ended AND (provisional OR method = 'unknown'))"
#: Filter → its condition.
_WANTED = {
    "before": "started_seq < :before",
    "session": "session = :session",
    "principal": "principal = :principal",
    "charger": "charger = :charger",
    "since": "started_at >= :since",
    "until": "started_at < :until",
    "flagged": _FLAGGED,
}
_ORPHANS = f"{_FACTS} AND kind = 'orphan_recorded' AND seq < :before ORDER BY seq DESC LIMIT :limit"
_DECIDED = f"{_FACTS} AND kind = 'orphan_resolved' AND seq > :after ORDER BY seq LIMIT :limit"
_UNDECIDED = """(SELECT count(*) FROM fact WHERE kind = 'orphan_recorded' AND subject IS NOT NULL)
    - (SELECT count(*) FROM fact WHERE kind = 'orphan_resolved' AND subject IS NOT NULL)"""
#: Sessions that may want a look; what looks alike is judged once.
_ALIKE = (
    f"SELECT flags, method, ended, provisional, count(*) FROM session WHERE {_FLAGGED}"  # noqa: S608
    " GROUP BY flags, method, ended, provisional"
)
_COUNTS = f"""SELECT {_EPOCH},
    (SELECT coalesce(min(seq), 1) FROM fact), (SELECT coalesce(max(seq), 0) FROM fact),
    coalesce(sum(NOT ended), 0), coalesce(sum(ended AND provisional), 0),
    coalesce(sum(ended AND NOT provisional AND revision = 0), 0),
    coalesce(sum(ended AND NOT provisional AND revision > 0), 0),
    coalesce(sum(energy_wh) FILTER (WHERE ended), 0.0),
    {_UNDECIDED},
    (SELECT count(*) FROM command), (SELECT count(*) FROM command WHERE state <> 'settled')
    FROM session"""  # noqa: S608 - our own names


class History:
    """A reader of one journal. Use as `async with History(path) as history`, or `open` and `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Connect. The journal's file exists already: the daemon has opened it."""
        self._db = await aiosqlite.connect(reader_uri(self._path), uri=True, isolation_level=None)
        for statement in reader_pragmas():
            await self._db.execute_fetchall(statement)

    async def close(self) -> None:
        """Let go of the file; a closed reader may be closed again."""
        db, self._db = self._db, None
        if db is not None:
            await db.close()

    async def __aenter__(self) -> History:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _all(self, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        if self._db is None:
            raise Unavailable(Code.SHUTTING_DOWN)
        try:
            return [tuple(row) for row in await self._db.execute_fetchall(sql, values)]
        except sqlite3.Error as failed:
            raise Unavailable(Code.JOURNAL_UNAVAILABLE, str(failed)) from failed

    # --- sessions --------------------------------------------------------------------------------------

    async def sessions(
        self,
        *,
        wanted: Sought = ALL,
        before: int | None = None,
        limit: int = 50,
    ) -> Page[SessionRow]:
        """Sessions, the latest first, as far as they are `wanted`. `before`: `next`."""
        size = _size(limit)
        values: dict[str, Any] = {"before": before} | msgspec.structs.asdict(wanted)
        where = [condition for name, condition in _WANTED.items() if values[name] not in (None, False)]
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        found = await self._all(
            f"{_SESSIONS}{condition} ORDER BY started_seq DESC LIMIT :limit", values | {"limit": size + 1}
        )
        rows = tuple(session_row(values) for values in found[:size])
        return Page(rows, rows[-1].started_seq if len(found) > size else None)

    async def session_row(self, session: str) -> SessionRow | None:
        """One session as its facts leave it."""
        found = await self._all(f"{_SESSIONS} WHERE session = :session", {"session": session})
        return session_row(found[0]) if found else None

    async def session(self, session: str, *, after: int = 0, limit: int = 100) -> Page[Fact]:
        """A session's whole story in order: its facts and those of its commands, all but the samples."""
        size = _size(limit)
        return _page(await self._all(_STORY, {"session": session, "after": after, "limit": size + 1}), size)

    async def series(self, session: str, *, after: int = 0, limit: int = 500) -> Page[MeterRow]:
        """A session's samples in order of arrival. A page may be empty and still have a `next`.

        limit: facts; each has the samples of one message.
        """
        row = await self.session_row(session)
        if row is None:
            return Page(())
        size = _size(limit)
        low = max(after + 1, row.started_seq)
        end = row.last_seq if row.ended else await self._last_seq()
        high = min(end, low + SCAN_MAX - 1)
        # SQLite looks for the uid's bytes; whether they stand in the right place is seen below.
        values = {"session": session.encode(), "low": low, "high": high, "limit": size}
        found = await self._all(_METERS, values)
        rows: list[MeterRow] = []
        for epoch, seq, record in found:
            fact = facts.read(epoch, seq, record)
            if isinstance(fact.body, MeterSampled) and fact.body.session == session:
                rows += (MeterRow(seq, fact.at, fact.body.late, sample) for sample in fact.body.samples)
        seen = found[-1][1] if len(found) == size else high
        return Page(tuple(rows), seen if seen < end else None)

    async def _last_seq(self) -> int:
        ((last,),) = await self._all("SELECT coalesce(max(seq), 0) FROM fact", {})
        return int(last)

    async def orphans(
        self, *, before: int | None = None, limit: int = 100
    ) -> Page[tuple[Fact, OrphanResolved | None]]:
        """Orphans, the latest first, each with the decision on it, if there is one. `before`: `next`."""
        size = _size(limit)
        place = before if before is not None else await self._last_seq() + 1
        page = _page(await self._all(_ORPHANS, {"before": place, "limit": size + 1}), size)
        if not page.rows:
            return Page(())
        decided: dict[str, OrphanResolved] = {}
        # A decision is younger than what it is about; one more would have to be older than all of these.
        found = await self._all(_DECIDED, {"after": page.rows[-1].seq, "limit": SCAN_MAX})
        for epoch, seq, record in found:
            body = facts.read(epoch, seq, record).body
            if isinstance(body, OrphanResolved):
                decided[body.orphan] = body
        rows = tuple((fact, decided.get(getattr(fact.body, "orphan", ""))) for fact in page.rows)
        return Page(rows, page.next)

    # --- the whole ledger ------------------------------------------------------------------------------

    async def ledger(self, order: str, *, after: str = "", limit: int = 100) -> LedgerPage:
        """Sessions as reconciliation compares them, in one of ORDERS; `after` is the `next` of a page before.

        Raises Refused(bad_request) for another `after`.
        """
        size, columns = _size(limit), ORDERS[order]
        values = _ledger_cursor(order, after)
        named = {f"k{place}": value for place, value in enumerate(values)}
        marks = ", ".join(f":{name}" for name in named)
        found = await self._all(
            f"{_SESSIONS} WHERE ({', '.join(columns)}) > ({marks})"
            f" ORDER BY {', '.join(columns)} LIMIT :limit",
            named | {"limit": size + 1},
        )
        rows = tuple(ledger_row(session_row(row)) for row in found[:size])
        more = _BAR.join(str(getattr(rows[-1], name)) for name in columns) if len(found) > size else ""
        return LedgerPage(rows, more)

    async def audit(
        self,
        kinds: Sequence[str] = (),
        *,
        after: int = 0,
        up_to: int | None = None,
        limit: int = 100,
    ) -> Page[Fact]:
        """Facts in order, of these kinds if any are named, all but samples. after, up_to: a range of seq."""
        size = _size(limit)
        values: dict[str, Any] = {"after": after, "limit": size + 1}
        values |= {f"kind{number}": kind for number, kind in enumerate(kinds)}
        condition = " AND seq > :after"
        if kinds:
            condition += f" AND kind IN ({', '.join(f':kind{number}' for number in range(len(kinds)))})"
        if up_to is not None:
            condition += " AND seq <= :up_to"
            values["up_to"] = up_to
        return _page(await self._all(f"{_FACTS}{condition} ORDER BY seq LIMIT :limit", values), size)

    async def latest(
        self, kinds: Sequence[str], *, before: int | None = None, limit: int = 100
    ) -> Page[Fact]:
        """Facts of these kinds, the latest first. `before`: `next`."""
        size = _size(limit)
        values: dict[str, Any] = {f"kind{number}": kind for number, kind in enumerate(kinds)}
        names = ", ".join(f":{name}" for name in values)
        place = before if before is not None else await self._last_seq() + 1
        sql = f"{_FACTS} AND kind IN ({names}) AND seq < :before ORDER BY seq DESC LIMIT :limit"
        return _page(await self._all(sql, values | {"before": place, "limit": size + 1}), size)

    async def about(self, subjects: Sequence[str], kinds: Sequence[str]) -> list[Fact]:
        """The facts of these kinds about these subjects (commands, sessions), in order."""
        values: dict[str, Any] = {f"s{number}": subject for number, subject in enumerate(subjects)}
        about = ", ".join(f":{name}" for name in values)
        kind = {f"kind{number}": kind for number, kind in enumerate(kinds)}
        of = ", ".join(f":{name}" for name in kind)
        sql = f"{_FACTS} AND subject IN ({about}) AND kind IN ({of}) ORDER BY seq LIMIT :limit"
        found = await self._all(sql, values | kind | {"limit": SCAN_MAX})
        return [facts.read(*row) for row in found]

    async def matters(self) -> tuple[int, int]:
        """How many sessions want a person's look, and how many orphans a decision."""
        found = await self._all(_ALIKE, {})
        flagged = sum(
            count
            for flags, method, ended, provisional, count in found
            if attention(
                flags.split(), EnergyMethod(method), ended=bool(ended), provisional=bool(provisional)
            )
        )
        ((orphans,),) = await self._all(f"SELECT {_UNDECIDED}", {})
        return flagged, max(0, orphans)

    async def names(self, principals: Collection[str]) -> dict[str, str]:
        """The names of these principals, where they have one."""
        values = {f"p{number}": principal for number, principal in enumerate(principals)}
        names = ", ".join(f":{name}" for name in values)
        sql = f"SELECT principal, name FROM person WHERE principal IN ({names})"  # noqa: S608 - our own names
        return dict(await self._all(sql, values)) if values else {}

    async def counts(self) -> Counts:
        """The ledger in numbers, all of one moment."""
        ((epoch, first, last, *sessions, orphans, commands, unsettled),) = await self._all(_COUNTS, {})
        is_open, provisional, ended, revised, energy_wh = sessions
        return Counts(
            epoch=epoch,
            first_seq=first,
            last_seq=last,
            facts=last - first + 1,
            open=is_open,
            provisional=provisional,
            ended=ended,
            revised=revised,
            orphans=orphans,
            commands=commands,
            unsettled=unsettled,
            energy_wh=energy_wh,
        )


def _ledger_cursor(order: str, after: str) -> tuple[str | int, ...]:
    """The values behind which a page of the ledger begins."""
    if order == "session":
        return (after,)
    if not after:
        return ("", -1, -1, "", "")
    try:
        charger, evse, connector, rest = after.split(_BAR, 3)
        started_at, _, session = rest.rpartition(_BAR)
        return (charger, int(evse), int(connector), started_at, session)
    except ValueError:
        raise Refused(Code.BAD_REQUEST, "after is the `next` of the page before") from None


def _size(limit: int) -> int:
    return max(1, min(limit, PAGE_MAX))


def _page(found: list[tuple[Any, ...]], size: int) -> Page[Fact]:
    """A page of facts from one row more than it holds."""
    rows = tuple(facts.read(*values) for values in found[:size])
    return Page(rows, rows[-1].seq if len(found) > size else None)

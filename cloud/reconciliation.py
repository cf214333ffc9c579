"""Reconciliation of a site: the cloud's tables against the box's ledger, its own facts, and its charge lines.

Each comparison is named in the report's `compared`, so that a clean report is not more than it is:

    box           the box is asked for its ledger; when it is away this is said, and nothing concluded from it
    facts         the sessions table against what the stored facts come to, and whose each is: a row lost or
                  changed here shows
    charge lines  each field of each line against its session's facts, and each month that was closed against
                  what was exported then: nothing billed twice, to somebody else, taken away or changed since
    places        sessions of one connector against each other, on either side (`common.doubles`)
    chain         every place of the current epoch up to the mark holds its record, and the chain over them
                  goes through every head that the box signed: a fact lost or rewritten here shows
    earlier       the same for each epoch that is over (a box restored or replaced), once, not at every look

Both sides are walked through in one order, a page at a time: memory does not grow with the ledger. The
judgement is `common.reconcile`'s (design §9); this gathers what it judges.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from cloud.charge_lines import otherwise
from cloud.store.ports import Store
from cloud.store.projection import session_after
from cloud.store.rows import ChainState, SessionRow, SiteRow
from common.doubles import PlaceWalk
from common.errors import Code, PlugsideError, RemoteFault
from common.facts import Fact
from common.reconcile import Finding, LedgerRow, Tally, difference, fold, in_order, read_ledger

log = logging.getLogger("plugside.reconciliation")

#: How often a difference is looked at before it is told, and how long between: facts about sessions leave the
#: box at once, so what is still on its way after a second has no way, unless more is arriving all the time (a
#: cloud that is being filled again): then it is waited for, so many looks at most.
LOOKS = 5
LOOKS_WHILE_ARRIVING = 40
PAUSE_S = 0.25
#: Sessions of this database that are looked at together.
PAGE = 200
#: Asks a site's box: (site, question, arguments by name) → its pages.
Ask = Callable[..., AsyncIterator[Sequence[Any]]]

CLOUD, BOX, LINES = "the cloud", "the box", "the charge lines"
#: The two within this database: the table that is billed from, and what it follows from.
ROWS, FACTS = "the cloud's sessions", "the cloud's facts"


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """What `reconcile` tells. `ok`: nothing lost, doubled, differing; chain whole; nothing in quarantine."""

    site: str
    name: str
    ok: bool
    sessions: int
    lost: int
    doubled: int
    differing: int
    first_difference: Finding | None
    findings: tuple[Finding, ...]
    chain_intact: bool
    quarantined: int
    compared: dict[str, Any]


class _Away(Exception):  # noqa: N818 - not an error: there is nothing to compare with
    """The box does not answer, or not with a ledger."""


async def reconcile(store: Store, site: SiteRow, ask: Ask, *, pause_s: float = PAUSE_S) -> Reconciled:
    """Compare everything that can be compared now.

    A session that begins while we look is on its way, not lost: what is found is looked at again, a few
    times, `pause_s` apart, and only what stays is told.
    """
    told = await _once(store, site, ask)
    looks, hwm = 1, told.compared["chain"]["hwm"]
    while not told.ok and told.compared["box_sessions"] is not None and looks < LOOKS_WHILE_ARRIVING:
        await asyncio.sleep(pause_s)
        told = await _once(store, site, ask)
        before, hwm = hwm, told.compared["chain"]["hwm"]
        looks += 1
        if looks >= LOOKS and hwm == before:
            break
    earlier = await store.earlier_epochs(site.id)
    whole = told.chain_intact and not earlier.first_break
    return msgspec.structs.replace(
        told,
        ok=told.ok and whole,
        chain_intact=whole,
        compared=told.compared | {"earlier": msgspec.structs.asdict(earlier)},
    )


async def _once(store: Store, site: SiteRow, ask: Ask) -> Reconciled:
    why = ""
    try:
        look = _Look(store, site, ask)
        await look.sessions(with_box=True)
    except _Away as away:
        why = str(away)
        look = _Look(store, site, ask)
        await look.sessions(with_box=False)
    await look.lines()
    await look.places()
    chain = await store.chain_state(site.id)
    findings = look.tally.findings
    return Reconciled(
        site=site.id,
        name=site.name,
        ok=not findings and chain.intact and not chain.quarantined,
        sessions=look.seen,
        first_difference=findings[0] if findings else None,
        findings=findings,
        chain_intact=chain.intact,
        quarantined=chain.quarantined,
        compared={
            "with": BOX if look.box is not None else FACTS,
            "statement": _statement(chain, why, with_box=look.box is not None),
            "cloud_sessions": look.cloud,
            "box_sessions": look.box,
            "before_this_box": look.bygone,
            "fact_sessions": look.told,
            "billed_sessions": look.billed,
            "closed_months": look.months,
            "without_seal": look.unsealed,
            "chain": chain.told() | {"behind": max(0, chain.last_seq - chain.hwm)},
        },
        **look.tally.counts,
    )


class _Look:
    """One walk through one site's ledgers, and what was found and counted on the way."""

    def __init__(self, store: Store, site: SiteRow, ask: Ask) -> None:
        self._store = store
        self._site = site.id
        self._name = site.name
        self._ask = ask
        self._differing = 0  #: sessions that cloud and box tell differently
        self.tally = Tally()
        self.seen = self.cloud = self.told = self.billed = self.bygone = 0
        self.months = self.unsealed = 0
        self.box: int | None = None

    # --- session by session --------------------------------------------------------------------------------

    async def sessions(self, *, with_box: bool) -> None:
        """Each session on all sides, in the order of their uids. Raises _Away: the box did not tell."""
        after = ""
        if with_box:
            self.box = 0
            # The box first: what it has told of by then has had the time of our own reading to arrive.
            async for rows in self._pages("session"):
                if rows:
                    await self._stretch(after, rows[-1].session, {row.session: row for row in rows})
                    after = rows[-1].session
        await self._stretch(after, None, {})
        await self._without_row()

    async def _stretch(self, after: str, up_to: str | None, theirs: dict[str, LedgerRow]) -> None:
        """The cloud's sessions behind `after` up to `up_to`, against the box's between the same two."""
        while rows := await self._store.ledger_after(self._site, after, up_to=up_to, limit=PAGE):
            after = rows[-1].session
            self.cloud += len(rows)
            self.seen += len(rows)
            if self.box is not None:
                await self._across_page(rows, theirs)
            await self._inside(rows)
        for row in theirs.values():
            self.seen += 1
            self._compare(None, row)

    async def _across_page(self, rows: Sequence[LedgerRow], theirs: dict[str, LedgerRow]) -> None:
        # A box that took another one's place, or was restored, does not have what is from before: nobody
        # lost it.
        absent = [row.session for row in rows if row.session not in theirs]
        bygone = await self._store.bygone(self._site, absent) if absent else set()
        self.bygone += len(bygone)
        for row in rows:
            if row.session not in bygone:
                self._compare(row, theirs.pop(row.session, None))

    def _compare(self, here: LedgerRow | None, there: LedgerRow | None) -> None:
        finding = difference(here, there, CLOUD, BOX)
        if finding is not None:
            self._differing += 1
            self.tally.add(finding)

    async def _inside(self, rows: Sequence[LedgerRow]) -> None:
        """The same sessions against the cloud's own facts, and what was billed of them."""
        names = [row.session for row in rows]
        told = await self._store.told(self._site, names)
        lines = await self._store.lines_of(self._site, names)
        owners = await self._store.owners(self._site, names)
        for row in rows:
            facts = told[row.session]
            self.told += bool(facts)
            by_facts, whole = _folded(facts)
            finding = difference(row, by_facts, ROWS, FACTS)
            finding = finding or _given_away(row, owners.get(row.session), whole.principal if whole else None)
            if finding is not None:
                self.tally.add(finding)
            if row.session in lines:
                self.billed += 1
                if why := otherwise(self._site, facts, lines[row.session]):
                    self.tally.add(_misbilled(why, row))

    async def _without_row(self) -> None:
        """Sessions that facts tell of and that have no row."""
        lost = await self._store.without_row(self._site)
        for facts in (await self._store.told(self._site, lost)).values():
            finding = difference(None, _folded(facts)[0], ROWS, FACTS)
            if finding is not None:
                self.told += 1
                self.tally.add(finding)

    async def lines(self) -> None:
        """Lines of sessions that nobody knows, and months that are not what was exported."""
        for line in await self._store.stray_lines(self._site):
            self.tally.add(_misbilled(f"the line {line.id} is of a session {line.session} that is not here"))
        told = await self._store.closed_months(self._site)
        self.months, self.unsealed = told.months, told.unsealed
        for month in told.changed:
            why = f"the lines of {month} are not those that were exported: lay the file from then beside them"
            self.tally.add(_misbilled(why), f"{month}-99")  # behind what is known of single sessions

    # --- connector by connector ----------------------------------------------------------------------------

    async def places(self) -> None:
        """Doubles and gaps: here, and at the box where its ledger is another one than ours."""
        walk, behind = PlaceWalk(CLOUD), None
        while rows := await self._store.ledger_by_place(self._site, behind):
            self._walk(walk, rows)
            behind = rows[-1]
        self._walk(walk, None)
        if not self._differing:
            return  # the box's ledger is the same, and so would be what is wrong within it
        theirs = PlaceWalk(BOX)
        try:
            async for page in self._pages("place"):
                self._walk(theirs, page)
            self._walk(theirs, None)
        except _Away as gone:
            log.warning("%s: its ledger was not looked at by connector: %s", self._name, gone)

    def _walk(self, walk: PlaceWalk, rows: Iterable[LedgerRow] | None) -> None:
        """The next rows; None = there are no more."""
        found = walk.end() if rows is None else (finding for row in rows for finding in walk.see(row))
        for finding in found:
            self.tally.add(finding)

    async def _pages(self, order: str) -> AsyncIterator[list[LedgerRow]]:
        """The box's ledger in an order. Raises _Away."""
        last = ""
        try:
            async for page in self._ask(self._site, "ledger", order=order):
                rows = read_ledger(page)
                if order == "session":
                    names = [last, *(row.session for row in rows)]
                    if any(later <= sooner for sooner, later in pairwise(names)):
                        raise RemoteFault(
                            Code.PROTOCOL, "the box's ledger is not in the order of its sessions"
                        )
                    last = names[-1]
                    self.box = (self.box or 0) + len(rows)
                yield rows
        except PlugsideError as away:
            raise _Away(away.message) from None
        except msgspec.ValidationError as wrong:
            fault = RemoteFault(Code.PROTOCOL, f"the box's ledger: {wrong}")
            log.warning("%s: %s", self._name, fault)
            raise _Away(fault.message) from None


def _folded(told: Iterable[Fact]) -> tuple[LedgerRow | None, SessionRow | None]:
    """What a session's facts come to: what both sides compare, and the row that people read here."""
    row: LedgerRow | None = None
    whole: SessionRow | None = None
    for fact in in_order(told):
        row, whole = fold(row, fact.body), session_after(whole, fact)
    return row, whole


def _given_away(row: LedgerRow, here: str | None, told: str | None) -> Finding | None:
    if here == told:
        return None
    return Finding(
        kind="differing",
        charger=row.charger,
        sessions=(row.session,),
        side=ROWS,
        at=row.started_at,
        message=f"principal: {here} in {ROWS}, {told} in {FACTS}",
    )


def _misbilled(why: str, row: LedgerRow | None = None) -> Finding:
    return Finding(
        kind="differing",
        charger=row.charger if row else "",
        sessions=(row.session,) if row else (),
        side=LINES,
        at=row.started_at if row else "",
        message=why,
    )


def _statement(chain: ChainState, why: str, *, with_box: bool) -> str:
    behind = chain.last_seq - chain.hwm
    if with_box:
        return "Compared with the box's own ledger, as it is now, and with the facts that it has sent."
    late = (
        f" When it last said hello it had {behind} facts more than are here; they were not compared."
        if behind > 0
        else " Everything that it had when it last said hello is here."
    )
    return f"Compared with the facts that the box has sent, not with the box itself: {why}{late}"

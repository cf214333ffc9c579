"""Reconciliation of a site: the cloud's tables against the box's ledger, and against the cloud's own facts.

Three comparisons, each named in the report's `compared`, so that a clean report is not more than it is:

    box      the box is asked for its ledger; when it is away, this is said and nothing is concluded from it
    facts    the sessions table against what the stored facts come to: a row lost or changed here shows
    chain    every place of the current epoch up to the mark holds its record: a fact lost here shows

The judgement is `common.reconcile`'s (design §9); this gathers what it judges.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from cloud.store.ports import LedgerStore
from cloud.store.rows import ChainState, SiteRow
from common.errors import Code, PlugsideError, RemoteFault
from common.reconcile import Finding, LedgerRow, Report, compare, fold, read_ledger

log = logging.getLogger("plugside.reconciliation")

#: How often a difference is looked at before it is told, and how long between: facts about sessions leave the
#: box at once, so what is still on its way after a second has no way.
LOOKS = 5
PAUSE_S = 0.25
#: Asks a site's box for all rows of a question.
Ask = Callable[[str, str], Awaitable[list[Any]]]

CLOUD, BOX, FACTS = "the cloud", "the box", "the cloud's facts"


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


async def reconcile(store: LedgerStore, site: SiteRow, ask: Ask, *, pause_s: float = PAUSE_S) -> Reconciled:
    """Compare everything that can be compared now.

    A session that begins while we look is on its way, not lost: what is found is looked at again, a few
    times, `pause_s` apart, and only what stays is told.
    """
    told = await _once(store, site, ask)
    for _ in range(LOOKS - 1):
        if told.ok or told.compared["box_sessions"] is None:
            break
        await asyncio.sleep(pause_s)
        told = await _once(store, site, ask)
    return told


async def _once(store: LedgerStore, site: SiteRow, ask: Ask) -> Reconciled:
    # The box first: what it has told of by then has had the time of our own reading to arrive.
    box, why = await _box(site, ask)
    chain = await store.chain_state(site.id)
    table = await store.ledger(site.id)
    folded = await _folded(store, site.id)
    # A box that took another one's place, or was restored, does not have what is from before: nobody lost it.
    bygone = await store.bygone(site.id) - (box or {}).keys()
    its_own = {uid: row for uid, row in table.items() if uid not in bygone}
    reports = [
        compare(its_own, box, side=CLOUD, other=BOX),
        compare(table, folded, side=CLOUD, other=FACTS),
    ]
    findings = _merged(reports)
    counts = {kind: sum(f.kind == kind for f in findings) for kind in ("lost", "doubled", "differing")}
    walked = chain.told() | {"behind": max(0, chain.last_seq - chain.hwm)}
    return Reconciled(
        site=site.id,
        name=site.name,
        ok=not findings and chain.intact and not chain.quarantined,
        sessions=reports[0].sessions + len(table) - len(its_own),
        first_difference=findings[0] if findings else None,
        findings=tuple(findings),
        chain_intact=chain.intact,
        quarantined=chain.quarantined,
        compared={
            "with": BOX if box is not None else FACTS,
            "statement": _statement(chain, box, why),
            "cloud_sessions": len(table),
            "box_sessions": None if box is None else len(box),
            "before_this_box": len(table) - len(its_own),
            "fact_sessions": len(folded),
            "chain": walked,
        },
        **counts,
    )


async def _folded(store: LedgerStore, site: str) -> dict[str, LedgerRow]:
    rows: dict[str, LedgerRow] = {}
    async for fact in store.session_facts(site):
        uid = getattr(fact.body, "session", None)
        if uid is not None and (after := fold(rows.get(uid), fact.body)) is not None:
            rows[uid] = after
    return rows


async def _box(site: SiteRow, ask: Ask) -> tuple[dict[str, LedgerRow] | None, str]:
    try:
        rows = read_ledger(await ask(site.id, "ledger"))
    except PlugsideError as away:
        return None, away.message
    except msgspec.ValidationError as wrong:
        fault = RemoteFault(Code.PROTOCOL, f"the box's ledger: {wrong}")
        log.warning("%s: %s", site.name, fault)
        return None, fault.message
    return {row.session: row for row in rows}, ""


def _merged(reports: list[Report]) -> list[Finding]:
    """Each finding once, the earliest of each report first; what two comparisons both see is one thing."""
    seen: dict[tuple[str, tuple[str, ...]], Finding] = {}
    for report in reports:
        for finding in report.findings:
            seen.setdefault((finding.kind, finding.sessions), finding)
    return list(seen.values())


def _statement(chain: ChainState, box: dict[str, LedgerRow] | None, why: str) -> str:
    behind = chain.last_seq - chain.hwm
    if box is not None:
        return "Compared with the box's own ledger, as it is now, and with the facts that it has sent."
    late = (
        f" When it last said hello it had {behind} facts more than are here; they were not compared."
        if behind > 0
        else " Everything that it had when it last said hello is here."
    )
    return f"Compared with the facts that the box has sent, not with the box itself: {why}{late}"

"""What must hold of a box that lost something, once its cloud has told it (`laws._inherited`).

Where the product promises no more, less is asserted:

    a charge        not where its end was told before the box had its estate: that is kept, and is nobody's
    a session       not one that the card holds open: what a box knows already it leaves alone
    a limit         not where somebody decided anew before the estate came, nor where a clock was set wrong:
                    the cloud hands over what is the latest by its box's time
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from common import facts
from common.reconcile import LedgerRow
from common.tuning import LimitWanted
from tests.sim.estate import sessions

if TYPE_CHECKING:
    from tests.sim.world import World


def broken(world: World) -> list[str]:
    """Every such law that this history breaks."""
    found = ["the box still asks for its estate"] if world.box.inheritance.wanted else []
    found += _counts(world)
    since_ms, until_ms = world.destroyed[-1] if world.destroyed else (0, 0)
    settled_ms = next((ms for ms in world.taken_over if ms > until_ms), None)
    if until_ms and settled_ms is not None:
        found += [*_charges(world, since_ms, until_ms, settled_ms), *_limits(world, until_ms, settled_ms)]
    return found


def _counts(world: World) -> Iterator[str]:
    """Who has caps is counted what they had, by the cloud's ledger."""
    ledger, state = world.ledger(), world.box.gateway.state
    for uid, row in sessions(world.cloud.facts.values()).items():
        over = row.ended_at and not row.provisional
        if over and row.principal in world.agreed.caps and uid not in ledger:
            taken = state.taken.get(row.principal, {}).get(uid)
            if taken is None or taken.energy_wh != (row.energy_wh or 0):
                yield f"{uid} of {row.principal} counts as {taken}, and had {row.energy_wh} Wh"


def _charges(world: World, since_ms: int, until_ms: int, settled_ms: int) -> Iterator[str]:
    """A charge that went with the card and ends after it is one session with exactly its energy."""
    there = sessions(world.cloud.facts.values()).values()
    at_cloud = {(r.charger, r.transaction) for r in there if r.authorization != "unattributed"}
    ledger = world.ledger()
    mine: dict[tuple[str, str], list[LedgerRow]] = {}
    for fact in world.disk.facts:
        if isinstance(fact.body, facts.SessionStarted):
            mine.setdefault((fact.body.charger, fact.body.transaction), []).append(ledger[fact.body.session])
    for name, charge in world.charges:
        lost = since_ms <= charge.started_ms <= until_ms and (charge.ended_ms or 0) > settled_ms
        if lost and charge.number is not None and (name, charge.number) in at_cloud:
            energy_wh = [row.energy_wh for row in mine.get((name, charge.number), ()) if row.energy_wh]
            real_wh = (charge.stop_wh or 0) - charge.start_wh
            if energy_wh != [real_wh] * bool(real_wh):
                yield f"{name}, {charge.number}: the box has {energy_wh} Wh of what went with its card"


def _limits(world: World, until_ms: int, settled_ms: int) -> Iterator[str]:
    """An operator's limit that went with the card is the box's again."""
    if world.clock_set or world.boots:
        return
    mine = [fact for fact in world.disk.facts if isinstance(fact.body, LimitWanted)]
    told = {fact.uid for fact in mine}
    for charger in (charger.name for charger in world.chargers):
        here = [(world.disk.made[f.uid][0], f.body) for f in mine if f.body.charger == charger]
        lost = [
            fact.body
            for uid, fact in world.cloud.facts.items()
            if isinstance(fact.body, LimitWanted) and fact.body.charger == charger and uid not in told
        ]
        lost = [body for body in lost if body.rank == "operator"]
        known = max((body.revision for made_ms, body in here if made_ms <= until_ms), default=0)
        latest = max(lost, key=lambda body: body.revision, default=None)
        if latest is None or latest.revision <= known:
            continue
        meanwhile = any(until_ms < made_ms < settled_ms for made_ms, _ in here)
        if not meanwhile and latest not in [body for _, body in here]:
            yield f"the limit of {charger} is not revision {latest.revision}, which went with the card"

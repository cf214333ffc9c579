"""What must hold at the end of every history, whatever failed on the way."""

from __future__ import annotations

from collections import Counter

from common import facts, reconcile, wire
from common.commands import CLASSES, Name
from common.corrections import shift_ms, step_of
from common.domain import Role, from_iso
from common.policy import Claims, view_for
from edge.core.identity import minted_tag
from tests.sim.charger import T0
from tests.sim.keys import SITE
from tests.sim.world import World


def problems(world: World) -> list[str]:
    """Every law that this history breaks, in words; empty when all hold."""
    found = [problem for law in LAWS for problem in law(world)]
    if world.box.gateway.failed is not None and world.box.gateway.failed.done():
        found.append("the gateway failed")
    return found


def _touched(world: World, began_ms: int, ended_ms: int) -> bool:
    """Whether some of this went with a card that was replaced by its old image.

    What a charger was told then is known to nobody but the cloud, if it came that far. A charge may be told
    up to some minutes after it ended, when its charger was offline.
    """
    return any(began_ms <= until and since <= ended_ms + TELLING_MS for since, until in world.destroyed)


OPERATOR = Claims(site=SITE, principal="p-op", role=Role.OPERATOR)
#: The longest that a call may be on its way, and a disk may think before it leaves.
ON_THE_WIRE_MS = 1000
#: By how much a corrected time may be off: what the box's watch needs to notice that its clock was set.
NOTICED_MS = 10_000
#: How long after its end a charge may still be on its way to the box.
TELLING_MS = 10 * 60_000


def _sessions(world: World) -> list[str]:
    """One real charge is one session with exactly its energy; none is invented, none is left open."""
    found = []
    lost = [
        (name, charge)
        for name, charge in world.charges
        if _touched(
            world, charge.started_ms, world.loop.now_ms if charge.ended_ms is None else charge.ended_ms
        )
    ]

    def spoken_of(name: str, start_wh: float) -> bool:
        # A charge whose start went with a card goes on, and is seen by its samples from somewhere within it.
        return not any(
            name == other and charge.start_wh <= start_wh <= (charge.stop_wh or start_wh)
            for other, charge in lost
        )

    rows = [row for row in world.ledger().values() if spoken_of(row.charger, row.meter_start_wh or 0)]
    by_start = Counter((row.charger, row.meter_start_wh, row.meter_stop_wh) for row in rows)
    real = Counter(
        (name, float(c.start_wh), float(c.stop_wh or 0))
        for name, c in world.charges
        if spoken_of(name, c.start_wh)
    )
    for key, count in (real - by_start).items():
        found.append(f"{count} charge(s) {key} have no session of their own")
    for key, count in (by_start - real).items():
        found.append(f"{count} session(s) {key} were never charged")
    for row in rows:
        if row.ended_at and row.ended_at < row.started_at:
            found.append(f"session {row.session} ended before it began")
        if not row.ended_at or row.provisional:
            found.append(f"session {row.session} has no true end")
        elif row.energy_wh != (row.meter_stop_wh or 0) - (row.meter_start_wh or 0):
            found.append(f"session {row.session} claims {row.energy_wh} Wh")
    return found


def _replies(world: World) -> list[str]:
    """The same start gets the same bytes for ever; no transaction id is given twice."""
    found = [
        f"{name}: a start was answered in two ways"
        for name, c in world.charges
        if len(set(c.replies)) > 1 and not _touched(world, c.started_ms, c.started_ms)
    ]
    given = Counter((name, c.number) for name, c in world.charges if c.number is not None)
    return found + [f"{key} was given {count} times" for key, count in given.items() if count > 1]


def _commands(world: World) -> list[str]:
    """At most one call a start; every accepted command has exactly one end, and all paths hear it."""
    found = []
    ends = Counter(f.body.command for f in world.disk.facts if isinstance(f.body, facts.CommandSettled))
    for command_id, ordered in world.orders.items():
        calls = world.starts_on_wire(command_id)
        if _touched(world, ordered.asked_ms, ordered.asked_ms):
            continue
        if calls > 1:
            found.append(f"start {command_id} was sent {calls} times")
        told = {step.outcome for step in ordered.told if isinstance(step, wire.Settled)}
        if len(told) > 1:
            found.append(f"{command_id} was told as {told}")
        if ends[command_id] > 1:
            found.append(f"{command_id} was settled {ends[command_id]} times")
    accepted = Counter(f.body.command for f in world.disk.facts if isinstance(f.body, facts.CommandAccepted))
    found += [
        f"{command_id} was accepted {count} times" for command_id, count in accepted.items() if count > 1
    ]
    return found + [f"{command_id} never ended" for command_id in accepted if not ends[command_id]]


def _effects(world: World) -> list[str]:
    """What was told to have been done was done; and nothing was done of what had run out."""
    found = []
    right = not any(world.faults[what] for what in ("clock set wrong", "boot in 1970"))
    for command_id, ordered in world.orders.items():
        if ordered.command.name is not Name.START or _touched(world, ordered.asked_ms, ordered.asked_ms):
            continue
        tag = minted_tag(command_id)
        began = any(charge.tag == tag for _, charge in world.charges)
        outcomes = {step.outcome for step in ordered.told if isinstance(step, wire.Settled)}
        if "succeeded" in outcomes and not began:
            found.append(f"start {command_id} is said to have succeeded, and no charge began")
        if right:
            until_ms = ordered.asked_ms + CLASSES[Name.START].ttl_ms + ON_THE_WIRE_MS
            late = [c.name for c in world.chargers if c.started_at.get(tag, 0) > until_ms]
            found += [f"start {command_id} reached {name} after its end" for name in late]
    return found


def _pushed(world: World) -> list[str]:
    """What the phone was shown comes to what the box has, once it is quiet."""
    box = world.box.gateway.state.view
    if view_for(OPERATOR, box) != world.phone.view:
        return ["the phone shows something else than the box has"]
    return []


def _cloud(world: World) -> list[str]:
    """After healing the cloud has every fact, once, and the ledgers agree."""
    here, there = world.ledger(), world.cloud_ledger()
    report = reconcile.compare(here, there, side="box", other="cloud")
    found = []
    missing = {fact.uid for fact in world.disk.facts} - world.cloud_facts.keys()
    if missing:
        found.append(f"{len(missing)} facts at the box never reached the cloud")
    if world.destroyed:
        return found  # the cloud may know what the box has lost, and reconcile says so
    if len(world.cloud_facts.keys() - world.copied) != len(world.disk.facts):
        found.append(f"{len(world.disk.facts)} facts at the box, {len(world.cloud_facts)} in the cloud")
    if report.lost or report.doubled or report.differing:
        found.append(f"reconciliation: {report}")
    return found


def _order(world: World) -> list[str]:
    """A connector never has two open sessions."""
    found, running = [], {}
    for fact in world.disk.facts:
        body = fact.body
        if isinstance(body, facts.SessionStarted):
            if body.charger in running:
                found.append(f"{body.session} began on {body.charger} while {running[body.charger]} was open")
            running[body.charger] = body.session
        elif isinstance(body, facts.SessionEnded) and running.get(body.charger) == body.session:
            del running[body.charger]
    return found


def _times(world: World) -> list[str]:
    """Whatever was done to the clock of a boot that ended with a right one: corrected, each fact's time is
    when it was made. Not where the clock was set a moment before: whether that was noticed by then shows only
    if it was set by more than the box was then away."""
    if world.destroyed:
        return []  # an old card knows nothing of the steps since
    steps = [
        step
        for fact in world.disk.facts
        if isinstance(fact.body, facts.ClockStepped) and (step := step_of(fact.seq, fact.body))
    ]
    found = []
    for fact in world.disk.facts:
        at_ms = from_iso(fact.at)
        true_ms, boot = world.disk.made[fact.uid]
        if boot != world.boots or any(0 <= true_ms - set_ms < NOTICED_MS for set_ms in world.clock_set):
            continue
        if any(step.seq <= fact.seq and at_ms < step.before_ms - step.shift_ms for step in steps):
            continue  # a clock that was set back is waited for at half the pace, and says so
        off_ms = at_ms + shift_ms(fact.seq, at_ms, steps) - (T0 + true_ms)
        if abs(off_ms) > NOTICED_MS:
            found.append(f"fact {fact.seq} at {fact.at} is {off_ms / 1000:.0f} s off, corrected")
    return found[:3]


LAWS = (_sessions, _replies, _commands, _effects, _cloud, _order, _pushed, _times)

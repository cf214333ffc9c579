"""What must hold at the end of every history, whatever failed on the way."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import pairwise

import msgspec

from common import facts, reconcile, wire
from common.appsession.client import State
from common.commands import CLASSES, Name
from common.corrections import shift_ms, step_of
from common.domain import Role, from_iso
from common.policy import Claims, view_for
from common.view import View
from edge.core.identity import minted_tag
from tests.sim import caplaws, inheriting
from tests.sim.agreed import covered
from tests.sim.charger import T0
from tests.sim.keys import SITE, grant_ends_ms
from tests.sim.world import World


def problems(world: World) -> list[str]:
    """Every law that this history breaks, in words; empty when all hold."""
    found = [problem for law in LAWS for problem in law(world)]
    if world.box.gateway.failed is not None and world.box.gateway.failed.done():
        found.append("the gateway failed")
    return found


def touched(world: World, began_ms: int, ended_ms: int) -> bool:
    """Whether some of this went with a card that was replaced by its old image.

    What a charger was told then is known to nobody but the cloud, if it came that far. A charge may be told
    up to some minutes after it ended, when its charger was offline.
    """
    return any(began_ms <= until and since <= ended_ms + TELLING_MS for since, until in world.destroyed)


#: How far a box that is sure of the time may be behind, in ms: a proven one believes its machine so far.
SURE_MS = 5 * 60_000
#: A clock that is told the time has it to this, in ms.
RIGHT_MS = 2000
#: The longest that a call may be on its way, and a disk may think before it leaves.
ON_THE_WIRE_MS = 1000
DAY_MS = 24 * 3_600_000
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
        if touched(
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
        if len(set(c.replies)) > 1 and not touched(world, c.started_ms, c.started_ms)
    ]
    given = Counter((name, c.number) for name, c in world.charges if c.number is not None)
    return found + [f"{key} was given {count} times" for key, count in given.items() if count > 1]


def _commands(world: World) -> list[str]:
    """At most one call a start; every accepted command has exactly one end, and all paths hear it."""
    found = []
    ends = Counter(f.body.command for f in world.disk.facts if isinstance(f.body, facts.CommandSettled))
    for command_id, ordered in world.orders.items():
        calls = world.starts_on_wire(command_id)
        if touched(world, ordered.asked_ms, ordered.asked_ms):
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
    """What was told to have been done was done; and nothing was done of what had run out, as far as the box
    could know that: one whose clock is behind thinks that there is time."""
    found = []
    behind = {fact.body.command: _behind_ms(world, fact) for fact in _accepted(world)}
    for command_id, ordered in world.orders.items():
        if ordered.command.name is not Name.START or touched(world, ordered.asked_ms, ordered.asked_ms):
            continue
        tag = minted_tag(command_id)
        began = any(charge.tag == tag for _, charge in world.charges)
        outcomes = {step.outcome for step in ordered.told if isinstance(step, wire.Settled)}
        if "succeeded" in outcomes and not began:
            found.append(f"start {command_id} is said to have succeeded, and no charge began")
        until_ms = ordered.asked_ms + CLASSES[Name.START].ttl_ms + ON_THE_WIRE_MS
        until_ms += max(0, behind.get(command_id, 0))
        late = [c.name for c in world.chargers if c.started_at.get(tag, 0) > until_ms]
        found += [f"start {command_id} reached {name} after its end" for name in late]
    return found


def _accepted(world: World) -> list[facts.Fact]:
    return [fact for fact in world.disk.facts if isinstance(fact.body, facts.CommandAccepted)]


def _behind_ms(world: World, fact: facts.Fact) -> int:
    """How far behind the box's time was when it made a fact."""
    return T0 + world.disk.made[fact.uid][0] - from_iso(fact.at)


def _pushed(world: World) -> list[str]:
    """Whoever has a right is there in the end, and what they were shown comes to what the box has; whose
    right was withdrawn is not."""
    found, withdrawn = [], world.withdrawn
    for phone in world.phones:
        who, link = phone.who, phone.link
        welcome = link is not None and link.client.state is State.OPEN
        if phone is world.guest and withdrawn is not None and withdrawn.knows:
            found += [f"{who.principal} is welcome for all that was withdrawn"] if welcome else []
            continue
        claims = Claims(site=SITE, principal=who.principal, role=who.role)
        if not welcome:
            found.append(f"{who.principal} has a right and is not welcome")
            continue
        here = view_for(claims, world.box.gateway.state.view)
        if _content(here) != _content(phone.view, here):
            found.append(f"the phone of {who.principal} shows something else than the box has")
    return found


def _content(view: View, known: View | None = None) -> View:
    """Not up to which fact it is known: there are some that a driver is not shown. Nor charges that are over
    and not `known`: of each charger the last few are kept, and a driver is shown their own alone."""
    sessions = {
        uid: session
        for uid, session in view.sessions.items()
        if known is None or uid in known.sessions or not session.ended_at
    }
    return msgspec.structs.replace(view, seq=0, at="", sessions=sessions)


def _withdrawn(world: World) -> list[str]:
    """From when the box knows that a right was withdrawn nobody gets anything by it; box and cloud agree on
    what is withdrawn, unless old images of both were put back; and a charge that runs goes on."""
    one = world.withdrawn
    if one is None:
        return []
    principal = world.guest.who.principal
    found = [
        f"{fact.body.command} was accepted by a right that was withdrawn"
        for fact in _accepted(world)
        if fact.body.principal == principal
        and _by_what_was_withdrawn(world, fact.body)
        and one.at(world.disk.made[fact.uid][0])
    ]
    for command_id, ordered in world.guest.orders.items():
        if not covered(world, ordered.who):
            continue
        tag = minted_tag(command_id)
        at_ms = max(charger.started_at.get(tag, 0) for charger in world.chargers)
        if one.throughout(at_ms - ON_THE_WIRE_MS, at_ms):
            found.append(f"start {command_id} reached a charger by a right that was withdrawn")
    for name, charge in world.charges:
        if one.whole and charge.tag == "guest":
            late = [at for at, verdict in charge.judged if verdict == "accepted" and one.at(at)]
            found += [f"{name} was told at {at} ms that a withdrawn tag is good" for at in late]
    if world.leaks:
        found.append(f"{principal} was shown {world.leaks} things more")
    if one.knows != world.cloud.knows(one.entry):
        found.append("box and cloud do not agree on what is withdrawn")
    if not one.knows and not world.destroyed and not world.faults["cloud restored"]:
        found.append("what was withdrawn is forgotten")
    return found


def _by_what_was_withdrawn(world: World, body: facts.CommandAccepted) -> bool:
    """Not a stop of the box's own, for a cap; nor by another device, where one key was withdrawn."""
    ordered = world.orders.get(body.command)
    return not body.because and (ordered is None or covered(world, ordered.who))


def _rights(world: World) -> list[str]:
    """No command is taken under a grant that has run out by the box's time, but within the grace of a driver
    whose cloud is away; and staff's are taken only while the box's time is not far behind."""
    found = []
    for fact in _accepted(world):
        ordered = world.orders.get(fact.body.command)
        if ordered is None:
            continue
        ends_ms = grant_ends_ms(ordered.message.grant)
        if fact.body.command not in world.graced and from_iso(fact.at) >= ends_ms:
            found.append(f"{fact.body.command} was accepted by a grant that had run out")
        behind_ms = _behind_ms(world, fact)
        if ordered.who.role is not Role.DRIVER and behind_ms > SURE_MS + NOTICED_MS:
            found.append(
                f"{fact.body.command} of staff was accepted {behind_ms / 1000:.0f} s behind the time"
            )
    return found


def _caps(world: World) -> list[str]:
    """Nobody begins a charge who has had what was agreed, and a charge that comes to it is stopped; nobody
    else is kept from anything, nor anybody from a stop; what is counted is what was charged."""
    return caplaws.broken(world, partial(touched, world))


def _inherited(world: World) -> list[str]:
    """A box that lost something takes over what its cloud knows of it: charges, limits, counts for caps."""
    return inheriting.broken(world) if world.estates else []


def _clock(world: World) -> list[str]:
    """Whatever was done to its clock: a box that reaches its cloud comes to know the time, and is sure."""
    clock = world.box.clock
    off_ms = clock.now_ms() - world.true_ms()
    if abs(off_ms) > RIGHT_MS or not clock.sure:
        return [f"the box's clock is {off_ms / 1000:.0f} s off in the end, {clock.quality}"]
    return []


def _cloud(world: World) -> list[str]:
    """After healing the cloud has every fact, once, and the ledgers agree."""
    here, there = world.ledger(), world.cloud_ledger()
    report = reconcile.compare(here, there, side="box", other="cloud")
    found = []
    missing = {fact.uid for fact in world.disk.facts} - world.cloud.facts.keys()
    if missing:
        found.append(f"{len(missing)} facts at the box never reached the cloud")
    if world.destroyed:
        return found  # the cloud may know what the box has lost, and reconcile says so
    if len(world.cloud.facts.keys() - world.copied) != len(world.disk.facts):
        found.append(f"{len(world.disk.facts)} facts at the box, {len(world.cloud.facts)} in the cloud")
    if report.lost or report.doubled or report.differing:
        found.append(f"reconciliation: {report}")
    return found


def _order(world: World) -> list[str]:
    """A connector never has two open sessions."""
    found, running = [], {}
    for fact in world.disk.facts:
        body = fact.body
        if isinstance(body, facts.SessionStarted):
            if body.history:
                continue  # told late: the connector is another's
            if body.charger in running:
                found.append(f"{body.session} began on {body.charger} while {running[body.charger]} was open")
            running[body.charger] = body.session
        elif isinstance(body, facts.SessionEnded) and running.get(body.charger) == body.session:
            del running[body.charger]
    return found


def _unnoticed(world: World) -> list[tuple[int, int]]:
    """When the box may not have noticed yet that its clock was set: for so much of its life from then on, and
    of its next one where a kill came first. Virtual ms, from and to."""
    lives = [*world.ended, (world.box.began_ms, world.loop.now_ms)]
    spans = []
    for set_ms in world.clock_set:
        until_ms = set_ms + NOTICED_MS
        for (_, ended_ms), (again_ms, _) in pairwise(lives):
            if set_ms <= ended_ms < until_ms:
                until_ms = again_ms + NOTICED_MS
        spans.append((set_ms, until_ms))
    return spans


def _times(world: World) -> list[str]:
    """Whatever was done to the clock of a boot that ended with a right one: corrected, each fact's time is
    when it was made. Not where the clock was set a moment before (`_unnoticed`): whether that was noticed by
    then shows only if it was set by more than the box was then away. Nor where a clock that is behind by less
    than a day is waited for, at half the pace: such facts say `floor`."""
    if world.destroyed:
        return []  # an old card knows nothing of the steps since
    steps = [
        step
        for fact in world.disk.facts
        if isinstance(fact.body, facts.ClockStepped) and (step := step_of(fact.seq, fact.body))
    ]
    unnoticed = _unnoticed(world)
    found = []
    for fact in world.disk.facts:
        at_ms = from_iso(fact.at)
        true_ms, boot, wrong_ms = world.disk.made[fact.uid]
        if boot != world.boots or any(since <= true_ms < until for since, until in unnoticed):
            continue
        ahead_ms = at_ms - (T0 + true_ms)  # of the time, which is what a box waits for where it was proven
        if fact.clock == "floor" and any(0 < ms <= DAY_MS for ms in (ahead_ms, ahead_ms - wrong_ms)):
            continue
        off_ms = at_ms + shift_ms(fact.seq, at_ms, steps) - (T0 + true_ms)
        if abs(off_ms) > NOTICED_MS:
            found.append(f"fact {fact.seq} at {fact.at} is {off_ms / 1000:.0f} s off, corrected")
    return found[:3]


LAWS = (
    *(_sessions, _replies, _commands, _effects, _cloud, _order, _pushed, _times),
    *(_withdrawn, _rights, _clock, _caps, _inherited),
)

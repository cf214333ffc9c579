"""What must hold about caps (`laws._caps`): by the chargers' own meters, not by what the box counted.

What somebody has *surely* had is what the box has acknowledged; what they have had *at most* is all that the
meters say. Between the two lies what is on its way, and there either answer is right. So it is where the
product promises no more:

    a card          held to the caps that the box knew of by then, not to those of a grant on its way
    a day           judged by the box's own clock: not looked at where that was set wrong
    an old card     what was acknowledged and went with it counts as acknowledged no more
    closed by us    what a charge takes after the box thought it over counts with the charger's own stop
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from common import facts
from common.caps import Caps, period_start_ms
from common.commands import Name
from common.domain import from_iso
from common.errors import Code
from common.facts import Fact
from edge.core import allowance
from edge.core.estate import CARRIED
from tests.sim.agreed import OWNERS, closed_by_us
from tests.sim.charger import POWER_W, T0, Charge
from tests.sim.keys import grant_caps

if TYPE_CHECKING:
    from tests.sim.world import World

#: Whether some of a time went with a card that was replaced by its old image.
Touched = Callable[[int, int], bool]
#: A reader is answered in so long, or not at all on this link.
ANSWERED_MS = 10_000
#: A register is read in whole Wh.
ROUND_WH = 2


def broken(world: World, touched: Touched) -> list[str]:
    """Every law about caps that this history breaks; where nobody has any, only that all was counted."""
    found = _counts(world)
    if world.agreed.caps:
        books = Books(world, touched)
        found += [*_starts(books), *_refusals(books), *_cards(books), *_unstopped(world, touched)]
    return found


class Judged(NamedTuple):
    """A start that the box has judged, by app or by card."""

    fact: Fact
    principal: str
    caps: Caps | None
    charger: str
    why: str  #: empty: accepted


class Books:
    """What everybody has had, by the chargers' own meters; every start, with the caps it was judged by."""

    def __init__(self, world: World, touched: Touched) -> None:
        self.world, self.touched = world, touched
        self.of: dict[str, list[Charge]] = defaultdict(list)
        self.at: dict[int, str] = {}  #: by the charge's id: its charger
        for name, charge in world.charges:
            if charge.judged and charge.judged[0][1] in ("accepted", "blocked"):
                self.of[world.agreed.owner_of(charge.tag)].append(charge)
                self.at[id(charge)] = name
        self.closed = closed_by_us(world)
        self.starts = list(self._judged())

    def _judged(self) -> list[Judged]:
        """The starts of this journal, in its order."""
        found: list[Judged] = []
        known: dict[str, Caps | None] = {}
        for fact in self.world.disk.facts:
            match fact.body:
                case facts.AuthorizationChanged(change="capped", principal=str(who), caps=caps):
                    known[who] = caps
                case facts.AuthorizationChanged(change="revoked", principal=str(who)):
                    known.pop(who, None)
                case facts.CommandAccepted(name=Name.START, principal=str(who)) as body:
                    found.append(Judged(fact, who, self._asked_with(body.command), body.charger, ""))
                case facts.CommandSettled(code=Code.LIMIT_REACHED, principal=str(who)) as body:
                    found.append(Judged(fact, who, self._asked_with(body.command), body.charger, body.code))
                case facts.SessionStarted(command=None, principal=str(who)) as body:
                    if CARRIED in body.flags:
                        continue  # judged by the box before, by what that knew
                    why = "" if body.authorization == "accepted" else body.authorization
                    found.append(Judged(fact, who, known.get(who), body.charger, why))
        return found

    def _asked_with(self, command_id: str) -> Caps | None:
        ordered = self.world.orders.get(command_id)
        return grant_caps(ordered.message.grant) if ordered is not None else None

    def at_ms(self, one: Judged) -> int:
        """When it was judged, by everybody's clock."""
        return self.world.disk.made[one.fact.uid][0]

    def sees_period(self, caps: Caps) -> bool:
        """Whether the box and everybody else are sure to mean the same period."""
        set_wrong = self.world.clock_set or self.world.boots
        return caps.period != "day" or not set_wrong

    def within(self, one: Judged, caps: Caps) -> list[Charge]:
        """What the same person began in the period that this start was judged in."""
        since_ms = period_start_ms(caps, from_iso(one.fact.at))
        return [c for c in self.of[one.principal] if T0 + c.started_ms >= since_ms]

    def surely(self, one: Judged, caps: Caps) -> tuple[int, int]:
        """Energy and charges that the box had acknowledged when it judged this start."""
        at_ms, energy_wh, sessions = self.at_ms(one), 0, 0
        for charge in self.within(one, caps):
            until_ms = min(at_ms, self.closed.get((self.at[id(charge)], charge.start_wh), at_ms))
            told = [wh for ms, wh in charge.told if ms < until_ms]
            if told and not self.touched(charge.started_ms, max(ms for ms, _ in charge.told)):
                energy_wh += max(told)
                sessions += charge.judged[0][1] == "accepted"
        return energy_wh, sessions

    def at_most(self, one: Judged, caps: Caps) -> tuple[float, int]:
        """Energy that had flowed by then, told or not; charges and starts that may have been counted."""
        at_ms, energy_wh = self.at_ms(one), 0.0
        begun = [c for c in self.within(one, caps) if c.started_ms <= at_ms]
        for charge in begun:
            flowing_wh = (at_ms - charge.started_ms) * POWER_W / 3_600_000 + ROUND_WH
            whole_wh = charge.stop_wh - charge.start_wh if charge.stop_wh is not None else flowing_wh
            energy_wh += min(flowing_wh, whole_wh)
        by_card = sum(c.tag in OWNERS and c.judged[0][1] == "accepted" for c in begun)
        by_app = sum(
            other.fact.seq < one.fact.seq
            and other.principal == one.principal
            and isinstance(other.fact.body, facts.CommandAccepted)
            for other in self.starts
        )
        return energy_wh, by_card + by_app


def _starts(books: Books) -> list[str]:
    """No start was accepted of somebody who had had what was agreed, or elsewhere than was agreed."""
    found = []
    for one in books.starts:
        caps = one.caps
        if one.why or caps is None:
            continue
        what = f"a start of {one.principal} at {one.charger}, fact {one.fact.seq},"
        if caps.connectors is not None and f"{one.charger}/1" not in caps.connectors:
            found.append(f"{what} was accepted on a connector that was not agreed")
        if not books.sees_period(caps):
            continue
        energy_wh, sessions = books.surely(one, caps)
        if caps.energy_wh is not None and energy_wh >= caps.energy_wh:
            found.append(f"{what} was accepted after {energy_wh} of {caps.energy_wh} Wh")
        if caps.sessions is not None and sessions >= caps.sessions:
            found.append(f"{what} was accepted after {sessions} of {caps.sessions} charges")
    return found


def _refusals(books: Books) -> list[str]:
    """A cap refuses starts alone, and only of who has caps and may have had what was agreed."""
    found = []
    for one in books.starts:
        if not one.why:
            continue
        what = f"{one.principal} was refused a start at {one.charger}, fact {one.fact.seq},"
        if isinstance(one.fact.body, facts.CommandSettled):
            ordered = books.world.orders.get(one.fact.body.command)
            if ordered is not None and ordered.command.name is not Name.START:
                found.append(f"a cap refused {ordered.command.name} {one.fact.body.command}")
                continue
        caps = one.caps
        if caps is None:
            found.append(f"{what} and has no caps")
        elif caps.connectors is not None and f"{one.charger}/1" not in caps.connectors:
            continue
        elif books.sees_period(caps) and not books.world.destroyed:
            energy_wh, sessions = books.at_most(one, caps)
            had = caps.energy_wh is not None and energy_wh >= caps.energy_wh
            if not had and (caps.sessions is None or sessions < caps.sessions):
                found.append(f"{what} after {energy_wh:.0f} Wh and {sessions} charges of {caps}")
    return found


def _cards(books: Books) -> list[str]:
    """A card ends its owner's charge whatever was used: a cap does not block it at a reader that asks."""
    found = []
    for charger in books.world.chargers:
        for shown in charger.shown:
            own = shown.own
            if own is None or shown.status != "blocked" or own.judged[0][1] == "invalid":
                continue
            over = own.ended_ms is not None and own.ended_ms < shown.at_ms + ANSWERED_MS
            over |= books.closed.get((charger.name, own.start_wh), shown.at_ms) < shown.at_ms
            if not (over or books.touched(own.started_ms, shown.at_ms)):
                found.append(f"a card was blocked at {charger.name} where its owner charged")
    return found


def _unstopped(world: World, touched: Touched) -> list[str]:
    """Once all is well, no charge goes on beyond its cap."""
    return [
        f"{name} charges {charge.tag} beyond the cap, and is not asked to stop"
        for name, charge in world.unstopped
        if not touched(charge.started_ms, world.loop.now_ms)
    ]


def _counts(world: World) -> list[str]:
    """What the box counts, after all its lives, is what its journal's facts come to; and where no card was
    put back, what the meters say."""
    found = []
    state = world.box.gateway.state
    of: dict[str, str] = {}
    refused: set[str] = set()
    brought: dict[str, float] = {}  # what another box had counted
    for fact in world.disk.facts:
        match fact.body:
            case facts.SessionStarted(principal=str(who)) as body:
                of[body.session] = who
                if body.authorization == "blocked":
                    refused.add(body.session)
            case facts.SessionRevised(principal=str(who)) as body:
                of[body.session] = who
            case facts.AllowanceCarried(principal=who, charges=charges):
                for one in charges:
                    if one.session not in of:
                        of[one.session], brought[one.session] = who, one.energy_wh
                        refused |= {one.session} if one.refused else set()
    energy_wh: Counter[str] = Counter()
    sessions: Counter[str] = Counter()
    open_ones: set[str] = set()
    ledger = world.ledger()
    for uid, who in of.items():
        row = ledger.get(uid)
        energy_wh[who] += round((row.energy_wh if row is not None else None) or brought.get(uid, 0.0))
        sessions[who] += uid not in refused
        if row is not None and not row.ended_at:
            open_ones.add(who)  # counted with what its register shows
    for principal in sorted({*energy_wh, *state.taken} - open_ones):
        used = allowance.used(state, principal, 0)
        if (round(used.energy_wh), used.sessions) != (energy_wh[principal], sessions[principal]):
            facts_say = f"{energy_wh[principal]} Wh, {sessions[principal]} charges"
            found.append(f"{principal} is counted as {used}, and the facts say {facts_say}")
    if not world.destroyed:
        real_wh: Counter[str] = Counter()
        for _, charge in world.charges:
            if charge.judged and charge.judged[0][1] in ("accepted", "blocked"):
                real_wh[world.agreed.owner_of(charge.tag)] += (charge.stop_wh or 0) - charge.start_wh
        found += [
            f"{who} is counted as {energy_wh[who]} Wh, and the meters say {real_wh[who]}"
            for who in sorted({*real_wh, *energy_wh})
            if real_wh[who] != energy_wh[who]
        ]
    return found

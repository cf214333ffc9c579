"""What some of the people have agreed on: caps in their grants, a second key, cards at the readers.

All of it draws from a stream of chance of its own: a world without caps lives what it lived before there were
any. The guest has a phone, a tablet whose commands go by the cloud alone, and a card; the cardholder has a
card only, and the box knows its caps from the cloud.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from common import facts, trust
from common.caps import Caps
from edge import agreed
from tests.sim.charger import T0, Charge, SimCharger
from tests.sim.keys import CARDHOLDER, GUEST, TABLET, Person, grant

if TYPE_CHECKING:
    from tests.sim.box import Box
    from tests.sim.world import World

#: Whose cards are known here, by the tag.
OWNERS = {"guest": GUEST.principal, "good": CARDHOLDER.principal}
#: How often a reader is shown a card, at most and on average half of that, in s.
SHOWN_EVERY_S = 60.0
#: Until somebody has had that much energy: a bay gives 183 Wh a minute.
ENERGY_WH = (60, 200, 600, 1500)
#: When all is well: how much more everybody may have, in Wh; when their cards are shown, in s; and how long
#: it takes until a charge has come to that, in ms.
LITTLE_WH, SHOWN_AT_S, BEYOND_MS = 60, 30.0, 60_000
#: A site whose midnight is five minutes after the beginning of the world.
MIDNIGHT_MIN = 24 * 60 - (T0 // 60_000 + 5) % (24 * 60)


class Agreed:
    """One world's. `caps`: by principal, as the next grant will say; empty = nobody has any."""

    def __init__(self, world: World, seed: int, *, some: bool) -> None:
        self._world = world
        self.chance = random.Random(f"caps {seed}")
        self.caps: dict[str, Caps] = {}
        self.minted: dict[str, str] = {}  #: whose start each minted tag stands for
        self._rights: tuple[str, ...] | None = None
        self._grants = 0
        if some:
            for person in (GUEST, CARDHOLDER):
                self.caps[person.principal] = self._drawn()

    def begin(self) -> None:
        """Cards are shown from now on."""
        if self.caps:
            self._live()

    def _drawn(self) -> Caps:
        chance = self.chance
        period = chance.choice(("month", "week", "day"))
        return Caps(
            energy_wh=chance.choice(ENERGY_WH) if chance.random() < 0.7 else None,
            sessions=chance.choice((1, 2, 4)) if chance.random() < 0.4 else None,
            connectors=("CP1/1", "CP2/1") if chance.random() < 0.2 else None,
            period=period,  # type: ignore[arg-type]
            offset_min=(MIDNIGHT_MIN if MIDNIGHT_MIN <= 840 else MIDNIGHT_MIN - 24 * 60)
            if period == "day"
            else 0,
        )

    # --- rights --------------------------------------------------------------------------------------------

    def grant_to(self, person: Person, lifetime_ms: int | None = None) -> str:
        """What the cloud gives a further device of theirs."""
        self._grants += 1
        name = f"a-{person.principal}-{self._grants}"
        return grant(person, name, self._world.true_ms(), lifetime_ms, self.caps.get(person.principal))

    def told(self, box: Box) -> None:
        """The cloud tells a box of the rights behind cards (`cloud.capped`)."""
        if not self.caps or not box.alive:
            return
        if self._rights is None:
            self._rights = (self.grant_to(GUEST), self.grant_to(CARDHOLDER))
        given = [one for one in self._rights if self._world.cloud.allows(one)]
        agreed.told(box.gateway, box.authority, given, box.clock.now_ms())

    def trouble(self) -> None:
        """Somebody's caps are others from their next grant on."""
        if self.caps and self._world.strikes("caps changed", 0.05, self.chance):
            principal = self.chance.choice(sorted(self.caps))
            self.caps[principal] = self._drawn()
            self._rights = None

    def owner_of(self, tag: str) -> str:
        """Whose a tag is, minted or on a card; empty: nobody's."""
        return OWNERS.get(tag) or self.minted.get(tag, "")

    # --- what they do --------------------------------------------------------------------------------------

    def whose_order(self, drawn: bool) -> bool:
        """Whether the next order is the guest's; drawn: as it is where nobody has caps."""
        return drawn if not self.caps else self.chance.random() < 0.6

    def by_tablet(self) -> Person | None:
        """With what the guest orders: None = the phone."""
        return TABLET if self.caps and self.chance.random() < 0.25 else None

    def once_more(self) -> None:
        """All is well: everybody may have a little more, and comes to that before the world ends."""
        if not self.caps:
            return
        for principal in self.caps:
            self.caps[principal] = Caps(energy_wh=had_wh(self._world, principal) + LITTLE_WH)
        self._rights = None
        self._world.tunnel.cut()  # the next link tells it
        for charger in self._world.chargers:
            charger.plug()
            tag = self.chance.choice(sorted(OWNERS))
            self._world.loop.call_later(SHOWN_AT_S, charger.show, tag, self.owner_of)
        self._world.loop.run_until(self._world.loop.now_ms + BEYOND_MS)

    def _live(self) -> None:
        if self._world.healing:
            return
        charger: SimCharger = self.chance.choice(self._world.chargers)
        charger.show(self.chance.choice(sorted(OWNERS)), self.owner_of)
        self._world.loop.call_later(5 + SHOWN_EVERY_S * self.chance.random(), self._live)


def covered(world: World, person: Person) -> bool:
    """Whether what was withdrawn is this person's on this device, too."""
    one = world.withdrawn
    return one is not None and one.entry in (
        trust.revoked_principal(person.principal),
        trust.revoked_key(person.key.thumbprint),
    )


def beyond(world: World) -> list[tuple[str, Charge]]:
    """The charges that run though they have had what was left to them as they began, or their owners all that
    was agreed by the caps that the box knows; by the meters."""
    if not world.agreed.caps:
        return []
    state = world.box.gateway.state
    caps_wh = {}
    for charger, station in state.stations.items():
        for session in station.sessions.values():
            if session.cap_wh is not None and not session.ended:
                caps_wh[charger, session.transaction] = session.cap_wh
    all_told = not world.destroyed and not closed_by_us(world)
    found = []
    for charger in world.chargers:
        charge = charger.running
        cap_wh = caps_wh.get((charger.name, charge.number or "")) if charge is not None else None
        if charge is None or cap_wh is None:
            continue
        known = state.caps.get(world.agreed.owner_of(charge.tag))
        most_wh = known.caps.energy_wh if known and known.caps and known.caps.period != "day" else None
        all_wh = had_wh(world, world.agreed.owner_of(charge.tag))
        alone = _energy_wh(charger, charge) >= cap_wh
        together = most_wh is not None and all_told and all_wh >= most_wh
        if alone or together:
            found.append((charger.name, charge))
    return found


def closed_by_us(world: World) -> dict[tuple[str, float], int]:
    """By charger and register at the start: when the box thought that a charge was over (virtual ms). What it
    takes after that counts with the charger's own stop."""
    begun: dict[str, tuple[str, float]] = {}
    closed: dict[tuple[str, float], int] = {}
    for fact in world.disk.facts:
        match fact.body:
            case facts.SessionStarted() as body:
                begun[body.session] = body.charger, body.meter_start_wh or 0.0
            case facts.SessionEnded(provisional=True) as body if body.session in begun:
                closed.setdefault(begun[body.session], world.disk.made[fact.uid][0])
    return closed


def had_wh(world: World, principal: str) -> int:
    """What somebody has had in all, by the meters."""
    return sum(
        _energy_wh(charger, charge)
        for charger in world.chargers
        for charge in charger.charges
        if world.agreed.owner_of(charge.tag) == principal
    )


def _energy_wh(charger: SimCharger, charge: Charge) -> int:
    stop_wh = charger.register_wh() if charge.stop_wh is None else charge.stop_wh
    return stop_wh - charge.start_wh

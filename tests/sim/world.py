"""The world of one seed: a box, its chargers, its drivers and its cloud, and everything that goes wrong.

What is real: `edge.gateway` (loop and output gate), `edge.core`, `edge.recall`, `edge.commander`, the app
session at both ends, signatures, grants, `edge.authority`, `edge.apps`, `edge.rights`, `cloud.withdrawals`,
the site's clock and its watch, both halves of the sync cursor, `common.reconcile`. What is simulated: time,
disk, links, chargers (with the ground truth), people.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from common import facts, reconcile, trust
from common.commands import CLASSES, Args, Limit, Name, Start, Stop
from common.domain import Target
from edge import inheritance
from edge.core.identity import minted_tag
from tests.sim.agreed import Agreed, beyond
from tests.sim.box import Box
from tests.sim.charger import T0, Charge, SimCharger
from tests.sim.clone import Clone
from tests.sim.cloud import Cloud
from tests.sim.disk import Disk
from tests.sim.keys import GUEST, HELPER, OPERATOR, first_files
from tests.sim.loop import SimLoop
from tests.sim.phone import Ordered, Phone
from tests.sim.tunnel import Tunnel
from tests.sim.withdrawn import Withdrawn

CHARGERS = 3
#: Of the boxes that go on with less than they had: how many are other ones, and, with those, how many were
#: not simply given an old card.
REPLACED, PUT_BACK = 0.25, 0.7
#: By how much a machine's clock is set wrong: seconds, an hour, days.
WRONG_MS = (-20_000, 120_000, -3_600_000, 3_600_000, -172_800_000, 172_800_000)
#: A fact is in the cloud so long after it was made, where nothing is in its way, in ms: a healed world's
#: tunnel is looked at every half minute, and the box waits a moment for more to send.
SENT_MS = 120_000
#: A charge that has reached its cap is stopped in so long where nothing is in the way, in ms: its next sample
#: tells, each half minute.
STOPPED_MS = 90_000


class World:
    """One seed's history. `run` lives it, heals it and returns; `problems` says what does not hold."""

    def __init__(
        self,
        seed: int,
        *,
        lying_disk: bool = False,
        restores: bool = False,
        caps: bool = False,
        estates: bool = False,
        spares: Callable[[str], bool] = lambda _: False,
        tamper: Callable[[Box], None] = lambda _: None,
    ) -> None:
        """restores: now and then an old image of the box's card is put back. caps: the drivers have some.

        estates: cards go as the product puts them back, and boxes are replaced; they ask for their estate.

        spares: which faults do not happen though their time has come, so that a failing history can be made
        smaller. tamper: takes a safeguard out of each life of the box, to show that it is needed.
        """
        self.chance = random.Random(seed)
        self.lying_disk = lying_disk
        self.restores = restores
        self.estates = estates
        self.taken_over: list[int] = []  #: when a box had taken over its estate, virtual ms
        self.spares = spares
        self.tamper = tamper
        self.lives = 0
        self.loop = SimLoop()
        self.disk = Disk()
        self.disk.keys.update(first_files())
        self.card = (0, self.disk.image())
        #: From when to when a card's facts are gone, in virtual ms. What lies within was told to a charger
        #: and may be known to nobody but the cloud: the laws say less about it.
        self.destroyed: list[tuple[int, int]] = []
        self.faults: Counter[str] = Counter()
        self.story: list[tuple[int, str]] = []  #: when each fault struck, virtual ms
        self.healing = False
        self.healed_ms = 0
        self.wall_off_ms = 0  #: by how much the box's machine is wrong about the time
        self.clock_set: list[int] = []  #: when, in virtual ms
        self.ended: list[tuple[int, int]] = []  #: the box's processes that are over, from and to
        self.boots = 0  #: of the box's machine; its process has more lives than that
        self.kept_boot: bytes | None = None  #: what the box remembers of its boot
        self.agreed = Agreed(self, seed, some=caps)
        self.cloud = Cloud(self)
        self.backup = self.cloud.image()
        self.tunnel = Tunnel(self)
        self.phone = Phone(self, OPERATOR)
        who = self.chance.choice((GUEST, GUEST, HELPER))
        self.guest = Phone(self, GUEST if caps else who, self.chance.choice((3, 8, 120)) * 60_000)
        self.phones = (self.phone, self.guest)
        self.withdrawn: Withdrawn | None = None  #: the guest's right
        self.leaks = 0  #: what the guest was shown for all that
        self.graced: set[str] = set()  #: commands under a grant in its grace
        self.clone: Clone | None = None
        self.unstopped: list[tuple[str, Charge]] = []  #: what went on beyond its cap though all was well
        self.copied: set[str] = set()  #: uids of facts that only a copy of the card has made
        self.box = Box(self)
        self.chargers = [
            SimCharger(f"CP{n}", self.loop, self.chance, self._dial, self.strikes)
            for n in range(1, CHARGERS + 1)
        ]
        self._people()
        if self.strikes("site cut off", 0.4):
            self._cut_off()
        for phone in self.phones:
            phone.dial()
        for charger in self.chargers:
            self.loop.call_later(self.chance.random(), self._dial, charger)
            self._live(charger)
        self.tunnel.turn()
        self._trouble()
        self.agreed.begin()

    def strikes(self, what: str, likely: float, chance: random.Random | None = None) -> bool:
        """Whether this fault happens now; counted, and never while the world heals."""
        if self.healing or (chance or self.chance).random() >= likely or self.spares(what):
            return False
        self.faults[what] += 1
        self.story.append((self.loop.now_ms, what))
        return True

    # --- chargers and people -------------------------------------------------------------------------------

    def _people(self) -> None:
        for n in range(1, CHARGERS + 1):
            self.box.gateway.note(facts.ChargerAdopted(charger=f"CP{n}"))
        for principal, tag_ref in (("p-tag", "ref-good"), (GUEST.principal, "ref-guest")):
            self.box.gateway.note(
                facts.AuthorizationChanged(change="tag_assigned", principal=principal, tag_ref=tag_ref)
            )

    def _dial(self, charger: SimCharger) -> None:
        if charger.link is not None:
            return
        if self.box.alive:
            self.box.dialled(charger)
        else:
            self.loop.call_later(1 + self.chance.random(), self._dial, charger)

    def _live(self, charger: SimCharger) -> None:
        """What happens at one bay, some time from now, again and again."""
        if self.healing:
            return
        what = self.chance.random()
        if what < 0.3:
            charger.plug()
        elif what < 0.4:
            charger.unplug()
        elif what < 0.5:
            charger.begin(self.chance.choice(("good", "bad", "guest")))
        elif what < 0.75:
            self._order_start(charger)
        elif what < 0.9:
            self._order_stop(charger)
        elif what < 0.95:
            self._order(Name.LIMIT, charger, Limit(self.chance.choice((8.0, 16.0, 32.0))))
        elif self.strikes("charger reboot", 0.5):
            charger.reboot()
        self.loop.call_later(5 + 70 * self.chance.random(), self._live, charger)

    def _order_start(self, charger: SimCharger) -> None:
        self._order(Name.START, charger, Start())

    def _order_stop(self, charger: SimCharger) -> None:
        entry = self.box.gateway.state.view.chargers.get(charger.name)
        place = entry.connectors.get(1) if entry else None
        if place is not None and place.session is not None:
            self._order(Name.STOP, charger, Stop(place.session))

    def _order(self, name: Name, charger: SimCharger, args: Args) -> None:
        target = Target(charger=charger.name, evse=1)
        if self.agreed.whose_order(self.chance.random() < 0.3):
            self.guest.tap(name, target, args, CLASSES[name].ttl_ms, self.agreed.by_tablet())
        else:
            self.phone.tap(name, target, args, CLASSES[name].ttl_ms)

    @property
    def orders(self) -> dict[str, Ordered]:
        """Every command that was asked for, by its id."""
        return self.phone.orders | self.guest.orders

    @property
    def settled(self) -> bool:
        """Healed, and what comes of that done: whoever looks for changes may look less often."""
        return self.healing and self.loop.now_ms > self.healed_ms + 120_000

    def keep_boot(self, value: bytes) -> None:
        self.kept_boot = value

    def true_ms(self) -> int:
        """The time, as everybody but the box may know it."""
        return T0 + self.loop.now_ms

    # --- the tunnel, as far as it changes the box ----------------------------------------------------------

    def told_of_a_copy(self) -> None:
        """The box's owner is told that there are two: the copy is switched off, the box started again."""
        self.faults["box taken for a copy"] += 1
        if self.clone is not None:
            self.clone.alive = False
            self.clone = None
        self.box.crash()
        self.loop.call_later(1 + 20 * self.chance.random(), self.boot)

    def rotate(self) -> None:
        """The box begins a new epoch with what it has; here by a restart, which is the same to everybody."""
        self.faults["new epoch"] += 1
        self.box.crash()
        self.disk.rotate(f"{self.disk.rows.epochs + 1}-{self.chance.getrandbits(32):08x}")
        self.boot()

    # --- what is withdrawn ---------------------------------------------------------------------------------

    def list_came(self, how: str, lists: tuple[str, ...]) -> None:
        """Lists of what is withdrawn reach the box."""
        if self.box.authority.withdrawals.take(lists):
            self.faults[f"list come by the {how}"] += 1

    def list_kept(self) -> None:
        """Something was written into the folder of the box's keys."""
        if self.withdrawn is None:
            return
        knew = self.withdrawn.knows
        self.withdrawn.kept(self.disk.keys, self.loop.now_ms)
        new = self.withdrawn.knows and not knew
        if new and self.box.alive and self.strikes("kill -9 between a list and its facts", 0.1):
            self.box.crash()
            self.loop.call_later(0.5 + 20 * self.chance.random(), self.boot)

    def shown(self, phone: Phone) -> None:
        """The box lets a phone see something."""
        if phone is self.guest and self.withdrawn is not None and self.withdrawn.at(self.loop.now_ms - 1):
            self.leaks += 1

    def _rights_trouble(self) -> None:
        """The guest's right is withdrawn: in the cloud, be the site cut off or not; or at the box."""
        if self.withdrawn is not None:
            return
        if self.strikes("right withdrawn in the cloud", 0.1):
            self._withdraw(self.cloud.withdraw)
        elif self.box.alive and self.strikes("right withdrawn at the box", 0.03):
            self._withdraw(lambda entry: self.box.authority.withdrawals.revoke([entry]))

    def _withdraw(self, told: Callable[[str], None]) -> None:
        who = self.guest.who
        whole = self.chance.random() < 0.8
        entry = trust.revoked_principal(who.principal) if whole else trust.revoked_key(who.key.thumbprint)
        self.withdrawn = Withdrawn(entry, self.loop.now_ms, whole=whole)
        if self.tunnel.offline:
            self.faults["right withdrawn while the site was cut off"] += 1
        told(entry)

    # --- trouble -------------------------------------------------------------------------------------------

    def _trouble(self) -> None:
        if self.healing:
            return
        if self.strikes("kill -9", 0.25) and self.box.alive:
            self.box.crash()
            self.loop.call_later(0.5 + 20 * self.chance.random(), self.boot)
        if self.box.alive and self.strikes("link cut", 0.4):
            links = list(self.box.links.values())
            if links:
                self.chance.choice(links).drop()
        if self.box.alive and self.strikes("second link of one charger", 0.05):
            self.box.dialled(self.chance.choice(self.chargers))
        if self.box.alive and self.chance.random() < 0.2:
            self.box.gateway._write_snapshot()
        if self.strikes("site cut off", 0.06):
            self._cut_off()
        self._rights_trouble()
        self._clock_trouble()
        self.agreed.trouble()
        self._keep_or_restore()
        self.loop.call_later(20 + 60 * self.chance.random(), self._trouble)

    def _clock_trouble(self) -> None:
        """The box's machine is wrong about the time, for a while."""
        if self.strikes("clock set wrong", 0.05):
            self._set_clock(self.chance.choice(WRONG_MS))
        elif self.wall_off_ms and self.strikes("clock set right", 0.3):
            self._set_clock(0)
        off_ms = self.box.clock.now_ms() - self.true_ms()
        if self.box.alive and abs(off_ms) > 1000 and self.strikes("time set by hand", 0.1):
            self.box.watch.proved(self.true_ms(), "hand")

    def _cut_off(self) -> None:
        """The site has no internet; its people's phones have."""
        self.tunnel.cut(for_ms=int(30_000 + 450_000 * self.chance.random()))

    def _keep_or_restore(self) -> None:
        """Images of the box's card and of the cloud's database are kept, and now and then put back."""
        if self.chance.random() < 0.3:
            self.card = (self.loop.now_ms, self.disk.image())
        if self.chance.random() < 0.3:
            self.backup = self.cloud.image()
        if self.strikes("cloud restored", 0.03):
            self.cloud.restore(self.backup)
            self.tunnel.cut()
        if self.clone is None and self.strikes("card copied", 0.02):
            self.clone = Clone(self)
        if self.restores and self.strikes("box restored", 0.05):
            self._restore()

    def _restore(self) -> None:
        """The box goes on with an old image: of its card; or of its journal, by its own command; or it is
        another box, that has nothing."""
        self.box.crash()
        (since_ms, image), keys, epochs = self.card, self.disk.keys, self.disk.rows.epochs
        self.disk = image.image()
        how = self.agreed.chance.random() if self.estates else 1.0
        if how < REPLACED:
            self.faults["box replaced"] += 1
            since_ms, self.disk = 0, Disk()
            self.disk.keys.update(first_files())
        elif how < PUT_BACK:
            self.faults["journal put back by the box's command"] += 1
            self.disk.keys = keys
        if how < PUT_BACK:
            self.disk.rows.epochs = epochs
            self.disk.rotate(f"{epochs + 1}-{self.chance.getrandbits(32):08x}")
            self.disk.meta[inheritance.SITE] = b""
        self.destroyed.append((since_ms, self.loop.now_ms))
        self.list_kept()
        self.loop.call_later(1 + 20 * self.chance.random(), self.boot)

    def inherited(self, box: Box) -> None:
        """A box has asked for its estate; when it has it, is noted."""

        def look() -> None:
            if not box.inheritance.wanted:
                self.taken_over.append(self.loop.now_ms)
                self.faults["estate taken over"] += 1
            elif box.alive:
                self.loop.call_later(0.05, look)

        look()

    def boot(self) -> None:
        if not self.box.alive:
            if self.strikes("boot in 1970", 0.05):
                # No battery: right again once the network has told it.
                self.wall_off_ms = -T0
                self.boots += 1
                self.loop.call_later(5 + 300 * self.chance.random(), self._told_the_time)
            self.box = Box(self)

    def _told_the_time(self) -> None:
        self._set_clock(0)

    def _set_clock(self, off_ms: int) -> None:
        self.wall_off_ms = off_ms
        self.clock_set.append(self.loop.now_ms)

    # --- the end -------------------------------------------------------------------------------------------

    def run(self, minutes: int = 30) -> World:
        """Live, then heal: no more faults, cars leave, links stay; long enough for every timer there is."""
        self.loop.run_until(minutes * 60_000)
        self.healing, self.healed_ms = True, self.loop.now_ms
        if self.wall_off_ms:
            self.loop.run_until(self.loop.now_ms + 6000)  # a box looks at its clock each five seconds
            self._set_clock(0)
        self.tunnel.offline_until_ms = 0
        self.boot()
        self.agreed.once_more()
        self.loop.run_until(self.loop.now_ms + 60_000)
        self._hold_to_caps()
        for charger in self.chargers:
            charger.unplug()
        # The longest: a storm of boots is waited out for 21 minutes before a charger is configured.
        self.loop.run_until(self.loop.now_ms + 45 * 60_000)
        if self.loop.now_ms - self.disk.made[self.disk.facts[-1].uid][0] < SENT_MS:
            self.loop.run_until(self.loop.now_ms + SENT_MS)  # a timer that ended just now has told something
        for fact in self.disk.facts:
            if isinstance(fact.body, facts.ClockStepped):
                self.faults[f"clock: {fact.body.reason}"] += 1
        return self

    def _hold_to_caps(self) -> None:
        """Whatever has reached its cap by now is stopped in a while; what is not goes into `unstopped`."""
        late = beyond(self)
        if late:
            self.loop.run_until(self.loop.now_ms + STOPPED_MS)
            self.unstopped = [(name, charge) for name, charge in late if charge.ended_ms is None]

    @property
    def charges(self) -> list[tuple[str, Charge]]:
        """Every real charge, with its charger."""
        return [(charger.name, charge) for charger in self.chargers for charge in charger.charges]

    def starts_on_wire(self, command_id: str) -> int:
        """How often the remote start of this command reached a charger."""
        tag = minted_tag(command_id)
        return sum(charger.start_calls.get(tag, 0) for charger in self.chargers)

    def ledger(self) -> dict[str, reconcile.LedgerRow]:
        """The box's sessions."""
        return reconcile.fold_all(fact.body for fact in self.disk.facts)

    def cloud_ledger(self) -> dict[str, reconcile.LedgerRow]:
        """The cloud's."""
        return reconcile.fold_all(fact.body for fact in self.cloud.facts.values())

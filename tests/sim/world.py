"""The world of one seed: a box, its chargers, its drivers and its cloud, and everything that goes wrong.

What is real: `edge.gateway` (loop and output gate), `edge.core`, `edge.recall`, `edge.commander`, the app
session at both ends, signatures and grants, the site's clock, both halves of the sync cursor,
`common.reconcile`. What is simulated: time, disk, links, chargers (with the ground truth), people.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from common import facts, reconcile, sync
from common.commands import CLASSES, Args, Limit, Name, Start, Stop
from common.domain import Target
from common.errors import RemoteFault
from edge.core.identity import minted_tag
from tests.sim.box import Box
from tests.sim.charger import T0, Charge, SimCharger
from tests.sim.clone import Clone
from tests.sim.disk import Disk
from tests.sim.loop import SimLoop
from tests.sim.phone import Ordered, Phone

CHARGERS = 3


class World:
    """One seed's history. `run` lives it, heals it and returns; `problems` says what does not hold."""

    def __init__(
        self,
        seed: int,
        *,
        lying_disk: bool = False,
        restores: bool = False,
        spared: frozenset[str] = frozenset(),
        tamper: Callable[[Box], None] = lambda _: None,
    ) -> None:
        """restores: now and then an old image of the box's card is put back.

        spared: faults that do not happen though their time has come, so that a failing history can be made
        smaller. tamper: takes a safeguard out of each life of the box, to show that it is needed.
        """
        self.chance = random.Random(seed)
        self.lying_disk = lying_disk
        self.restores = restores
        self.spared = spared
        self.tamper = tamper
        self.lives = 0
        self.loop = SimLoop()
        self.disk = Disk()
        self.card = (0, self.disk.image())
        self.backup: tuple[dict[str, sync.Mark], dict[str, facts.Fact], str, tuple[str, tuple[str, ...]]] = (
            {},
            {},
            "",
            ("", ()),
        )
        #: From when to when a card's facts are gone, in virtual ms. What lies within was told to a charger
        #: and may be known to nobody but the cloud: the laws say less about it.
        self.destroyed: list[tuple[int, int]] = []
        self.faults: Counter[str] = Counter()
        self.healing = False
        self.wall_off_ms = 0  #: by how much the box's machine is wrong about the time
        self.clock_set: list[int] = []  #: when, in virtual ms
        self.boots = 0  #: of the box's machine; its process has more lives than that
        self.kept_boot: bytes | None = None  #: what the box remembers of its boot
        self.phone = Phone(self)
        self.marks: dict[str, sync.Mark] = {}
        self.cloud_facts: dict[str, facts.Fact] = {}
        self.cloud_link = 0
        self.cloud_epoch = ""
        #: The process of the box that spoke last, and those before it.
        self.boots_heard: tuple[str, tuple[str, ...]] = ("", ())
        self.clone: Clone | None = None
        self.copied: set[str] = set()  #: uids of facts that only a copy of the card has made
        self.box = Box(self)
        self.chargers = [
            SimCharger(f"CP{n}", self.loop, self.chance, self._dial, self.strikes)
            for n in range(1, CHARGERS + 1)
        ]
        self._people()
        self.phone.dial()
        for charger in self.chargers:
            self.loop.call_later(self.chance.random(), self._dial, charger)
            self._live(charger)
        self._sync()
        self._trouble()

    def strikes(self, what: str, likely: float) -> bool:
        """Whether this fault happens now; counted, and never while the world heals."""
        if self.healing or self.chance.random() >= likely or what in self.spared:
            return False
        self.faults[what] += 1
        return True

    # --- chargers and people -------------------------------------------------------------------------------

    def _people(self) -> None:
        for n in range(1, CHARGERS + 1):
            self.box.gateway.note(facts.ChargerAdopted(charger=f"CP{n}"))
        tagged = facts.AuthorizationChanged(change="tag_assigned", principal="p-tag", tag_ref="ref-good")
        self.box.gateway.note(tagged)

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
            charger.begin(self.chance.choice(("good", "bad")))
        elif what < 0.75:
            self._order_start(charger)
        elif what < 0.9:
            self._order_stop(charger)
        elif what < 0.95:
            self._order(Name.LIMIT, charger, Limit(self.chance.choice((8.0, 16.0, 32.0))))
        elif self.strikes("charger reboot", 0.5):
            charger.reboot()
        self.loop.call_later(5 + 120 * self.chance.random(), self._live, charger)

    def _order_start(self, charger: SimCharger) -> None:
        self._order(Name.START, charger, Start())

    def _order_stop(self, charger: SimCharger) -> None:
        entry = self.box.gateway.state.view.chargers.get(charger.name)
        place = entry.connectors.get(1) if entry else None
        if place is not None and place.session is not None:
            self._order(Name.STOP, charger, Stop(place.session))

    def _order(self, name: Name, charger: SimCharger, args: Args) -> None:
        target = Target(charger=charger.name, evse=1)
        self.phone.tap(name, target, args, CLASSES[name].ttl_ms)

    @property
    def orders(self) -> dict[str, Ordered]:
        """Every command that was asked for, by its id."""
        return self.phone.orders

    def keep_boot(self, value: bytes) -> None:
        self.kept_boot = value

    def true_ms(self) -> int:
        """The time, as everybody but the box may know it."""
        return T0 + self.loop.now_ms

    # --- the tunnel ----------------------------------------------------------------------------------------

    def _sync(self) -> None:
        """One exchange of the tunnel; any of its messages may be lost, with the link."""
        if self.box.alive and not self.strikes("tunnel down", 0.2):
            cursor = self.box.cursor
            if not cursor.link:
                self._hello(cursor)
            want = cursor.wanted(self.loop.now_ms) if self.box.alive and cursor.link else None
            if want is not None:
                rows = self.box.journal.records(want.from_seq, self.chance.randrange(1, want.max_records))
                self._batch(cursor, cursor.batch_of(rows))
        # A healed world has nothing to lose by looking less often.
        self.loop.call_later((10 if self.healing else 0.2) + self.chance.random(), self._sync)

    def welcome(self, cursor: sync.EdgeCursor, boot: str) -> sync.TunnelWelcome:
        """The cloud's answer to a hello. Raises RemoteFault: one of two boxes is a copy."""
        last, past = self.boots_heard
        self.boots_heard = boot, sync.boots_after(past, last, boot)
        self.cloud_link += 1
        superseded = cursor.epoch in self.marks and cursor.epoch != self.cloud_epoch
        mark = self.marks.setdefault(cursor.epoch, sync.first_mark(cursor.epoch))
        if not superseded:
            self.cloud_epoch = cursor.epoch
        return sync.TunnelWelcome(
            version=1,
            link_epoch=self.cloud_link,
            epoch=cursor.epoch,
            hwm=mark.hwm,
            chain_at_hwm=mark.chain,
            superseded=superseded,
        )

    def _hello(self, cursor: sync.EdgeCursor) -> None:
        try:
            welcome = self.welcome(cursor, f"life-{self.box.life}")
        except RemoteFault:
            self._told_of_a_copy()
            return
        own = self.box.journal.chain_at(welcome.hwm)
        step = cursor.on_welcome(welcome, own)
        if isinstance(step, sync.Rotate):
            assert self.destroyed or self.copied, f"an epoch was given up without a reason: {step}"
            self._rotate()

    def _batch(self, cursor: sync.EdgeCursor, batch: sync.Batch) -> None:
        if self.strikes("batch lost", 0.1):
            cursor.disconnected()
            return
        answer = self.taken(batch)
        if answer is None or self.strikes("ack lost", 0.1):
            cursor.disconnected()
            return
        cursor.on_ack(answer, self.loop.now_ms)

    def taken(self, batch: sync.Batch) -> sync.Ack | None:
        """The cloud takes a batch; None: another box, or another link, has said hello since."""
        if batch.link != self.cloud_link:
            return None
        mark = self.marks[batch.epoch]
        verdict = sync.check(mark, batch)
        assert not isinstance(verdict, sync.Decline), "a batch that follows was declined"
        if isinstance(verdict, sync.Apply):
            for record in verdict.records:
                fact = sync.open_record(batch.epoch, record)
                assert isinstance(fact, facts.Fact), "the box sent poison"
                self.cloud_facts.setdefault(fact.uid, fact)
            mark = self.marks[batch.epoch] = verdict.mark
        return sync.ack(batch.link, mark)

    def _told_of_a_copy(self) -> None:
        """The box's owner is told that there are two: the copy is switched off, the box started again."""
        self.faults["box taken for a copy"] += 1
        if self.clone is not None:
            self.clone.alive = False
            self.clone = None
        self.box.crash()
        self.loop.call_later(1 + 20 * self.chance.random(), self.boot)

    def _rotate(self) -> None:
        """The box begins a new epoch with what it has; here by a restart, which is the same to everybody."""
        self.faults["new epoch"] += 1
        self.box.crash()
        self.disk.rotate(f"{self.disk.rows.epochs + 1}-{self.chance.getrandbits(32):08x}")
        self.boot()

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
        self._clock_trouble()
        self._keep_or_restore()
        self.loop.call_later(20 + 60 * self.chance.random(), self._trouble)

    def _clock_trouble(self) -> None:
        """The box's machine is wrong about the time, for a while."""
        if self.strikes("clock set wrong", 0.05):
            self._set_clock(self.chance.choice((-3_600_000, 3_600_000, -20_000, 120_000)))
        elif self.wall_off_ms and self.strikes("clock set right", 0.3):
            self._set_clock(0)

    def _keep_or_restore(self) -> None:
        """Images of the box's card and of the cloud's database are kept, and now and then put back."""
        if self.chance.random() < 0.3:
            self.card = (self.loop.now_ms, self.disk.image())
        if self.chance.random() < 0.3:
            self.backup = (dict(self.marks), dict(self.cloud_facts), self.cloud_epoch, self.boots_heard)
        if self.strikes("cloud restored", 0.03):
            # Links are gone with it; their numbers go on from above all that were ever given.
            self.marks, self.cloud_facts = dict(self.backup[0]), dict(self.backup[1])
            self.cloud_epoch, self.boots_heard = self.backup[2:]
            self.cloud_link += 1
            self.box.cursor.disconnected()
        if self.clone is None and self.strikes("card copied", 0.02):
            self.clone = Clone(self)
        if self.restores and self.strikes("box restored", 0.05):
            self.box.crash()
            since_ms, image = self.card
            self.disk = image.image()
            self.destroyed.append((since_ms, self.loop.now_ms))
            self.loop.call_later(1 + 20 * self.chance.random(), self.boot)

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
        self.healing = True
        if self.wall_off_ms:
            self.loop.run_until(self.loop.now_ms + 6000)  # a box looks at its clock each five seconds
        self.wall_off_ms = 0
        self.boot()
        self.loop.run_until(self.loop.now_ms + 60_000)
        for charger in self.chargers:
            charger.unplug()
        # The longest: a storm of boots is waited out for 21 minutes before a charger is configured.
        self.loop.run_until(self.loop.now_ms + 45 * 60_000)
        return self

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
        return reconcile.fold_all(fact.body for fact in self.cloud_facts.values())

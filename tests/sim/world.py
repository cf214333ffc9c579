"""The world of one seed: a box, its chargers, its drivers and its cloud, and everything that goes wrong.

What is real: `edge.gateway` (loop and output gate), `edge.core`, `edge.recall`, both halves of the sync
cursor, `common.reconcile`. What is simulated: time, disk, links, chargers (with the ground truth), drivers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from common import chain, facts, reconcile, sync
from common.commands import CLASSES, Args, Limit, Name, Start, Stop
from common.domain import Path, Role, Target
from common.policy import Claims
from common.view import View
from edge.bus import Bus
from edge.core import engine, inputs
from edge.core.identity import minted_tag
from edge.core.state import SiteState
from edge.gateway import Gateway
from tests.sim.charger import T0, Charge, Message, SimCharger
from tests.sim.disk import Disk, SimJournal
from tests.sim.loop import SimLoop

SITE = "sim"
CHARGERS = 3


class SimClock:
    """The box's clock: virtual time."""

    quality = "synced"

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return T0 + self._loop.now_ms

    def mono_ms(self) -> int:
        return self._loop.now_ms


class SimIds:
    """Ids from the seed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def uid(self) -> str:
        return f"{self._chance.getrandbits(96):024x}"

    def token(self, size: int = 16) -> bytes:
        return self._chance.randbytes(size)

    def transaction(self) -> int:
        return self._chance.randrange(1, 2**31)

    def jitter(self) -> float:
        return self._chance.random()


class Link:
    """One connection between a charger and the box: messages take time, and it may go in the middle."""

    def __init__(self, world: World, charger: SimCharger) -> None:
        self._world, self.charger = world, charger
        self.box = world.box
        self.alive = True
        self.calls: dict[str, inputs.Request] = {}

    def later(self, then: Callable[[], None]) -> None:
        """After the network's delay, if the link is still there."""

        def arrive() -> None:
            if self.alive:
                then()

        self._world.loop.call_later(self._world.chance.choice((0.001, 0.005, 0.05, 0.4)), arrive)

    def to_box(self, given: inputs.Input, message: Message) -> None:
        if self._world.strikes("request lost", 0.01):
            self.drop()
            return
        self.later(lambda: self.box.take(given, SimReply(self, message)))

    def to_charger(self, request: inputs.Request) -> None:
        self.calls[request.id] = request
        self.later(lambda: self._call(request))

    def _call(self, request: inputs.Request) -> None:
        answer, then = self.charger.asked(request.action)
        if then is not None:
            self._world.loop.call_later(0.002, then)
        if self._world.strikes("answer lost", 0.03):
            self.drop()
            return
        self.later(lambda: self._ended(request, answer))

    def _ended(self, request: inputs.Request, answer: str) -> None:
        if self.calls.pop(request.id, None) is not None:
            self.box.call_ended(request, answer)

    def drop(self) -> None:
        """The link goes: both ends see it, the calls on it are lost."""
        if not self.alive:
            return
        self.alive = False
        self.charger.disconnected()
        for request in self.calls.values():
            self.box.call_ended(request, "lost")
        self.box.hung_up(self)


class SimReply:
    """`ReplyTo` of one message."""

    def __init__(self, link: Link, message: Message) -> None:
        self._link, self._message = link, message

    def render(self, reply: inputs.Reply) -> bytes:
        body = msgspec.to_builtins(reply)
        body.pop("replay", None)
        # Each start of the process may be another version, which spells the same answer in its own way.
        return msgspec.json.encode(body | {"spelling": self._link.box.life})

    def send(self, payload: bytes) -> None:
        if self._message.starts and self._message.charge is not None:
            self._message.charge.replies.append(payload)
        if self._link._world.strikes("reply lost", 0.02):
            self._link.drop()
            return
        self._link.later(lambda: self._link.charger.answered(self._message, payload))


class Box:
    """One life of the box's process over its disk."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.lives += 1
        self.life = world.lives
        self.alive = True
        self.links: dict[str, Link] = {}
        self.journal = SimJournal(
            world.disk, world.loop, world.chance, lies=world.lying_disk, boundary=self._boundary
        )
        state = self._recover()
        clock, ids = SimClock(world.loop), SimIds(world.chance)
        loop: Any = world.loop
        journal: Any = self.journal
        self.gateway = Gateway(state, journal, Bus(SITE), clock, ids)
        self.cursor = sync.EdgeCursor(self.journal.epoch, self.journal.committed_seq)
        self.gateway.bus.tap(lambda fact: self.cursor.committed(fact.seq, fact.kind, world.loop.now_ms))
        world.tamper(self)
        self.gateway.start(self, loop)

    def _recover(self) -> SiteState:
        disk = self._world.disk
        state, after = SiteState(view=View(site=SITE)), disk.facts
        if disk.snapshot is not None:
            seq, encoded = disk.snapshot
            state, after = engine.decode_state(encoded), disk.facts[seq:]
        for fact in after:
            engine.apply(state, facts.read(fact.epoch, fact.seq, fact.record))
        state.view.epoch, state.view.seq = disk.rows.epoch, len(disk.facts)
        return state

    def _boundary(self, where: str) -> None:
        if self._world.strikes(f"kill -9 {where}", 0.004):
            self.crash()
            self._world.loop.call_later(0.5 + 20 * self._world.chance.random(), self._world.boot)

    def crash(self) -> None:
        """kill -9. What was held back for the disk is never said."""
        self.alive = False
        self.journal.crash()
        assert self.gateway.failed is not None
        self.gateway.failed.set_result(RuntimeError("kill -9"))
        for link in list(self.links.values()):
            link.drop()

    # --- chargers ------------------------------------------------------------------------------------------

    def dialled(self, charger: SimCharger) -> None:
        older = self.links.get(charger.name)
        if older is not None:
            older.drop()
        link = self.links[charger.name] = Link(self._world, charger)
        self.gateway.submit(inputs.StationConnected(charger=charger.name, protocol="sim"))
        charger.connected(link)

    def hung_up(self, link: Link) -> None:
        if self.links.get(link.charger.name) is link:
            del self.links[link.charger.name]
            if self.alive:
                self.gateway.submit(inputs.StationDisconnected(charger=link.charger.name))

    def take(self, given: inputs.Input, reply_to: SimReply) -> None:
        if self.alive:
            self.gateway.submit(given, reply_to)

    def send(self, request: inputs.Request) -> None:
        """Where the gateway's calls leave."""
        if not self.alive:
            return
        link = self.links.get(request.charger)
        if link is None:
            self._world.loop.call_soon(self.call_ended, request, "not_sent")
        else:
            link.to_charger(request)

    def call_ended(self, request: inputs.Request, answer: str) -> None:
        if self.alive:
            ended = inputs.CallEnded(
                charger=request.charger,
                request=request.id,
                command=request.command,
                answer=answer,
                context=request.context,
            )
            self.gateway.submit(ended)


class Ordered:
    """A command as its driver sees it."""

    def __init__(self, given: inputs.CommandReceived, asked_ms: int) -> None:
        self.given = given
        self.asked_ms = asked_ms
        self.stages: list[inputs.CommandReply] = []


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
        self.backup: tuple[dict[str, sync.Mark], dict[str, facts.Fact]] = ({}, {})
        #: From when to when a card's facts are gone, in virtual ms. What lies within was told to a charger
        #: and may be known to nobody but the cloud: the laws say less about it.
        self.destroyed: list[tuple[int, int]] = []
        self.faults: Counter[str] = Counter()
        self.healing = False
        self.orders: dict[str, Ordered] = {}
        self.marks: dict[str, sync.Mark] = {}
        self.cloud_facts: dict[str, facts.Fact] = {}
        self.cloud_link = 0
        self.box = Box(self)
        self.chargers = [
            SimCharger(f"CP{n}", self.loop, self.chance, self._dial) for n in range(1, CHARGERS + 1)
        ]
        self._people()
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
        """A tap: over the LAN, through the cloud, or both at once with the same id."""
        command_id = f"{self.chance.getrandbits(96):024x}"
        given = inputs.CommandReceived(
            claims=Claims(site=SITE, principal="p-op", role=Role.OPERATOR, expires_ms=2**62),
            path=Path.LAN,
            id=command_id,
            name=name,
            target=Target(charger=charger.name, evse=1),
            args=args,
            expires_ms=T0 + self.loop.now_ms + CLASSES[name].ttl_ms,
            fingerprint=command_id,
            site=SITE,
        )
        ordered = self.orders[command_id] = Ordered(given, self.loop.now_ms)
        for _ in range(self.chance.choice((1, 1, 2, 3))):
            self.loop.call_later(0.001 + self.chance.random(), self._deliver, ordered)

    def _deliver(self, ordered: Ordered) -> None:
        if self.box.alive:
            self.box.gateway.command(ordered.given, ordered.stages.append)

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

    def _hello(self, cursor: sync.EdgeCursor) -> None:
        self.cloud_link += 1
        mark = self.marks.setdefault(cursor.epoch, sync.first_mark(cursor.epoch))
        welcome = sync.TunnelWelcome(
            version=1,
            link_epoch=self.cloud_link,
            epoch=cursor.epoch,
            hwm=mark.hwm,
            chain_at_hwm=mark.chain,
        )
        own = chain.seed(cursor.epoch) if mark.hwm == 0 else self.box.journal.chain_at(mark.hwm)
        step = cursor.on_welcome(welcome, own)
        if isinstance(step, sync.Rotate):
            assert self.destroyed, f"an epoch was given up without a reason: {step}"
            self._rotate()

    def _batch(self, cursor: sync.EdgeCursor, batch: sync.Batch) -> None:
        if self.strikes("batch lost", 0.1):
            cursor.disconnected()
            return
        mark = self.marks[batch.epoch]
        verdict = sync.check(mark, batch)
        if isinstance(verdict, sync.Apply):
            for record in verdict.records:
                fact = sync.open_record(batch.epoch, record)
                assert isinstance(fact, facts.Fact), "the box sent poison"
                self.cloud_facts.setdefault(fact.uid, fact)
            mark = self.marks[batch.epoch] = verdict.mark
        if self.strikes("ack lost", 0.1):
            cursor.disconnected()
            return
        assert not isinstance(verdict, sync.Decline), "a batch that follows was declined"
        cursor.on_ack(sync.ack(batch.link, mark), self.loop.now_ms)

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
        if self.box.alive and self.chance.random() < 0.2:
            self.box.gateway._write_snapshot()
        self._keep_or_restore()
        self.loop.call_later(20 + 60 * self.chance.random(), self._trouble)

    def _keep_or_restore(self) -> None:
        """Images of the box's card and of the cloud's database are kept, and now and then put back."""
        if self.chance.random() < 0.3:
            self.card = (self.loop.now_ms, self.disk.image())
        if self.chance.random() < 0.3:
            self.backup = (dict(self.marks), dict(self.cloud_facts))
        if self.strikes("cloud restored", 0.03):
            # Links are gone with it; their numbers go on from above all that were ever given.
            self.marks, self.cloud_facts = dict(self.backup[0]), dict(self.backup[1])
            self.box.cursor.disconnected()
        if self.restores and self.strikes("box restored", 0.05):
            self.box.crash()
            since_ms, image = self.card
            self.disk = image.image()
            self.destroyed.append((since_ms, self.loop.now_ms))
            self.loop.call_later(1 + 20 * self.chance.random(), self.boot)

    def boot(self) -> None:
        if not self.box.alive:
            self.box = Box(self)

    # --- the end -------------------------------------------------------------------------------------------

    def run(self, minutes: int = 30) -> World:
        """Live, then heal: no more faults, cars leave, links stay; long enough for every timer there is."""
        self.loop.run_until(minutes * 60_000)
        self.healing = True
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

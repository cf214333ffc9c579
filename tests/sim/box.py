"""The box of the simulation: real gateway, core, commander, clock and rights of one process over its card,
and the links on which chargers reach it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from common import facts, sync
from common.appsession import Serving
from common.clock import SystemClock
from common.domain import Path
from common.errors import Unavailable
from common.view import View
from edge.apps import Apps
from edge.authority import Authority
from edge.bus import Bus
from edge.commander import Commander
from edge.core import engine, inputs
from edge.core.state import SiteState
from edge.gateway import Gateway
from edge.inheritance import Inheritance
from edge.rights import Rights
from edge.timekeeping import LOOK_EVERY_S, ClockWatch, resumed
from tests.sim.charger import T0, Message, SimCharger
from tests.sim.disk import SimJournal
from tests.sim.keys import SITE, CardKeys

if TYPE_CHECKING:
    from tests.sim.world import World

#: What the box's outbox waits for an answer (edge.chargers.outbox), in s.
CALL_TIMEOUT_S = 30.0


#: How long before its histories the box's program was built: a clock that was never set begins there.
BUILT_AGO_MS = 30 * 24 * 3600 * 1000


def sim_clock(world: World) -> SystemClock:
    """The real clock over virtual time; `world.wall_off_ms` is by how much the machine's own is wrong."""
    return SystemClock(
        T0 - BUILT_AGO_MS,
        wall_ns=lambda: (T0 + world.loop.now_ms + world.wall_off_ms) * 1_000_000,
        mono_ns=lambda: world.loop.now_ms * 1_000_000,
    )


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
        self.later(lambda: self.box.take(given, SimReply(self, message), self))

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
        if self._world.strikes("answer too late", 0.02):
            # It was carried out all the same; the late answer is of no call any more.
            self._world.loop.call_later(CALL_TIMEOUT_S, self._ended, request, "timeout")
            return
        self.later(lambda: self._ended(request, answer))

    def _ended(self, request: inputs.Request, answer: str) -> None:
        if self.alive and self.calls.pop(request.id, None) is not None:
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
        if self._message.starts and self._message.charge is not None:
            self._message.charge.judged.append((self._link._world.loop.now_ms, body["status"]))
        body.pop("replay", None)
        # Each start of the process may be another version, which spells the same answer in its own way.
        return msgspec.json.encode(body | {"spelling": self._link.box.life})

    def send(self, payload: bytes) -> None:
        charge = self._message.charge
        if charge is not None:
            charge.told.append((self._link._world.loop.now_ms, self._message.energy_wh))
            if self._message.starts:
                charge.replies.append(payload)
        if self._link._world.strikes("reply lost", 0.05):
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
        self.began_ms = world.loop.now_ms
        self.links: dict[str, Link] = {}
        self.journal = SimJournal(
            world.disk,
            world.loop,
            world.chance,
            lies=world.lying_disk,
            boundary=self._boundary,
            boot=world.boots,
            wrong_ms=lambda: world.wall_off_ms,
        )
        state = self._recover()
        clock, ids = sim_clock(world), SimIds(world.chance)
        self.clock = clock
        loop: Any = world.loop
        journal: Any = self.journal
        self.gateway = Gateway(state, journal, Bus(SITE), clock, ids)
        self.inheritance = Inheritance(self.gateway, journal)
        self.cursor = sync.EdgeCursor(self.journal.epoch, self.journal.committed_seq)
        self.gateway.bus.tap(lambda fact: self.cursor.committed(fact.seq, fact.kind, world.loop.now_ms))
        self.authority = Authority(CardKeys(world.disk.keys, world.list_kept), name="", clock=clock, ids=ids)
        self.commander = Commander(self.gateway, self.authority.claims_of, clock)
        unasked: Any = None
        self.apps = Apps(
            *(self.gateway, self.commander, unasked, unasked, self.authority, unasked), *(clock, ids)
        )
        self.rights = Rights(self.authority, self.gateway, journal, self.apps)
        self.rights.tell = world.tunnel.tell_cloud
        known, missed = resumed(
            world.kept_boot, f"boot-{world.boots}", clock, state.view.at, state.clock_told
        )
        if missed is None:
            world.keep_boot(msgspec.json.encode(known))
        self.watch = ClockWatch(clock, self.gateway, known, missed, keep=self._keep_boot)
        self.authority.verifier.heard = self.watch.heard
        self.authority.verifier.sure = lambda: clock.sure
        self.gateway.first = self.watch.begin
        world.tamper(self)
        self.gateway.start(self, loop)
        self.rights.settle()
        self._look()

    def _keep_boot(self, value: bytes) -> None:
        # In the journal it goes to disk behind the facts that were pushed before it.
        self.journal._after(self.journal.last_seq, lambda: self._world.keep_boot(value))

    def _look(self) -> None:
        """The room of the clock's watch."""
        if self.alive:
            self.watch.look()
            self._world.loop.call_later(60 if self._world.settled else LOOK_EVERY_S, self._look)

    @property
    def serving(self) -> Serving:
        """What every app link of this box shares."""
        authority = self.authority
        return Serving(
            identity=authority.identity, verifier=authority.verifier, path=Path.LAN, site=authority.site
        )

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
        failures = (f"kill -9 {where}", 0.004), ("EIO at a sync", 0.001), ("disk full", 0.001)
        for what, likely in failures if where == "before a commit" else failures[:1]:
            if self.alive and self._world.strikes(what, likely):
                # A box whose disk fails ends at once, having said nothing of what it could not keep.
                self.crash()
                self._world.loop.call_later(0.5 + 20 * self._world.chance.random(), self._world.boot)

    def crash(self) -> None:
        """kill -9. What was held back for the disk is never said."""
        self.alive = False
        self._world.ended.append((self.began_ms, self._world.loop.now_ms))
        self.journal.crash()
        assert self.gateway.failed is not None
        self.gateway.failed.set_result(RuntimeError("kill -9"))
        for link in list(self.links.values()):
            link.drop()
        for phone in self._world.phones:
            phone.lost(self)

    # --- chargers ------------------------------------------------------------------------------------------

    def dialled(self, charger: SimCharger) -> None:
        older = self.links.get(charger.name)
        if older is not None:
            older.drop()
        entry = self.gateway.state.view.chargers.get(charger.name)
        if self._world.estates and (entry is None or not entry.adopted):
            # Turned away in the handshake, until its cloud says whose it is, or somebody adopts it anew.
            self._world.loop.call_later(5, self._world._dial, charger)
            if not self._world.cloud.has_adopted(charger.name):
                self.gateway.note(facts.ChargerAdopted(charger=charger.name))
            return
        link = self.links[charger.name] = Link(self._world, charger)
        self.gateway.submit(inputs.StationConnected(charger=charger.name, protocol="sim"))
        charger.connected(link)

    def hung_up(self, link: Link) -> None:
        if self.links.get(link.charger.name) is link:
            del self.links[link.charger.name]
            if self.alive:
                self.gateway.submit(inputs.StationDisconnected(charger=link.charger.name))

    def take(self, given: inputs.Input, reply_to: SimReply, link: Link) -> None:
        if self.alive:
            try:
                self.gateway.submit(given, reply_to)
            except Unavailable:
                link.drop()

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

"""A phone of the simulation: real keys, the real app session at both ends, links that break anywhere.

An order is sealed once and sent again, the same, by the LAN and through the cloud, until its end is heard.
What the box pushes is folded into a view as every client does it. Rights are renewed in the cloud, and lists
of what is withdrawn carried between cloud and box, as `common.client` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from common import commands, facts, sync, trust, wire
from common.applink import Limits
from common.appsession import (
    Authenticated,
    Carried,
    ClientSession,
    Closed,
    CommandAsked,
    Event,
    Followed,
    ServerSession,
)
from common.appsession.client import Positions, State
from common.budget import Bucket
from common.client.profile import renewal_due
from common.commands import Args, Name
from common.domain import Path, Target, iso
from common.errors import Code, PlugsideError, Unavailable
from common.policy import Claims
from common.view import View, apply
from edge.commander import Sender
from edge.core.identity import minted_tag
from tests.sim.keys import BOX, SITE, Person, grant

if TYPE_CHECKING:
    from tests.sim.box import Box
    from tests.sim.world import World

#: How long nothing is heard of a command before it is sent again.
AGAIN_S = 3.0
#: How soon somebody comes again whose grant does not count now; and whose right was withdrawn.
UNWELCOME_S, WITHDRAWN_S = 8.0, 120.0
#: How often a link's grants are judged again (a box does so each two seconds), and in a settled world.
CHECK_S, SETTLED_S = 6.0, 60.0


class Ordered:
    """A command as its driver sees it."""

    def __init__(
        self, message: wire.SendCommand, command: commands.Command, who: Person, now_ms: int
    ) -> None:
        self.message = message
        self.command = command
        self.who = who
        self.asked_ms = now_ms
        self.told: list[sync.Step] = []

    @property
    def over(self) -> bool:
        return any(isinstance(step, wire.Settled | wire.Refusal) for step in self.told)


class BoxEnd:
    """`common.applink.Peer` of one link, and what `common.applink.serve` does for it."""

    client, address, path = "sim", "sim", Path.LAN

    def __init__(self, link: AppLink, nonce: str) -> None:
        self._link, self._world, self._box = link, link.world, link.box
        self._session = ServerSession(link.box.serving, nonce=nonce)
        self._ended = False
        self.pace: Bucket | None = None  #: for who floods; phones here never do
        self._world.loop.call_later(CHECK_S, self._check)

    @property
    def key(self) -> str:
        return self._session.key

    @property
    def claims(self) -> Mapping[str, Claims]:
        return self._session.claims

    def push(self, frame: bytes) -> None:
        """Facts and snapshots come here by the bus, everything else through `send`."""
        if not self._ended:
            self._world.shown(self._link.phone)
            self._link.to_phone(frame)

    def send(self, message: wire.Message) -> None:
        if not self._ended:
            self._link.to_phone(wire.encode(message))

    def cut(self, code: Code, detail: str = "") -> None:
        if not self._ended:
            self._session.close(code, detail)
            self._over()

    def receive(self, frame: bytes) -> None:
        if self._ended:
            return
        clock = self._box.clock
        events = self._session.receive(frame, clock.now_ms(), clock.quality)
        for answer in self._session.data_to_send():
            self._link.to_phone(answer)
        self._act_on(events)

    def _act_on(self, events: Iterable[Event]) -> None:
        for event in events:
            try:
                self._act(event)
            except PlugsideError as declined:
                self.send(wire.Refusal(id="", code=declined.code, message=declined.message))

    def _act(self, event: Event) -> None:
        apps = self._box.apps
        peer: Any = self
        match event:
            case Authenticated():
                apps.authenticated(peer, event.claims)
            case Carried():
                before = self._box.authority.withdrawals.numbers()
                apps.carried(peer, event.lists)
                if before != self._box.authority.withdrawals.numbers():
                    self._world.faults["list carried in by a phone"] += 1
            case Followed():
                apps.follow(peer, event.sites, event.since)
            case CommandAsked():
                if event.claims.grace:
                    self._world.graced.add(event.command.id)
                    assert not self._world.tunnel.stands, "grace is for while the cloud is away"
                apps.command(peer, event.message, event.claims, event.payload, event.command)
            case Closed():
                self._over()

    def _check(self) -> None:
        """Whether its grants still count."""
        if self._ended:
            return
        self._act_on(self._session.tick(self._box.clock.now_ms()))
        self._world.loop.call_later(SETTLED_S if self._world.settled else CHECK_S, self._check)

    def _over(self) -> None:
        """The last word goes out behind what is on its way, then the link closes."""
        self._ended = True
        for frame in self._session.data_to_send():
            self._link.to_phone(frame)
        self._world.loop.call_later(Limits().goodbye_s, self._link.drop)

    def closed(self) -> None:
        self._ended = True
        peer: Any = self
        self._box.apps.closed(peer)


class AppLink:
    """One link to the box: two sessions, frames in order between them, gone at any moment."""

    def __init__(self, phone: Phone, box: Box) -> None:
        world = phone.world
        self.box, self.alive = box, True
        self.phone, self.world = phone, world
        self.followed = False
        self._arrive = {"up": 0, "down": 0}
        nonce = (trust.b64(world.chance.randbytes(32)) for _ in range(2))
        self.client = ClientSession(
            nonce=next(nonce),
            path=Path.LAN,
            server=BOX.fingerprint,
            key=phone.who.key,
            grants=(phone.grant,),
            positions=phone.positions,
            carried=phone.lists,
        )
        self._end = BoxEnd(self, next(nonce))
        self.client.hello()
        world.loop.call_later(Limits().auth_s, self._give_up)

    # --- frames on their way -------------------------------------------------------------------------------

    def _carry(self, way: str, frame: bytes, arrive: Callable[[bytes], None]) -> None:
        if self.world.strikes("app link cut", 0.003):
            self.drop()
        now_ms = self.world.loop.now_ms
        # A stream: what was sent later does not come earlier.
        self._arrive[way] = max(self._arrive[way], now_ms + self.world.chance.choice((1, 3, 20)))
        delay_s = (self._arrive[way] - now_ms) / 1000
        self.world.loop.call_later(delay_s, lambda: arrive(frame) if self.alive else None)

    def flush(self) -> None:
        """What the client's session has to say."""
        for frame in self.client.data_to_send():
            self._carry("up", frame, self._end.receive)

    def to_phone(self, frame: bytes) -> None:
        if self.alive:
            self._carry("down", frame, self._at_phone)

    def drop(self) -> None:
        """Both ends are told; what was on its way is gone."""
        if not self.alive:
            return
        self.alive = False
        self._end.closed()
        self.phone.hung_up(self)

    def _give_up(self) -> None:
        """Whoever is not welcome in time is cut, and comes again."""
        if self.client.state is not State.OPEN:
            self.drop()

    def _at_phone(self, frame: bytes) -> None:
        for message in self.client.receive(frame):
            self.phone.heard(message, self)
        self.flush()


class Phone:
    """One person's."""

    def __init__(self, world: World, who: Person, lifetime_ms: int | None = None) -> None:
        """lifetime_ms: of each grant that it gets; None = as long as its role may have one."""
        self.world, self.who = world, who
        self.positions = Positions()
        self.view = View(site=SITE)
        self.orders: dict[str, Ordered] = {}
        self.reused: list[Ordered] = []  #: an id of before around other contents: what came of it
        self.link: AppLink | None = None
        self._lifetime_ms = lifetime_ms
        self._grants = 0
        self.grant = self._granted()
        self._box_lists: tuple[str, ...] = ()
        self._cloud_lists: tuple[str, ...] = ()
        self._wait_s = 0.0
        world.loop.call_later(20 + 60 * world.chance.random(), self._visit)

    # --- its rights ----------------------------------------------------------------------------------------

    def _granted(self) -> str:
        self._grants += 1
        world, who = self.world, self.who
        life_ms = None if world.healing else self._lifetime_ms
        caps = world.agreed.caps.get(who.principal)
        return grant(who, f"g-{who.principal}-{self._grants}", world.true_ms(), life_ms, caps)

    @property
    def lists(self) -> tuple[str, ...]:
        """What it carries to the box."""
        return trust.newest_lists(self._cloud_lists, self._box_lists)

    def _visit(self) -> None:
        """To the cloud by a network of its own, whether the site has one or not."""
        world = self.world
        wait_s = 300 if world.settled else 20 + 60 * world.chance.random()
        if world.strikes("phone without a network", 0.1):
            wait_s = 120 + 360 * world.chance.random()
        elif world.cloud.allows(self.grant):
            self._at_cloud()
        world.loop.call_later(wait_s, self._visit)

    def _at_cloud(self) -> None:
        cloud = self.world.cloud
        cloud.take(self._box_lists)
        if not cloud.allows(self.grant):
            return  # by a list that it has brought itself
        known, self._cloud_lists = self._cloud_lists, trust.newest_lists(self._cloud_lists, cloud.lists)
        if renewal_due(self.grant, self.world.true_ms()):
            self.grant = self._granted()
            if self.link is not None and self.link.client.state is State.OPEN:
                self.link.client.show(self.grant)
                self.link.flush()
        if known != self._cloud_lists and self.link is not None:
            self.link.drop()  # home again from where it had heard of it

    # --- its link ------------------------------------------------------------------------------------------

    def dial(self) -> None:
        """Try the LAN, for ever."""
        box = self.world.box
        if self.link is None and box.alive:
            self.link = AppLink(self, box)
            self.link.flush()
        elif self.link is None:
            self.world.loop.call_later(1 + self.world.chance.random(), self.dial)

    def hung_up(self, link: AppLink) -> None:
        if self.link is link:
            self.link = None
            wait_s, self._wait_s = self._wait_s, 0.0
            if self.world.healing:
                wait_s *= 10  # nothing changes any more
            self.world.loop.call_later(0.2 + wait_s + self.world.chance.random(), self.dial)

    def lost(self, box: Box) -> None:
        """The box is gone, and every link with it."""
        if self.link is not None and self.link.box is box:
            self.link.drop()

    def heard(self, message: object, link: AppLink) -> None:
        match message:
            case wire.Welcome(sites=sites):
                for site in sites:
                    self._box_lists = trust.newest_lists(self._box_lists, site.revocations)
                if not link.followed:
                    link.followed = True
                    link.client.follow(SITE)
            case wire.Snapshot(view=view):
                self.view = view
                self.view.epoch, self.view.seq = message.epoch, message.seq
            case wire.FactMessage(epoch=epoch, seq=seq, record=record):
                apply(self.view, facts.read(epoch, seq, bytes(record)))
            case wire.Accepted() | wire.Confirmed() | wire.Settled() | wire.Refusal():
                self._answered(message, link)
            case Closed(code=code):
                self._unwelcome(code)
                self.world.loop.call_soon(link.drop)

    def _answered(self, message: sync.Step, link: AppLink) -> None:
        ordered = self.orders.get(message.id)
        if ordered is not None:
            ordered.told.append(message)
        elif isinstance(message, wire.Refusal) and link.client.state is not State.OPEN:
            self._unwelcome(message.code)
            self.world.loop.call_soon(link.drop)

    def _unwelcome(self, code: str) -> None:
        """Why it may not come in now: counted, and it comes again later."""
        if code == Code.REVOKED:
            self.world.faults["turned away: withdrawn"] += 1
            self._wait_s = WITHDRAWN_S
        elif code in (Code.GRANT_EXPIRED, Code.CLOCK_UNPROVEN):
            what = "its grant has run out" if code == Code.GRANT_EXPIRED else "the time is not sure"
            self.world.faults[f"turned away: {what}"] += 1
            self._wait_s = UNWELCOME_S

    # --- orders --------------------------------------------------------------------------------------------

    def tap(self, name: Name, target: Target, args: Args, ttl_ms: int, by: Person | None = None) -> None:
        """Ask for something, until its end is heard. by: another device of the same person."""
        command_id = f"{self.world.chance.getrandbits(96):024x}"
        ordered = self.orders[command_id] = self._sealed(command_id, name, target, args, ttl_ms, by)
        if name is Name.START:
            self.world.agreed.minted[minted_tag(command_id)] = self.who.principal
        self._carry(ordered)
        if self.world.strikes("id used again", 0.02):
            again = self._sealed(command_id, Name.UNLOCK, target, commands.Unlock(), ttl_ms)
            self.reused.append(again)
            self.world.loop.call_later(1.0, self._through_cloud, again)

    def _sealed(
        self, command_id: str, name: Name, target: Target, args: Args, ttl_ms: int, by: Person | None = None
    ) -> Ordered:
        now_ms = self.world.true_ms()
        who, right = (self.who, self.grant) if by is None else (by, self.world.agreed.grant_to(by))
        command = commands.Command(
            site=SITE,
            id=command_id,
            name=name,
            target=target,
            args=msgspec.to_builtins(args),
            expires_at=iso(now_ms + ttl_ms),
        )
        envelope = trust.seal(commands.encode(command), who.key)
        message = wire.SendCommand(id=command_id, site=SITE, envelope=envelope, grant=right)
        return Ordered(message, command, who, self.world.loop.now_ms)

    def _carry(self, ordered: Ordered) -> None:
        """Over the LAN, through the cloud, or both at once; and again while nothing is heard."""
        if ordered.over or self.world.healing:
            return
        ways = self.world.chance.choice(((1, 0), (1, 1), (0, 1), (1, 1)))
        if len(ways) == sum(ways):
            self.world.faults["same command by LAN and cloud"] += 1
        link, elsewhere = self.link, ordered.who is not self.who  # another device is not at home
        if ways[0] and not elsewhere and link is not None and link.client.state is State.OPEN:
            link.client.ask(ordered.message)
            link.flush()
        if ways[1] or elsewhere:
            self.world.loop.call_later(0.02 + self.world.chance.random(), self._through_cloud, ordered)
        if self.world.loop.now_ms < ordered.asked_ms + 120_000:
            self.world.loop.call_later(AGAIN_S + self.world.chance.random(), self._carry, ordered)

    def _through_cloud(self, ordered: Ordered) -> None:
        box = self.world.box
        if not self.world.tunnel.stands or not self.world.cloud.passes_on(ordered.message):
            return
        if self.world.strikes("relay lost", 0.1):
            return

        def tell(step: sync.Step) -> None:
            if box.alive and not self.world.strikes("progress lost", 0.1):
                self.world.loop.call_later(0.05, ordered.told.append, step)

        try:
            box.commander.relayed(ordered.message, Sender(tell))
        except Unavailable:
            return

"""The phone of the simulation: real keys, the real app session at both ends, links that break anywhere.

An order is sealed once and sent again, the same, by the LAN and through the cloud, until its end is heard.
What the box pushes is folded into a view as every client does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from common import commands, facts, sync, trust, wire
from common.applink import Limits
from common.appsession import Authenticated, ClientSession, Closed, CommandAsked, Followed, ServerSession
from common.appsession.client import Positions, State
from common.commands import Args, Name
from common.domain import Path, Target, iso
from common.errors import PlugsideError, Unavailable
from common.view import View, apply
from edge.commander import Sender
from tests.sim.keys import BOX, PHONE, SITE, grant

if TYPE_CHECKING:
    from tests.sim.box import Box
    from tests.sim.world import World

#: How long nothing is heard of a command before it is sent again.
AGAIN_S = 3.0


class Ordered:
    """A command as its driver sees it."""

    def __init__(self, message: wire.SendCommand, command: commands.Command, asked_ms: int) -> None:
        self.message = message
        self.command = command
        self.asked_ms = asked_ms
        self.told: list[sync.Step] = []

    @property
    def over(self) -> bool:
        return any(isinstance(step, wire.Settled | wire.Refusal) for step in self.told)


class AppLink:
    """One link to the box: two sessions, frames in order between them, gone at any moment."""

    def __init__(self, phone: Phone, box: Box) -> None:
        world = phone.world
        self.box, self.alive = box, True
        self._phone, self._world = phone, world
        self._arrive = {"up": 0, "down": 0}
        nonce = (trust.b64(world.chance.randbytes(32)) for _ in range(2))
        self.client = ClientSession(
            nonce=next(nonce),
            path=Path.LAN,
            server=BOX.fingerprint,
            key=PHONE,
            grants=(grant(),),
            positions=phone.positions,
        )
        self._server = ServerSession(box.serving, nonce=next(nonce))
        self._sender = Sender(self.send)
        self.client.hello()
        world.loop.call_later(Limits().auth_s, self._give_up)

    # --- frames on their way -------------------------------------------------------------------------------

    def _carry(self, way: str, frame: bytes, arrive: Callable[[bytes], None]) -> None:
        if self._world.strikes("app link cut", 0.003):
            self.drop()
        now_ms = self._world.loop.now_ms
        # A stream: what was sent later does not come earlier.
        self._arrive[way] = max(self._arrive[way], now_ms + self._world.chance.choice((1, 3, 20)))
        delay_s = (self._arrive[way] - now_ms) / 1000
        self._world.loop.call_later(delay_s, lambda: arrive(frame) if self.alive else None)

    def flush(self) -> None:
        """What the client's session has to say."""
        for frame in self.client.data_to_send():
            self._carry("up", frame, self._at_box)

    def push(self, frame: bytes) -> None:
        """`edge.bus.Follower`."""
        if self.alive:
            self._carry("down", frame, self._at_phone)

    def send(self, message: wire.Message) -> None:
        self.push(wire.encode(message))

    def drop(self) -> None:
        """Both ends are told; what was on its way is gone."""
        if not self.alive:
            return
        self.alive = False
        self.box.gateway.bus.leave(self)
        self.box.commander.leave(self._sender)
        self._phone.hung_up(self)

    def _give_up(self) -> None:
        """Whoever is not welcome in time is cut, and comes again."""
        if self.client.state is not State.OPEN:
            self.drop()

    # --- at the box, as common.applink and edge.apps do it -------------------------------------------------

    def _at_box(self, frame: bytes) -> None:
        clock = self.box.clock
        events = self._server.receive(frame, clock.now_ms(), clock.quality)
        for answer in self._server.data_to_send():
            self.push(answer)
        for event in events:
            try:
                self._act(event)
            except PlugsideError as declined:
                self.send(wire.Refusal(id="", code=declined.code, message=declined.message))

    def _act(self, event: object) -> None:
        match event:
            case Authenticated(claims=claims):
                sites = tuple(
                    wire.SiteAccess(site=one.site, role=one.role, principal="p-op") for one in claims
                )
                self.send(wire.Welcome(sites=sites, time=iso(self.box.clock.now_ms())))
            case Followed():
                self.box.gateway.follow(self, self._server.claims[SITE])
            case CommandAsked(claims=claims, payload=payload, command=command):
                opened = trust.OpenedCommand(payload, command)
                self.box.commander.take(opened, claims, Path.LAN, self._sender)
            case Closed():
                self._world.loop.call_soon(self.drop)

    # --- at the phone --------------------------------------------------------------------------------------

    def _at_phone(self, frame: bytes) -> None:
        for message in self.client.receive(frame):
            self._phone.heard(message, self)
        self.flush()


class Phone:
    """One operator's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.positions = Positions()
        self.view = View(site=SITE)
        self.orders: dict[str, Ordered] = {}
        self.reused: list[Ordered] = []  #: an id of before around other contents: what came of it
        self.link: AppLink | None = None
        self._time_off_ms = 0

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
            self.world.loop.call_later(0.2 + self.world.chance.random(), self.dial)

    def lost(self, box: Box) -> None:
        """The box is gone, and every link with it."""
        if self.link is not None and self.link.box is box:
            self.link.drop()

    def heard(self, message: object, link: AppLink) -> None:
        match message:
            case wire.Welcome(time=_):
                link.client.follow(SITE)
            case wire.Snapshot(view=view):
                self.view = view
                self.view.epoch, self.view.seq = message.epoch, message.seq
            case wire.FactMessage(epoch=epoch, seq=seq, record=record):
                apply(self.view, facts.read(epoch, seq, bytes(record)))
            case wire.Accepted() | wire.Confirmed() | wire.Settled() | wire.Refusal():
                ordered = self.orders.get(message.id)
                if ordered is not None:
                    ordered.told.append(message)
            case Closed():
                self.world.loop.call_soon(link.drop)

    # --- orders --------------------------------------------------------------------------------------------

    def tap(self, name: Name, target: Target, args: Args, ttl_ms: int) -> None:
        """Ask for something, until its end is heard."""
        command_id = f"{self.world.chance.getrandbits(96):024x}"
        ordered = self.orders[command_id] = self._sealed(command_id, name, target, args, ttl_ms)
        self._carry(ordered)
        if self.world.strikes("id used again", 0.02):
            again = self._sealed(command_id, Name.UNLOCK, target, commands.Unlock(), ttl_ms)
            self.reused.append(again)
            self.world.loop.call_later(1.0, self._through_cloud, again)

    def _sealed(self, command_id: str, name: Name, target: Target, args: Args, ttl_ms: int) -> Ordered:
        now_ms = self.world.true_ms()
        command = commands.Command(
            site=SITE,
            id=command_id,
            name=name,
            target=target,
            args=msgspec.to_builtins(args),
            expires_at=iso(now_ms + ttl_ms),
        )
        envelope = trust.seal(commands.encode(command), PHONE)
        message = wire.SendCommand(id=command_id, site=SITE, envelope=envelope, grant=grant())
        return Ordered(message, command, self.world.loop.now_ms)

    def _carry(self, ordered: Ordered) -> None:
        """Over the LAN, through the cloud, or both at once; and again while nothing is heard."""
        if ordered.over or self.world.healing:
            return
        ways = self.world.chance.choice(((1, 0), (1, 1), (0, 1), (1, 1)))
        if len(ways) == sum(ways):
            self.world.faults["same command by LAN and cloud"] += 1
        link = self.link
        if ways[0] and link is not None and link.client.state is State.OPEN:
            link.client.ask(ordered.message)
            link.flush()
        if ways[1]:
            self.world.loop.call_later(0.02 + self.world.chance.random(), self._through_cloud, ordered)
        if self.world.loop.now_ms < ordered.asked_ms + 120_000:
            self.world.loop.call_later(AGAIN_S + self.world.chance.random(), self._carry, ordered)

    def _through_cloud(self, ordered: Ordered) -> None:
        box = self.world.box
        if not box.alive or self.world.strikes("relay lost", 0.1):
            return

        def tell(step: sync.Step) -> None:
            if box.alive and not self.world.strikes("progress lost", 0.1):
                self.world.loop.call_later(0.05, ordered.told.append, step)

        try:
            box.commander.relayed(ordered.message, Sender(tell))
        except Unavailable:
            return

"""A charger in the simulation, with the ground truth: its own meter, and a list of what really was charged.

It behaves as OCPP 1.6 asks: transaction messages queue, one is outstanding, what was not answered is sent
again on the next link. It speaks the core's inputs; wire forms have tests of their own.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from common.domain import ConnectorState, MeterSample, iso
from edge.core import inputs
from edge.core.inputs import Stamp
from tests.sim.loop import SimLoop

POWER_W = 11_000
SAMPLE_S = 30.0


@dataclass
class Charge:
    """One real charge: what the meter says, whatever anybody was told."""

    tag: str
    start_wh: int
    started_ms: int
    number: str | None = None
    stop_wh: int | None = None
    ended_ms: int | None = None
    replies: list[bytes] = field(default_factory=list)
    judged: list[tuple[int, str]] = field(default_factory=list)  #: when its start was answered anew, and how
    told: list[tuple[int, int]] = field(
        default_factory=list
    )  #: what the box has acknowledged: when, energy in Wh


@dataclass
class Message:
    """Something to be said until it is answered."""

    make: Callable[[], inputs.Input]
    charge: Charge | None = None
    starts: bool = False
    energy_wh: int = 0  #: of the charge, as this says
    then: Callable[[str], None] | None = None  #: given the status that it is answered with


@dataclass
class Shown:
    """A card at the reader. own: its owner's charge ran here, and the box knew of that."""

    at_ms: int
    tag: str
    own: Charge | None
    status: str = ""


class SimCharger:
    """One connector, one car at a time. `site` is where it dials; the world decides when links live."""

    def __init__(
        self,
        name: str,
        loop: SimLoop,
        chance: random.Random,
        dial: Callable[[SimCharger], Any],
        strikes: Callable[[str, float], bool],
    ) -> None:
        """strikes: whether an odd way that real chargers have shows itself now (`World.strikes`)."""
        self._strikes = strikes
        self.name = name
        self.link: Any = None
        self.charges: list[Charge] = []
        self.running: Charge | None = None
        self.plugged = False
        self.state = ConnectorState.AVAILABLE
        self.start_calls: dict[str, int] = {}  #: minted tag → how often a remote start came over the wire
        self.shown: list[Shown] = []
        self.started_at: dict[str, int] = {}  #: minted tag → when the last of them came, virtual ms
        self._register_wh = chance.randrange(0, 5_000_000)
        self._metered_ms = 0
        self._loop, self._chance, self._dial = loop, chance, dial
        self._queue: deque[Message] = deque()
        self._outstanding: Message | None = None
        self._statuses: deque[Message] = deque()
        loop.call_later(SAMPLE_S * chance.random(), self._sample)

    # --- its own meter ----------------------------------------------------------------------------

    def register_wh(self) -> int:
        """The meter, now."""
        elapsed_ms, self._metered_ms = self._loop.now_ms - self._metered_ms, self._loop.now_ms
        if self.running is not None and self.state is ConnectorState.CHARGING:
            self._register_wh += round(POWER_W * elapsed_ms / 3_600_000)
        return self._register_wh

    # --- what people do ---------------------------------------------------------------------------

    def plug(self) -> None:
        if not self.plugged:
            self.plugged = True
            self._become(ConnectorState.PREPARING)

    def unplug(self) -> None:
        if self.plugged:
            self.end("EVDisconnected")
            self.plugged = False
            self._become(ConnectorState.AVAILABLE)

    def begin(self, tag: str, minted: str = "") -> None:
        """Start a charge, by a tag at the reader or a remote start."""
        if not self.plugged or self.running is not None:
            return
        charge = Charge(tag, self.register_wh(), self._loop.now_ms)
        self.running = charge
        self.charges.append(charge)
        stamp = Stamp(iso(T0 + charge.started_ms), T0 + charge.started_ms)
        made = inputs.TransactionStarted(
            charger=self.name,
            evse=1,
            tag_ref=f"ref-{tag}",
            minted=minted,
            meter_start_wh=float(charge.start_wh),
            started=stamp,
        )
        self._say(Message(lambda: made, charge, starts=True))

    def show(self, tag: str, owner_of: Callable[[str], str]) -> None:
        """A card is shown: to begin a charge, or to end its owner's. owner_of: a tag's, minted or not."""
        if self.link is None or not self.plugged:
            return
        running = self.running
        mine = running is not None and running.told and owner_of(running.tag) == owner_of(tag)
        shown = Shown(self._loop.now_ms, tag, running if mine else None)
        self.shown.append(shown)

        def answered(status: str) -> None:
            shown.status = status
            if status == "accepted" and mine and self.running is running:
                self.end("Local")
            elif status == "accepted" and running is None:
                self.begin(tag)

        asked = inputs.AuthorizeAsked(charger=self.name, tag_ref=f"ref-{tag}")
        self._statuses.append(Message(lambda: asked, then=answered))
        self._pump()

    def end(self, reason: str) -> None:
        """Stop the running charge."""
        charge = self.running
        if charge is None:
            return
        charge.stop_wh = self.register_wh()
        charge.ended_ms = self._loop.now_ms
        self.running = None
        at_ms = T0 + self._loop.now_ms
        stop_wh = float(charge.stop_wh)

        def made() -> inputs.Input:
            return inputs.TransactionEnded(
                charger=self.name,
                transaction=charge.number or "-1",
                meter_stop_wh=stop_wh,
                ended=Stamp(iso(at_ms), at_ms),
                reason=reason,
            )

        self._say(Message(made, charge, energy_wh=charge.stop_wh - charge.start_wh))
        self._become(ConnectorState.FINISHING)

    def reboot(self) -> None:
        """Power was away: the charge ends, and says so once the charger is back."""
        self.end("PowerLoss")
        if not self.charges or (
            self.charges[-1].stop_wh is not None and self._strikes("meter set to zero", 0.1)
        ):
            self._register_wh = 0
        if self.link is not None:
            self.link.drop()

    # --- what it says -----------------------------------------------------------------------------

    def _sample(self) -> None:
        charge = self.running
        if charge is not None and self.state is ConnectorState.CHARGING:
            at = iso(T0 + self._loop.now_ms)
            sample = MeterSample(at=at, energy_wh=float(self.register_wh()), power_w=float(POWER_W))

            def made() -> inputs.Input:
                return inputs.MeterReported(
                    charger=self.name, evse=1, transaction=charge.number or "-1", samples=(sample,)
                )

            energy_wh = self.register_wh() - charge.start_wh
            self._say(Message(made, charge, energy_wh=energy_wh))
            if self._strikes("sample told twice", 0.03):
                self._say(Message(made, charge, energy_wh=energy_wh))
        self._loop.call_later(SAMPLE_S, self._sample)

    def _become(self, state: ConnectorState) -> None:
        self.register_wh()
        self.state = state
        made = inputs.StatusReported(charger=self.name, evse=1, state=state)
        if self.link is None:
            self._statuses.clear()  # while offline only the present state is worth telling
        self._statuses.append(Message(lambda: made))
        self._pump()

    def _say(self, message: Message) -> None:
        self._queue.append(message)
        self._pump()

    def connected(self, link: Any) -> None:
        """A link stands. It may or may not say Boot first: both are seen (quirk 36)."""
        self.link = link
        self._outstanding = None
        now = inputs.StatusReported(charger=self.name, evse=1, state=self.state)
        self._statuses = deque([Message(lambda: now)])
        if self._chance.random() < 0.3:
            booted = inputs.Booted(charger=self.name, vendor="Sim", model="One")
            self._statuses.appendleft(Message(lambda: booted))
        self._pump()

    def disconnected(self) -> None:
        """The link is gone; what was not answered is said again on the next one."""
        self.link = None
        self._outstanding = None
        self._loop.call_later(0.5 + 5 * self._chance.random(), self._dial, self)

    def _pump(self) -> None:
        if self.link is None or self._outstanding is not None:
            return
        queue = self._statuses or self._queue
        if queue:
            self._outstanding = queue[0]
            self.link.to_box(queue[0].make(), self._outstanding)

    def answered(self, message: Message, payload: bytes) -> None:
        """The answer to the outstanding message; anything else is of an earlier link."""
        if message is not self._outstanding:
            return
        self._outstanding = None
        queue = self._statuses if self._statuses and self._statuses[0] is message else self._queue
        queue.popleft()
        if message.starts and message.charge is not None:
            self._started(message.charge, payload)
        if message.then is not None:
            message.then(msgspec.json.decode(payload)["status"])
        self._pump()

    def _started(self, charge: Charge, payload: bytes) -> None:
        reply = msgspec.json.decode(payload)
        charge.number = reply["transaction"]
        if charge is not self.running:
            return
        if reply["status"] == "accepted":
            self._become(ConnectorState.CHARGING)
        else:
            self.end("DeAuthorized")

    # --- what it is asked -------------------------------------------------------------------------

    def asked(self, action: inputs.Action) -> tuple[str, Callable[[], None] | None]:
        """The answer to a call, and what follows from it."""
        match action:
            case inputs.StartCharge(tag=tag):
                self.start_calls[tag] = self.start_calls.get(tag, 0) + 1
                self.started_at[tag] = self._loop.now_ms
                if self.running is not None or not self.plugged:
                    return "rejected", None
                if self._strikes("start accepted and never begun", 0.03):
                    return "accepted", None
                return "accepted", lambda: self.begin(tag, minted=tag)
            case inputs.StopCharge(transaction=number):
                if self.running is None or self.running.number != number:
                    return "rejected", None
                return "accepted", lambda: self.end("Remote")
            case inputs.TriggerStatus():
                return "accepted", lambda: self._become(self.state)
            case inputs.ReadSettings() | inputs.WriteSetting() | inputs.SetLimit() | inputs.ClearLimit():
                return self._chance.choice(("accepted", "accepted", "rejected", "not_supported")), None
        return "not_supported", None


#: 2027-01-15T08:00:00Z: where virtual time begins on the calendar, in ms; behind `common.clock.BUILT_MS`.
T0 = 1_800_000_000_000

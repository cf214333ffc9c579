"""A site in a test: the core between a clock that the test moves and a journal that is a list.

Every input goes through the laws that always hold: `decide` changes nothing, no record is too long, the next
deadline is never late, and (`Site.check`) replaying the journal gives the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from common import facts
from common.commands import Args, Name, Start
from common.domain import ConnectorState, MeterSample, Path, Role, Target, iso
from common.policy import Claims
from common.view import View
from edge.core import engine, inputs
from edge.core.engine import SiteState
from edge.core.inputs import Decision, Input, Stamp
from edge.core.state import NEVER

SITE = "site-1"
#: 2025-06-15T15:06:40Z
T0 = 1_750_000_000_000
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000

AVAILABLE, PREPARING = ConnectorState.AVAILABLE, ConnectorState.PREPARING
CHARGING, FINISHING = ConnectorState.CHARGING, ConnectorState.FINISHING
SUSPENDED_EV, SUSPENDED_EVSE = ConnectorState.SUSPENDED_EV, ConnectorState.SUSPENDED_EVSE
RESERVED, UNAVAILABLE = ConnectorState.RESERVED, ConnectorState.UNAVAILABLE
FAULTED, UNKNOWN = ConnectorState.FAULTED, ConnectorState.UNKNOWN

B = TypeVar("B", bound=facts.Body)


class CountingIds:
    """Ids that count. `transactions` are given out first."""

    def __init__(self, transactions: Sequence[int] = ()) -> None:
        self.count = 0
        self.transactions = list(transactions)

    def uid(self) -> str:
        self.count += 1
        return f"uid-{self.count:08d}"

    def token(self, size: int = 16) -> bytes:
        return b"t" * size

    def transaction(self) -> int:
        if self.transactions:
            return self.transactions.pop(0)
        self.count += 1
        return 1_000_000 + self.count

    def jitter(self) -> float:
        return 0.5


class Site:
    """One site. Methods named after inputs feed one and return the decision."""

    def __init__(self, ids: CountingIds | None = None) -> None:
        self.state = SiteState(view=View(site=SITE))
        self.ids = ids or CountingIds()
        self.now = T0
        self.clock = "synced"  #: what the box says of its own clock
        self.journal: list[facts.Fact] = []

    # --- feeding ---------------------------------------------------------------------------------------

    def feed(self, given: Input) -> Decision:
        """One input, decided and applied as the gateway does it."""
        before = engine.encode_state(self.state)
        decision = engine.decide(self.state, given, self.now, self.ids)
        assert engine.encode_state(self.state) == before, "decide changed the state"
        for body in decision.facts:
            fact = facts.make(
                epoch="epoch-1",
                seq=self.state.view.seq + 1,
                uid=self.ids.uid(),
                at=iso(self.now),
                clock=self.clock,
                body=body,
            )
            assert len(fact.record) <= facts.RECORD_BYTES_MAX, f"{fact.kind} has {len(fact.record)} bytes"
            engine.apply(self.state, fact)
            self.journal.append(fact)
        engine.advance(self.state, self.now)
        for charger in self.state.stations:
            at_ms = self.state.agenda.at_ms.get(charger, NEVER)
            assert at_ms <= engine.next_due(self.state, charger), f"a late deadline of {charger}"
            assert (engine.deadline(self.state) or NEVER) <= at_ms
        return decision

    def wait(self, ms: int) -> list[Decision]:
        """Let time pass, with a Tick at every deadline; what the Ticks came to (some come to nothing)."""
        until, ticks = self.now + ms, []
        while (due := engine.deadline(self.state)) is not None and due <= until:
            self.now = max(self.now, due)
            decision = self.feed(inputs.Tick())
            if decision != inputs.NOTHING:
                ticks.append(decision)
            after = engine.deadline(self.state)
            assert after is None or after > self.now, "a deadline that its own Tick does not settle"
        self.now = until
        return ticks

    def check(self) -> None:
        """Replaying the journal, or a snapshot of any moment of it and the rest, gives the same state."""
        replayed = SiteState(view=View(site=SITE), seen_ms=self.state.seen_ms)
        for fact in self.journal:
            engine.apply(replayed, facts.read(fact.epoch, fact.seq, fact.record))
        assert engine.encode_state(replayed) == engine.encode_state(self.state)
        restored = engine.decode_state(engine.encode_state(self.state))
        assert engine.encode_state(restored) == engine.encode_state(self.state)

    # --- looking ---------------------------------------------------------------------------------------

    def all(self, kind: type[B]) -> list[B]:
        """All facts of a kind so far."""
        return [fact.body for fact in self.journal if isinstance(fact.body, kind)]

    def last(self, kind: type[B]) -> B:
        """The latest fact of a kind."""
        return self.all(kind)[-1]

    def held(self, evse: int = 1, charger: str = "CP1") -> ConnectorState:
        """The connector machine's state."""
        return self.state.stations[charger].places[evse].state

    def open_sessions(self, charger: str = "CP1") -> list[str]:
        """The uids of open sessions."""
        station = self.state.stations.get(charger)
        return [s.id for s in station.sessions.values() if not s.ended] if station else []

    # --- a charger -------------------------------------------------------------------------------------

    def connect(self, charger: str = "CP1") -> Decision:
        return self.feed(inputs.StationConnected(charger=charger, protocol="ocpp1.6", address="10.0.0.7"))

    def boot(self, charger: str = "CP1") -> Decision:
        return self.feed(inputs.Booted(charger=charger, vendor="ACME", model="Wallbox"))

    def lose(self, charger: str = "CP1") -> Decision:
        return self.feed(inputs.StationDisconnected(charger=charger, reason="gone"))

    def ready(self, charger: str = "CP1", evses: int = 1) -> Site:
        """Connected, booted, every connector Available."""
        self.connect(charger)
        self.boot(charger)
        for evse in range(1, evses + 1):
            self.status(AVAILABLE, evse=evse, charger=charger)
        return self

    def status(self, state: ConnectorState, evse: int = 1, charger: str = "CP1", **more: Any) -> Decision:
        return self.feed(inputs.StatusReported(charger=charger, evse=evse, state=state, **more))

    def stamp(self, at_ms: int | None = None) -> Stamp:
        at_ms = self.now if at_ms is None else at_ms
        return Stamp(iso(at_ms), at_ms)

    def begin(self, charger: str = "CP1", **more: Any) -> Decision:
        """A StartTransaction; by default with the tag `tag-a` and the register at 1000 Wh, now."""
        fields: dict[str, Any] = {
            "evse": 1,
            "tag_ref": "tag-a",
            "meter_start_wh": 1000.0,
            "started": self.stamp(),
        }
        return self.feed(inputs.TransactionStarted(charger=charger, **(fields | more)))

    def begun(self, **more: Any) -> str:
        """As `begin`; the transaction id that was answered."""
        reply = self.begin(**more).reply
        assert isinstance(reply, inputs.StartReply)
        return reply.transaction

    def end(
        self, transaction: str, meter_stop_wh: float | None = 5000.0, charger: str = "CP1", **more: Any
    ) -> Decision:
        fields: dict[str, Any] = {"ended": self.stamp(), "reason": "Local"}
        return self.feed(
            inputs.TransactionEnded(
                charger=charger, transaction=transaction, meter_stop_wh=meter_stop_wh, **(fields | more)
            )
        )

    def meter(
        self, *samples: MeterSample, transaction: str | None = None, evse: int = 1, charger: str = "CP1"
    ) -> Decision:
        return self.feed(
            inputs.MeterReported(charger=charger, evse=evse, transaction=transaction, samples=samples)
        )

    def sample(self, energy_wh: float | None = None, at_ms: int | None = None, **more: Any) -> MeterSample:
        return MeterSample(at=iso(self.now if at_ms is None else at_ms), energy_wh=energy_wh, **more)

    # --- people ----------------------------------------------------------------------------------------

    def command(
        self,
        name: Name = Name.START,
        args: Args | None = None,
        *,
        id: str = "cmd-1",  # noqa: A002 - the field's own name
        claims: Claims | None = None,
        charger: str = "CP1",
        evse: int | None = None,
        **more: Any,
    ) -> Decision:
        fields: dict[str, Any] = {
            "claims": claims or driver(),
            "path": Path.LAN,
            "id": id,
            "name": name,
            "target": Target(charger, evse),
            "args": args if args is not None else Start(),
            "expires_ms": self.now + 15 * SECOND,
            "fingerprint": f"print of {id} {name} {charger} {evse} {args}",
            "site": SITE,
        }
        return self.feed(inputs.CommandReceived(**(fields | more)))

    def answer(self, decision: Decision, answer: str = "accepted", **more: Any) -> Decision:
        """The charger's answer to the decision's one call."""
        (request,) = decision.requests
        return self.feed(
            inputs.CallEnded(
                charger=request.charger,
                request=request.id,
                command=request.command,
                answer=answer,
                **{"context": request.context, **more},
            )
        )


def driver(principal: str = "driver-1", chargers: tuple[str, ...] | None = None) -> Claims:
    return Claims(site=SITE, principal=principal, role=Role.DRIVER, chargers=chargers)


def operator() -> Claims:
    return Claims(site=SITE, principal="operator-1", role=Role.OPERATOR)


def stages(decision: Decision) -> list[str]:
    """The stages of a command's progress."""
    return [step.stage for step in decision.progress]


def kinds(decision: Decision) -> list[str]:
    """The kinds of the facts."""
    return [body.KIND for body in decision.facts]


def refusal(decision: Decision) -> str:
    """The code of the one refusal."""
    (step,) = decision.progress
    assert step.stage == "refused"
    return step.code


def tagged(tag_ref: str, principal: str, chargers: tuple[str, ...] | None = None) -> inputs.Note:
    """An operator assigned a card."""
    return inputs.Note(
        body=facts.AuthorizationChanged(
            change="tag_assigned", tag_ref=tag_ref, principal=principal, chargers=chargers
        )
    )


def with_fields(given: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(given, **fields)

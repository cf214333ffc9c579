"""The connector's machine and the ledger against a model charger, step by step (hypothesis, stateful).

A model of the charger says what is true; messages of it are lost, repeated, delayed. The core is told what
arrives. Held: the shown state is always one that a charger can have and is the charger's own within one
resync; sessions and energy are the charger's own once everything was delivered.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common import facts, reconcile
from common.domain import ConnectorState, MeterSample, iso
from edge.core import inputs
from edge.core.connector import RESYNC_MS, TABLE
from edge.core.inputs import Stamp
from tests.core.world import MINUTE, SECOND, UNKNOWN, Site

NINE = [state for state in ConnectorState if state is not UNKNOWN]
MINUTES = st.integers(min_value=1, max_value=20)
HOW = st.sampled_from(["heard", "heard", "lost", "twice"])


class Statuses(RuleBasedStateMachine):
    """One connector whose charger goes any way at all."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Site()
        self.true: ConnectorState | None = None  #: what the charger last said and was heard saying
        self.online = False

    @initialize()
    def connected(self) -> None:
        self.site.connect()
        self.online = True

    @rule(words=st.lists(st.tuples(st.sampled_from(NINE), HOW), min_size=1, max_size=6))
    def says(self, words: list[tuple[ConnectorState, str]]) -> None:
        """The charger's state is another one and yet another; a report may be lost, or come twice."""
        for state, how in words:
            if not self.online or how == "lost":
                continue
            self.site.status(state)
            self.true = state
            if how == "twice":
                self.site.status(state)
                assert self.site.held() is state, "a charger that says it twice is believed at once"

    @rule(ms=st.integers(min_value=1, max_value=RESYNC_MS * 2))
    def time_passes(self, ms: int) -> None:
        self.site.wait(ms)

    @rule(how=st.sampled_from(["link", "boot", "newer link", "restart"]))
    def is_interrupted(self, how: str) -> None:
        """What was known is only the last known state; the charger need not say anything again."""
        if how == "restart":
            self.site.feed(inputs.Started())
        elif how == "link":
            self.site.lose()
        if how != "newer link" and not self.site.state.stations["CP1"].online:
            self.site.wait(5 * SECOND)
            self.site.connect()
        elif how == "newer link":
            self.site.connect()
        if how == "boot":
            self.site.boot()
        self.true = None

    @rule()
    def settles(self) -> None:
        """Within one resync the picture is the charger's."""
        if self.online and self.true is not None:
            self.site.wait(30 * SECOND)
            assert self.site.held() is self.true
            assert self.site.state.view.chargers["CP1"].connectors[1].state is self.true

    @invariant()
    def the_held_state_is_legal(self) -> None:
        place = self.site.state.stations["CP1"].places.get(1)
        if place is None:
            return
        assert place.state in ConnectorState
        if place.observed is not None:
            assert place.observed not in TABLE.get(place.state, {}), "held back without need"
            assert place.observed is not place.state
            assert self.site.now - place.suspect_ms <= RESYNC_MS

    @invariant()
    def no_status_makes_a_session(self) -> None:
        assert self.site.all(facts.SessionStarted) == []
        assert self.site.all(facts.SessionEnded) == []

    def teardown(self) -> None:
        self.site.check()


class Charge(msgspec.Struct):
    """One transaction as the charger knows it."""

    start: inputs.TransactionStarted
    stop: inputs.TransactionEnded | None = None
    given: str = ""  #: the id that the box answered with, as far as the charger learnt it


class Ledger(RuleBasedStateMachine):
    """A charger that charges, with replies that are lost, repeats, and values late and out of order.

    It keeps to OCPP's one promise: transaction messages of a transaction go out in order, and each is sent
    again until an answer came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.site = Site().ready()
        self.register_wh = 10_000.0
        self.charges: list[Charge] = []
        self.late: list[inputs.MeterReported] = []
        self.sent: list[Any] = []  #: transaction messages that went out, for repeats

    @property
    def running(self) -> Charge | None:
        return self.charges[-1] if self.charges and self.charges[-1].stop is None else None

    def _say(self, given: Any, *, answered: bool) -> inputs.Decision | None:
        """A message goes out; an answer that is lost was given all the same."""
        decision = self.site.feed(given)
        self.sent.append(given)
        return decision if answered else None

    def _deliver_start(self, charge: Charge) -> None:
        decision = self._say(charge.start, answered=True)
        assert decision is not None
        reply = decision.reply
        assert isinstance(reply, inputs.StartReply)
        charge.given = charge.given or reply.transaction
        assert reply.transaction == charge.given, "a repeat gets the stored answer"

    @precondition(lambda self: self.running is None)
    @rule(lost=st.integers(min_value=0, max_value=3), minutes=MINUTES)
    def starts(self, lost: int, minutes: int) -> None:
        self.site.now += minutes * MINUTE
        start = inputs.TransactionStarted(
            charger="CP1",
            evse=1,
            tag_ref="tag-a",
            meter_start_wh=self.register_wh,
            started=Stamp(iso(self.site.now), self.site.now),
        )
        charge = Charge(start)
        self.charges.append(charge)
        for _ in range(lost):
            self._say(start, answered=False)
            self.site.now += 20 * SECOND
        self._deliver_start(charge)

    @precondition(lambda self: self.running is not None)
    @rule(minutes=MINUTES, wh=st.integers(min_value=0, max_value=2000), held_back=st.booleans())
    def charges_on(self, minutes: int, wh: int, held_back: bool) -> None:
        charge = self.running
        assert charge is not None
        self.site.now += minutes * MINUTE
        self.register_wh += wh
        sample = MeterSample(at=iso(self.site.now), energy_wh=self.register_wh)
        given = inputs.MeterReported(charger="CP1", evse=1, transaction=charge.given, samples=(sample,))
        if held_back:
            self.late.append(given)
        else:
            self.site.feed(given)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def late_values_come(self, data: st.DataObject) -> None:
        """In any order, perhaps after the stop, perhaps twice."""
        # What the box's memory has forgotten comes from its journal, which is not here.
        recent = {charge.given for charge in self.charges[-6:]}
        self.late = [given for given in self.late if given.transaction in recent]
        if not self.late:
            return
        given = data.draw(st.sampled_from(self.late))
        self.site.feed(given)
        if data.draw(st.booleans()):
            self.late.remove(given)

    @precondition(lambda self: self.running is not None)
    @rule(lost=st.integers(min_value=0, max_value=3), minutes=MINUTES, tail=st.booleans())
    def stops(self, lost: int, minutes: int, tail: bool) -> None:
        charge = self.running
        assert charge is not None
        self.site.now += minutes * MINUTE
        samples = (MeterSample(at=iso(self.site.now), context="end", energy_wh=self.register_wh),)
        charge.stop = inputs.TransactionEnded(
            charger="CP1",
            transaction=charge.given,
            meter_stop_wh=self.register_wh,
            ended=Stamp(iso(self.site.now), self.site.now),
            reason="Local",
            samples=samples if tail else (),
        )
        for _ in range(lost):
            self._say(charge.stop, answered=False)
            self.site.now += 20 * SECOND
        self._say(charge.stop, answered=True)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def an_old_message_comes_again(self, data: st.DataObject) -> None:
        """Any transaction message of the last few charges, told again much later."""
        recent = [charge.start for charge in self.charges[-4:]]
        recent += [charge.stop for charge in self.charges[-4:] if charge.stop is not None]
        self.site.feed(data.draw(st.sampled_from(recent)))

    @rule(hours=st.integers(min_value=0, max_value=3), boots=st.booleans())
    def outage(self, hours: int, boots: bool) -> None:
        self.site.lose()
        self.site.wait(hours * 60 * MINUTE)
        self.site.connect()
        if boots:
            self.site.boot()

    @rule(state=st.sampled_from(NINE))
    def says_any_status(self, state: ConnectorState) -> None:
        self.site.status(state)

    @rule(minutes=st.integers(min_value=1, max_value=30))
    def time_passes(self, minutes: int) -> None:
        self.site.wait(minutes * MINUTE)

    @invariant()
    def sessions_are_the_chargers(self) -> None:
        rows = reconcile.fold_all(fact.body for fact in self.site.journal)
        assert len(rows) == len(self.charges)
        over = [charge for charge in self.charges if charge.stop is not None]
        final = [row for row in rows.values() if row.ended_at and not row.provisional]
        assert len(final) == len(over)
        true_wh = [charge.stop.meter_stop_wh - charge.start.meter_start_wh for charge in over]  # type: ignore
        assert sorted(row.energy_wh for row in final) == sorted(true_wh)  # type: ignore[type-var]
        # A status may well say that it charges without a session: that is told, and is all that comes of it.
        reasons = {orphan.reason for orphan in self.site.all(facts.OrphanRecorded)}
        assert reasons <= {"unattributed_charging"}

    def teardown(self) -> None:
        self.site.check()
        rows = reconcile.fold_all(fact.body for fact in self.site.journal)
        report = reconcile.compare(rows, rows, side="box", other="box again")
        assert report.clean, report.findings


STEPS = settings(max_examples=60, stateful_step_count=30, deadline=None)
Statuses.TestCase.settings = STEPS
Ledger.TestCase.settings = STEPS
TestStatuses = Statuses.TestCase
TestLedger = Ledger.TestCase

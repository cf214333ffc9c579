"""Limits: the lowest of all ranks is in force, a start waits for the installer's, and proof is by effect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import facts
from common.commands import ClearLimit, Limit, Name, ReadLimit
from common.domain import ConnectorState
from common.errors import Code
from common.policy import Claims, local_presence
from common.tuning import LimitApplied, ModelLearned
from edge.core import configuration, inputs
from edge.core.inputs import Decision
from edge.core.limits import desired
from tests.core.tunable import Charger
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    HOUR,
    MINUTE,
    SECOND,
    SITE,
    Site,
    driver,
    operator,
    refusal,
    stages,
)

INSTALLER = local_presence(SITE)


class Limited(Charger):
    """A charger without settings to write, that is ready; commands get ids of their own."""

    def __init__(self, evses: int = 1) -> None:
        super().__init__()
        self.count = 0
        self.site.connect()
        self.boot()
        for evse in range(1, evses + 1):
            self.take(self.site.status(AVAILABLE, evse=evse))

    def command(self, args: Any, claims: Claims = INSTALLER, **more: Any) -> Decision:
        self.count += 1
        names = {Limit: Name.LIMIT, ClearLimit: Name.CLEAR_LIMIT, ReadLimit: Name.READ_LIMIT}
        return self.site.command(names[type(args)], args, id=f"limit-{self.count}", claims=claims, **more)

    def limit(self, args: Any, claims: Claims = INSTALLER, **more: Any) -> Decision:
        """Command, and let the charger answer everything."""
        return self.take(self.command(args, claims, **more))

    @property
    def set(self) -> list[float]:
        return [one.limit_a for one in self.asked(inputs.SetLimit)]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(one.outcome, one.code) for one in self.site.all(facts.CommandSettled)]

    def proofs(self) -> list[str]:
        return [one.proof for one in self.site.all(LimitApplied)]

    def charge(self, **more: Any) -> str:
        """A driver's charge; its session."""
        self.take(
            self.site.feed(
                inputs.Note(
                    body=facts.AuthorizationChanged(
                        change="tag_assigned", tag_ref="tag-a", principal="driver-1"
                    )
                )
            )
        )
        self.wait(SECOND)  # the same start in the same second would be a repeat of an earlier one
        self.take(self.site.begin(**more))
        self.take(self.site.status(CHARGING))
        return self.site.open_sessions()[-1]


def safe(amps: float) -> Limit:
    return Limit(amps, safety=True)


# --- the installer's ---------------------------------------------------------------------------------------


def test_a_safety_limit_is_set_and_proven_by_the_charger_s_own_schedule() -> None:
    charger = Limited()
    command = charger.command(safe(16))
    assert stages(command) == ["accepted"]
    (request,) = command.requests
    assert (request.urgent, request.priority) == (True, inputs.PRIORITY_LIMIT)
    charger.take(command)
    assert (charger.set, charger.proofs()) == ([16], ["pending", "accepted", "proven"])
    assert charger.outcomes() == [("succeeded", "")]
    assert charger.asked(inputs.SetLimit)[0].scope == "default"
    charger.wait(HOUR)
    assert len(charger.calls) == 2, "what is in force is not sent again"
    charger.site.check()


def test_at_each_boot_it_is_sent_before_any_start() -> None:
    charger = Limited()
    charger.limit(safe(16))
    charger.boot()
    start = charger.site.command(id="start-1")
    assert (stages(start), start.requests) == (["accepted"], ())
    (tick,) = charger.site.wait(0)
    (limit,) = tick.requests
    assert isinstance(limit.action, inputs.SetLimit)
    answered = charger.end(limit, answer="accepted")
    assert [type(one.action) for one in answered.requests] == [inputs.ReadLimit, inputs.StartCharge]
    charger.site.check()


@pytest.mark.parametrize("answer", ["timeout", "not_supported"])
def test_a_charger_that_cannot_confirm_it_is_shown_so_and_still_charges(answer: str) -> None:
    charger = Limited()
    charger.limit(safe(16))
    charger.answers[inputs.SetLimit] = lambda _: {"answer": answer}
    charger.boot()
    start = charger.site.command(id="start-1")
    assert start.requests == ()
    charger.wait(SECOND)
    assert len(charger.asked(inputs.StartCharge)) == 1
    assert charger.proofs()[-1] == {"timeout": "unanswered", "not_supported": "refused"}[answer]


def test_a_start_waits_after_a_new_connection_too_and_expires_if_nothing_comes() -> None:
    charger = Limited()
    charger.limit(safe(16))
    charger.site.lose()
    charger.take(charger.site.connect())
    charger.take(charger.site.status(AVAILABLE))
    start = charger.site.command(id="start-1")
    assert start.requests == ()
    calls: list[inputs.Request] = []
    for decision in charger.site.wait(MINUTE):
        calls += decision.requests
    assert inputs.StartCharge not in [type(one.action) for one in calls]
    assert charger.outcomes()[-1] == ("failed", Code.EXPIRED)


def test_nobody_exceeds_it() -> None:
    charger = Limited()
    charger.limit(safe(16))
    session = charger.charge()
    charger.limit(Limit(32), operator())
    charger.limit(Limit(25, session=session), driver())
    assert max(charger.set) == 16
    charger.limit(Limit(10, session=session), driver())
    assert charger.set[-1] == 10
    charger.limit(Limit(32, session=session), driver())
    assert charger.set[-1] == 16
    for claims in (operator(), driver()):
        assert refusal(charger.command(Limit(20, safety=True), claims)) == Code.NOT_PERMITTED
        assert refusal(charger.command(ClearLimit(safety=True), claims)) == Code.NOT_PERMITTED


def test_a_limit_of_the_whole_is_shared_by_its_connectors() -> None:
    charger = Limited(evses=2)
    charger.limit(safe(32))
    assert sorted((one.evse, one.limit_a) for one in charger.asked(inputs.SetLimit)) == [(1, 16), (2, 16)]
    assert refusal(charger.command(safe(10))) == Code.LIMIT_TOO_LOW


def test_a_charger_that_keeps_a_limit_of_the_whole_is_given_one() -> None:
    charger = Limited(evses=2)
    charger.boot(traits={"station_limit": True})
    charger.limit(safe(32))
    sent = {(one.scope, one.evse, one.limit_a) for one in charger.asked(inputs.SetLimit)}
    assert sent == {("station", 0, 32), ("default", 1, 32), ("default", 2, 32)}


def test_a_limit_for_a_charger_that_is_away_is_kept_for_it() -> None:
    charger = Limited()
    charger.site.lose()
    charger.limit(safe(16))
    assert charger.outcomes() == [("unknown", Code.LIMIT_UNPROVEN)]
    charger.come()
    charger.wait(MINUTE)
    assert charger.proofs()[-1] == "proven"
    charger.site.check()


def test_settings_are_compared_and_set() -> None:
    charger = Limited()
    charger.limit(Limit(16, safety=True, expect=0))
    assert refusal(charger.command(Limit(20, safety=True, expect=0))) == Code.CHANGED_MEANWHILE
    charger.limit(ClearLimit(safety=True, expect=1))
    assert charger.outcomes()[-1] == ("succeeded", "")
    assert charger.profiles == {}
    charger.site.check()


# --- the driver's ------------------------------------------------------------------------------------------


def test_a_driver_limits_their_own_charge_and_no_other() -> None:
    charger = Limited()
    session = charger.charge()
    assert refusal(charger.command(Limit(10), driver())) == Code.NOT_PERMITTED
    assert refusal(charger.command(Limit(10, session=session), driver("other"))) == Code.NOT_YOUR_SESSION
    assert refusal(charger.command(Limit(10, session="none"), driver())) == Code.UNKNOWN_SESSION
    charger.limit(Limit(10, session=session), driver())
    (sent,) = charger.asked(inputs.SetLimit)
    assert (sent.scope, sent.limit_a) == ("session", 10)
    assert sent.transaction == charger.site.last(facts.SessionStarted).transaction
    assert charger.outcomes()[-1:] == [("succeeded", "")]


def test_a_session_s_limit_ends_with_it() -> None:
    charger = Limited()
    session = charger.charge()
    charger.limit(Limit(10, session=session), driver())
    charger.take(charger.site.end(charger.site.last(facts.SessionStarted).transaction))
    charger.wait(HOUR)
    assert charger.asked(inputs.ClearLimit) == []
    assert charger.site.state.stations["CP1"].tuning.limits.slots == {}
    charger.site.check()


@pytest.mark.parametrize("amps", [0, 5.9])
def test_a_pause_is_refused_unless_it_is_proven(amps: float) -> None:
    charger = Limited()
    session = charger.charge()
    assert refusal(charger.command(Limit(amps, session=session), driver())) == Code.LIMIT_TOO_LOW
    charger.boot(traits={"below_minimum": "pauses"})
    charger.limit(Limit(amps, session=session), driver())
    assert charger.set == [amps]


def test_an_operator_s_limit_reaches_a_charge_that_runs() -> None:
    charger = Limited()
    charger.charge()
    charger.limit(Limit(12), operator())
    assert {(one.scope, one.limit_a) for one in charger.asked(inputs.SetLimit)} == {
        ("default", 12),
        ("session", 12),
    }


# --- how it is said ----------------------------------------------------------------------------------------


def test_stack_levels_are_tried_from_the_top_and_the_model_s_is_remembered() -> None:
    charger = Limited()
    charger.answers[inputs.SetLimit] = lambda one: {"answer": "accepted" if one.level == 0 else "rejected"}
    charger.limit(safe(16))
    assert [one.level for one in charger.asked(inputs.SetLimit)] == [1, 0]
    assert charger.site.last(ModelLearned).value == "0 absolute"
    charger.calls.clear()
    charger.limit(safe(10))
    assert [one.level for one in charger.asked(inputs.SetLimit)] == [0]


def test_the_highest_level_that_a_charger_tells_is_tried_first() -> None:
    charger = Limited()
    charger.limit(safe(16))
    charger.take(charger.site.feed(inputs.Started(settings=dict(configuration.DEFAULTS))))
    charger.come()
    charger.wait(MINUTE)
    charger.limit(safe(10))
    assert [one.level for one in charger.asked(inputs.SetLimit)] == [1, 1, 3]


def test_the_other_kind_of_schedule_is_the_last_way() -> None:
    charger = Limited()
    charger.answers[inputs.SetLimit] = lambda one: {"answer": "accepted" if one.relative else "rejected"}
    charger.limit(safe(16))
    assert [(one.level, one.relative) for one in charger.asked(inputs.SetLimit)] == [
        (1, False),
        (0, False),
        (0, True),
    ]


def test_a_refused_limit_rolls_back_what_is_shown() -> None:
    charger = Limited()
    charger.limit(safe(16))
    charger.answers[inputs.SetLimit] = lambda _: {"answer": "rejected"}
    charger.limit(safe(10))
    slot = charger.site.state.stations["CP1"].tuning.limits.slots["default:1"]
    assert (slot.proof, slot.held_a) == ("refused", 16)
    assert charger.outcomes()[-1] == ("failed", Code.LIMIT_REFUSED)
    calls = len(charger.calls)
    charger.wait(HOUR)
    assert len(charger.calls) == calls, "a refusal is not asked for again in one boot"


def test_steps_of_a_model_are_rounded_down() -> None:
    charger = Limited()
    charger.boot(traits={"steps_a": (6.0, 8.0, 10.0, 13.0, 16.0)})
    charger.limit(safe(12.7))
    assert charger.set == [10]
    charger.boot(traits={})
    charger.limit(safe(12.79))
    assert charger.set[-1] == 12.7


def test_without_an_answer_it_is_sent_again_ever_more_seldom() -> None:
    charger = Limited()
    charger.answers[inputs.SetLimit] = lambda _: {"answer": "timeout"}
    charger.limit(safe(16))
    assert charger.outcomes() == [("unknown", Code.CHARGER_TIMEOUT)]
    charger.wait(HOUR)
    assert 5 <= len(charger.set) <= 10
    charger.answers.clear()
    charger.wait(HOUR)
    assert charger.proofs()[-1] == "proven"


def test_an_answer_to_an_earlier_limit_means_nothing() -> None:
    charger = Limited()
    (first,) = charger.command(safe(16)).requests
    (second,) = charger.command(safe(10)).requests
    charger.end(first, answer="accepted")
    assert charger.proofs() == ["pending", "pending"]
    charger.take(charger.end(second, answer="accepted"))
    assert charger.site.last(LimitApplied).limit_a == 10
    assert charger.outcomes()[0] == ("failed", Code.REPLACED)


# --- proof -------------------------------------------------------------------------------------------------


def unproven(charger: Limited) -> None:
    charger.answers[inputs.ReadLimit] = lambda _: {"answer": "not_supported"}


def test_accepted_is_not_proven() -> None:
    charger = Limited()
    unproven(charger)
    charger.limit(safe(16))
    assert charger.proofs()[-1] == "unproven"
    assert charger.outcomes() == [("unknown", Code.LIMIT_UNPROVEN)]


@pytest.mark.parametrize(
    ("sample", "proof"),
    [
        ({"offered_a": 16.0}, "proven"),
        ({"offered_a": 32.0}, "unproven"),
        ({"current_a": (30.6,)}, "unproven"),
        ({"current_a": (15.8, 15.9, 15.7)}, "proven"),
    ],
)
def test_the_meter_has_the_last_word(sample: dict[str, Any], proof: str) -> None:
    charger = Limited()
    if proof == "proven":
        unproven(charger)
    charger.charge()
    charger.site.meter(charger.site.sample(1000.0, current_a=(32.0, 32.0, 32.0)))
    charger.limit(safe(16))
    charger.site.now += 2 * MINUTE
    charger.site.meter(charger.site.sample(1500.0, **sample))
    last = charger.site.last(LimitApplied)
    assert last.proof == proof
    charger.site.check()


def test_a_current_that_never_was_above_proves_nothing() -> None:
    charger = Limited()
    unproven(charger)
    charger.charge()
    charger.limit(safe(16))
    charger.site.now += 2 * MINUTE
    charger.site.meter(charger.site.sample(1500.0, current_a=(10.0,)))
    assert charger.site.last(LimitApplied).proof == "unproven"


def test_what_the_charger_allows_can_be_read() -> None:
    charger = Limited()
    charger.limit(safe(16))
    charger.limit(ReadLimit(), operator())
    assert charger.site.last(facts.CommandConfirmed).result == {"limit_a": 16}


# --- laws --------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("safety"), st.floats(12, 80) | st.none()),
        st.tuples(st.just("policy"), st.floats(12, 80) | st.none()),
        st.tuples(st.just("driver"), st.floats(6, 80) | st.none()),
        st.tuples(st.sampled_from(["boot", "reconnect", "start", "stop", "wait", "connector"]), st.none()),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, data=st.data())
def test_what_is_sent_never_exceeds_the_safety_limit(
    steps: list[tuple[str, float | None]], data: st.DataObject
) -> None:
    charger = Limited()
    site, safety = charger.site, [None]
    answers = st.sampled_from(["accepted", "accepted", "rejected", "not_supported", "timeout", "error"])
    before = 0

    def holds() -> None:
        nonlocal before
        limits = site.state.stations["CP1"].tuning.limits
        assert limits.safety_a == safety[0]
        for call in charger.calls[before:]:
            if isinstance(call.action, inputs.SetLimit) and limits.safety_a is not None:
                assert call.action.limit_a <= limits.safety_a
        before = len(charger.calls)

    charger.answers[inputs.SetLimit] = lambda _: {"answer": data.draw(answers)}
    for what, amps in steps:
        site.now += 1_000  # a second start within one second, at one register, is the first one repeated
        match what:
            case "safety":
                charger.limit(ClearLimit(safety=True) if amps is None else Limit(amps, safety=True))
                safety[0] = amps
            case "policy":
                charger.limit(ClearLimit() if amps is None else Limit(amps), operator())
            case "driver" if site.open_sessions():
                session = site.open_sessions()[0]
                wish = ClearLimit(session) if amps is None else Limit(amps, session)
                charger.limit(wish, operator())
            case "boot":
                charger.boot()
            case "reconnect":
                site.lose()
                charger.take(site.connect())
            case "connector":
                charger.take(site.status(AVAILABLE, evse=2))
            case "start" if not site.open_sessions():
                charger.charge(meter_start_wh=float(site.now % 100_000))
            case "stop" if site.open_sessions():
                charger.take(site.end(site.last(facts.SessionStarted).transaction))
            case "wait":
                charger.wait(MINUTE)
        holds()
    charger.answers[inputs.SetLimit] = lambda _: {"answer": "accepted"}
    charger.wait(2 * HOUR)
    holds()
    station = site.state.stations["CP1"]
    for name, want in desired(station, station.tuning.limits, station.tuning.traits).items():
        slot = station.tuning.limits.slots[name]
        assert slot.limit_a == want.limit_a, "what is wanted and what is there are one at last"
    site.check()


def test_a_snapshot_in_the_middle_goes_on() -> None:
    charger = Limited()
    charger.command(safe(16))
    charger.site.check()
    site = Site()
    site.state = charger.site.state
    assert site.state.stations["CP1"].tuning.limits.slots["default:1"].proof == "pending"
    assert ConnectorState.AVAILABLE is charger.site.held()

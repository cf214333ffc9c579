"""Configuration: read in batches, written where it differs, learned for the model, and always at an end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import facts
from common.commands import Adjust, Name
from common.policy import local_presence
from common.tuning import ChargerConfigured, ModelLearned
from edge.core import configuration, inputs
from edge.core.identity import fixed_tag
from edge.core.tuning import OfflinePolicy
from tests.core.tunable import FACTORY, Charger
from tests.core.world import AVAILABLE, FINISHING, HOUR, MINUTE, SECOND, SITE, Site, stages

WANTED = {name: values[0] for name, values in configuration.DEFAULTS.items()}


def written(charger: Charger) -> list[tuple[str, str]]:
    return [(one.name, one.value) for one in charger.asked(inputs.WriteSetting)]


def done(charger: Charger) -> list[str]:
    return [fact.answer for fact in charger.site.all(ChargerConfigured) if fact.done]


def test_what_differs_is_written_once_and_nothing_else() -> None:
    charger = Charger(heartbeat_interval_s="300.0", authorize_remote_starts="False").start()
    charger.wait(MINUTE)
    assert dict(written(charger)) == {
        name: value
        for name, value in WANTED.items()
        if name not in ("heartbeat_interval_s", "authorize_remote_starts")
    }
    assert done(charger) == ["complete"]
    charger.calls.clear()
    charger.boot()
    charger.wait(HOUR)
    assert written(charger) == []
    assert done(charger) == ["complete", "complete"]
    charger.site.check()


def test_it_reads_in_small_batches() -> None:
    charger = Charger().start()
    charger.wait(MINUTE)
    reads = [len(one.names) for one in charger.asked(inputs.ReadSettings)]
    assert (max(reads), sum(reads)) == (6, len(WANTED) + 1)


def test_a_factory_reset_is_mended_at_the_next_boot() -> None:
    charger = Charger().start()
    charger.wait(MINUTE)
    charger.settings = dict(FACTORY)
    charger.wait(HOUR)
    charger.boot()
    charger.wait(MINUTE)
    assert charger.settings | WANTED == charger.settings


def test_a_list_loses_its_members_one_by_one_and_the_model_is_remembered() -> None:
    charger = Charger()

    def refuse_current(action: inputs.WriteSetting) -> dict[str, Any]:
        if "current" in action.value or action.name == "minimum_status_duration_s":
            return {"answer": "rejected" if "current" in action.value else "not_supported"}
        charger.settings[action.name] = action.value
        return {"answer": "accepted"}

    charger.answers[inputs.WriteSetting] = refuse_current
    charger.start().wait(MINUTE)
    assert [value for name, value in written(charger) if name == "sampled_measurands"] == [
        "energy,power,current",
        "energy,power",
    ]
    charger.calls.clear()
    charger.settings = dict(FACTORY)
    charger.wait(HOUR)
    charger.boot()
    charger.wait(MINUTE)
    tried = written(charger)
    assert ("sampled_measurands", "energy,power,current") not in tried
    assert ("sampled_measurands", "energy,power") in tried
    assert "minimum_status_duration_s" not in dict(tried)
    # Another firmware is another model: it is tried again.
    charger.calls.clear()
    charger.settings = dict(FACTORY)
    charger.wait(HOUR)
    charger.boot(firmware="2")
    charger.wait(MINUTE)
    assert ("sampled_measurands", "energy,power,current") in written(charger)
    charger.site.check()


def test_a_batch_that_hangs_is_read_one_by_one_and_what_hangs_is_left_alone() -> None:
    charger = Charger()

    def hang(action: inputs.ReadSettings) -> dict[str, Any]:
        if "ping_interval_s" in action.names:
            return {"answer": "timeout"}
        return Charger.answer(plain, action)

    plain = Charger()
    charger.answers[inputs.ReadSettings] = hang
    charger.start().wait(MINUTE)
    assert {fact.what for fact in charger.site.all(ModelLearned)} >= {"read_singly", "read_hangs"}
    for _ in range(3):
        charger.wait(HOUR)
        charger.boot()
        charger.wait(MINUTE)
    charger.calls.clear()
    charger.wait(HOUR)
    charger.boot()
    charger.wait(MINUTE)
    reads = charger.asked(inputs.ReadSettings)
    assert all(len(one.names) == 1 for one in reads)
    assert "ping_interval_s" not in {name for one in reads for name in one.names}
    assert done(charger)[-1] == "complete"


def test_a_charger_that_reboots_over_a_setting_is_asked_for_it_twice_at_most() -> None:
    charger = Charger()
    charger.answers[inputs.WriteSetting] = lambda action: (
        {"answer": "lost"} if action.name == "sampled_measurands" else {"answer": "accepted"}
    )
    charger.start()
    for _ in range(8):
        charger.wait(HOUR)
        charger.site.lose()
        charger.come()
    charger.wait(HOUR)
    hung = [value for name, value in written(charger) if name == "sampled_measurands"]
    assert len(hung) == 2
    assert done(charger)[-1] == "complete"


def test_two_silences_end_it_before_the_charger_counts_as_deaf() -> None:
    charger = Charger()
    charger.answers[inputs.ReadSettings] = lambda _: {"answer": "timeout"}
    charger.start().wait(HOUR)
    assert len(charger.calls) == 2
    assert done(charger) == ["unanswered"]


def test_a_boot_storm_is_waited_out() -> None:
    charger = Charger().start()
    for _ in range(20):
        charger.wait(5 * SECOND)
        charger.boot()
    assert charger.calls == []
    charger.wait(HOUR)
    assert done(charger) == ["complete"]


def test_nothing_is_sent_while_a_car_charges_and_its_end_begins_it() -> None:
    charger = Charger().start()
    transaction = charger.site.begun()
    charger.wait(HOUR)
    assert charger.calls == []
    charger.take(charger.site.end(transaction))
    charger.wait(MINUTE)
    assert done(charger) == ["complete"]


def test_a_session_that_begins_in_the_middle_stops_it() -> None:
    charger = Charger()
    transactions: list[str] = []

    def plug(action: inputs.ReadSettings) -> dict[str, Any]:
        if not transactions:
            transactions.append(charger.site.begun())
        return {"answer": "accepted", "result": {"settings": {}}}

    charger.answers[inputs.ReadSettings] = plug
    charger.start().wait(HOUR)
    assert len(charger.calls) == 1
    charger.answers.clear()
    charger.take(charger.site.end(transactions[0]))
    charger.wait(MINUTE)
    assert done(charger) == ["complete"]


def test_a_charger_that_comes_without_a_boot_is_configured_once() -> None:
    charger = Charger()
    charger.take(charger.site.feed(inputs.Started(settings=dict(configuration.DEFAULTS))))
    charger.take(charger.site.connect())
    charger.wait(MINUTE)
    assert done(charger) == ["complete"]
    charger.site.lose()
    charger.take(charger.site.connect())
    charger.wait(HOUR)
    assert done(charger) == ["complete"]


def test_an_installer_puts_a_value_over_what_is_known_by_revision() -> None:
    charger = Charger().start()
    charger.wait(MINUTE)
    claims = local_presence(SITE)
    adjust = Adjust("settings", {"sample_interval_s": "120"}, expect=0)
    charger.take(charger.site.command(Name.ADJUST, adjust, claims=claims))
    charger.wait(MINUTE)
    assert charger.settings["sample_interval_s"] == "120"
    again = charger.site.command(Name.ADJUST, Adjust("read_batch", 1, expect=0), id="cmd-2", claims=claims)
    assert again.progress[0].code == "changed_meanwhile"
    wrong = charger.site.command(Name.ADJUST, Adjust("no_such_trait", 1), id="cmd-3", claims=claims)
    assert wrong.progress[0].code == "bad_request"
    charger.site.check()


def test_what_must_never_be_written_is_not() -> None:
    charger = Charger()
    charger.take(charger.site.feed(inputs.Started(settings=dict(configuration.DEFAULTS))))
    charger.come(vendor="ABB", traits={"never_write": ("sampled_measurands",)})
    charger.wait(MINUTE)
    assert "sampled_measurands" not in dict(written(charger))


def test_the_policy_for_tags_is_written_like_the_rest() -> None:
    charger = Charger(local_preauthorize="true", stop_on_invalid="false").start()
    charger.site.state.offline = OfflinePolicy(local_preauthorize=False, stop_on_invalid=True)
    charger.wait(MINUTE)
    assert (charger.settings["local_preauthorize"], charger.settings["stop_on_invalid"]) == ("false", "true")


def test_a_start_in_finishing_where_the_model_takes_it() -> None:
    charger = Charger()
    charger.take(charger.site.connect())
    charger.boot(traits={"finishing_starts": True})
    charger.take(charger.site.status(FINISHING))
    assert stages(charger.site.command()) == ["accepted"]


def test_a_fixed_tag_stands_for_one_start() -> None:
    charger = Charger()
    charger.take(charger.site.connect())
    charger.boot(traits={"mint": False})
    charger.take(charger.site.status(AVAILABLE))
    (start,) = charger.site.command().requests
    tag = start.action.tag
    assert tag == fixed_tag("CP1", 1)
    transaction = charger.site.begun(minted=tag, tag_ref="fixed")
    began = charger.site.last(facts.SessionStarted)
    assert (began.principal, began.command) == ("driver-1", "cmd-1")
    charger.site.end(transaction)
    charger.site.now += HOUR
    charger.site.begin(minted=tag, tag_ref="fixed", meter_start_wh=5000.0)
    again = charger.site.last(facts.SessionStarted)
    assert (again.principal, again.authorization) == (None, "invalid")
    charger.site.check()


ANSWERS = st.sampled_from(
    ["accepted", "accepted", "rejected", "not_supported", "error", "timeout", "lost", "not_sent"]
)
EVENTS = st.lists(
    st.sampled_from(["boot", "reconnect", "plug", "unplug", "wait", "long"]), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(events=EVENTS, data=st.data())
def test_whatever_comes_it_ends_never_repeats_a_refusal_and_never_speaks_in_a_session(
    events: list[str], data: st.DataObject
) -> None:
    charger, site = Charger(), Site()
    charger.site = site
    running: list[str] = []
    refused: set[tuple[str, str]] = set()

    def answer(action: Any) -> dict[str, Any]:
        assert not site.open_sessions(), "spoken to in a session"
        said = data.draw(ANSWERS)
        if isinstance(action, inputs.WriteSetting):
            assert (action.name, action.value) not in refused, "a refused write, once more in one boot"
            if said in ("rejected", "not_supported", "error"):
                refused.add((action.name, action.value))
            return {"answer": said}
        if said != "accepted":
            return {"answer": said}
        told = {name: {"value": "odd", "readonly": False} for name in action.names}
        return {"answer": said, "result": {"settings": told}}

    charger.answers = {inputs.ReadSettings: answer, inputs.WriteSetting: answer}
    charger.start()
    for event in events:
        match event:
            case "boot":
                refused.clear()
                charger.boot()
            case "reconnect":
                site.lose()
                charger.take(site.connect())
            case "plug" if not running:
                running.append(site.begun(meter_start_wh=float(site.now % 10_000)))
            case "unplug" if running:
                charger.take(site.end(running.pop()))
            case "wait":
                charger.wait(7 * SECOND)
            case "long":
                charger.wait(10 * MINUTE)
    if running:
        charger.take(site.end(running.pop()))
    calls = len(charger.calls)
    charger.wait(HOUR)
    assert len(charger.calls) <= calls + 120, "it goes on and on"
    settled = len(charger.calls)
    charger.wait(24 * HOUR)
    assert len(charger.calls) == settled, "it never ends"
    site.check()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("30", "30.0", True),
        ("TRUE", "true", True),
        ("a, b", "b,a", True),
        ("", " ", True),
        ("30", "60", False),
        ("a", "a,b", False),
    ],
)
def test_values_that_mean_the_same(one: str, other: str, same: bool) -> None:
    assert configuration.same(one, other) is same

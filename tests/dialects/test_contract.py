"""What every dialect must come to: one suite of behaviours, in each version's words, over the real core."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from common import facts
from common.commands import (
    ClearCache,
    Configure,
    Message,
    Name,
    ReadConfiguration,
    Reset,
    SetAvailability,
    Stop,
    Unlock,
)
from common.domain import EnergyMethod
from edge.chargers.dialect import CannotDo
from edge.chargers.frames import CallError, RpcError
from edge.core import inputs
from edge.core.identity import minted_tag
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    FAULTED,
    FINISHING,
    MINUTE,
    PREPARING,
    UNAVAILABLE,
    UNKNOWN,
    operator,
)
from tests.dialects.voices import Payload, Voice, Voice16, Voice201

TAG = "DEADBEEF"
NOW_MS = 1_750_000_000_000


@pytest.fixture(params=[Voice16, Voice201], ids=["1.6", "2.0.1"])
def voice(request: pytest.FixtureRequest) -> Voice:
    make: Callable[[], Voice] = request.param
    return make()


def assign(voice: Voice, tag: str = TAG) -> None:
    """An operator hands the card to a driver."""
    ref = voice.dialect.inbound("CP1", "Authorize", msgspec.Raw(_authorize(voice, tag)), 0)
    (asked,) = ref.inputs  # type: ignore[union-attr]
    assert isinstance(asked, inputs.AuthorizeAsked)
    body = facts.AuthorizationChanged(change="tag_assigned", tag_ref=asked.tag_ref, principal="driver-1")
    voice.site.feed(inputs.Note(body=body))


def _authorize(voice: Voice, tag: str) -> bytes:
    token = {"idTag": tag} if voice.version == "1.6" else {"idToken": {"idToken": tag, "type": "ISO14443"}}
    return json.dumps(token).encode()


# --- boot, status, authorization ---------------------------------------------------------------------------


def test_a_boot_is_accepted_and_told_the_time_and_the_interval(voice: Voice) -> None:
    voice.connect()
    answer = voice.boot()
    assert (answer["status"], answer["interval"]) == ("Accepted", 300)
    assert answer["currentTime"] == voice.now()[:19] + "Z"
    booted = voice.site.last(facts.ChargerBooted)
    assert (booted.vendor, booted.model) == ("ACME", "Wallbox")


def test_a_heartbeat_tells_the_time(voice: Voice) -> None:
    voice.connect()
    assert voice.call("Heartbeat", {})["currentTime"] == voice.now()[:19] + "Z"


def test_states_of_a_connector(voice: Voice) -> None:
    voice.up(evses=2)
    for word, state in (
        ("plugged", PREPARING),
        ("available", AVAILABLE),
        ("unavailable", UNAVAILABLE),
        ("faulted", FAULTED),
    ):
        voice.status(word, 2)
        assert (voice.site.held(1), voice.site.held(2)) == (AVAILABLE, state)


def test_a_new_connection_forgets_what_was_known(voice: Voice) -> None:
    voice.up()
    voice.connect()
    assert voice.site.held() is UNKNOWN
    voice.status("plugged")
    assert voice.site.held() is PREPARING


def test_tags_are_judged_and_an_unknown_one_is_told(voice: Voice) -> None:
    voice.up()
    assert voice.authorize(TAG) == "Invalid"
    assert voice.site.last(facts.AuthorizationChanged).change == "unknown_tag"
    assign(voice)
    assert voice.authorize(TAG.lower()) == "Accepted"


# --- a charge ----------------------------------------------------------------------------------------------


def test_a_whole_charge(voice: Voice) -> None:
    voice.up()
    assign(voice)
    voice.status("plugged")
    assert voice.site.held() is PREPARING
    assert voice.judged(voice.begin(TAG, 1000)) == "Accepted"
    assert voice.site.held() is CHARGING
    voice.sample(2500)
    (session,) = voice.site.state.view.sessions.values()
    assert (session.principal, session.energy_wh, session.power_w) == ("driver-1", 1500, 7000)
    voice.end(4200)
    assert voice.site.held() is FINISHING
    voice.status("available")
    assert voice.site.held() is AVAILABLE
    ended = voice.site.last(facts.SessionEnded)
    assert (ended.energy_wh, ended.method, ended.provisional, ended.reason) == (
        3200,
        EnergyMethod.REGISTER,
        False,
        "Local",
    )
    assert voice.site.open_sessions() == []
    voice.site.check()


def test_an_unknown_tag_is_invalid_and_its_session_is_recorded(voice: Voice) -> None:
    voice.up()
    assert voice.judged(voice.begin("STRANGER", 1000)) == "Invalid"
    started = voice.site.last(facts.SessionStarted)
    assert (started.authorization, started.principal) == ("invalid", None)
    voice.end(1000)
    assert voice.site.open_sessions() == []


def test_what_is_repeated_adds_nothing_and_gets_the_same_answer(voice: Voice) -> None:
    voice.up()
    assign(voice)
    told: list[tuple[str, Payload, Payload]] = []
    say = voice.say

    def noting(action: str, payload: Payload) -> Payload:
        answer = say(action, payload)
        told.append((action, payload, answer))
        return answer

    voice.say = noting  # type: ignore[method-assign]
    voice.begin(TAG, 1000)
    voice.sample(2000)
    voice.end(3000)
    transactions = [one for one in told if one[0] != "StatusNotification"]
    # The last one of each alone: an older sample of an ended session may be written again, as an upsert.
    before = len(voice.site.all(facts.SessionStarted)), len(voice.site.all(facts.SessionEnded))
    for action, payload, answer in transactions:
        assert say(action, payload) == answer
    after = len(voice.site.all(facts.SessionStarted)), len(voice.site.all(facts.SessionEnded))
    assert before == after == (1, 1)
    assert not voice.site.all(facts.OrphanRecorded)
    assert voice.site.last(facts.SessionEnded).energy_wh == 2000


def test_a_lost_stop_is_closed_provisionally_and_the_true_one_replaces_it(voice: Voice) -> None:
    voice.up()
    voice.begin(TAG, 1000)
    voice.sample(2000)
    voice.status("available")
    voice.site.wait(11 * MINUTE)
    assert voice.site.last(facts.SessionEnded).provisional
    voice.end(3000)
    revised = voice.site.last(facts.SessionRevised)
    assert (revised.energy_wh, revised.method) == (2000, EnergyMethod.REGISTER)
    voice.site.check()


def test_the_stations_own_meter_is_in_no_session(voice: Voice) -> None:
    voice.up()
    voice.begin(TAG, 1000)
    where = "connectorId" if voice.version == "1.6" else "evseId"
    voice.call("MeterValues", {where: 0, "meterValue": [voice.register(999_999)]})
    assert voice.site.last(facts.MeterSampled).session is None
    voice.end(2000)
    assert voice.site.last(facts.SessionEnded).energy_wh == 1000


def test_a_charger_that_restarts_goes_on_with_its_session(voice: Voice) -> None:
    voice.up()
    voice.begin(TAG, 1000)
    voice.connect()
    voice.sample(2000)
    voice.end(3000)
    assert voice.site.last(facts.SessionEnded).energy_wh == 2000
    assert len(voice.site.all(facts.SessionStarted)) == 1


# --- commands ----------------------------------------------------------------------------------------------


def test_a_start_is_tied_to_its_session_and_a_stop_ends_it(voice: Voice) -> None:
    voice.up()
    voice.status("plugged")
    (request,) = voice.site.command(evse=1).requests
    _, asked = voice.asked(request)
    assert minted_tag("cmd-1") in json.dumps(asked)
    voice.answers(request, {"status": "Accepted"})
    assert voice.authorize(minted_tag("cmd-1")) == "Accepted"
    assert voice.judged(voice.begin(minted_tag("cmd-1"), 1000)) == "Accepted"
    started, settled = voice.site.last(facts.SessionStarted), voice.site.last(facts.CommandSettled)
    assert (started.command, started.principal) == ("cmd-1", "driver-1")
    assert (settled.outcome, settled.session) == ("succeeded", started.session)
    (stop,) = voice.site.command(Name.STOP, Stop(started.session), id="cmd-2").requests
    _, payload = voice.asked(stop)
    assert voice.transaction in map(str, payload.values())
    voice.answers(stop, {"status": "Accepted"})
    voice.end(2000, "Remote")
    assert voice.site.last(facts.CommandSettled).outcome == "succeeded"
    voice.site.check()


def test_a_start_that_is_rejected_fails(voice: Voice) -> None:
    voice.up()
    (request,) = voice.site.command(evse=1).requests
    voice.answers(request, {"status": "Rejected"})
    settled = voice.site.last(facts.CommandSettled)
    assert (settled.outcome, settled.code) == ("failed", "charger_rejected")


@pytest.mark.parametrize(
    ("name", "args", "answer", "meaning"),
    [
        (Name.UNLOCK, Unlock(), {"status": "Unlocked"}, "accepted"),
        (Name.UNLOCK, Unlock(), {"status": "Accepted"}, "accepted"),
        (Name.UNLOCK, Unlock(), {"status": "UnlockFailed"}, "rejected"),
        (Name.RESET, Reset(), {"status": "Accepted"}, "accepted"),
        (Name.RESET, Reset(hard=True), {"status": "Rejected"}, "rejected"),
        (Name.AVAILABILITY, SetAvailability(operative=False), {"status": "Scheduled"}, "scheduled"),
        (Name.CLEAR_CACHE, ClearCache(), {"status": "Accepted"}, "accepted"),
        (Name.MESSAGE, Message("acme", "m", "d"), {"status": "Accepted", "data": "pong"}, "accepted"),
        (Name.MESSAGE, Message("acme"), {"status": "UnknownVendorId"}, "not_supported"),
        (Name.CLEAR_CACHE, ClearCache(), {"status": "Perhaps"}, "error"),
        (Name.CLEAR_CACHE, ClearCache(), {}, "error"),
    ],
)
def test_commands_and_what_answers_mean(
    voice: Voice, name: Name, args: object, answer: Payload, meaning: str
) -> None:
    voice.up()
    decision = voice.site.command(name, args, evse=1, claims=operator())  # type: ignore[arg-type]
    (request,) = decision.requests
    voice.asked(request)
    ended = voice.answers(request, answer)
    assert ended.answer == meaning
    if "data" in answer:
        assert ended.result == {"data": "pong"}


def test_settings_are_read_and_written_by_one_name_whatever_the_version(voice: Voice) -> None:
    voice.up()
    key = "HeartbeatInterval"
    where = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": key}}
    (write,) = voice.site.command(Name.CONFIGURE, Configure(key, "300"), claims=operator()).requests
    _, payload = voice.asked(write)
    assert "300" in json.dumps(payload)
    old = voice.version == "1.6"
    told: Payload = {"status": "RebootRequired"}
    new: Payload = {"setVariableResult": [where | {"attributeStatus": "RebootRequired"}]}
    ended = voice.answers(write, told if old else new)
    assert (ended.answer, ended.detail) == ("accepted", "RebootRequired")
    (read,) = voice.site.command(
        Name.READ_CONFIGURATION, ReadConfiguration((key,)), id="cmd-2", claims=operator()
    ).requests
    voice.asked(read)
    told = {"configurationKey": [{"key": key, "readonly": False, "value": "300"}]}
    new = {"getVariableResult": [where | {"attributeStatus": "Accepted", "attributeValue": "300"}]}
    (value,) = voice.answers(read, told if old else new).result["values"].values()
    assert value == {"value": "300", "readonly": False}


def test_an_error_means_the_same_in_either_version(voice: Voice) -> None:
    for code, meaning in (("NotImplemented", "not_supported"), ("NotSupported", "not_supported")):
        assert voice.dialect.answer(inputs.ClearAuthorizationCache(), CallError("m", code)).answer == meaning
    broken = voice.dialect.answer(inputs.ClearAuthorizationCache(), CallError("m", "InternalError", "oh"))
    assert (broken.answer, broken.detail) == ("error", "InternalError: oh")


# --- what cannot be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'"x"', b"\xff", b'{"a":', b"7", b'{"meterValue":7}'])
def test_a_transaction_message_is_never_refused(voice: Voice, raw: bytes) -> None:
    voice.up()
    for action, what in voice.kept.items():
        found = voice.dialect.inbound("CP1", action, msgspec.Raw(raw), NOW_MS)
        assert not isinstance(found, CannotDo), (action, found)
        kept = [given for given in found.inputs if isinstance(given, inputs.Unreadable)]
        assert [one.what for one in kept] in ([], [what])


def test_notifications_are_acknowledged_whatever_is_in_them(voice: Voice) -> None:
    for action in ("FirmwareStatusNotification", "LogStatusNotification", "SecurityEventNotification"):
        for raw in (b"{}", b"7", b'{"status":"Idle","type":"x","timestamp":"y"}'):
            found = voice.dialect.inbound("CP1", action, msgspec.Raw(raw), NOW_MS)
            assert json.loads(found.payload) == {}  # type: ignore[union-attr]
    unknown = voice.dialect.inbound("CP1", "DataTransfer", msgspec.Raw(b'{"vendorId":"acme"}'), NOW_MS)
    assert json.loads(unknown.payload) == {"status": "UnknownVendorId"}  # type: ignore[union-attr]


def test_what_no_charger_may_ask(voice: Voice) -> None:
    for action, code in (("Reset", RpcError.NOT_SUPPORTED), ("MakeCoffee", RpcError.NOT_IMPLEMENTED)):
        found = voice.dialect.inbound("CP1", action, msgspec.Raw(b"{}"), NOW_MS)
        assert isinstance(found, CannotDo)
        assert found.code is code


def test_a_raw_tag_goes_nowhere(voice: Voice) -> None:
    voice.up()
    voice.authorize("SECRETTAG")
    voice.begin("SECRETTAG", 1000)
    voice.end(2000)
    key = "idTag" if voice.version == "1.6" else "idToken"
    action = next(iter(voice.kept))
    found = voice.dialect.unreadable("CP1", action, b'{"%s":"SECRETTAG"' % key.encode(), "payload:not_json")
    for given in found.inputs:  # type: ignore[union-attr]
        voice.site.feed(given)
    for fact in voice.site.journal:
        assert b"secrettag" not in fact.record.lower()

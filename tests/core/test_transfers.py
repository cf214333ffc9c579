"""Firmware, logs and triggers: which calls are made, when, and what they are known to have come to."""

from __future__ import annotations

from typing import Any

import pytest

from common import facts
from common.commands import Args, FetchDiagnostics, Name, Reset, Start, Trigger, UpdateFirmware
from common.errors import Code
from edge.core import inputs, steps, transfers
from edge.core.inputs import Decision
from tests.core.world import HOUR, MINUTE, SECOND, Site, driver, kinds, operator, refusal, stages

FILE = "a" * 64
UPDATE = UpdateFirmware(FILE, "2.0")
SIGNED = UpdateFirmware(FILE, "2.0", signed=True)
LOG = FetchDiagnostics()


def ask(site: Site, args: Args, name: Name = Name.FETCH_DIAGNOSTICS, **more: Any) -> Decision:
    fields = {"id": "cmd-1", "claims": operator(), "expires_ms": site.now + MINUTE} | more
    return site.command(name, args, **fields)


def update(site: Site, args: UpdateFirmware = UPDATE, **more: Any) -> Decision:
    return ask(site, args, Name.UPDATE_FIRMWARE, expires_ms=site.now + HOUR, **more)


def asked(decision: Decision) -> Any:
    (request,) = decision.requests
    return request.action


def told(site: Site, decision: Decision, protocols: str | None = "HTTP") -> Decision:
    """The answer to the question by what the charger moves files."""
    assert asked(decision) == inputs.GetVariables((steps.PROTOCOLS_KEY,))
    values = {"supportedfiletransferprotocols": {"value": protocols}} if protocols is not None else {}
    return site.answer(decision, result={"values": values, "unknown": []})


def progress(site: Site, job: str, status: str, **more: Any) -> Decision:
    return site.feed(inputs.ProgressReported(charger="CP1", job=job, status=status, **more))


def arrive(site: Site, command: str = "cmd-1") -> Decision:
    return site.feed(
        inputs.FileArrived(
            charger="CP1", command=command, file="u-1", name="log.zip", size_bytes=9, sha256="ab"
        )
    )


def settled(site: Site) -> tuple[str, str]:
    body = site.last(facts.CommandSettled)
    site.check()
    return body.outcome, body.code


def no(ability: str) -> inputs.Note:
    return inputs.Note(body=facts.CapabilityLearned(charger="CP1", ability=ability, value="no"))


# --- which calls -------------------------------------------------------------------------------------------


def test_a_log_by_the_newer_call_and_then_by_the_older_one() -> None:
    site = Site().ready()
    newer = told(site, ask(site, LOG))
    assert asked(newer) == inputs.FetchLog("cmd-1", "diagnostics", steps.number("cmd-1"))
    older = site.answer(newer, "not_supported", detail="NotImplemented")
    assert asked(older) == inputs.FetchLog("cmd-1", "diagnostics", steps.number("cmd-1"), legacy=True)
    assert "confirmed" not in stages(older), "the command has not been answered yet"
    assert stages(site.answer(older, result={"name": "log.zip"})) == ["confirmed"]
    assert stages(arrive(site)) == ["settled"]
    assert settled(site) == ("succeeded", "")
    # learned: the next one needs one call
    assert asked(ask(site, LOG, id="cmd-2")).legacy


@pytest.mark.parametrize("answer", ["error", "timeout"])
def test_a_charger_that_answers_a_new_call_anyhow_is_asked_by_the_old_one_and_nothing_is_learned(
    answer: str,
) -> None:
    site = Site().ready()
    older = site.answer(told(site, ask(site, LOG)), answer)
    assert asked(older).legacy
    assert site.state.stations["CP1"].abilities == {"protocols": "HTTP"}


def test_both_generations_missing_says_that_the_charger_cannot() -> None:
    site = Site().ready()
    older = site.answer(told(site, ask(site, LOG)), "not_supported")
    assert stages(site.answer(older, "not_supported")) == ["confirmed", "settled"]
    assert settled(site) == ("failed", Code.CHARGER_NOT_SUPPORTED)
    assert refusal(ask(site, LOG, id="cmd-2")) == Code.CHARGER_NOT_SUPPORTED


def test_the_log_of_security_events_has_no_older_call() -> None:
    site = Site().ready()
    site.answer(told(site, ask(site, FetchDiagnostics("security"))), "not_supported")
    assert settled(site) == ("failed", Code.CHARGER_NOT_SUPPORTED)


@pytest.mark.parametrize("told_as", ["FTP", "ftp,FTPS", " SFTP ; FTP "])
def test_ftp_alone_is_said_plainly_and_remembered(told_as: str) -> None:
    site = Site().ready()
    assert told(site, ask(site, LOG), told_as).requests == ()
    assert settled(site) == ("failed", Code.FTP_ONLY)
    assert refusal(ask(site, LOG, id="cmd-2")) == Code.FTP_ONLY
    site.feed(inputs.Booted(charger="CP1", firmware="another"))
    assert asked(ask(site, LOG, id="cmd-3")) == inputs.GetVariables((steps.PROTOCOLS_KEY,))


@pytest.mark.parametrize("answer", ["accepted", "rejected", "not_supported", "error", "timeout"])
def test_a_charger_that_does_not_tell_its_protocols_is_asked_for_the_file(answer: str) -> None:
    site = Site().ready()
    assert isinstance(asked(site.answer(ask(site, LOG), answer)), inputs.FetchLog)


def test_signed_firmware_by_the_newer_call_and_unsigned_by_the_older_one() -> None:
    site = Site().ready()
    newer = told(site, update(site, SIGNED))
    assert asked(newer) == inputs.UpdateFirmware("cmd-1", FILE, steps.number("cmd-1"), site.now)
    assert asked(site.answer(newer, "not_supported")).legacy
    site = Site().ready()
    plain = told(site, update(site))
    assert asked(plain).legacy
    site.answer(plain, "not_supported")
    assert settled(site) == ("failed", Code.SIGNATURE_NEEDED)


def test_a_trigger_uses_the_extended_message_where_that_is_needed() -> None:
    site = Site().ready()
    certificate = ask(site, Trigger("certificate"), Name.TRIGGER)
    assert asked(certificate) == inputs.Trigger("certificate", None, extended=True)
    assert stages(site.answer(certificate)) == ["confirmed", "settled"]
    plain = ask(site, Trigger("meter"), Name.TRIGGER, id="cmd-2", evse=1)
    assert asked(plain) == inputs.Trigger("meter", 1)
    assert asked(site.answer(plain, "not_supported")).extended
    assert asked(ask(site, Trigger("boot"), Name.TRIGGER, id="cmd-3")).extended
    assert refusal(ask(site, Trigger("diagnostics"), Name.TRIGGER, id="cmd-4")) == Code.CHARGER_NOT_SUPPORTED
    assert refusal(ask(site, Trigger("meter"), Name.TRIGGER, id="cmd-5", evse=7)) == Code.UNKNOWN_CONNECTOR


def test_drivers_may_do_none_of_this() -> None:
    site = Site().ready()
    for name, args in (
        (Name.UPDATE_FIRMWARE, UPDATE),
        (Name.FETCH_DIAGNOSTICS, LOG),
        (Name.TRIGGER, Trigger("boot")),
    ):
        assert refusal(ask(site, args, name, id=f"c-{name}", claims=driver())) == Code.NOT_PERMITTED


def test_one_transfer_of_a_kind_at_a_time() -> None:
    site = Site().ready()
    ask(site, LOG)
    assert refusal(ask(site, LOG, id="cmd-2")) == Code.BUSY
    assert stages(update(site, id="cmd-3")) == ["accepted"]


@pytest.mark.parametrize("since", ["yesterday", "2026-03-01T00:00:00", "9" * 40])
def test_a_time_that_is_none_is_refused(since: str) -> None:
    assert refusal(ask(Site().ready(), FetchDiagnostics(since=since))) == Code.BAD_REQUEST


# --- when --------------------------------------------------------------------------------------------------


def test_firmware_waits_until_no_car_charges() -> None:
    site = Site().ready()
    transaction = site.begun()
    assert update(site).requests == ()
    assert not [d for d in site.wait(10 * MINUTE) if d.requests]
    site.end(transaction)
    (decision,) = [d for d in site.wait(MINUTE) if d.requests]
    assert asked(decision) == inputs.GetVariables((steps.PROTOCOLS_KEY,))
    site.check()


def test_firmware_waits_for_a_start_that_is_on_its_way() -> None:
    site = Site().ready()
    start = site.command(Name.START, Start(), id="start")
    assert update(site).requests == ()
    site.answer(start, "rejected")
    assert [d for d in site.wait(MINUTE) if d.requests]


def test_firmware_waits_for_a_charger_that_is_away_and_expires() -> None:
    site = Site().ready()
    site.lose()
    assert update(site).requests == ()
    site.wait(MINUTE)
    site.connect()
    assert [d for d in site.wait(MINUTE) if d.requests]
    site = Site().ready()
    site.begun()
    update(site)
    site.wait(2 * HOUR)
    assert settled(site) == ("failed", Code.EXPIRED)


def test_a_log_does_not_wait_for_the_car_and_not_for_the_charger() -> None:
    site = Site().ready()
    site.begun()
    (request,) = ask(site, LOG).requests
    assert request.priority == inputs.PRIORITY_START
    site = Site().ready()
    site.lose()
    assert refusal(ask(site, LOG)) == Code.CHARGER_OFFLINE


# --- what it came to ---------------------------------------------------------------------------------------


def updating(args: UpdateFirmware = UPDATE, firmware: str = "1.0") -> Site:
    site = Site().ready()
    site.feed(inputs.Booted(charger="CP1", firmware=firmware))
    site.answer(told(site, update(site, args)))
    return site


def test_installed_is_a_success() -> None:
    site = updating()
    for status in ("downloading", "downloaded", "installing"):
        assert kinds(progress(site, "firmware", status)) == ["firmware_changed"]
    assert progress(site, "firmware", "installing") == inputs.NOTHING
    assert stages(progress(site, "firmware", "installed")) == ["settled"]
    assert settled(site) == ("succeeded", "")


@pytest.mark.parametrize(
    ("wanted", "boots", "succeeds"),
    [("2.0", "2.0", True), ("2.0", "3.0", False), ("", "3.0", True), ("", "1.0", False), ("2.0", "", False)],
)
def test_another_version_at_boot_is_a_success(wanted: str, boots: str, succeeds: bool) -> None:
    site = updating(UpdateFirmware(FILE, wanted))
    site.feed(inputs.Booted(charger="CP1", firmware=boots))
    assert bool([b for b in site.all(facts.CommandSettled) if b.outcome == "succeeded"]) is succeeds
    site.check()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("download_failed", Code.TRANSFER_FAILED),
        ("invalid_signature", Code.FIRMWARE_FAILED),
        ("install_failed", Code.FIRMWARE_FAILED),
    ],
)
def test_the_charger_says_that_it_failed(status: str, code: Code) -> None:
    site = updating()
    progress(site, "firmware", status)
    assert settled(site) == ("failed", code)


def test_silence_after_an_agreement_is_unknown() -> None:
    site = updating()
    site.wait(30 * MINUTE)
    progress(site, "firmware", "installing")
    site.wait(59 * MINUTE)
    assert not site.all(facts.CommandSettled), "it was heard of since"
    site.wait(2 * MINUTE)
    assert settled(site) == ("unknown", Code.CHARGER_TIMEOUT)


def test_a_charger_that_never_ends_is_given_up() -> None:
    site = updating()
    for number in range(30):
        site.wait(20 * MINUTE)
        progress(site, "firmware", ("downloading", "paused")[number % 2])
    assert settled(site) == ("unknown", Code.CHARGER_TIMEOUT)
    ended = site.journal[[f.kind for f in site.journal].index("command_settled")]
    assert ended.at[:13] <= "2025-06-15T21", "six hours and no more"


def test_uploaded_with_nothing_here_is_a_failure_and_a_log_that_is_here_is_none() -> None:
    site = Site().ready()
    site.answer(told(site, ask(site, LOG)))
    progress(site, "upload", "uploaded", number=steps.number("cmd-1"))
    site.wait(transfers.ARRIVAL_MS + SECOND)
    assert settled(site) == ("failed", Code.TRANSFER_FAILED)
    site = Site().ready()
    site.answer(told(site, ask(site, LOG)))
    progress(site, "upload", "uploaded")
    arrive(site)
    assert settled(site) == ("succeeded", "")
    assert site.last(facts.CommandSettled).result["file"] == "u-1"


def test_a_repeat_of_a_command_is_told_where_its_log_is() -> None:
    site = Site().ready()
    site.answer(told(site, ask(site, LOG)))
    arrive(site)
    again = ask(site, LOG)
    assert [step.result.get("file") for step in again.progress if step.stage == "settled"] == ["u-1"]
    assert again.facts == ()


def test_progress_of_another_request_ends_nothing() -> None:
    site = Site().ready()
    site.answer(told(site, ask(site, LOG)))
    assert kinds(progress(site, "upload", "upload_failed", number=77)) == ["upload_changed"]
    assert not site.all(facts.CommandSettled)
    site.wait(HOUR)
    assert settled(site) == ("unknown", Code.CHARGER_TIMEOUT)


def test_progress_that_nobody_asked_for_is_kept_once() -> None:
    site = Site().ready()
    assert kinds(progress(site, "firmware", "downloading")) == ["firmware_changed"]
    assert progress(site, "firmware", "downloading") == inputs.NOTHING
    assert progress(site, "upload", "idle") == inputs.NOTHING
    site.check()


def test_a_file_that_is_not_to_be_had_says_so() -> None:
    site = Site().ready()
    plain = told(site, update(site))
    site.answer(plain, "no_file", detail="it is not what it was")
    assert settled(site) == ("failed", Code.UNKNOWN_FILE)


def test_a_late_answer_of_an_earlier_step_changes_nothing() -> None:
    site = Site().ready()
    question = ask(site, LOG)
    newer = site.answer(question, "timeout")
    assert site.answer(question, "rejected") == inputs.NOTHING
    assert stages(site.answer(newer)) == ["confirmed"]
    site.check()


def test_a_removed_charger_leaves_no_transfer_behind() -> None:
    site = updating()
    site.feed(inputs.Note(body=facts.ChargerAdopted(charger="CP1", removed=True)))
    assert settled(site) == ("failed", Code.UNKNOWN_CHARGER)


def test_a_reset_is_none_of_this() -> None:
    site = updating()
    ask(site, Reset(), Name.RESET, id="cmd-2")
    site.boot()
    assert [b.command for b in site.all(facts.CommandSettled)] == ["cmd-2"]


# --- the box's own questions -------------------------------------------------------------------------------


def questions(site: Site) -> list[inputs.Request]:
    site.connect()
    return [request for decision in site.wait(MINUTE) for request in decision.requests]


def test_a_charger_that_knows_no_trigger_is_asked_by_the_newer_message_and_then_no_more() -> None:
    site = Site()
    (first,) = questions(site)
    assert first.action == inputs.TriggerStatus(None)
    ended = inputs.CallEnded(charger="CP1", request=first.id, answer="not_supported")
    assert kinds(site.feed(ended)) == ["capability_learned"]
    assert site.feed(ended) == inputs.NOTHING
    site.lose()
    (second,) = questions(site)
    assert second.action == inputs.Trigger("status", None, extended=True)
    site.feed(inputs.CallEnded(charger="CP1", request=second.id, answer="not_supported"))
    site.lose()
    assert questions(site) == []
    site.check()


def test_a_charger_that_refuses_is_asked_when_it_connects_and_no_more_than_that() -> None:
    site = Site().ready()
    site.lose()
    (first,) = questions(site)
    refused = inputs.CallEnded(charger="CP1", request=first.id, answer="rejected")
    assert kinds(site.feed(refused)) == ["capability_learned"]
    assert site.feed(refused) == inputs.NOTHING
    site.status(inputs.ConnectorState.AVAILABLE)
    doubtful = site.status(inputs.ConnectorState.FINISHING)
    assert doubtful.requests == ()
    assert not [d for d in site.wait(20 * SECOND) if d.requests]
    site.wait(MINUTE)
    assert site.held() is inputs.ConnectorState.FINISHING, "believed by time"
    site.lose()
    (again,) = questions(site)
    site.feed(inputs.CallEnded(charger="CP1", request=again.id, answer="accepted"))
    assert site.state.stations["CP1"].abilities["trigger"] == "yes"
    site.check()

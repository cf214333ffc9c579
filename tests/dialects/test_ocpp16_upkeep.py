"""Firmware, logs and certificates in 1.6's words: every status and every answer has a meaning."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.chargers.dialect import Answer, Direct
from edge.chargers.frames import Result
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.core import inputs as core
from tests.dialects.ocpp16_oracle import messages, schema

OCPP16 = Ocpp16(str)
STATUSES = {
    "FirmwareStatusNotification": "firmware",
    "SignedFirmwareStatusNotification": "firmware",
    "DiagnosticsStatusNotification": "upload",
    "LogStatusNotification": "upload",
}


def words(action: str) -> list[str]:
    root = schema(action)
    node = root["properties"]["status"]
    if "$ref" in node:
        node = root["definitions"][node["$ref"].rsplit("/", 1)[1]]
    return list(node["enum"])


def heard(action: str, payload: object) -> core.ProgressReported | None:
    found = OCPP16.inbound("CP1", action, msgspec.Raw(json.dumps(payload).encode()), 0)
    assert isinstance(found, Direct), "never an error, and no waiting (quirk 33)"
    assert found.payload == b"{}"
    if not found.inputs:
        return None
    (told,) = found.inputs
    assert isinstance(told, core.ProgressReported)
    return told


@pytest.mark.parametrize(("action", "word"), [(a, word) for a in STATUSES for word in words(a)])
def test_every_status_of_the_schemas_has_a_meaning(action: str, word: str) -> None:
    told = heard(action, {"status": word, "requestId": 7})
    assert told is not None
    assert told.job == STATUSES[action]
    with_number = action in ("SignedFirmwareStatusNotification", "LogStatusNotification")
    assert told.number == (7 if with_number else None)
    spelt = heard(action, {"status": word.upper()})
    assert spelt is not None
    assert (spelt.status, spelt.number) == (told.status, None)


@pytest.mark.parametrize("action", STATUSES)
@pytest.mark.parametrize("payload", [{}, {"status": "Pondering"}, {"status": 5}, [], None])
def test_what_means_nothing_is_acknowledged_and_goes_no_further(action: str, payload: object) -> None:
    assert heard(action, payload) is None


@pytest.mark.parametrize("action", STATUSES)
@settings(max_examples=30)
@given(data=st.data())
def test_whatever_the_package_sends_is_read(action: str, data: st.DataObject) -> None:
    assert heard(action, data.draw(messages(action))) is not None


def answer(action: core.Action, payload: object) -> Answer:
    return OCPP16.answer(action, Result("m", msgspec.Raw(json.dumps(payload).encode())))


LOG = core.FetchLog("c", "diagnostics", 7)
OLD_LOG = core.FetchLog("c", "diagnostics", 7, legacy=True)
SIGNED = core.UpdateFirmware("c", "f", 7, 0)
OLD = core.UpdateFirmware("c", "f", 7, 0, legacy=True)
IDS = core.ListCertificates("manufacturer")
NAMED = {"hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": "01"}
TOLD = {"algorithm": "SHA256", "issuer_name": "aa", "issuer_key": "bb", "serial": "01"}


@pytest.mark.parametrize(
    ("action", "payload", "meaning", "result"),
    [
        (LOG, {"status": "Accepted", "filename": "l.zip"}, "accepted", {"name": "l.zip"}),
        (LOG, {"status": "AcceptedCanceled"}, "accepted", {}),
        (LOG, {"status": "Rejected"}, "rejected", {}),
        (LOG, {}, "error", {}),
        (OLD_LOG, {"fileName": "l.zip"}, "accepted", {"name": "l.zip"}),
        (OLD_LOG, {}, "accepted", {}),  # some name no file, and send one
        (OLD, {}, "accepted", {}),
        (OLD, {"status": "Whatever"}, "accepted", {}),
        (SIGNED, {"status": "Accepted"}, "accepted", {}),
        (SIGNED, {"status": "InvalidCertificate"}, "rejected", {}),
        (SIGNED, {"status": "RevokedCertificate"}, "rejected", {}),
        (core.Trigger("meter", None), {"status": "NotImplemented"}, "not_supported", {}),
        (core.Trigger("log", None, extended=True), {"status": "Accepted"}, "accepted", {}),
        (core.InstallCertificate("manufacturer", "PEM"), {"status": "Failed"}, "rejected", {}),
        (core.DeleteCertificate("SHA256", "a", "b", "1"), {"status": "NotFound"}, "rejected", {}),
        (core.DeliverCertificate("PEM"), {"status": "Accepted"}, "accepted", {}),
        (IDS, {"status": "NotFound"}, "accepted", {"certificates": []}),
        (IDS, {"status": "Accepted", "certificateHashData": [NAMED]}, "accepted", {"certificates": [TOLD]}),
        (IDS, {"status": "Accepted", "certificateHashData": NAMED}, "accepted", {"certificates": [TOLD]}),
        (IDS, {"status": "Busy"}, "error", {}),
    ],
    ids=str,
)
def test_answers(action: core.Action, payload: object, meaning: str, result: dict[str, object]) -> None:
    told = answer(action, payload)
    assert (told.answer, told.result) == (meaning, result)

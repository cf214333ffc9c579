"""What leaves for a charger: all we can build is what OCPP 1.6 allows, and nothing else gets through."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocpp.messages import MessageType, get_validator

from common.errors import LocalFault
from edge.chargers.ocpp16 import charging as ch
from edge.chargers.ocpp16 import commands as c
from edge.chargers.ocpp16 import messages as m
from edge.chargers.ocpp16 import tags as t
from edge.chargers.ocpp16 import upkeep as u
from edge.chargers.ocpp16.schemas import Kind, OutgoingInvalid, check_outgoing
from edge.chargers.shared.payload import Payload, encode
from edge.core import inputs as core
from tests.dialects.ocpp16_oracle import messages, schema

NOW = "2026-03-01T12:00:00Z"
TAG = m.IdTagInfo(status="Accepted", expiry_date=NOW, parent_id_tag="P")

REPLIES: list[tuple[str, Payload]] = [
    ("Authorize", m.AuthorizeResponse(TAG)),
    ("BootNotification", m.BootNotificationResponse(NOW, 300, "Accepted")),
    ("DataTransfer", m.DataTransferResponse("UnknownVendorId")),
    ("DataTransfer", m.DataTransferResponse("Accepted", "text")),
    ("Heartbeat", m.HeartbeatResponse(NOW)),
    ("SignCertificate", m.SignCertificateResponse("Rejected")),
    ("StartTransaction", m.StartTransactionResponse(2**31 - 1, m.IdTagInfo("ConcurrentTx"))),
    ("StopTransaction", m.StopTransactionResponse()),
    ("StopTransaction", m.StopTransactionResponse(TAG)),
    *((action, m.Acknowledged()) for action, cls in m.RESPONSES.items() if cls is m.Acknowledged),
]
CALLS: list[tuple[str, Payload]] = [
    ("ChangeAvailability", c.ChangeAvailability(0, "Inoperative")),
    ("ChangeConfiguration", c.ChangeConfiguration("HeartbeatInterval", "300")),
    ("ClearCache", c.ClearCache()),
    ("DataTransfer", m.DataTransfer("vendor", "id", "data")),
    ("GetConfiguration", c.GetConfiguration()),
    ("GetConfiguration", c.GetConfiguration(("HeartbeatInterval",))),
    ("RemoteStartTransaction", c.RemoteStartTransaction("0123456789ABCDEF", 1)),
    ("RemoteStopTransaction", c.RemoteStopTransaction(7)),
    ("Reset", c.Reset("Soft")),
    ("TriggerMessage", u.TriggerMessage("MeterValues", 1)),
    ("TriggerMessage", u.TriggerMessage("BootNotification")),
    ("ExtendedTriggerMessage", u.ExtendedTriggerMessage("SignChargePointCertificate")),
    ("GetDiagnostics", u.GetDiagnostics("http://10.0.0.1:9001/x/")),
    ("GetDiagnostics", u.GetDiagnostics("http://10.0.0.1:9001/x/", 3, 60, NOW, NOW)),
    ("UpdateFirmware", u.UpdateFirmware("http://10.0.0.1:9001/x/f.bin", NOW, 3, 60)),
    ("GetLog", u.GetLog("SecurityLog", 2**31 - 1, u.LogParameters("http://10.0.0.1/", NOW, NOW), 3, 60)),
    ("GetLog", u.GetLog("DiagnosticsLog", 1, u.LogParameters("http://10.0.0.1/"))),
    ("SignedUpdateFirmware", u.SignedUpdateFirmware(7, u.Firmware("http://a/", NOW, "PEM", "c2ln"), 3, 60)),
    ("CertificateSigned", u.CertificateSigned("P" * 10_000)),
    ("InstallCertificate", u.InstallCertificate("ManufacturerRootCertificate", "P" * 5500)),
    ("DeleteCertificate", u.DeleteCertificate(u.CertificateHashData("SHA384", "aa", "bb", "01"))),
    ("GetInstalledCertificateIds", u.GetInstalledCertificateIds("CentralSystemRootCertificate")),
    ("UnlockConnector", c.UnlockConnector(1)),
    *(
        (type(call).__name__, call)
        for call in (
            t.request_for(action, {"r1": "CARD1", "r2": "X" * 21}.get)
            for action in (
                core.ReadTagVersion(),
                core.SendTags(7, (), whole=True),
                core.SendTags(2**31 - 1, ("r1", "r2", "r3"), whole=False),
                core.Reserve(1, 1, 2**31 - 1, "0123456789ABCDEF", NOW),
                core.CancelReservation(7),
            )
        )
        if call is not None
    ),
    *(
        (type(call).__name__, call)
        for call in (
            ch.request_for(action)
            for action in (
                core.SetLimit(1, "session", "7", 16.1, 1, False, False, 3, 1_750_000_000_000),
                core.SetLimit(0, "default", "", 6.9, 0, True, True, 3, 1_750_000_000_000),
                core.SetLimit(0, "station", "", 32, 0, False, False, 3, 1_750_000_000_000),
                core.ClearLimit(1, "session"),
                core.ReadLimit(1, watts=False),
            )
        )
        if call is not None
    ),
]


@pytest.mark.parametrize(("action", "payload"), REPLIES)
def test_our_replies_are_what_the_specification_allows(action: str, payload: Payload) -> None:
    assert isinstance(payload, m.RESPONSES[action])
    check_outgoing("response", action, payload)
    get_validator(MessageType.CallResult, action, "1.6").validate(msgspec.json.decode(encode(payload)))


@pytest.mark.parametrize(("action", "payload"), CALLS)
def test_our_calls_are_what_the_specification_allows(action: str, payload: Payload) -> None:
    assert isinstance(payload, c.COMMANDS[action])
    check_outgoing("request", action, payload)
    get_validator(MessageType.Call, action, "1.6").validate(msgspec.json.decode(encode(payload)))


def test_nothing_that_leaves_is_untried() -> None:
    assert {action for action, _ in REPLIES} == set(m.RESPONSES) == set(m.REQUESTS)
    assert {action for action, _ in CALLS} == set(c.COMMANDS) == set(c.ANSWERS)


@pytest.mark.parametrize(
    ("kind", "action", "cls"),
    [
        *(("response", a, cls) for a, cls in m.RESPONSES.items()),
        *(("request", a, cls) for a, cls in c.COMMANDS.items()),
    ],
)
def test_the_words_that_we_may_send_are_the_schemas(kind: Kind, action: str, cls: type[Payload]) -> None:
    """Each Literal of an outgoing struct names exactly what the schema's enum allows; names agree, too."""
    root = schema(action, response=kind == "response")
    properties = root.get("properties", {})
    hints = get_type_hints(cls)
    for field in msgspec.structs.fields(cls):
        assert field.encode_name in properties
        hint = hints[field.name]
        if get_origin(hint) is not None and all(isinstance(word, str) for word in get_args(hint)):
            node = properties[field.encode_name]
            if "$ref" in node:
                node = root["definitions"][node["$ref"].rsplit("/", 1)[1]]
            assert set(get_args(hint)) == set(node["enum"])
    assert set(get_args(m.AuthorizationStatus)) == set(
        schema("Authorize", response=True)["properties"]["idTagInfo"]["properties"]["status"]["enum"]
    )


@pytest.mark.parametrize(
    ("kind", "action", "payload", "path"),
    [
        ("request", "Reset", {"type": "Mild"}, "type"),
        ("request", "Reset", {}, ""),
        ("request", "RemoteStartTransaction", c.RemoteStartTransaction("T" * 21, 1), "idTag"),
        ("request", "ChangeConfiguration", c.ChangeConfiguration("k", "v" * 501), "value"),
        ("request", "GetConfiguration", c.GetConfiguration(("a", "k" * 51)), "key.1"),
        ("response", "MeterValues", {"extra": 1}, ""),
        (
            "response",
            "StartTransaction",
            {"transactionId": "7", "idTagInfo": {"status": "Accepted"}},
            "transactionId",
        ),
        ("response", "NoSuchAction", {}, ""),
        ("request", "../v16/schemas/Reset", {}, ""),
    ],
)
def test_what_the_specification_forbids_does_not_leave(
    kind: Kind, action: str, payload: Payload, path: str
) -> None:
    with pytest.raises(OutgoingInvalid) as raised:
        check_outgoing(kind, action, payload)
    assert (raised.value.kind, raised.value.action, raised.value.path) == (kind, action, path)
    assert isinstance(raised.value, LocalFault)
    assert action in str(raised.value)


def test_an_error_of_ours_does_not_carry_a_tag() -> None:
    with pytest.raises(OutgoingInvalid) as raised:
        check_outgoing(
            "request", "RemoteStartTransaction", c.RemoteStartTransaction("SECRETSECRETSECRETSECRET", 1)
        )
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("action", sorted(c.COMMANDS))
@settings(max_examples=40)
@given(data=st.data())
def test_it_lets_pass_what_the_package_lets_pass(action: str, data: st.DataObject) -> None:
    check_outgoing("request", action, data.draw(messages(action)))


def test_the_packages_message_modules_are_not_imported() -> None:
    """They cost 100 ms; the edge may import for 250 ms in all."""
    script = (
        "import sys; from edge.chargers.ocpp16 import schemas, commands;"
        "schemas.check_outgoing('request', 'Reset', commands.Reset('Soft'));"
        "print([name for name in sys.modules if name.startswith('ocpp.')])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

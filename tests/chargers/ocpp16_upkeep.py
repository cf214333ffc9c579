"""What upkeep's actions are in OCPP 1.6's words: action, message, payload."""

from __future__ import annotations

from edge.core import inputs as core

URL = "http://10.0.0.1:9001/abc/"
#: 2026-03-01T12:00:00Z
NOON_MS = 1_772_366_400_000
NOON = "2026-03-01T12:00:00Z"
NAMED = {"hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": "01"}

UPKEEP: list[tuple[core.Action, str, dict[str, object]]] = [
    (
        core.FetchLog("cmd", "diagnostics", 7, location=URL),
        "GetLog",
        {
            "logType": "DiagnosticsLog",
            "requestId": 7,
            "log": {"remoteLocation": URL},
            "retries": 3,
            "retryInterval": 60,
        },
    ),
    (
        core.FetchLog("cmd", "security", 7, since_ms=NOON_MS, until_ms=NOON_MS + 999, location=URL),
        "GetLog",
        {
            "logType": "SecurityLog",
            "requestId": 7,
            "log": {"remoteLocation": URL, "oldestTimestamp": NOON, "latestTimestamp": NOON},
            "retries": 3,
            "retryInterval": 60,
        },
    ),
    (
        core.FetchLog("cmd", "diagnostics", 7, since_ms=NOON_MS, legacy=True, location=URL),
        "GetDiagnostics",
        {"location": URL, "startTime": NOON, "retries": 3, "retryInterval": 60},
    ),
    (
        core.UpdateFirmware("cmd", "f" * 64, 7, retrieve_ms=NOON_MS, legacy=True, location=URL),
        "UpdateFirmware",
        {"location": URL, "retrieveDate": NOON, "retries": 3, "retryInterval": 60},
    ),
    (
        core.UpdateFirmware(
            "cmd", "f" * 64, 7, retrieve_ms=NOON_MS, location=URL, certificate="PEM", signature="c2ln"
        ),
        "SignedUpdateFirmware",
        {
            "requestId": 7,
            "firmware": {
                "location": URL,
                "retrieveDateTime": NOON,
                "signingCertificate": "PEM",
                "signature": "c2ln",
            },
            "retries": 3,
            "retryInterval": 60,
        },
    ),
    *(
        (core.Trigger(what, None), "TriggerMessage", {"requestedMessage": message})
        for what, message in (
            ("status", "StatusNotification"),
            ("meter", "MeterValues"),
            ("boot", "BootNotification"),
            ("heartbeat", "Heartbeat"),
            ("firmware", "FirmwareStatusNotification"),
            ("diagnostics", "DiagnosticsStatusNotification"),
        )
    ),
    *(
        (
            core.Trigger(what, 2, extended=True),
            "ExtendedTriggerMessage",
            {"requestedMessage": m, "connectorId": 2},
        )
        for what, m in (("log", "LogStatusNotification"), ("certificate", "SignChargePointCertificate"))
    ),
    (
        core.InstallCertificate("central_system", "PEM"),
        "InstallCertificate",
        {"certificateType": "CentralSystemRootCertificate", "certificate": "PEM"},
    ),
    (
        core.DeleteCertificate("SHA256", "aa", "bb", "01"),
        "DeleteCertificate",
        {"certificateHashData": NAMED},
    ),
    (
        core.ListCertificates("manufacturer"),
        "GetInstalledCertificateIds",
        {"certificateType": "ManufacturerRootCertificate"},
    ),
    (core.DeliverCertificate("PEM"), "CertificateSigned", {"certificateChain": "PEM"}),
]

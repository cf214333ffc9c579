"""OCPP 1.6's firmware, logs, triggers and certificates: payloads, and what they mean in the core's words.

FirmwareManagement and RemoteTrigger of the first edition, and the security whitepaper's successors of both
(quirk 96). `commands` and `actions` take these in with the rest of what we ask; `dialect` with what we hear.

Each request class is named as its action. Source: OCPP 1.6 edition 2 §4.4, §5.3, §5.17, §5.19, §6; security
whitepaper edition 3, §4 and §5.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal

from edge.chargers.dialect import Answer, Unsendable
from edge.chargers.ocpp16 import messages
from edge.chargers.shared.payload import Opt, Payload, Text
from edge.chargers.shared.times import render
from edge.core import inputs as core

#: How often a charger tries to move a file before it gives up, and how long it waits between, in s: enough
#: for a switch that restarts, few enough that somebody who waits hears of a failure.
RETRIES: Final = 3
RETRY_S: Final = 60

# ------------------------------------------------------------------------------------------------ requests


class GetDiagnostics(Payload, frozen=True):
    """Send the log to a place (a folder: the charger names the file)."""

    location: str
    retries: int | None = None
    retry_interval: int | None = None
    start_time: str | None = None
    stop_time: str | None = None


class UpdateFirmware(Payload, frozen=True):
    """Fetch firmware and install it."""

    location: str
    retrieve_date: str
    retries: int | None = None
    retry_interval: int | None = None


class LogParameters(Payload, frozen=True):
    """Where to, and from when to when."""

    remote_location: str
    oldest_timestamp: str | None = None
    latest_timestamp: str | None = None


class GetLog(Payload, frozen=True):
    """Send a log to a place."""

    log_type: Literal["DiagnosticsLog", "SecurityLog"]
    request_id: int
    log: LogParameters
    retries: int | None = None
    retry_interval: int | None = None


class Firmware(Payload, frozen=True):
    """A signed file. The certificate is PEM, the signature base64."""

    location: str
    retrieve_date_time: str
    signing_certificate: str
    signature: str


class SignedUpdateFirmware(Payload, frozen=True):
    """Fetch signed firmware, check it and install it."""

    request_id: int
    firmware: Firmware
    retries: int | None = None
    retry_interval: int | None = None


class ExtendedTriggerMessage(Payload, frozen=True):
    """Have the charger send a message now."""

    requested_message: Literal[
        "BootNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "SignChargePointCertificate",
        "StatusNotification",
    ]
    connector_id: int | None = None


class TriggerMessage(Payload, frozen=True):
    """Have the charger send a message now."""

    requested_message: Literal[
        "BootNotification",
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "MeterValues",
        "StatusNotification",
    ]
    connector_id: int | None = None


class CertificateSigned(Payload, frozen=True):
    """The certificate that the charger asked for, PEM, with its issuers."""

    certificate_chain: str


CertificateUse = Literal["CentralSystemRootCertificate", "ManufacturerRootCertificate"]


class InstallCertificate(Payload, frozen=True):
    """Trust a root certificate."""

    certificate_type: CertificateUse
    certificate: str


class CertificateHashData(Payload, frozen=True):
    """What names a certificate."""

    NEUTRAL: ClassVar[dict[str, object]] = {"hash_algorithm": ""}
    hash_algorithm: Text
    issuer_name_hash: Text
    issuer_key_hash: Text
    serial_number: Text


class DeleteCertificate(Payload, frozen=True):
    """Trust a root certificate no longer."""

    certificate_hash_data: CertificateHashData


class GetInstalledCertificateIds(Payload, frozen=True):
    """Tell which root certificates are trusted."""

    certificate_type: CertificateUse


# ------------------------------------------------------------------------------------------------ answers


class GetDiagnosticsResponse(Payload, frozen=True):
    """The name of the file that will come; none is also said by chargers that then send one."""

    file_name: Opt[Text] = None


class UpdateFirmwareResponse(Payload, frozen=True):
    """Heard, and no more."""


class GetLogResponse(Payload, frozen=True):
    """Whether a log will come, and its name."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text
    filename: Opt[Text] = None


class GetInstalledCertificateIdsResponse(Payload, frozen=True):
    """What is trusted; NotFound = nothing."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text
    certificate_hash_data: tuple[CertificateHashData, ...] = ()


#: What we may ask of all this, by action.
COMMANDS: Final[dict[str, type[Payload]]] = {
    cls.__name__: cls
    for cls in (
        CertificateSigned,
        DeleteCertificate,
        ExtendedTriggerMessage,
        GetDiagnostics,
        GetInstalledCertificateIds,
        GetLog,
        InstallCertificate,
        SignedUpdateFirmware,
        TriggerMessage,
        UpdateFirmware,
    )
}
#: What a charger answers where it is more than one word.
ANSWERS: Final[dict[str, type[Payload]]] = {
    "GetDiagnostics": GetDiagnosticsResponse,
    "GetInstalledCertificateIds": GetInstalledCertificateIdsResponse,
    "GetLog": GetLogResponse,
    "UpdateFirmware": UpdateFirmwareResponse,
}

# ------------------------------------------------------------------------------------------------ asking

_USES: Final[dict[str, CertificateUse]] = {
    "central_system": "CentralSystemRootCertificate",
    "manufacturer": "ManufacturerRootCertificate",
}
_TOLD: Final[dict[str, Any]] = {
    "status": "StatusNotification",
    "meter": "MeterValues",
    "boot": "BootNotification",
    "heartbeat": "Heartbeat",
    "firmware": "FirmwareStatusNotification",
    "diagnostics": "DiagnosticsStatusNotification",
    "log": "LogStatusNotification",
    "certificate": "SignChargePointCertificate",
}


def request_for(action: core.Action) -> Payload | None:
    """Return the call that carries out one of these actions, None for any other. Raises Unsendable."""
    match action:
        case core.FetchLog():
            return _fetch(action)
        case core.UpdateFirmware():
            return _update(action)
        case core.Trigger():
            message = ExtendedTriggerMessage if action.extended else TriggerMessage
            return message(_TOLD[action.what], action.evse or None)
        case core.TriggerStatus():
            return TriggerMessage("StatusNotification", action.evse)
        case core.InstallCertificate():
            return InstallCertificate(_USES[action.use], action.certificate)
        case core.TrustSite():
            return InstallCertificate("CentralSystemRootCertificate", action.certificate)
        case core.DeleteCertificate():
            named = CertificateHashData(
                action.algorithm, action.issuer_name, action.issuer_key, action.serial
            )
            return DeleteCertificate(named)
        case core.ListCertificates():
            return GetInstalledCertificateIds(_USES[action.use])
        case core.DeliverCertificate():
            return CertificateSigned(action.chain)
        case _:
            return None


def _fetch(action: core.FetchLog) -> Payload:
    since, until = _time(action.since_ms), _time(action.until_ms)
    if action.legacy:
        if action.log != "diagnostics":
            raise Unsendable("this charger has no log of security events of its own")
        return GetDiagnostics(action.location, RETRIES, RETRY_S, since, until)
    kind: Literal["DiagnosticsLog", "SecurityLog"] = (
        "SecurityLog" if action.log == "security" else "DiagnosticsLog"
    )
    return GetLog(kind, action.number, LogParameters(action.location, since, until), RETRIES, RETRY_S)


def _update(action: core.UpdateFirmware) -> Payload:
    retrieve = _time(action.retrieve_ms)
    assert retrieve is not None
    if action.legacy:
        return UpdateFirmware(action.location, retrieve, RETRIES, RETRY_S)
    signed = Firmware(action.location, retrieve, action.certificate, action.signature)
    return SignedUpdateFirmware(action.number, signed, RETRIES, RETRY_S)


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else render(datetime.fromtimestamp(at_ms / 1000, UTC))


def meaning(read: Payload, violations: tuple[str, ...]) -> Answer | None:
    """Return what an answer of more than one word means; None if it is not one of these."""
    match read:
        case GetDiagnosticsResponse():
            return Answer("accepted", result=_named(read.file_name), violations=violations)
        case UpdateFirmwareResponse():
            return Answer("accepted", violations=violations)
        case GetInstalledCertificateIdsResponse() if _word(read.status) in ("accepted", "notfound"):
            found = [
                {
                    "algorithm": one.hash_algorithm,
                    "issuer_name": one.issuer_name_hash,
                    "issuer_key": one.issuer_key_hash,
                    "serial": one.serial_number,
                }
                for one in read.certificate_hash_data
            ]
            return Answer("accepted", result={"certificates": found}, violations=violations)
    return None


def _named(file_name: str | None) -> dict[str, Any]:
    return {"name": file_name} if file_name else {}


# ------------------------------------------------------------------------------------------------ hearing

_NOT_WORD = re.compile(r"[^a-z]")
_FIRMWARE: Final = {
    "idle": "idle",
    "downloadscheduled": "scheduled",
    "downloading": "downloading",
    "downloadpaused": "paused",
    "downloaded": "downloaded",
    "downloadfailed": "download_failed",
    "signatureverified": "verified",
    "invalidsignature": "invalid_signature",
    "installscheduled": "install_scheduled",
    "installing": "installing",
    "installrebooting": "rebooting",
    "installed": "installed",
    "installationfailed": "install_failed",
    "installverificationfailed": "install_failed",
}
_UPLOAD: Final = {
    "idle": "idle",
    "uploading": "uploading",
    "uploaded": "uploaded",
    "uploadfailed": "upload_failed",
    "uploadfailure": "upload_failed",
    "badmessage": "upload_failed",
    "notsupportedoperation": "upload_failed",
    "permissiondenied": "upload_failed",
}


def progress(charger: str, told: Payload) -> core.ProgressReported | None:
    """Return what a status of firmware or log says; None for another message, and for a word unheard of."""
    match told:
        case messages.FirmwareStatusNotification() | messages.SignedFirmwareStatusNotification():
            job, words = "firmware", _FIRMWARE
        case messages.DiagnosticsStatusNotification() | messages.LogStatusNotification():
            job, words = "upload", _UPLOAD
        case _:
            return None
    status = words.get(_word(told.status))
    if status is None:
        return None
    return core.ProgressReported(
        charger=charger,
        job=job,
        status=status,
        number=getattr(told, "request_id", None),
        detail=told.status[:64] if status.endswith("failed") else "",
    )


def _word(text: str) -> str:
    return _NOT_WORD.sub("", text.lower())

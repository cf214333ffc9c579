"""OCPP 1.6 as a `Dialect`: its payloads to the core's inputs, the core's replies and actions to its payloads.

The 1.6 charge point is a station whose connector n is EVSE n with the one connector 1, and whose connector 0
is the station itself (EVSE 0). Its transaction ids are integers that we give; as text they are the core's.
Everything that leaves is checked against the specification's schema first (quirk 34).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final, Literal

import msgspec

from common.domain import ConnectorState
from common.facts import SecurityNoted
from edge.chargers.dialect import (
    Answer,
    CannotDo,
    Direct,
    Inbound,
    Outgoing,
    TagRef,
    ToCore,
    canonical_tag,
    minted,
    quarantined,
)
from edge.chargers.frames import CallError, Result, RpcError
from edge.chargers.ocpp16 import actions, messages, upkeep
from edge.chargers.ocpp16.commands import COMMANDS
from edge.chargers.ocpp16.messages import UnreadablePayload
from edge.chargers.quirks import traits_for
from edge.chargers.ocpp16.schemas import check_outgoing
from edge.chargers.shared import times
from edge.chargers.shared.meter import convert
from edge.chargers.shared.payload import Payload, encode
from edge.core import inputs as core

#: Seconds between heartbeats that chargers are told at Boot. They set the clocks of chargers without a
#: battery; liveness does not rest on them (`link` pings), so this is on the calm side of quirk 84's 60–300.
HEARTBEAT_S: Final = 300

#: §4.9 and §7.7, spelt as `_word` leaves them.
_STATES: Final = {
    "available": ConnectorState.AVAILABLE,
    "preparing": ConnectorState.PREPARING,
    "charging": ConnectorState.CHARGING,
    "suspendedev": ConnectorState.SUSPENDED_EV,
    "suspendedevse": ConnectorState.SUSPENDED_EVSE,
    "finishing": ConnectorState.FINISHING,
    "reserved": ConnectorState.RESERVED,
    "unavailable": ConnectorState.UNAVAILABLE,
    "faulted": ConnectorState.FAULTED,
}

_JUDGED: Final[dict[str, messages.AuthorizationStatus]] = {
    "accepted": "Accepted",
    "invalid": "Invalid",
    "blocked": "Blocked",
    "expired": "Expired",
    "concurrent": "ConcurrentTx",
}

_REGISTERED: Final[dict[str, Literal["Accepted", "Pending", "Rejected"]]] = {
    "accepted": "Accepted",
    "pending": "Pending",
    "rejected": "Rejected",
}

#: Messages that are kept and acknowledged when they cannot be read (quirk 23): action → `Unreadable.what`.
_QUARANTINED: Final = {
    "StartTransaction": "start",
    "StopTransaction": "stop",
    "MeterValues": "meter",
    "StatusNotification": "status",
}

#: Acknowledged even when they cannot be read: some chargers queue them among their transactions (quirk 33).
_ALWAYS_NOTED: Final = {"DataTransfer", "SignCertificate"} | {
    action for action, answer in messages.RESPONSES.items() if answer is messages.Acknowledged
}

#: Free text of a charger that is shown to people: the specification allows 50 characters, chargers send more.
_INFO_MAX_CHARS: Final = 100

_NOT_WORD = re.compile(r"[^a-z]")


class Ocpp16:
    """The 1.6 dialect. `tag_ref` is the site's keyed hash for tags (`canonical_tag` form)."""

    subprotocol: Final = "ocpp1.6"
    version: Final = "1.6"

    def __init__(self, tag_ref: TagRef, *, heartbeat_s: int = HEARTBEAT_S) -> None:
        self.heartbeat_s = heartbeat_s
        self._tag_ref = tag_ref

    # ---------------------------------------------------------------------------------------- from a charger

    def inbound(self, charger: str, action: str, payload: msgspec.Raw, now_ms: int) -> Inbound:
        """Return what a charger's call means; see `Dialect`."""
        try:
            request, violations = messages.read(action, payload)
        except UnreadablePayload as wrong:
            return self.unreadable(charger, action, bytes(payload), wrong.reason)
        found = self._meaning(charger, request, now_ms)
        if violations:
            found = msgspec.structs.replace(found, violations=violations + found.violations)
        return found

    def _meaning(self, charger: str, request: Payload, now_ms: int) -> Inbound:
        match request:  # in the order of how often they come
            case messages.MeterValues():
                return self._meter_values(charger, request)
            case messages.StatusNotification():
                return self._status(charger, request)
            case messages.Heartbeat():
                return Direct(payload=_alive(now_ms // 1000))
            case messages.StartTransaction():
                return self._start(charger, request)
            case messages.StopTransaction():
                return self._stop(charger, request)
            case messages.Authorize():
                return self._authorize(charger, request)
            case messages.BootNotification():
                return self._boot(charger, request, now_ms)
            case messages.SecurityEventNotification():
                # the type alone: techInfo is free text, which may hold a tag
                detail = request.type[:_INFO_MAX_CHARS]
                noted = core.Note(body=SecurityNoted(what="charger_event", charger=charger, detail=detail))
                return Direct(payload=_acknowledgement("SecurityEventNotification"), inputs=(noted,))
            case messages.SignCertificate() if request.csr:
                # always an answer: silence leaves the charger waiting (quirk 110)
                asked = core.CertificateAsked(charger=charger, csr=request.csr)
                return ToCore(inputs=(asked,), render=_render_signing)
            case _:
                told = upkeep.progress(charger, request)
                return Direct(payload=_noted(type(request).__name__), inputs=() if told is None else (told,))

    def unreadable(self, charger: str, action: str, raw: bytes, reason: str) -> Inbound:
        """Quarantine and acknowledge, or refuse; see `Dialect`."""
        violations = (reason,)
        if action not in messages.REQUESTS:
            known = action in COMMANDS or action in ("ReserveNow", "CancelReservation")
            code = RpcError.NOT_SUPPORTED if known else RpcError.NOT_IMPLEMENTED
            return CannotDo(code=code, description=f"no charger may ask this: {action[:64]}")
        what = _QUARANTINED.get(action)
        if what is not None:
            kept = core.Unreadable(
                charger=charger, what=what, reason=reason, raw=quarantined(raw, self._tag_ref)
            )
            render = _acknowledging(action)
            if action == "StartTransaction":
                payload = _checked(action, _started(_transaction_of(charger, raw), "Invalid"))
                render = lambda _: payload  # noqa: E731 - the one answer, whatever the core replies
            return ToCore(inputs=(kept,), render=render, repeatable=True, violations=violations)
        if action in _ALWAYS_NOTED:
            return Direct(payload=_noted(action), violations=violations)
        return CannotDo(code=_fault(reason), description=reason, violations=violations)

    def _authorize(self, charger: str, request: messages.Authorize) -> Inbound:
        def render(reply: core.Reply) -> bytes:
            assert isinstance(reply, core.AuthorizeReply)
            return _authorized(reply.status)

        tag = request.id_tag
        asked = core.AuthorizeAsked(charger=charger, tag_ref=self._ref(tag) or "", minted=minted(tag))
        return ToCore(inputs=(asked,), render=render)

    def _boot(self, charger: str, request: messages.BootNotification, now_ms: int) -> Inbound:
        def render(reply: core.Reply) -> bytes:
            assert isinstance(reply, core.BootReply)
            answer = messages.BootNotificationResponse(
                _time(now_ms // 1000), self.heartbeat_s, _REGISTERED[reply.status]
            )
            return _checked("BootNotification", answer)

        booted = core.Booted(
            charger=charger,
            vendor=request.charge_point_vendor,
            model=request.charge_point_model,
            serial=request.charge_point_serial_number or request.charge_box_serial_number or "",
            firmware=request.firmware_version or "",
            traits=traits_for(
                request.charge_point_vendor, request.charge_point_model, request.firmware_version or ""
            ),
        )
        return ToCore(inputs=(booted,), render=render)

    def _status(self, charger: str, request: messages.StatusNotification) -> Inbound:
        state = _STATES.get(_word(request.status))
        if state is None:
            return self.unreadable(charger, "StatusNotification", encode(request), "status:unknown")
        error = request.error_code if _word(request.error_code) != "noerror" else ""
        info = ", ".join(text for text in (request.info, request.vendor_error_code) if text)
        reported = core.StatusReported(
            charger=charger,
            evse=request.connector_id,
            state=state,
            error_code=error,
            info=info[:_INFO_MAX_CHARS],
            reported_at=request.timestamp or "",
        )
        return ToCore(inputs=(reported,), render=_acknowledging("StatusNotification"))

    def _start(self, charger: str, request: messages.StartTransaction) -> Inbound:
        started = core.TransactionStarted(
            charger=charger,
            evse=request.connector_id,
            tag_ref=self._ref(request.id_tag),
            minted=minted(request.id_tag),
            meter_start_wh=request.meter_start,
            started=_stamp(request.timestamp),
        )
        return ToCore(inputs=(started,), render=_render_start, repeatable=True)

    def _stop(self, charger: str, request: messages.StopTransaction) -> Inbound:
        samples, notes = convert(request.transaction_data)
        ended = core.TransactionEnded(
            charger=charger,
            transaction=str(request.transaction_id),
            tag_ref=self._ref(request.id_tag or ""),
            meter_stop_wh=request.meter_stop,
            ended=_stamp(request.timestamp),
            reason=request.reason or "",
            samples=samples,
        )
        return ToCore(inputs=(ended,), render=_render_stop, repeatable=True, violations=notes)

    def _meter_values(self, charger: str, request: messages.MeterValues) -> Inbound:
        samples, notes = convert(request.meter_value)
        transaction = request.transaction_id
        reported = core.MeterReported(
            charger=charger,
            # no connector told: the station's own, whose values count for nobody's session by themselves
            evse=request.connector_id or 0,
            transaction=None if transaction is None else str(transaction),
            samples=samples,
        )
        render = _acknowledging("MeterValues")
        return ToCore(inputs=(reported,), render=render, repeatable=True, violations=notes)

    def _ref(self, tag: str) -> str | None:
        canonical = canonical_tag(tag)
        return self._tag_ref(canonical) if canonical else None

    # ---------------------------------------------------------------------------------------- to a charger

    def outbound(self, action: core.Action) -> Outgoing:
        """Return the call that carries out an action; see `Dialect`."""
        request = actions.request_for(action)
        name = type(request).__name__
        check_outgoing("request", name, request)
        return Outgoing(name, encode(request))

    def answer(self, action: core.Action, reply: Result | CallError) -> Answer:
        """Return what a charger's reply to an action means; see `Dialect`."""
        if isinstance(reply, CallError):
            return actions.refusal(reply)
        return actions.meaning(action, reply.payload)


# ------------------------------------------------------------------------------------------------ reading


def _word(text: str) -> str:
    """Return an enumerated word without case and separators: chargers write `SuspendedEv`, `No_Error`."""
    return _NOT_WORD.sub("", text.lower())


def _stamp(text: str) -> core.Stamp:
    instant = times.parse(text)
    if instant.utc is None or not instant.has_zone:
        return core.Stamp(text)
    return core.Stamp(text, round(instant.utc.timestamp() * 1000))


def _fault(reason: str) -> RpcError:
    """Return the code for an unreadable payload by the stable word at its reason's end."""
    return {
        "missing": RpcError.OCCURRENCE_CONSTRAINT,
        "null": RpcError.OCCURRENCE_CONSTRAINT,
        "range": RpcError.PROPERTY_CONSTRAINT,
        "type": RpcError.TYPE_CONSTRAINT,
    }.get(reason.rpartition(":")[2], RpcError.FORMAT)


# ------------------------------------------------------------------------------------------------ answering


def _checked(action: str, answer: Payload) -> bytes:
    check_outgoing("response", action, answer)
    return encode(answer)


@cache  # one entry for each action, here and below
def _acknowledgement(action: str) -> bytes:
    return _checked(action, messages.RESPONSES[action]())


@cache
def _acknowledging(action: str) -> Callable[[core.Reply], bytes]:
    return lambda _: _acknowledgement(action)


@cache
def _authorized(status: str) -> bytes:
    return _checked("Authorize", messages.AuthorizeResponse(messages.IdTagInfo(_JUDGED[status])))


@cache
def _noted(action: str) -> bytes:
    """Return the answer to what is acknowledged and goes no further (quirk 33)."""
    if action == "DataTransfer":
        return _checked(action, messages.DataTransferResponse("UnknownVendorId"))
    if action == "SignCertificate":  # it could not be read; silence would be worse (110)
        return _checked(action, messages.SignCertificateResponse("Rejected"))
    return _acknowledgement(action)


@lru_cache(maxsize=2)  # one second serves all chargers
def _time(second: int) -> str:
    return times.render(datetime.fromtimestamp(second, UTC))


@lru_cache(maxsize=2)
def _alive(second: int) -> bytes:
    return _checked("Heartbeat", messages.HeartbeatResponse(_time(second)))


def _started(transaction: int, status: messages.AuthorizationStatus) -> messages.StartTransactionResponse:
    return messages.StartTransactionResponse(transaction, messages.IdTagInfo(status))


def _render_start(reply: core.Reply) -> bytes:
    assert isinstance(reply, core.StartReply)
    return _checked("StartTransaction", _started(int(reply.transaction), _JUDGED[reply.status]))


def _render_stop(reply: core.Reply) -> bytes:
    # a stop of no known session is acknowledged, too
    if not isinstance(reply, core.StopReply) or reply.status is None:
        return _acknowledgement("StopTransaction")
    return _stopped(reply.status)


def _render_signing(reply: core.Reply) -> bytes:
    assert isinstance(reply, core.CertificateReply)
    status: Literal["Accepted", "Rejected"] = "Accepted" if reply.accepted else "Rejected"
    return _checked("SignCertificate", messages.SignCertificateResponse(status))


@cache
def _stopped(status: str) -> bytes:
    return _checked("StopTransaction", messages.StopTransactionResponse(messages.IdTagInfo(_JUDGED[status])))


def _transaction_of(charger: str, raw: bytes) -> int:
    """Return the id for a start that could not be read: positive (quirk 51), and the same for a repeat."""
    digest = hashlib.blake2b(raw, digest_size=4, key=charger.encode()[:64]).digest()
    return int.from_bytes(digest) & 0x7FFFFFFF or 1

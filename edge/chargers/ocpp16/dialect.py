"""OCPP 1.6 as a `Dialect`: its payloads to the core's inputs, the core's replies and actions to its payloads.

The 1.6 charge point is a station whose connector n is EVSE n with the one connector 1, and whose connector 0
is the station itself (EVSE 0). Its transaction ids are integers that we give; as text they are the core's.
Everything that leaves is checked against the specification's schema first (quirk 34).
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

from common.domain import ConnectorState
from edge.chargers.dialect import Answer, Direct, Inbound, ToCore, minted
from edge.chargers.ocpp16 import actions, messages, schemas, upkeep
from edge.chargers.ocpp16.commands import COMMANDS
from edge.chargers.quirks import traits_for
from edge.chargers.shared.alike import JUDGED
from edge.chargers.shared.answers import word
from edge.chargers.shared.meter import convert
from edge.chargers.shared.payload import Payload, encode
from edge.chargers.shared.translator import (
    INFO_MAX_CHARS,
    Render,
    Tables,
    Translator,
    stamp,
    told_time,
)
from edge.core import inputs as core

#: §4.9 and §7.7, spelt as `word` leaves them.
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

_REGISTERED: Final[dict[str, Literal["Accepted", "Pending", "Rejected"]]] = {
    "accepted": "Accepted",
    "pending": "Pending",
    "rejected": "Rejected",
}

#: Acknowledged even when they cannot be read: some chargers queue them among their transactions (quirk 33).
#: A certificate request that cannot be read gets an answer, too: silence would be worse (quirk 110).
_NOTED: Final[dict[str, Payload]] = {
    "DataTransfer": messages.DataTransferResponse("UnknownVendorId"),
    "SignCertificate": messages.SignCertificateResponse("Rejected"),
    "StopTransaction": messages.StopTransactionResponse(),
    **{
        action: messages.Acknowledged()
        for action, answer in messages.RESPONSES.items()
        if answer is messages.Acknowledged
    },
}


class Ocpp16(Translator):
    """The 1.6 dialect."""

    subprotocol = "ocpp1.6"
    version = "1.6"
    tables = Tables(
        reader=messages.reader,
        schemas=schemas.SCHEMAS,
        requests=messages.REQUESTS,
        quarantined={
            "StartTransaction": "start",
            "StopTransaction": "stop",
            "MeterValues": "meter",
            "StatusNotification": "status",
        },
        noted=_NOTED,
        ours=frozenset(COMMANDS),
    )

    # ---------------------------------------------------------------------------------------- from a charger

    def _meaning(self, charger: str, request: Payload, now_ms: int) -> Inbound:
        match request:  # in the order of how often they come
            case messages.MeterValues():
                return self._meter_values(charger, request)
            case messages.StatusNotification():
                return self._status(charger, request)
            case messages.Heartbeat():
                return Direct(payload=self._alive(now_ms, messages.HeartbeatResponse))
            case messages.StartTransaction():
                return self._start(charger, request)
            case messages.StopTransaction():
                return self._stop(charger, request)
            case messages.Authorize():
                return self._authorize(charger, request)
            case messages.BootNotification():
                return self._boot(charger, request, now_ms)
            case messages.SecurityEventNotification():
                return self._event_noted(charger, "SecurityEventNotification", request.type)
            case messages.SignCertificate() if request.csr:
                # always an answer: silence leaves the charger waiting (quirk 110)
                asked = core.CertificateAsked(charger=charger, csr=request.csr)
                return ToCore(inputs=(asked,), render=self._render_signing)
            case _:
                told = upkeep.progress(charger, request)
                return Direct(
                    payload=self._noted(type(request).__name__), inputs=() if told is None else (told,)
                )

    def _keeping(self, charger: str, action: str, raw: bytes) -> Render:
        """Return the answer to a message that is kept: a start gets an id, whatever the core replies."""
        if action != "StartTransaction":
            return self._acknowledging(action)
        payload = self._checked(action, _started(_transaction_of(charger, raw), "Invalid"))
        return lambda _: payload

    def _authorize(self, charger: str, request: messages.Authorize) -> Inbound:
        def render(reply: core.Reply) -> bytes:
            assert isinstance(reply, core.AuthorizeReply)
            info = messages.IdTagInfo(JUDGED[reply.status])
            return self._once("Authorize", reply.status, lambda: messages.AuthorizeResponse(info))

        tag = request.id_tag
        asked = core.AuthorizeAsked(charger=charger, tag_ref=self._ref(tag) or "", minted=minted(tag))
        return ToCore(inputs=(asked,), render=render)

    def _boot(self, charger: str, request: messages.BootNotification, now_ms: int) -> Inbound:
        def render(reply: core.Reply) -> bytes:
            assert isinstance(reply, core.BootReply)
            answer = messages.BootNotificationResponse(
                told_time(now_ms), self.heartbeat_s, _REGISTERED[reply.status]
            )
            return self._checked("BootNotification", answer)

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
        state = _STATES.get(word(request.status))
        if state is None:
            return self.unreadable(charger, "StatusNotification", encode(request), "status:unknown")
        error = request.error_code if word(request.error_code) != "noerror" else ""
        info = ", ".join(text for text in (request.info, request.vendor_error_code) if text)
        reported = core.StatusReported(
            charger=charger,
            evse=request.connector_id,
            state=state,
            error_code=error,
            info=info[:INFO_MAX_CHARS],
            reported_at=request.timestamp or "",
        )
        return ToCore(inputs=(reported,), render=self._acknowledging("StatusNotification"))

    def _start(self, charger: str, request: messages.StartTransaction) -> Inbound:
        started = core.TransactionStarted(
            charger=charger,
            evse=request.connector_id,
            tag_ref=self._ref(request.id_tag),
            minted=minted(request.id_tag),
            meter_start_wh=request.meter_start,
            started=stamp(request.timestamp),
        )
        return ToCore(inputs=(started,), render=self._render_start, repeatable=True)

    def _stop(self, charger: str, request: messages.StopTransaction) -> Inbound:
        samples, notes = convert(request.transaction_data)
        ended = core.TransactionEnded(
            charger=charger,
            transaction=str(request.transaction_id),
            tag_ref=self._ref(request.id_tag or ""),
            meter_stop_wh=request.meter_stop,
            ended=stamp(request.timestamp),
            reason=request.reason or "",
            samples=samples,
        )
        return ToCore(inputs=(ended,), render=self._render_stop, repeatable=True, violations=notes)

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
        render = self._acknowledging("MeterValues")
        return ToCore(inputs=(reported,), render=render, repeatable=True, violations=notes)

    def _render_start(self, reply: core.Reply) -> bytes:
        assert isinstance(reply, core.StartReply)
        return self._checked("StartTransaction", _started(int(reply.transaction), JUDGED[reply.status]))

    def _render_stop(self, reply: core.Reply) -> bytes:
        # a stop of no known session is acknowledged, too
        status = reply.status if isinstance(reply, core.StopReply) else None
        info = None if status is None else messages.IdTagInfo(JUDGED[status])
        return self._once("StopTransaction", status, lambda: messages.StopTransactionResponse(info))

    def _render_signing(self, reply: core.Reply) -> bytes:
        assert isinstance(reply, core.CertificateReply)
        status: Literal["Accepted", "Rejected"] = "Accepted" if reply.accepted else "Rejected"
        return self._checked("SignCertificate", messages.SignCertificateResponse(status))

    # ---------------------------------------------------------------------------------------- to a charger

    def _request(self, action: core.Action) -> Payload:
        return actions.request_for(action, self._raw_tag)

    def _reply(self, action: core.Action, payload: msgspec.Raw) -> Answer:
        return actions.meaning(action, payload)


def _started(transaction: int, status: messages.AuthorizationStatus) -> messages.StartTransactionResponse:
    return messages.StartTransactionResponse(transaction, messages.IdTagInfo(status))


def _transaction_of(charger: str, raw: bytes) -> int:
    """Return the id for a start that could not be read: positive (quirk 51), and the same for a repeat."""
    digest = hashlib.blake2b(raw, digest_size=4, key=charger.encode()[:64]).digest()
    return int.from_bytes(digest) & 0x7FFFFFFF or 1

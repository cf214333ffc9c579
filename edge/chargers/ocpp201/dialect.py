"""OCPP 2.0.1 as a `Dialect`: its payloads to the core's inputs, the core's replies and actions to payloads.

The core's words are 2.x's, so little is said here: a transaction event goes in as what it is, with its number
and whatever it leaves out (quirk 99), availability apart from charging (quirk 101), and what a station may
not ask of us is refused. The rest is `shared.translator`'s.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common.domain import Availability, Phase
from edge.chargers.dialect import Answer, Direct, Inbound, ToCore, minted
from edge.chargers.ocpp201 import commands, messages, readings
from edge.chargers.quirks import traits_for
from edge.chargers.shared.alike import JUDGED
from edge.chargers.shared.answers import word
from edge.chargers.shared.payload import Payload, encode
from edge.chargers.shared.schemas import Schemas
from edge.chargers.shared.translator import Tables, Translator, stamp, told_time
from edge.core import inputs as core
from edge.core.reports import AvailabilityReported, TransactionEvent

#: Words as `word` leaves them.
_AVAILABILITY: Final = {each.value: each for each in Availability if each is not Availability.UNKNOWN}
_PHASES: Final = {
    "idle": Phase.IDLE,
    "evconnected": Phase.CONNECTED,
    "charging": Phase.CHARGING,
    "suspendedev": Phase.SUSPENDED_EV,
    "suspendedevse": Phase.SUSPENDED_EVSE,
}
_STEPS: Final = {"started", "updated", "ended"}
#: The variable that tells what StatusNotification does, of these components (part 2, appendix 3).
_STATE_VARIABLE: Final = "availabilitystate"
_STATE_COMPONENTS: Final = {"connector", "evse"}
#: A tag of this type is none.
_NO_TAG: Final = "noauthorization"


class Ocpp201(Translator):
    """The 2.0.1 dialect."""

    subprotocol = "ocpp2.0.1"
    version = "2.0.1"
    #: It is asked for the state of a named connector only (part 2, F06).
    asks_each = True
    #: Demanded of us (part 4, §3.3).
    compresses = True
    tables = Tables(
        reader=messages.reader,
        schemas=Schemas("2.0.1", "v201", "Request"),
        requests=messages.REQUESTS,
        quarantined={"TransactionEvent": "event", "MeterValues": "meter", "StatusNotification": "status"},
        noted=messages.NOTED,
        ours=frozenset(commands.COMMANDS),
    )

    # ---------------------------------------------------------------------------------------- from a station

    def _meaning(self, charger: str, request: Payload, now_ms: int) -> Inbound:
        match request:  # in the order of how often they come
            case messages.TransactionEvent():
                return self._event(charger, request)
            case messages.MeterValues():
                return self._meter_values(charger, request)
            case messages.Heartbeat():
                return Direct(payload=self._alive(now_ms, messages.HeartbeatResponse))
            case messages.StatusNotification():
                return self._status(charger, request)
            case messages.Authorize():
                return self._authorize(charger, request)
            case messages.BootNotification():
                return self._boot(charger, request, now_ms)
            case messages.NotifyEvent():
                return self._notified(charger, request)
            case messages.SecurityEventNotification():
                return self._event_noted(charger, "SecurityEventNotification", request.type)
            case messages.DataTransfer():
                return Direct(payload=self._noted("DataTransfer"))
        raise AssertionError(request)

    def inbound(self, charger: str, action: str, payload: msgspec.Raw, now_ms: int) -> Inbound:
        """Return what a station's call means; see `Dialect`."""
        if self.tables.requests.get(action) is messages.Noted:
            return Direct(payload=self._noted(action))
        return super().inbound(charger, action, payload, now_ms)

    def _event(self, charger: str, request: messages.TransactionEvent) -> Inbound:
        step = word(request.event_type)
        if step not in _STEPS or not request.transaction_info.transaction_id.strip():
            reason = "eventType:unknown" if step not in _STEPS else "transactionInfo.transactionId:missing"
            return self.unreadable(charger, "TransactionEvent", encode(request), reason)
        samples, notes = readings.samples(request.meter_value)
        told, tag = request.transaction_info, request.id_token
        told_tag = tag.id_token if tag is not None and word(tag.type) != _NO_TAG else ""
        event = TransactionEvent(
            charger=charger,
            transaction=told.transaction_id.strip(),
            step=step,
            number=request.seq_no if (request.seq_no or 0) >= 0 else None,
            at=stamp(request.timestamp),
            trigger=request.trigger_reason,
            offline=request.offline,
            evse=request.evse.id if request.evse is not None else None,
            connector=request.evse.connector_id if request.evse is not None else None,
            phase=_PHASES.get(word(told.charging_state or "")),
            tag_ref=self._ref(told_tag),
            minted=minted(told_tag),
            remote_start=told.remote_start_id,
            reason=told.stopped_reason or "",
            samples=samples,
        )
        return ToCore(inputs=(event,), render=self._render_event, repeatable=True, violations=notes)

    def _render_event(self, reply: core.Reply) -> bytes:
        if not isinstance(reply, core.StopReply) or reply.status is None:
            return self._noted("TransactionEvent")
        judged = messages.IdTokenInfo(JUDGED[reply.status])
        return self._once("TransactionEvent", reply.status, lambda: messages.TransactionEventResponse(judged))

    def _meter_values(self, charger: str, request: messages.MeterValues) -> Inbound:
        samples, notes = readings.samples(request.meter_value)
        # no EVSE told: the station's own, whose values count for nobody's session
        reported = core.MeterReported(charger=charger, evse=request.evse_id or 0, samples=samples)
        render = self._acknowledging("MeterValues")
        return ToCore(inputs=(reported,), render=render, repeatable=True, violations=notes)

    def _status(self, charger: str, request: messages.StatusNotification) -> Inbound:
        availability = _AVAILABILITY.get(word(request.connector_status))
        if availability is None:
            return self.unreadable(charger, "StatusNotification", encode(request), "status:unknown")
        reported = AvailabilityReported(
            charger=charger,
            evse=request.evse_id,
            connector=request.connector_id,
            availability=availability,
            reported_at=request.timestamp,
        )
        return ToCore(inputs=(reported,), render=self._acknowledging("StatusNotification"))

    def _notified(self, charger: str, request: messages.NotifyEvent) -> Inbound:
        """Take what stands for a StatusNotification (quirk 104); the rest is noted."""
        found = []
        for event in request.event_data:
            where, availability = event.component.evse, _AVAILABILITY.get(word(event.actual_value))
            told = word(event.variable.name) == _STATE_VARIABLE
            if not told or word(event.component.name) not in _STATE_COMPONENTS:
                continue
            if where is not None and where.connector_id is not None and availability is not None:
                found.append(
                    AvailabilityReported(
                        charger=charger,
                        evse=where.id,
                        connector=where.connector_id,
                        availability=availability,
                        reported_at=event.timestamp,
                    )
                )
        if not found:
            return Direct(payload=self._noted("NotifyEvent"))
        return ToCore(inputs=tuple(found), render=self._acknowledging("NotifyEvent"))

    def _authorize(self, charger: str, request: messages.Authorize) -> Inbound:
        def render(reply: core.Reply) -> bytes:
            assert isinstance(reply, core.AuthorizeReply)
            judged = messages.IdTokenInfo(JUDGED[reply.status])
            return self._once("Authorize", reply.status, lambda: messages.AuthorizeResponse(judged))

        tag = request.id_token.id_token
        asked = core.AuthorizeAsked(charger=charger, tag_ref=self._ref(tag) or "", minted=minted(tag))
        return ToCore(inputs=(asked,), render=render)

    def _boot(self, charger: str, request: messages.BootNotification, now_ms: int) -> Inbound:
        def render(reply: core.Reply) -> bytes:
            # an adopted station is always accepted; what the core says of a boot has no other word (quirk 38)
            assert isinstance(reply, core.BootReply)
            answer = messages.BootNotificationResponse(told_time(now_ms), self.heartbeat_s, "Accepted")
            return self._checked("BootNotification", answer)

        station = request.charging_station
        firmware = station.firmware_version or ""
        booted = core.Booted(
            charger=charger,
            vendor=station.vendor_name,
            model=station.model,
            serial=station.serial_number or "",
            firmware=firmware,
            traits=traits_for(station.vendor_name, station.model, firmware),
        )
        return ToCore(inputs=(booted,), render=render)

    # ---------------------------------------------------------------------------------------- to a station

    def _request(self, action: core.Action) -> Payload:
        return commands.request_for(action)

    def _reply(self, action: core.Action, payload: msgspec.Raw) -> Answer:
        return commands.meaning(action, payload)

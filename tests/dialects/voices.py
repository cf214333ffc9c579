"""Charging stations in each version's words, for the suite that every dialect has to pass.

A `Voice` tells the same story of one charger in its own messages: its calls go through the dialect into the
real core, the core's replies and requests come back as payloads, and every one of ours is held against the
`ocpp` package's own schema of the version. No socket, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from ocpp.messages import MessageType, get_validator

from common.domain import iso
from edge.chargers.dialect import CannotDo, Dialect, Direct, ToCore
from edge.chargers.frames import Result
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.ocpp201.dialect import Ocpp201
from edge.core import inputs
from tests.chargers.site import tag_ref
from tests.core.world import SECOND, Site

Payload = dict[str, Any]


class Voice:
    """One charger, CP1, on a site of its own."""

    dialect: Dialect
    version: ClassVar[str]
    #: What it calls its own transaction messages and one that no charger sends.
    kept: ClassVar[dict[str, str]]

    def __init__(self) -> None:
        self.site = Site()
        self.replies: dict[str, bytes] = {}
        self.transaction = ""

    # --- both directions -------------------------------------------------------------------------------

    def call(self, action: str, payload: Payload) -> Payload:
        """A call of the charger's; returns our answer. Fails if it was refused."""
        self.site.now += SECOND
        return self.say(action, payload)

    def say(self, action: str, payload: Payload) -> Payload:
        """As `call`, at the same time as what came before."""
        raw = msgspec.Raw(json.dumps(payload).encode())
        found = self.dialect.inbound("CP1", action, raw, self.site.now)
        assert not isinstance(found, CannotDo), found
        reply: inputs.Reply | None = None
        for given in found.inputs:
            reply = self.site.feed(given).reply
        if isinstance(found, Direct):
            answer = found.payload
        else:
            assert isinstance(found, ToCore)
            assert reply is not None
            key = getattr(reply, "key", "")
            stored = self.replies.get(key) if getattr(reply, "replay", False) else None
            answer = stored or found.render(reply)
            if key:
                self.replies[key] = answer
        told: Payload = json.loads(answer)
        get_validator(MessageType.CallResult, action, self.version).validate(told)
        return told

    def asked(self, request: inputs.Request) -> tuple[str, Payload]:
        """Our call that carries a request out."""
        call = self.dialect.outbound(request.action)
        payload: Payload = json.loads(call.payload)
        get_validator(MessageType.Call, call.action, self.version).validate(payload)
        return call.action, payload

    def answers(self, request: inputs.Request, payload: Payload) -> inputs.CallEnded:
        """The charger's answer to it, fed back into the core."""
        result = Result("m", msgspec.Raw(json.dumps(payload).encode()))
        answer = self.dialect.answer(request.action, result)
        ended = inputs.CallEnded(
            charger="CP1",
            request=request.id,
            command=request.command,
            answer=answer.answer,
            detail=answer.detail,
            result=answer.result,
        )
        self.site.feed(ended)
        return ended

    def connect(self) -> None:
        self.site.feed(
            inputs.StationConnected(
                charger="CP1", protocol=self.dialect.subprotocol, each=self.dialect.asks_each
            )
        )

    def now(self) -> str:
        return iso(self.site.now)

    # --- the story, in each version's words ------------------------------------------------------------

    def boot(self) -> Payload:
        raise NotImplementedError

    def status(self, word: str, evse: int = 1) -> None:
        """available | plugged | finishing | unavailable | faulted, as far as the version says it so."""
        raise NotImplementedError

    def authorize(self, tag: str) -> str:
        raise NotImplementedError

    def begin(self, tag: str, wh: int, evse: int = 1) -> Payload:
        """A session starts, energy begins to flow."""
        raise NotImplementedError

    def sample(self, wh: int, power_w: int = 7000) -> None:
        raise NotImplementedError

    def end(self, wh: int, reason: str = "Local") -> Payload:
        raise NotImplementedError

    def judged(self, answer: Payload) -> str:
        """The judgement in our answer to a start."""
        raise NotImplementedError

    def up(self, evses: int = 1) -> Voice:
        self.connect()
        self.boot()
        for evse in range(1, evses + 1):
            self.status("available", evse)
        return self

    def register(self, wh: int, context: str = "Sample.Periodic", more: Mapping[str, int] = {}) -> Payload:
        """A meter value as the version writes it."""
        raise NotImplementedError


class Voice16(Voice):
    version = "1.6"
    kept: ClassVar = {"StartTransaction": "start", "StopTransaction": "stop", "MeterValues": "meter"}

    def __init__(self) -> None:
        super().__init__()
        self.dialect = Ocpp16(tag_ref)
        self._evse = 1
        self.number = 0

    def boot(self) -> Payload:
        return self.call("BootNotification", {"chargePointVendor": "ACME", "chargePointModel": "Wallbox"})

    def status(self, word: str, evse: int = 1) -> None:
        names = {"plugged": "Preparing"}
        told = {"connectorId": evse, "errorCode": "NoError", "status": names.get(word, word.capitalize())}
        self.call("StatusNotification", told | {"timestamp": self.now()})

    def authorize(self, tag: str) -> str:
        return str(self.call("Authorize", {"idTag": tag})["idTagInfo"]["status"])

    def begin(self, tag: str, wh: int, evse: int = 1) -> Payload:
        self._evse = evse
        start = {"connectorId": evse, "idTag": tag, "meterStart": wh, "timestamp": self.now()}
        answer = self.call("StartTransaction", start)
        self.number = answer["transactionId"]
        self.transaction = str(self.number)
        self.status("charging", evse)
        return answer

    def judged(self, answer: Payload) -> str:
        return str(answer["idTagInfo"]["status"])

    def register(self, wh: int, context: str = "Sample.Periodic", more: Mapping[str, int] = {}) -> Payload:
        values = [{"value": str(wh), "context": context, "unit": "Wh"}]
        values += [{"value": str(v), "measurand": m, "context": context} for m, v in more.items()]
        return {"timestamp": self.now(), "sampledValue": values}

    def sample(self, wh: int, power_w: int = 7000) -> None:
        value = self.register(wh, more={"Power.Active.Import": power_w})
        told = {"connectorId": self._evse, "transactionId": self.number, "meterValue": [value]}
        self.call("MeterValues", told)

    def end(self, wh: int, reason: str = "Local") -> Payload:
        stop = {"transactionId": self.number, "meterStop": wh, "timestamp": self.now(), "reason": reason}
        answer = self.call("StopTransaction", stop)
        self.status("finishing", self._evse)
        return answer


class Voice201(Voice):
    version = "2.0.1"
    kept: ClassVar = {"TransactionEvent": "event", "MeterValues": "meter"}
    words: ClassVar = {"plugged": "Occupied", "finishing": "Occupied"}

    def __init__(self) -> None:
        super().__init__()
        self.dialect = Ocpp201(tag_ref)
        self.number = 0
        self.count = 0

    def boot(self) -> Payload:
        station = {"vendorName": "ACME", "model": "Wallbox"}
        return self.call("BootNotification", {"reason": "PowerUp", "chargingStation": station})

    def status(self, word: str, evse: int = 1) -> None:
        told = {"evseId": evse, "connectorId": 1, "connectorStatus": self.words.get(word, word.capitalize())}
        self.call("StatusNotification", told | {"timestamp": self.now()})

    def authorize(self, tag: str) -> str:
        token = {"idToken": tag, "type": "ISO14443"}
        return str(self.call("Authorize", {"idToken": token})["idTokenInfo"]["status"])

    def event(self, kind: str, trigger: str, *, state: str = "", **more: Any) -> Payload:
        info: Payload = {"transactionId": self.transaction}
        if state:
            info["chargingState"] = state
        info |= more.pop("info", {})
        event = {
            "eventType": kind,
            "timestamp": self.now(),
            "triggerReason": trigger,
            "seqNo": self.number,
            "transactionInfo": info,
        }
        self.number += 1
        return self.call("TransactionEvent", event | more)

    def begin(self, tag: str, wh: int, evse: int = 1) -> Payload:
        self.count += 1
        self.transaction, self.number = f"tx-{self.count}", 0
        answer = self.event(
            "Started",
            "Authorized",
            state="EVConnected",
            evse={"id": evse, "connectorId": 1},
            idToken={"idToken": tag, "type": "ISO14443"},
            meterValue=[self.register(wh, "Transaction.Begin")],
        )
        self.event("Updated", "ChargingStateChanged", state="Charging")
        return answer

    def judged(self, answer: Payload) -> str:
        return str(answer["idTokenInfo"]["status"])

    def register(self, wh: int, context: str = "Sample.Periodic", more: Mapping[str, int] = {}) -> Payload:
        values: list[Payload] = [{"value": wh, "context": context, "unitOfMeasure": {"unit": "Wh"}}]
        values += [{"value": v, "measurand": m, "context": context} for m, v in more.items()]
        return {"timestamp": self.now(), "sampledValue": values}

    def sample(self, wh: int, power_w: int = 7000) -> None:
        value = self.register(wh, more={"Power.Active.Import": power_w})
        self.event("Updated", "MeterValuePeriodic", meterValue=[value])

    def end(self, wh: int, reason: str = "Local") -> Payload:
        return self.event(
            "Ended",
            "StopAuthorized",
            state="EVConnected",
            info={"stoppedReason": reason},
            meterValue=[self.register(wh, "Transaction.End")],
        )

"""2.0.1 stations for the end-to-end tests: `ocpp-rpc` with its own schemas, and the `ocpp` package's role."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from ocpp.routing import after, on
from ocpp.v201 import ChargePoint, call, call_result, enums
from websockets.asyncio.client import ClientConnection

from tests.e2e.chargers import NpmCharger, now
from tests.e2e.redialling import Obeying, Redialling


def station(
    url: str, identity: str, *, sample_ms: int = 100, sample_wh: int = 137, start_point: str = "tap"
) -> NpmCharger:
    """`ocpp-rpc` as a 2.0.1 station: clients/station.mjs."""
    return NpmCharger("station.mjs", url, identity, sample_ms, sample_wh, start_point)


_ACCEPTED: Final = enums.RequestStartStopStatusEnumType.accepted
_REJECTED: Final = enums.RequestStartStopStatusEnumType.rejected


class _Role(Obeying, ChargePoint):
    """The `ocpp` package's 2.0.1 charger role: what it answers."""

    def __init__(self, owner: PackageStation, socket: ClientConnection) -> None:
        super().__init__(owner.identity, socket)
        self._owner = owner

    @on(enums.Action.request_start_transaction)
    def on_start(self, id_token: dict[str, str], remote_start_id: int, **_: Any) -> Any:
        if not self._owner.plugged or self._owner.transaction is not None:
            return call_result.RequestStartTransaction(_REJECTED)
        self.then = lambda: self._owner.begin(id_token, remote_start_id)
        return call_result.RequestStartTransaction(_ACCEPTED)

    @on(enums.Action.request_stop_transaction)
    def on_stop(self, transaction_id: str) -> Any:
        if self._owner.transaction != transaction_id:
            return call_result.RequestStopTransaction(_REJECTED)
        self.then = lambda: self._owner.end("Remote", "RemoteStop")
        return call_result.RequestStopTransaction(_ACCEPTED)

    @after(enums.Action.request_start_transaction)
    def start_answered(self, **_: Any) -> None:
        self.answered()

    @after(enums.Action.request_stop_transaction)
    def stop_answered(self, **_: Any) -> None:
        self.answered()

    @on(enums.Action.get_variables)
    def on_get(self, get_variable_data: list[dict[str, Any]]) -> Any:
        told = [one | {"attribute_status": "UnknownVariable"} for one in get_variable_data]
        return call_result.GetVariables(get_variable_result=told)

    @on(enums.Action.set_variables)
    def on_set(self, set_variable_data: list[dict[str, Any]]) -> Any:
        told = [
            {"attribute_status": "Accepted", "component": one["component"], "variable": one["variable"]}
            for one in set_variable_data
        ]
        return call_result.SetVariables(set_variable_result=told)

    @on(enums.Action.get_transaction_status)
    def on_transaction_status(self, transaction_id: str | None = None) -> Any:
        ongoing = self._owner.transaction == transaction_id
        return call_result.GetTransactionStatus(
            messages_in_queue=not self._owner.idle, ongoing_indicator=ongoing
        )

    @on(enums.Action.trigger_message)
    def on_trigger(self, **_: Any) -> Any:
        return call_result.TriggerMessage(enums.TriggerMessageStatusEnumType.rejected)


class PackageStation(Redialling):
    """The package's station with what it lacks: it redials, boots each time, numbers its events and repeats
    what got no answer, in order, marked as told offline. `draw` lets energy through its meter."""

    def __init__(self, url: str, identity: str) -> None:
        super().__init__(f"{url}/{identity}", "ocpp2.0.1")  # whatever compression the box agrees to
        self.identity = identity
        self.plugged = False
        self.boots = 0
        self.transaction: str | None = None
        self.register_wh = 77_000
        self.finished: list[tuple[str, int, int]] = []  #: (transaction, start_wh, stop_wh) as delivered
        self.drop_next = False
        self._start_wh = 0
        self._number = 0
        self._count = 0
        self._queue: deque[tuple[Any, tuple[str, int, int] | None]] = deque()
        self._work = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether everything it had to say was answered."""
        return not self._queue

    def _role(self, socket: ClientConnection) -> _Role:
        return _Role(self, socket)

    async def _deliver(self, role: ChargePoint) -> None:
        about = {"vendor_name": "Package", "model": "Role 2", "serial_number": self.identity}
        await role.call(call.BootNotification(about, enums.BootReasonEnumType.power_up), suppress=False)
        status = "Occupied" if self.plugged or self.transaction else "Available"
        await role.call(call.StatusNotification(now(), status, 1, 1), suppress=False)
        self.boots += 1
        self.online = True
        self._changed.set()
        while True:
            while self._queue:
                message, finished = self._queue[0]
                await role.call(message, suppress=False)
                self._queue.popleft()  # answered: only now does it leave
                if finished is not None:
                    self.finished.append(finished)
                self._changed.set()
            self._work.clear()
            await self._work.wait()

    def _send(self, message: Any, finished: tuple[str, int, int] | None = None) -> None:
        self._queue.append((message, finished))
        self._work.set()

    def _tell(self, kind: str, trigger: str, context: str, info: dict[str, Any], **more: Any) -> Any:
        value = {"value": self.register_wh, "context": context, "unit_of_measure": {"unit": "Wh"}}
        event = call.TransactionEvent(
            event_type=kind,
            timestamp=now(),
            trigger_reason=trigger,
            seq_no=self._number,
            transaction_info={"transaction_id": self.transaction} | info,
            meter_value=[{"timestamp": now(), "sampled_value": [value]}],
            offline=None if self.online else True,
            **more,
        )
        self._number += 1
        return event

    def plug(self) -> None:
        self.plugged = True
        self._send(call.StatusNotification(now(), "Occupied", 1, 1))

    def begin(self, token: dict[str, str], remote_start_id: int | None = None) -> None:
        self._count += 1
        self.transaction, self._number = f"{self.identity}-{self._count}", 0
        self._start_wh = self.register_wh
        info = {"charging_state": "Charging"}
        if remote_start_id is not None:
            info |= {"remote_start_id": remote_start_id}  # type: ignore[dict-item]
        trigger = "RemoteStart" if remote_start_id is not None else "Authorized"
        where = {"id": 1}  # without a connector, which a station may leave out
        self._send(self._tell("Started", trigger, "Transaction.Begin", info, evse=where, id_token=token))

    def draw(self, energy_wh: int) -> None:
        """Energy goes through the meter, and an event tells so, unless it is to be lost."""
        self.register_wh += energy_wh
        event = self._tell("Updated", "MeterValuePeriodic", "Sample.Periodic", {})
        if self.drop_next:
            self.drop_next = False
        else:
            self._send(event)

    def end(self, reason: str, trigger: str) -> None:
        assert self.transaction is not None
        info = {"charging_state": "EVConnected", "stopped_reason": reason}
        message = self._tell("Ended", trigger, "Transaction.End", info)
        finished = (self.transaction, self._start_wh, self.register_wh)
        self.transaction = None
        self._send(message, finished)

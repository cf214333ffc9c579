"""A simulated OCPP 1.6J charger: it has its own meter, keeps what it cannot deliver, and redials.

It stands in for hardware in the demo and the benchmarks and behaves as the specification asks: transaction
messages queue while the link is down and are delivered in order afterwards, one call is outstanding at a
time, and a call that got no answer is sent again with a new message id.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from common.domain import iso
from common.ports import Clock, Ids
from edge.demo.car import Car
from edge.demo.profiles import PHASE_V, PHASES, Memory

log = logging.getLogger("plugside.demo.charger")

CALL_TIMEOUT_S = 10.0
#: What it can give on each of its three phases: 11 kW.
MOST_A = 16.0
REDIAL_S = 0.3  #: real chargers take seconds; a demo should not keep a person waiting


class Transaction(msgspec.Struct):
    """One charge. `number` is None until the central system has answered the start."""

    tag: str
    start_wh: int
    number: int | None = None
    stop_asked: str | None = None


class _Queued(msgspec.Struct):
    action: str
    payload: dict[str, Any]
    transaction: Transaction | None = None


class SimulatedCharger:
    """One charger with one connector and one car that comes and goes.

    `pace` = simulated seconds for each real one: the meter runs faster, the messages do not lie about time.
    """

    def __init__(
        self,
        url: str,
        identity: str,
        *,
        clock: Clock,
        ids: Ids,
        pace: float = 1.0,
        sample_s: float = 2.0,
        vendor: str = "Plugside",
        model: str = "Simulated 11",
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.identity = identity
        self.status = "Available"
        self.register_wh = 1_204_300.0
        self.power_w = 0.0
        self.car: Car | None = None
        self.online = False
        self.transaction: Transaction | None = None
        self.memory = Memory()
        self.finished: list[tuple[int, int]] = []  #: (start_wh, stop_wh) of every ended charge
        self._url = f"{url.rstrip('/')}/{identity}"
        self._clock, self._ids = clock, ids
        self._pace, self._sample_s = pace, sample_s
        self._vendor, self._model = vendor, model
        self._queue: deque[_Queued] = deque()
        self._work = asyncio.Event()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._socket: ClientConnection | None = None
        self._dial = asyncio.Event()
        self._dial.set()
        self.on_change = on_change or (lambda: None)

    # --- what a person can do ----------------------------------------------------------------------------

    def plug_in(self, car: Car | None = None) -> None:
        """A car arrives."""
        self.car = car or Car()
        self._become("Preparing")

    def unplug(self) -> None:
        """The car leaves; a running charge ends with it."""
        if self.transaction is not None:
            self._end("EVDisconnected")
        self.car = None
        self._become("Available")

    def tap(self, tag: str) -> None:
        """A tag is held to the reader: start, or stop what runs."""
        if self.transaction is not None:
            self._end("Local")
        elif self.car is not None:
            self._begin(tag)

    async def cut_link(self) -> None:
        """The network between charger and box goes away until `mend_link`."""
        self._dial.clear()
        if self._socket is not None:
            self._socket.transport.abort()  # no close frame: a cable was pulled

    def mend_link(self) -> None:
        """The network is back."""
        self._dial.set()

    # --- life --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Dial, serve, meter; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._meter())
            tasks.create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        while True:
            await self._dial.wait()
            try:
                async with connect(
                    self._url, subprotocols=[Subprotocol("ocpp1.6")], compression=None, open_timeout=5
                ) as socket:
                    await self._serve(socket)
            except* (OSError, WebSocketException, TimeoutError) as gone:
                log.debug("%s: %s", self.identity, gone.exceptions[0])
            finally:
                self.online, self._socket = False, None
                self.on_change()
            await asyncio.sleep(REDIAL_S)

    async def _serve(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.online = True
        self.on_change()
        async with asyncio.TaskGroup() as tasks:
            sender = tasks.create_task(self._send_queue(socket))
            try:
                async for frame in socket:
                    await self._handle(socket, json.loads(frame))
            finally:
                sender.cancel()
                for waiting in self._answers.values():
                    waiting.cancel()
                self._answers.clear()

    async def _send_queue(self, socket: ClientConnection) -> None:
        boot = {"chargePointVendor": self._vendor, "chargePointModel": self._model}
        serial = {"chargePointSerialNumber": f"SIM-{self.identity}", "firmwareVersion": "1.0.0"}
        await self._call(socket, "BootNotification", boot | serial)
        await self._call(socket, "StatusNotification", self._status_payload())
        while True:
            while self._queue:
                item = self._queue[0]
                if item.transaction is not None and item.action != "StartTransaction":
                    item.payload["transactionId"] = item.transaction.number or -1
                answer = await self._call(socket, item.action, item.payload)
                # Only what was answered leaves the queue (OCPP 1.6 §3.7): the start is the one with an id.
                self._queue.popleft()
                if item.action == "StartTransaction" and item.transaction is not None:
                    item.transaction.number = answer["transactionId"]
                    self._started(item.transaction, answer)
            self._work.clear()
            await self._work.wait()

    async def _call(self, socket: ClientConnection, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        while True:
            message_id = self._ids.uid()
            answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            self._answers[message_id] = answer
            await socket.send(json.dumps([2, message_id, action, payload], separators=(",", ":")))
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    return await answer
            except TimeoutError:
                self._answers.pop(message_id, None)

    async def _handle(self, socket: ClientConnection, frame: list[Any]) -> None:
        if frame[0] == 3:
            answer = self._answers.pop(frame[1], None)
            if answer is not None and not answer.done():
                answer.set_result(frame[2])
        elif frame[0] == 2:
            payload, then = self._obey(frame[2], frame[3])
            await socket.send(json.dumps([3, frame[1], payload], separators=(",", ":")))
            if then is not None:
                then()

    # --- what the central system asks --------------------------------------------------------------------

    def _obey(self, action: str, asked: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], None] | None]:
        """The answer, and what to do once it is sent."""
        if action == "RemoteStartTransaction":
            if self.transaction is not None or self.car is None:
                return {"status": "Rejected"}, None
            return {"status": "Accepted"}, lambda: self._begin(asked["idTag"])
        if action == "RemoteStopTransaction":
            running = self.transaction
            if running is None or running.number != asked["transactionId"]:
                return {"status": "Rejected"}, None
            return {"status": "Accepted"}, lambda: self._end("Remote")
        if action == "UnlockConnector":
            return {"status": "Unlocked"}, (lambda: self._end("UnlockCommand")) if self.transaction else None
        if action == "TriggerMessage" and asked["requestedMessage"] == "StatusNotification":
            return {"status": "Accepted"}, lambda: self._become(self.status)
        kept = self._remember(action, asked)
        if kept is not None:
            return kept, None
        known = {"ChangeAvailability": "Accepted", "ClearCache": "Accepted"}
        return {"status": known.get(action, "Rejected")}, None

    def _remember(self, action: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to what concerns settings and profiles; None for anything else."""
        running = self.transaction.number if self.transaction is not None else None
        match action:
            case "GetConfiguration":
                return self.memory.read(asked)
            case "ChangeConfiguration":
                return self.memory.write(asked)
            case "SetChargingProfile":
                return self.memory.put(asked, running)
            case "ClearChargingProfile":
                return self.memory.clear(asked)
            case "GetCompositeSchedule":
                return self.memory.composite(asked, MOST_A, self._now(), self._clock.now_ms())
        return None

    @property
    def offered_a(self) -> float:
        """What it may give now on each phase, by all the profiles that it has been sent."""
        return self.memory.limit_a(MOST_A, self._clock.now_ms())

    # --- the charge --------------------------------------------------------------------------------------

    def _begin(self, tag: str) -> None:
        if self.car is None or self.transaction is not None:
            return
        self.transaction = Transaction(tag=tag, start_wh=round(self.register_wh))
        payload = {
            "connectorId": 1,
            "idTag": tag,
            "meterStart": self.transaction.start_wh,
            "timestamp": self._now(),
        }
        self._enqueue("StartTransaction", payload, self.transaction)

    def _started(self, transaction: Transaction, answer: dict[str, Any]) -> None:
        if self.transaction is not transaction:
            return  # it has ended while the start was still waiting to be delivered
        if answer["idTagInfo"]["status"] != "Accepted":
            self._end("DeAuthorized")
            return
        self._become("Charging")

    def _end(self, reason: str) -> None:
        running, self.transaction = self.transaction, None
        if running is None:
            return
        stop_wh = round(self.register_wh)
        self.power_w = 0.0
        self.memory.session_over()
        self.finished.append((running.start_wh, stop_wh))
        payload = {"meterStop": stop_wh, "timestamp": self._now(), "reason": reason}
        self._enqueue("StopTransaction", payload, running)
        self._become("Finishing")

    async def _meter(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(self._sample_s)
            now = loop.time()
            elapsed_s, before = (now - before) * self._pace, now
            if self.transaction is None or self.car is None:
                continue
            # A car pauses below 6 A (IEC 61851-1).
            offered_w = self.offered_a * PHASE_V * PHASES if self.offered_a >= 6 else 0.0
            self.power_w = self.car.power_w(offered_w)
            self.register_wh += self.car.draw(offered_w, elapsed_s)
            self._enqueue("MeterValues", self._sample(), self.transaction)
            if self.status == "Charging" and self.power_w == 0.0:
                self._become("SuspendedEV")
            self.on_change()

    def _sample(self) -> dict[str, Any]:
        assert self.car is not None
        values = [
            ("Energy.Active.Import.Register", "Wh", f"{round(self.register_wh)}"),
            ("Power.Active.Import", "W", f"{self.power_w:.0f}"),
            ("Current.Offered", "A", f"{self.offered_a:.1f}"),
            ("SoC", "Percent", f"{self.car.soc * 100:.0f}"),
        ]
        sampled = [{"measurand": m, "unit": u, "value": v} for m, u, v in values]
        current = f"{self.power_w / PHASE_V / PHASES:.1f}"
        sampled += [
            {"measurand": "Current.Import", "unit": "A", "phase": phase, "value": current}
            for phase in ("L1", "L2", "L3")
        ]
        return {"connectorId": 1, "meterValue": [{"timestamp": self._now(), "sampledValue": sampled}]}

    def _become(self, status: str) -> None:
        self.status = status
        self._enqueue("StatusNotification", self._status_payload())
        self.on_change()

    def _status_payload(self) -> dict[str, Any]:
        return {"connectorId": 1, "errorCode": "NoError", "status": self.status, "timestamp": self._now()}

    def _enqueue(self, action: str, payload: dict[str, Any], transaction: Transaction | None = None) -> None:
        if action == "StatusNotification":
            # While offline only the present status is worth keeping (OCPP 1.6 §4.9).
            self._queue = deque(q for q in self._queue if q.action != action or q is self._first())
        self._queue.append(_Queued(action, payload, transaction))
        self._work.set()

    def _first(self) -> _Queued | None:
        # The head may be in flight; it is taken out by its answer only.
        return self._queue[0] if self._queue and self.online else None

    def _now(self) -> str:
        return iso(self._clock.now_ms())

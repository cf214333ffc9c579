"""Chargers for the end-to-end tests: two from npm, one on the `ocpp` package, one that is raw wire.

The first three (clients/*.mjs, `PackageCharger`) were not written here: each has its own mind.
`WireCharger` sends exactly what a test says, right or wrong, and counts what it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import (
    Action,
    AvailabilityStatus,
    ChargePointErrorCode,
    ChargePointStatus,
    ConfigurationStatus,
    Reason,
    RemoteStartStopStatus,
    TriggerMessageStatus,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State
from websockets.typing import Subprotocol

from common.clock import SystemClock, SystemIds
from common.domain import iso
from tests.e2e.redialling import PATIENCE_S, Obeying, Redialling

CLIENTS = Path(__file__).parent / "clients"

logging.getLogger("ocpp").setLevel(logging.WARNING)

Event = dict[str, Any]

#: The package checks an answer in a thread; so long a stop waits for that of its start, which came before it.
#: The box waits 30 s for the stop's own.
CHECKED_S = 15.0


class Stamps:
    """Times that are never the same: a sample is known by its time, and a quick disk answers within one."""

    def __init__(self) -> None:
        self._told_ms = 0

    def __call__(self) -> str:
        self._told_ms = max(self._told_ms + 1, SystemClock().now_ms())
        return iso(self._told_ms)


#: The time as a charger writes it.
now: Final = Stamps()


class NpmCharger:
    """A charger program of clients/, steered over its stdin and heard over its stdout."""

    def __init__(self, script: str, url: str, identity: str, *options: object) -> None:
        self.identity = identity
        self.under: tuple[str, ...] = ()  #: a program that becomes it, with its arguments
        self.events: list[Event] = []
        self._command = [script, url, identity, *map(str, options)]
        self._more = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> NpmCharger:
        node = Path(sys.executable).with_name("node")
        self._process = await asyncio.create_subprocess_exec(
            *self.under,
            str(node),
            *self._command,
            cwd=CLIENTS,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._listening = asyncio.get_running_loop().create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.returncode is None:
            self._process.stdin.close()  # the program ends with us
            try:
                async with asyncio.timeout(3):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "said", "text": line.decode(errors="replace").rstrip()}
            self.events.append(event)
            self._more.set()
        self.events.append({"event": "exit"})
        self._more.set()

    async def tell(self, do: str, **more: object) -> None:
        """Steer it: plug, tap, unplug, quit."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        await self._process.stdin.drain()

    def of(self, event: str, **like: object) -> list[Event]:
        """What it reported so far under this name and with these values."""
        return [e for e in self.events if e["event"] == event and all(e.get(k) == v for k, v in like.items())]

    async def heard(
        self, event: str, number: int = 1, *, patience_s: float = PATIENCE_S, **like: object
    ) -> Event:
        """Wait for the report that comes as the given one of its kind."""
        try:
            async with asyncio.timeout(patience_s):
                while len(found := self.of(event, **like)) < number:
                    assert not self.of("exit"), f"{self.identity} ended: {self._last()}"
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{self.identity} never said {event} {like}: {self._last()}") from None
        return found[number - 1]

    def _last(self) -> str:
        return "\n".join(json.dumps(event) for event in self.events[-12:])


def rpc(
    url: str, identity: str, *, sample_ms: int = 100, sample_wh: int = 137, patience_ms: int = 30_000
) -> NpmCharger:
    """`ocpp-rpc`: strict about every frame, queues and redials; no BootNotification after a lost socket.

    patience_ms: after how long without an answer it says the same again.
    """
    return NpmCharger("session.mjs", url, identity, sample_ms, sample_wh, patience_ms)


def ts(url: str, identity: str) -> NpmCharger:
    """`ocpp-ts`: obeys one remote start and one remote stop; neither queues nor redials."""
    return NpmCharger("remote.mjs", url, identity)


class _Role(Obeying, ChargePoint):
    """The `ocpp` package's charger role: what it answers."""

    def __init__(self, owner: PackageCharger, socket: ClientConnection) -> None:
        super().__init__(owner.identity, socket)
        self._owner = owner

    @on(Action.remote_start_transaction)
    def on_start(self, id_tag: str, **_: Any) -> call_result.RemoteStartTransaction:
        if not self._owner.plugged or self._owner.transaction is not None:
            return call_result.RemoteStartTransaction(RemoteStartStopStatus.rejected)
        self.then = lambda: self._owner.begin(id_tag)
        return call_result.RemoteStartTransaction(RemoteStartStopStatus.accepted)

    @on(Action.remote_stop_transaction)
    async def on_stop(self, transaction_id: int) -> call_result.RemoteStopTransaction:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECKED_S):
                await self._owner.until(lambda: self._owner.transaction != -1)
        if self._owner.transaction != transaction_id:
            return call_result.RemoteStopTransaction(RemoteStartStopStatus.rejected)
        self.then = lambda: self._owner.end(Reason.remote)
        return call_result.RemoteStopTransaction(RemoteStartStopStatus.accepted)

    @after(Action.remote_start_transaction)
    def start_answered(self, **_: Any) -> None:
        self.answered()

    @after(Action.remote_stop_transaction)
    def stop_answered(self, **_: Any) -> None:
        self.answered()

    @on(Action.get_configuration)
    def on_get(self, key: list[str] | None = None) -> call_result.GetConfiguration:
        return call_result.GetConfiguration(configuration_key=[], unknown_key=key or [])

    @on(Action.change_configuration)
    def on_change(self, key: str, value: str) -> call_result.ChangeConfiguration:
        return call_result.ChangeConfiguration(ConfigurationStatus.accepted)

    @on(Action.change_availability)
    def on_availability(self, **_: Any) -> call_result.ChangeAvailability:
        return call_result.ChangeAvailability(AvailabilityStatus.accepted)

    @on(Action.trigger_message)
    def on_trigger(self, **_: Any) -> call_result.TriggerMessage:
        return call_result.TriggerMessage(TriggerMessageStatus.not_implemented)


class PackageCharger(Redialling):
    """The `ocpp` package's charger with what it lacks: it redials, boots each time, and repeats what got no
    answer, in order. Its register runs by `draw`, so a test says what it counts."""

    def __init__(self, url: str, identity: str) -> None:
        super().__init__(f"{url}/{identity}", "ocpp1.6", compression=None)
        self.identity = identity
        self.plugged = False
        self.boots = 0
        self.transaction: int | None = None  #: -1 while the start has no answer yet
        self.finished: list[tuple[int, int, int]] = []  #: (transaction, start_wh, stop_wh) as delivered
        self.register_wh = 310_000
        self._start_wh = 0
        self._queue: deque[Callable[[], Any]] = deque()
        self._then: deque[Callable[[Any], None]] = deque()
        self._work = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether everything it had to say was answered."""
        return not self._queue

    def _role(self, socket: ClientConnection) -> _Role:
        return _Role(self, socket)

    async def _deliver(self, role: ChargePoint) -> None:
        await role.call(call.BootNotification("Package", "Role", charge_point_serial_number=self.identity))
        await role.call(self._status(self._state()))
        self.boots += 1
        self.online = True
        self._changed.set()
        while True:
            while self._queue:
                answer = await role.call(self._queue[0](), suppress=False)
                self._queue.popleft()  # answered: only now does it leave
                self._then.popleft()(answer)
                self._changed.set()
            self._work.clear()
            await self._work.wait()

    def _send(self, make: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        self._queue.append(make)
        self._then.append(then)
        self._work.set()

    def _state(self) -> ChargePointStatus:
        if self.transaction is not None:
            return ChargePointStatus.charging
        return ChargePointStatus.preparing if self.plugged else ChargePointStatus.available

    def _status(self, state: ChargePointStatus) -> call.StatusNotification:
        return call.StatusNotification(1, ChargePointErrorCode.no_error, state, timestamp=now())

    def _become(self, state: ChargePointStatus) -> None:
        self._send(lambda: self._status(state))

    def plug(self) -> None:
        self.plugged = True
        self._become(ChargePointStatus.preparing)

    def unplug(self) -> None:
        self.plugged = False
        if self.transaction is not None:
            self.end(Reason.ev_disconnected)
        self._become(ChargePointStatus.available)

    def begin(self, tag: str) -> None:
        start_wh, at = self.register_wh, now()
        self._start_wh, self.transaction = start_wh, -1

        def started(answer: call_result.StartTransaction) -> None:
            self.transaction = answer.transaction_id

        self._send(lambda: call.StartTransaction(1, tag, start_wh, at), started)
        self._become(ChargePointStatus.charging)

    def draw(self, energy_wh: int) -> None:
        """Energy goes through the meter, and a sample tells so."""
        self.register_wh += energy_wh
        sample = {"timestamp": now(), "sampledValue": [{"value": str(self.register_wh)}]}
        self._send(lambda: call.MeterValues(1, [sample], self.transaction))

    def end(self, reason: Reason) -> None:
        start_wh, stop_wh, at = self._start_wh, self.register_wh, now()
        number = self.transaction
        self.transaction = None
        assert number is not None

        def ended(_: Any) -> None:
            self.finished.append((number, start_wh, stop_wh))

        self._send(lambda: call.StopTransaction(stop_wh, at, number, reason), ended)
        self._become(ChargePointStatus.finishing)


class CallRefused(Exception):  # noqa: N818
    """The box answered a call with a CALLERROR: (code, description)."""


class WireCharger:
    """Raw OCPP-J: says what it is told, counts what it is asked, answers by `answers` or with Accepted."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.asked: list[tuple[str, Event]] = []
        self.answers: dict[str, Mapping[str, Any] | Callable[[Event], Mapping[str, Any] | None]] = {
            "GetConfiguration": {"configurationKey": [], "unknownKey": []},
        }
        self.strays: list[Any] = []  #: frames that answer nothing we sent
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._more = asyncio.Event()

    async def read(self) -> None:
        """Serve the connection until it ends."""
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.socket:
                await self._take(json.loads(frame))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the box hung up"))

    async def _take(self, frame: list[Any]) -> None:
        if frame[0] == 2:
            _, message_id, action, payload = frame
            self.asked.append((action, payload))
            self._more.set()
            answer = self.answers.get(action, {"status": "Accepted"})
            answer = answer(payload) if callable(answer) else answer
            if answer is not None:
                await self.socket.send(json.dumps([3, message_id, answer]))
            return
        waiting = self._waiting.pop(frame[1], None)
        if waiting is None:
            self.strays.append(frame)
            self._more.set()
        elif not waiting.done() and frame[0] == 3:
            waiting.set_result(frame[2])
        elif not waiting.done():
            waiting.set_exception(CallRefused(frame[2], frame[3]))

    async def post(self, action: str, payload: Event, message_id: str = "") -> asyncio.Future[Any]:
        """Send a call; its answer comes as the future returned."""
        message_id = message_id or SystemIds().uid()
        answer = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # may stay unread
        self._waiting[message_id] = answer
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        return answer

    async def call(self, action: str, payload: Event | None = None, message_id: str = "") -> Any:
        """Send a call and return its answer. Raises CallRefused, or ConnectionError when the box hung up."""
        answer = await self.post(action, payload or {}, message_id)
        async with asyncio.timeout(PATIENCE_S):
            return await answer

    async def boot(self, status: str = "Preparing") -> None:
        """Boot and report connector 1."""
        await self.call("BootNotification", {"chargePointVendor": "Raw", "chargePointModel": "Wire"})
        await self.status(status)

    async def status(self, status: str, connector: int = 1) -> None:
        await self.call(
            "StatusNotification", {"connectorId": connector, "errorCode": "NoError", "status": status}
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that arrived makes the condition true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._more.clear()
                await self._more.wait()

    async def is_asked(self, action: str, number: int) -> Event:
        """Wait for the call that comes as the given one of its kind; returns its payload."""
        await self.until(lambda: len(self.asked_for(action)) >= number)
        return self.asked_for(action)[number - 1]

    def asked_for(self, action: str) -> list[Event]:
        return [payload for name, payload in self.asked if name == action]


async def knock(url: str, identity: str) -> int:
    """Dial as a charger would and hang up; returns the HTTP status of the handshake."""
    try:
        async with connect(f"{url}/{identity}", subprotocols=[Subprotocol("ocpp1.6")], proxy=None):
            return HTTPStatus.SWITCHING_PROTOCOLS
    except InvalidStatus as refused:
        return refused.response.status_code


@asynccontextmanager
async def wire(url: str, identity: str) -> AsyncIterator[WireCharger]:
    """A raw charger, connected."""
    async with connect(
        f"{url}/{identity}",
        subprotocols=[Subprotocol("ocpp1.6")],
        compression=None,
        proxy=None,
        ping_interval=None,
    ) as socket:
        charger = WireCharger(socket)
        reading = asyncio.get_running_loop().create_task(charger.read())
        try:
            yield charger
        finally:
            if socket.state is not State.CLOSED:
                await socket.close()
            await reading

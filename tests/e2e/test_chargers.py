"""The charger clients themselves: they act behind their answers, tell no time twice, and end when told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from ocpp.v16 import call_result
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from tests.e2e.chargers import PackageCharger, now
from tests.e2e.redialling import PATIENCE_S, Redialling, Role
from tests.e2e.stations import PackageStation

TOKEN = {"idToken": "AB12", "type": "Central"}
START_16 = ("RemoteStartTransaction", {"idTag": "AB12"})
START_201 = ("RequestStartTransaction", {"idToken": TOKEN, "remoteStartId": 7})


def test_no_two_times_are_the_same() -> None:
    told = [now() for _ in range(1000)]
    assert told == sorted(set(told))


class Socket:
    """Keeps what was sent, and whether the client had anything else to say by then."""

    def __init__(self, client: PackageCharger | PackageStation) -> None:
        self.sent: list[tuple[Any, bool]] = []
        self._client = client

    async def send(self, frame: str) -> None:
        self.sent.append((json.loads(frame), self._client.idle))


@pytest.mark.parametrize(
    ("kind", "asked"), [(PackageCharger, START_16), (PackageStation, START_201)], ids=["1.6", "2.0.1"]
)
async def test_an_answer_leaves_before_what_comes_of_it(
    kind: type[PackageCharger | PackageStation], asked: tuple[str, dict[str, Any]]
) -> None:
    client = kind("ws://127.0.0.1:9", "CP1")
    client.plugged = True
    socket: Any = Socket(client)
    role = client._role(socket)
    await role.route_message(json.dumps([2, "1", *asked]))
    assert socket.sent == [([3, "1", {"status": "Accepted"}], True)]
    assert not client.idle, "it has begun"
    await role.route_message(json.dumps([2, "2", *asked]))
    assert socket.sent[1][0] == [3, "2", {"status": "Rejected"}]


async def test_a_stop_right_behind_the_answer_to_its_start_finds_the_transaction() -> None:
    charger = PackageCharger("ws://127.0.0.1:9", "CP1")
    socket: Any = Socket(charger)
    charger.begin("AB12")
    begun = charger._then[0]
    async with asyncio.TaskGroup() as tasks:
        stop = json.dumps([2, "1", "RemoteStopTransaction", {"transactionId": 7}])
        tasks.create_task(charger._role(socket).route_message(stop))
        await asyncio.sleep(0.05)  # longer than the package takes to check the call
        begun(call_result.StartTransaction(7, {"status": "Accepted"}))
        charger._changed.set()
    assert socket.sent[0][0] == [3, "1", {"status": "Accepted"}]


class Unhearing(Redialling):
    """Loses its first cancellation, as `asyncio.wait_for` does when the answer comes in the same moment."""

    def __init__(self) -> None:
        super().__init__("ws://127.0.0.1:9/CP1", "ocpp1.6")
        connection: Any = contextlib.nullcontext()
        self._dial = lambda: connection

    def _role(self, socket: ClientConnection) -> Role:
        return Silent()

    async def _deliver(self, role: Any) -> None:
        self.online = True
        self._changed.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()


class Silent:
    async def start(self) -> None:
        await asyncio.Event().wait()


class HungUpOn(Unhearing):
    """The box hangs up in the moment in which it is ended: its reader fails, whatever cancels it."""

    def _role(self, socket: ClientConnection) -> Role:
        return Failing()


class Failing:
    async def start(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionClosedError(None, None)


@pytest.mark.parametrize("kind", [Unhearing, HungUpOn])
async def test_a_cancellation_that_is_lost_does_not_keep_a_charger_alive(kind: type[Unhearing]) -> None:
    charger = kind()
    async with asyncio.timeout(PATIENCE_S), charger:
        await charger.until(lambda: charger.online)
    assert charger._life.done()

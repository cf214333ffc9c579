"""Chargers as load: what they send, in what order, and the closed loop in which they send it.

Each has one call outstanding, as the specification asks, and sends the next when the last is answered. The
messages are those of real sessions, so that a central system that keeps state has real work: times go on by a
second, registers rise, statuses change, a start's transaction is named by the samples and ended by a stop.

    mix     of 40 messages: a start, 28 samples of 10 values, 6 statuses, 4 heartbeats, a stop
            (70 % MeterValues, 15 % StatusNotification, 10 % Heartbeat, 5 % Start- and StopTransaction)
    flush   what a charger keeps while it is offline: a start, 20 samples, a stop
    charge  one long charge: a start and samples
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from common.clock import SystemClock
from common.domain import iso
from tests.bench.rawws import RawWebSocket, dial

SUBPROTOCOL = "ocpp1.6"
TAG = "04A2B3C4D5E680"
#: How long ago the first message's time is, in s: more than any run sends, so that none is in the future.
BEGAN_S = 6 * 3600


def _spread(**counts: int) -> str:
    """So many of each letter, each evenly spaced."""
    places = [((place + 0.5) / count, kind) for kind, count in counts.items() for place in range(count)]
    return "".join(kind for _, kind in sorted(places))


_CYCLES = {
    "mix": f"S{_spread(M=28, T=6, H=4)}E",
    "flush": f"S{_spread(M=20)}E",
    "charge": f"S{_spread(M=1000)}E",
}

_BOOT = '{"chargePointVendor":"Bench","chargePointModel":"Load","firmwareVersion":"1"}'
_VALUES = ",".join(
    f'{{"value":"{value}","context":"Sample.Periodic","format":"Raw","measurand":"{measurand}",'
    f'"location":"{"EV" if measurand == "SoC" else "Outlet"}","unit":"{unit}"'
    + (f',"phase":"{phase}"' if phase else "")
    + "}"
    for value, measurand, phase, unit in (
        ("REGISTER", "Energy.Active.Import.Register", "", "Wh"),
        ("7360.5", "Power.Active.Import", "", "W"),
        ("15.9", "Current.Import", "L1", "A"),
        ("16.0", "Current.Import", "L2", "A"),
        ("15.8", "Current.Import", "L3", "A"),
        ("230.1", "Voltage", "L1", "V"),
        ("229.9", "Voltage", "L2", "V"),
        ("231.0", "Voltage", "L3", "V"),
        ("63", "SoC", "", "Percent"),
        ("31.5", "Temperature", "", "Celsius"),
    )
)
_BEFORE_REGISTER, _AFTER_REGISTER = _VALUES.split("REGISTER")


@lru_cache(maxsize=1)
def _stamps() -> list[str]:
    began = SystemClock().now_ms() // 1000 * 1000 - BEGAN_S * 1000
    return [iso(began + second * 1000) for second in range(BEGAN_S)]


class LoadCharger:
    """One charger. `open`, then `load` until `stop`; `taken` says how long each message took, in ns."""

    def __init__(self, identity: str, kind: str = "mix") -> None:
        self.identity = identity
        self.answered = 0
        self.refused: list[bytes] = []  #: answers that are no CALLRESULT, the first few
        self.took_ns: list[int] = []
        self._socket: RawWebSocket
        self._next = self._script(_CYCLES[kind])
        self._number = 0
        self._sent_ns = 0
        self._transaction = 1
        self._register_wh = 1_000_000
        self._looping = False
        self._one: asyncio.Future[bytes] | None = None

    async def open(self, port: int) -> None:
        """Dial, boot and say that the connector is free."""
        self._socket = await dial(port, f"/{self.identity}", subprotocol=SUBPROTOCOL)
        self._socket.on_text = self._heard
        await self.call("BootNotification", _BOOT)
        await self.call("StatusNotification", self.status("Available"))

    async def call(self, action: str, payload: str) -> bytes:
        """One call outside the loop, and its answer."""
        self._one = asyncio.get_running_loop().create_future()
        self._send(action, payload)
        async with asyncio.timeout(30):
            return await self._one

    def load(self) -> None:
        """Send the next as soon as the last is answered, from now until `pause`."""
        self._looping = True
        self._go()

    def next(self) -> None:
        """Send one message, answered or not: whoever calls keeps the pace."""
        self._go()

    def pause(self) -> None:
        """Send no more after the answer that is awaited."""
        self._looping = False

    def close(self) -> None:
        self._socket.close()

    def asked(self, text: bytes) -> None:
        """A call of the central system's: agree."""
        self._socket.send(b'[3,"%s",{"status":"Accepted"}]' % text.split(b'"', 2)[1])

    # --- inside ------------------------------------------------------------------------------------------

    def _go(self) -> None:
        action, payload = next(self._next)
        self._send(action, payload)

    def _send(self, action: str, payload: str) -> None:
        self._number += 1
        self._sent_ns = time.perf_counter_ns()
        self._socket.send(f'[2,"{self._number:010d}","{action}",{payload}]'.encode())

    def _heard(self, text: bytes) -> None:
        kind = text[1:2]
        if kind == b"2":
            self.asked(text)
            return
        self.took_ns.append(time.perf_counter_ns() - self._sent_ns)
        self.answered += 1
        if kind != b"3" and len(self.refused) < 5:
            self.refused.append(text)
        if b'"transactionId"' in text:
            self._transaction = msgspec.json.decode(text)[2]["transactionId"]
        if self._one is not None:
            one, self._one = self._one, None
            one.set_result(text)
        elif self._looping:
            self._go()

    def status(self, status: str) -> str:
        at = _stamps()[self._number % BEGAN_S]
        return f'{{"connectorId":1,"errorCode":"NoError","status":"{status}","timestamp":"{at}"}}'

    def _script(self, cycle: str) -> Iterator[tuple[str, str]]:
        stamps, suspended = _stamps(), False
        while True:
            for kind in cycle:
                at = stamps[self._number % BEGAN_S]
                if kind == "M":
                    self._register_wh += 2
                    yield (
                        "MeterValues",
                        (
                            f'{{"connectorId":1,"transactionId":{self._transaction},"meterValue":[{{"timestamp":"{at}",'
                            f'"sampledValue":[{_BEFORE_REGISTER}{self._register_wh}{_AFTER_REGISTER}]}}]}}'
                        ),
                    )
                elif kind == "T":
                    suspended = not suspended
                    yield "StatusNotification", self.status("SuspendedEV" if suspended else "Charging")
                elif kind == "H":
                    yield "Heartbeat", "{}"
                elif kind == "S":
                    yield (
                        "StartTransaction",
                        (
                            f'{{"connectorId":1,"idTag":"{TAG}","meterStart":{self._register_wh},"timestamp":"{at}"}}'
                        ),
                    )
                else:
                    yield (
                        "StopTransaction",
                        (
                            f'{{"transactionId":{self._transaction},"meterStop":{self._register_wh},'
                            f'"timestamp":"{at}","idTag":"{TAG}"}}'
                        ),
                    )


async def open_all(port: int, identities: list[str], kind: str = "mix") -> list[LoadCharger]:
    """Dial many, some at a time."""
    chargers = [LoadCharger(identity, kind) for identity in identities]
    for start in range(0, len(chargers), 20):
        async with asyncio.TaskGroup() as tasks:
            for charger in chargers[start : start + 20]:
                tasks.create_task(charger.open(port))
    return chargers

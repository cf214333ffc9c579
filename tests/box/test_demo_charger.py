"""The simulated charger on its own: it ends when told to; after a charge the car goes, another one comes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from common.clock import SystemClock, SystemIds
from edge.demo.car import Car
from edge.demo.charge import LEAVE_S, NEXT_S, come_and_go
from edge.demo.charger import SimulatedCharger
from tests.box.support import eventually


class Wire:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []

    async def send(self, frame: str) -> None:
        self.sent.append(json.loads(frame))


async def test_a_charger_that_is_ended_ends_though_its_answer_comes_in_that_moment() -> None:
    charger = SimulatedCharger("ws://127.0.0.1:1", "CP1", clock=SystemClock(), ids=SystemIds())
    wire: Any = Wire()
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(charger._call(wire, "Heartbeat", {}))
        await eventually(lambda: len(wire.sent) == 1, "the call")
        await charger._handle(wire, [3, wire.sent[0][1], {"currentTime": "2026-01-01T00:00:00Z"}])
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling


async def test_after_each_charge_another_car_comes_and_can_be_started() -> None:
    charger = SimulatedCharger("ws://127.0.0.1:1", "CP1", clock=SystemClock(), ids=SystemIds())
    changed = asyncio.Event()
    charger.on_change = changed.set
    naps: list[tuple[float, str]] = []
    lines: list[str] = []
    twice = asyncio.Event()

    async def nap(seconds: float) -> None:
        naps.append((seconds, charger.status))
        if len(naps) == 4:
            twice.set()

    first = Car(soc=0.9)
    async with asyncio.TaskGroup() as tasks:
        going = tasks.create_task(come_and_go(charger, changed, sleep=nap, say=lines.append))
        charger.plug_in(first)
        for _ in range(2):
            await eventually(lambda: charger.status == "Preparing", "a car")
            charger.tap("tag")
            charger.tap("tag")
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await twice.wait()
        await eventually(lambda: len(lines) == 6, "the last line")
        going.cancel()
    assert naps == [(LEAVE_S, "Finishing"), (NEXT_S, "Available")] * 2
    assert charger.status == "Preparing"
    assert charger.car is not first
    assert all(line.startswith("CP1: ") for line in lines)

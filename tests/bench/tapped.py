"""The charger that is tapped, as a process of its own: answers at once and does what it was asked soon after.

    python -m tests.bench.tapped PORT [relay]

Behind the relay it only answers. Against the box it has a car plugged in: a start is followed by its
StartTransaction, a stop by its StopTransaction, each `ACTS_S` later (a contactor needs longer), so that the
next command finds it ready.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec
import uvloop

from common.clock import SystemClock
from common.domain import iso
from tests.bench.processes import serve_until_told
from tests.bench.relay import CHARGER
from tests.bench.traffic import LoadCharger

#: From the answer to the deed, in s.
ACTS_S = 0.003
_clock = SystemClock()


class TappedCharger(LoadCharger):
    """Accepts every call at once. `acts`: and does it."""

    def __init__(self, tasks: asyncio.TaskGroup, *, acts: bool) -> None:
        super().__init__(CHARGER.strip("/"))
        self._tasks = tasks
        self._acts = acts
        self._wh = 5_000_000

    def asked(self, text: bytes) -> None:
        _, message_id, action, payload = msgspec.json.decode(text)
        self._socket.send(b'[3,"%s",{"status":"Accepted"}]' % message_id.encode())
        if not self._acts:
            return
        if action == "RemoteStartTransaction":
            self._soon(self._start(payload["idTag"]))
        elif action == "RemoteStopTransaction":
            self._soon(self._stop(payload["transactionId"]))

    def _soon(self, deed: Coroutine[Any, Any, None]) -> None:
        async def act() -> None:
            await asyncio.sleep(ACTS_S)
            await deed

        self._tasks.create_task(act())

    async def _start(self, tag: str) -> None:
        at = iso(_clock.now_ms())
        await self.call(
            "StartTransaction",
            f'{{"connectorId":1,"idTag":"{tag}","meterStart":{self._wh},"timestamp":"{at}"}}',
        )

    async def _stop(self, transaction: int) -> None:
        self._wh += 10
        at = iso(_clock.now_ms())
        await self.call(
            "StopTransaction", f'{{"transactionId":{transaction},"meterStop":{self._wh},"timestamp":"{at}"}}'
        )


async def main(port: int, behind_relay: bool) -> None:
    async with asyncio.TaskGroup() as tasks:
        charger = TappedCharger(tasks, acts=not behind_relay)
        await charger.open(port)
        if not behind_relay:
            await charger.call("StatusNotification", charger.status("Preparing"))
        await serve_until_told()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2:] == ["relay"]))

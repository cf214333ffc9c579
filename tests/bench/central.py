"""A central system on the `ocpp` package as it is shipped: what rates and memory are held against.

    python -m tests.bench.central asyncio|uvloop

Its ChargePoint with a handler for each message that the load sends; they answer and store nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
from typing import Any

import uvloop
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action, AuthorizationStatus, RegistrationStatus
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from common.clock import SystemClock
from common.domain import iso
from tests.bench.processes import HOST, serve_until_told

_clock = SystemClock()
_transactions = itertools.count(1)


class Central(ChargePoint):
    """One charger's end at the central system."""

    @on(Action.boot_notification)
    def on_boot(self, **_: Any) -> Any:
        return call_result.BootNotification(iso(_clock.now_ms()), 300, RegistrationStatus.accepted)

    @on(Action.heartbeat)
    def on_heartbeat(self) -> Any:
        return call_result.Heartbeat(iso(_clock.now_ms()))

    @on(Action.status_notification)
    def on_status(self, **_: Any) -> Any:
        return call_result.StatusNotification()

    @on(Action.meter_values)
    def on_meter(self, **_: Any) -> Any:
        return call_result.MeterValues()

    @on(Action.start_transaction)
    def on_start(self, **_: Any) -> Any:
        return call_result.StartTransaction(next(_transactions), {"status": AuthorizationStatus.accepted})

    @on(Action.stop_transaction)
    def on_stop(self, **_: Any) -> Any:
        return call_result.StopTransaction()


async def attend(socket: ServerConnection) -> None:
    assert socket.request is not None
    with contextlib.suppress(ConnectionClosed):
        await Central(socket.request.path.rpartition("/")[2], socket).start()


async def main() -> None:
    logging.getLogger("ocpp").setLevel(logging.WARNING)
    async with serve(
        attend, HOST, 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None, backlog=1024
    ) as server:
        await serve_until_told(port=server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    (uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())

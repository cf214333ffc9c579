"""The floor of `webtransport`: the box's listener for pages and nothing of the box behind it.

page ── a line ──▶ relay ── a call ──▶ charger ── an answer ──▶ relay ── a line ──▶ page
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from common.budget import Rate
from common.clock import SystemClock
from common.link import Link
from common.threshold import Threshold
from edge.webtransport.door import listen_webtransport
from tests.bench.processes import HOST, serve_until_told

CALL = '[2,"1","RemoteStartTransaction",{"connectorId":1,"idTag":"0123456789ABCDEF"}]'
CONFIRMED = b'{"kind":"confirmed","id":"0190d3a2-0000-7000-8000-000000000001","answer":"rejected"}'


class Relay:
    """One page, one charger."""

    def __init__(self) -> None:
        self._charger: ServerConnection | None = None
        self._page: Link | None = None

    async def charger(self, socket: ServerConnection) -> None:
        self._charger = socket
        try:
            async for _ in socket:
                if self._page is not None:
                    await self._page.send(CONFIRMED)
        except ConnectionClosed:
            pass

    async def page(self, link: Link) -> None:
        self._page = link
        while await link.receive() is not None:
            assert self._charger is not None
            await self._charger.send(CALL)


async def main(pem: str, pin: str, origin: str) -> None:
    relay = Relay()
    plenty = Rate(10_000, 10_000)
    async with (
        asyncio.TaskGroup() as tasks,
        serve(relay.charger, HOST, 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None) as chargers,
    ):
        listener = await listen_webtransport(
            HOST,
            0,
            relay.page,
            pem=Path(pem),
            certificate_hash=pin,
            allowed=origin.__eq__,
            spawn=lambda name, work: tasks.create_task(work, name=name),
            threshold=Threshold(SystemClock(), everyone=plenty, each=plenty),
        )
        await serve_until_told(port=listener.port, ocpp_port=chargers.sockets[0].getsockname()[1])
        await listener.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:4]))

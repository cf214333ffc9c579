"""A bare relay of two hops on `websockets` and uvloop: the floor under a tap.

    python -m tests.bench.relay CALL_BYTES CONFIRMED_BYTES [PEM]

    phone ── command ──▶ relay ── a call of our call's size ──▶ charger
    phone ◀── an answer of our answer's size ── relay ◀── result ── charger

It decides nothing, looks at nothing and stores nothing. Every other charger's call is answered at once.
"""

from __future__ import annotations

import ssl
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.bench.processes import HOST, serve_until_told

PHONE, CHARGER = "/phone", "/TAPPED"


class Relay:
    """Who is connected, and the two frames that it sends on."""

    def __init__(self, call_bytes: int, confirmed_bytes: int) -> None:
        call = '[2,"0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b","RemoteStartTransaction",{"idTag":""}]'
        self._call = call.replace('""', '"' + "0" * max(0, call_bytes - len(call)) + '"')
        self._confirmed = '{"' + "0" * (confirmed_bytes - 6) + '":0}'
        self._ends: dict[str, ServerConnection] = {}

    async def attend(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        path = socket.request.path
        self._ends[path] = socket
        try:
            async for message in socket:
                if path == PHONE:
                    await self._ends[CHARGER].send(self._call)
                elif message[1] == "3":
                    await self._ends[PHONE].send(self._confirmed)
                else:
                    await socket.send(f'[3,"{str(message).split(chr(34), 2)[1]}",{{}}]')
        except ConnectionClosed:
            pass


async def main(call_bytes: int, confirmed_bytes: int, pem: str) -> None:
    relay = Relay(call_bytes, confirmed_bytes)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pem)
    async with (
        serve(
            relay.attend,
            HOST,
            0,
            subprotocols=[Subprotocol("ocpp1.6")],
            compression=None,
            select_subprotocol=_any,
        ) as plain,
        serve(relay.attend, HOST, 0, compression=None, ssl=context) as secure,
    ):
        await serve_until_told(
            port=plain.sockets[0].getsockname()[1], tls_port=secure.sockets[0].getsockname()[1]
        )


def _any(_: ServerConnection, offered: list[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))

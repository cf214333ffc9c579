"""Strangers from twenty addresses who want a box's time, memory and places: a process that does nothing else.

    python -m tests.attacks.flooder LAN_PORT OCPP_PORT SECONDS

From each of 127.0.1.1 to 127.0.1.20, as fast as they come: first datagrams of QUIC that nobody goes on with,
and garbage; TCP connections that begin TLS and say no more; TLS with a request of a byte now and then;
finished WebSocket upgrades that stay silent, or send frames without end; WebTransport streams that do the
same; chargers that nobody knows, and requests to their port that never end. Prints how often each was tried,
as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from ssl import CERT_NONE

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from websockets.exceptions import WebSocketException

from common.errors import PlugsideError
from common.link.tls import pinned_context
from tests.applink.browser import browse, connect_headers

HOST = "127.0.0.1"
ADDRESSES = tuple(f"127.0.1.{number + 1}" for number in range(20))
#: A record's head and the first bytes of a ClientHello: enough for TLS to be begun.
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
#: An unmasked frame that says that it is a gigabyte.
GIGABYTE = b"\x81\x7f" + (1 << 30).to_bytes(8)

tried: Counter[str] = Counter()


def initial() -> bytes:
    """A genuine first datagram of a browser that will never be heard of again."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=CERT_NONE)
    quic = QuicConnection(configuration=configuration)
    quic.connect((HOST, 1), now=0.0)
    return quic.datagrams_to_send(now=0.0)[0][0]


async def datagrams(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
        plug.setblocking(False)
        plug.bind((address, 0))
        ready = [initial() for _ in range(5)] + [os.urandom(1200), b"\xc0\x00\x00\x00\x01" + os.urandom(1195)]
        while True:
            for data in ready:
                with contextlib.suppress(BlockingIOError):
                    plug.sendto(data, (HOST, port))
                tried["datagrams"] += 1
            await asyncio.sleep(0.02)


async def held(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, drip: bytes = b"") -> None:
    """Stay until one is thrown out, with a byte now and then."""
    leaving = asyncio.get_running_loop().create_task(reader.read(-1))
    try:
        for at in range(len(drip)):
            writer.write(drip[at : at + 1])
            done, _ = await asyncio.wait({leaving}, timeout=0.2)
            if done:
                return
        await asyncio.wait({leaving}, timeout=15)
    finally:
        leaving.cancel()
        writer.transport.abort()
        await asyncio.wait({leaving})


async def half_tls(address: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(address, 0))
    writer.write(HALF_HELLO)
    await held(writer, reader)


async def slow_bytes(address: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(
        HOST, port, local_addr=(address, 0), ssl=pinned_context(), server_hostname=""
    )
    await held(writer, reader, b"GET /v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 300)


async def upgraded(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(
        HOST, port, local_addr=(address, 0), ssl=pinned_context(), server_hostname=""
    )
    writer.write(b"GET /v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\n" + UPGRADE + b"\r\n")
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def silent_links(address: str, port: int) -> None:
    reader, writer = await upgraded(address, port)
    await held(writer, reader)


async def endless_frames(address: str, port: int) -> None:
    _, writer = await upgraded(address, port)
    try:
        writer.write(GIGABYTE)
        for _ in range(1 << 14):
            writer.write(bytes(1 << 16))
            await writer.drain()
    finally:
        writer.transport.abort()


async def streams(address: str, port: int) -> None:
    browser = await browse(port, local=address)
    try:
        session, _ = await browser.request(connect_headers(port))
        for _ in range(20):
            browser.send(browser.stream(session), b"A" * (1 << 16))
        async with asyncio.timeout(15):
            await browser.wait_closed()
    finally:
        await browser.leave()


async def unknown_chargers(address: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(address, 0))
    name = f"/FLOOD{tried['unknown_chargers'] % 5000}"
    writer.write(f"GET {name} HTTP/1.1\r\nHost: box\r\n".encode() + UPGRADE)
    writer.write(b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n")
    try:
        await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


async def slow_chargers(address: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(address, 0))
    await held(writer, reader, b"GET /CP1 HTTP/1.1\r\nHost: box\r\nX: " + b"a" * 300)


async def again(kind: Callable[[str, int], Awaitable[None]], address: str, port: int) -> None:
    """One after the other, whatever becomes of each."""
    while True:
        tried[kind.__name__] += 1
        with contextlib.suppress(
            OSError,
            EOFError,
            TimeoutError,
            ssl.SSLError,
            WebSocketException,
            PlugsideError,
            asyncio.LimitOverrunError,
        ):
            await kind(address, port)
        await asyncio.sleep(0.01)


#: How many of each at once, for each address.
AT_ONCE = {half_tls: 4, slow_bytes: 2, silent_links: 2, endless_frames: 1, streams: 1}
AT_CHARGERS = {unknown_chargers: 1, slow_chargers: 4}


async def run(lan: int, ocpp: int, seconds: float) -> None:
    # What aioquic leaves behind of connections that were dropped is nothing to read.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as everybody:
            for address in ADDRESSES:
                everybody.create_task(datagrams(address, lan))
                for port, kinds in ((lan, AT_ONCE), (ocpp, AT_CHARGERS)):
                    for kind, number in kinds.items():
                        for _ in range(number):
                            everybody.create_task(again(kind, address, port))
    print(json.dumps(tried), flush=True)
    os._exit(0)  # whatever is half open is left lying, as by somebody who was cut off


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))

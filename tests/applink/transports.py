"""The transports that the app link's contract suite runs over. A new one joins `TRANSPORTS`, no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Any

from common.budget import Rate
from common.clock import SystemClock
from common.domain import Path
from common.keystore import Keystore, LanCertificates
from common.link import Link
from common.link.hosts import is_ours
from common.link.tls import ServerTls
from common.link.unix import connect_unix, listen_unix
from common.link.websocket import LINK_PATH, connect_websocket, lan_url, listen_websocket
from common.threshold import Threshold
from edge.webtransport.door import listen_webtransport
from tests.applink.browser import ORIGIN, connect_browser
from tests.trust.cast import NOW_MS

OnLink = Callable[[Link], Awaitable[None]]
Connect = Callable[[], Coroutine[Any, Any, Link]]


@dataclass(frozen=True)
class Transport:
    """One way to carry the app link. `open` listens, and gives what connects to it."""

    name: str
    path: Path
    open: Callable[[Folder, OnLink], AbstractAsyncContextManager[Connect]]
    bound: bool = False  #: both ends know the certificate in use

    def __str__(self) -> str:
        return self.name


def lan_certificates(folder: Folder) -> LanCertificates:
    """What the listener in this folder serves."""
    return Keystore(folder / "keys").lan_certificates(NOW_MS, "plugside-test.local", ["127.0.0.1"])


def threshold() -> Threshold:
    """One that lets a test suite in, whatever its pace."""
    return Threshold(SystemClock(), everyone=Rate(1000, 1000), each=Rate(1000, 1000))


@asynccontextmanager
async def lan_tls(folder: Folder, on_link: OnLink) -> AsyncIterator[Connect]:
    """WebSocket over TLS on the LAN, pinned."""
    current = lan_certificates(folder).current
    async with asyncio.TaskGroup() as tasks:
        listener = await listen_websocket(
            "127.0.0.1",
            0,
            on_link,
            tls=ServerTls(current.pem, current.hash),
            threshold=threshold(),
            spawn=lambda name, work: tasks.create_task(work, name=name),
            hosts=is_ours,
        )
        ((host, port),) = listener.addresses
        try:
            yield lambda: connect_websocket(lan_url(f"{host}:{port}"), Path.LAN)
        finally:
            await listener.close()


@asynccontextmanager
async def loopback(folder: Folder, on_link: OnLink) -> AsyncIterator[Connect]:
    """Plain WebSocket on this machine."""
    listener = await listen_websocket("127.0.0.1", 0, on_link)
    ((host, port),) = listener.addresses
    try:
        yield lambda: connect_websocket(f"ws://{host}:{port}{LINK_PATH}", Path.LAN)
    finally:
        await listener.close()


@asynccontextmanager
async def webtransport(folder: Folder, on_link: OnLink) -> AsyncIterator[Connect]:
    """WebTransport on the LAN, as a browser opens it."""
    current = lan_certificates(folder).current
    async with asyncio.TaskGroup() as tasks:
        listener = await listen_webtransport(
            "127.0.0.1",
            0,
            on_link,
            pem=current.pem,
            certificate_hash=current.hash,
            allowed=ORIGIN.__eq__,
            spawn=lambda name, work: tasks.create_task(work, name=name),
            threshold=threshold(),
        )
        try:
            yield lambda: connect_browser(listener.port)
        finally:
            await listener.close()


@asynccontextmanager
async def unix_socket(folder: Folder, on_link: OnLink) -> AsyncIterator[Connect]:
    """The box's own socket."""
    file = folder / "s"
    listener = await listen_unix(file, on_link)
    try:
        yield lambda: connect_unix(file)
    finally:
        await listener.close()


TRANSPORTS = [
    Transport("lan-tls", Path.LAN, lan_tls, bound=True),
    Transport("webtransport", Path.LAN, webtransport, bound=True),
    Transport("loopback", Path.LAN, loopback),
    Transport("unix", Path.LOCAL, unix_socket),
]

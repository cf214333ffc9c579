"""The two ends of a discovery, each a process in a network namespace of its own.

    python -m tests.bench.mdns box|phone ADDRESS

box: `announce` begins what the edge's own discovery room does (answers `ANNOUNCING {"ns": …}`, the moment at
which it began), `stop` ends it with its goodbye.
phone: `browse` asks as our client does, until the box is resolved (`FOUND {"ns": …}`, how long that took);
`watch` lists what appears from then on (`SEEN {"ns": …}`, the moment).
Moments are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from common.client.discovery import SERVICE, browse
from edge.discovery import announce
from tests.bench.processes import lines, say

EDGE, PORT = "abcdefghijklmnopqrstuvwxyz234567", 9443


async def box(address: str) -> None:
    inbox = await lines()
    say("READY")
    async with asyncio.TaskGroup() as tasks:
        announcing: asyncio.Task[None] | None = None
        while word := (await inbox.readline()).strip():
            if word == b"announce":
                began = time.monotonic_ns()
                announcing = tasks.create_task(announce(lambda: (EDGE,), PORT, (address,)))
                say("ANNOUNCING", ns=began)
            elif announcing is not None:
                announcing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await announcing
                say("STOPPED")
        if announcing is not None:
            announcing.cancel()


async def phone(address: str) -> None:
    def seen(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Added:
            say("SEEN", ns=time.monotonic_ns())

    inbox = await lines()
    say("READY")
    while word := (await inbox.readline()).strip():
        if word == b"browse":
            began = time.monotonic_ns()
            search = browse((address,), 3.0)
            async for _ in search:
                say("FOUND", ns=time.monotonic_ns() - began)
                break
            else:
                say("FOUND", ns=0)
            await search.aclose()  # type: ignore[attr-defined]
        elif word == b"watch":
            multicast = AsyncZeroconf(interfaces=[address])
            browser = AsyncServiceBrowser(multicast.zeroconf, SERVICE, handlers=[seen])
            await inbox.read()
            await browser.async_cancel()
            await multicast.async_close()


if __name__ == "__main__":
    asyncio.run({"box": box, "phone": phone}[sys.argv[1]](sys.argv[2]))

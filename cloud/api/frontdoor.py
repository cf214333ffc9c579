"""The front door: who is really calling, and how often. ASGI middleware around everything else.

    TLS by our own files     the address is the socket's
    behind a named proxy     only that proxy is answered; the address is what it appended to X-Forwarded-For,
                             and what did not come to it over TLS is turned away

Requests that cost cryptography or a handshake are counted per address (per /64 for IPv6), before anything of
them is read.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from cloud.callers import caller_of
from cloud.counters import Counters
from common.errors import CATALOGUE, Code
from common.ports import Clock

#: Handshakes and posts that one address may do at once, and then each second: a household behind one address,
#: a box that asks every second while it is being paired, and room for a test suite.
BURST = 100
PER_SECOND = 10.0
#: Addresses remembered; the least recent is forgotten, which only ever lets somebody in.
ADDRESSES_MAX = 8192
#: App links and tunnels at once: 64 KiB each leaves room on a 1 GiB machine.
LINKS_MAX = 8192


#: What a watchman on the proxy's own machine may ask for without the proxy.
_WATCHED = frozenset({"/healthz", "/metrics"})

# ASGI, as its specification has it: plain dictionaries.
_Event = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[Any, Any, Any], Awaitable[None]]


class Buckets:
    """A token bucket for each address."""

    def __init__(self, clock: Clock, *, burst: float = BURST, per_second: float = PER_SECOND) -> None:
        self._clock = clock
        self._burst = burst
        self._per_ms = per_second / 1000
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, address: str) -> bool:
        """Whether this address may go on now."""
        now_ms = self._clock.mono_ms()
        key = caller_of(address)
        left, at_ms = self._left.pop(key, (self._burst, now_ms))
        left = min(self._burst, left + (now_ms - at_ms) * self._per_ms)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now_ms)
        if len(self._left) > ADDRESSES_MAX:
            self._left.popitem(last=False)
        return allowed


class FrontDoor:
    """See the module."""

    def __init__(self, app: _App, *, trusted_proxy: str, buckets: Buckets, counters: Counters) -> None:
        self._app = app
        self._proxy = trusted_proxy
        self._buckets = buckets
        self._counters = counters
        self._links = 0
        self.stopping = False  #: no link is let in any more: it would be told goodbye at once

    async def __call__(self, scope: _Event, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        reason = self._who(scope)
        if reason:
            await self._turn_away(scope, send, 403, Code.NOT_PERMITTED, reason)
            return
        is_link = scope["type"] == "websocket"
        if (is_link or scope["method"] == "POST") and not self._buckets.take(scope["client"][0]):
            await self._turn_away(scope, send, 429, Code.BUSY, "too_many")
            return
        if not is_link:
            await self._app(scope, receive, send)
            return
        if self.stopping:
            await self._turn_away(scope, send, 503, Code.SHUTTING_DOWN, "stopping")
            return
        if self._links >= LINKS_MAX:
            await self._turn_away(scope, send, 503, Code.BUSY, "full")
            return
        self._links += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._links -= 1

    def _who(self, scope: _Event) -> str:
        """Set the caller's address; returns why the caller is turned away, or nothing."""
        client = scope.get("client") or ("", 0)
        scope["client"] = client
        if not self._proxy:
            return ""
        if client[0] != self._proxy:
            return "not_the_proxy"
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        if scope.get("path") in _WATCHED and not any(name.startswith(b"x-forwarded") for name, _ in headers):
            return ""  # somebody who looks after this machine, from beside the proxy
        forwarded = [value for name, value in headers if name == b"x-forwarded-for"]
        protocols = [value for name, value in headers if name == b"x-forwarded-proto"]
        if [p.strip() for p in protocols] not in (["https"], ["wss"]):
            return "not_over_tls"
        # The last entry is the proxy's own; whatever stands before it came from outside.
        address = forwarded[-1].rsplit(",", 1)[-1].strip() if forwarded else ""
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return "no_forwarded_address"
        scope["client"] = (address, 0)
        return ""

    async def _turn_away(self, scope: _Event, send: _Send, status: int, code: Code, reason: str) -> None:
        self._counters.refused[reason] += 1
        message, hint = CATALOGUE[code]
        body = msgspec.json.encode({"code": code.value, "message": message, "hint": hint})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status != 403:
            headers.append((b"retry-after", b"1"))
        kind = "http.response"
        if scope["type"] == "websocket":
            kind = "websocket.http.response"
        await send({"type": f"{kind}.start", "status": status, "headers": headers})
        await send({"type": f"{kind}.body", "body": body, "more_body": False})

"""The first moments of a connection to a TLS port: counted, looked at, then let into the TLS handshake.

    TCP ─▶ pace, count ─▶ first bytes ─▶ TLS handshake ─▶ `connection`
                            no TLS: plain_on_tls   failed: tls_failed

`asyncio` tells nobody about a handshake that fails, and an installer wants to know why a charger is not
there. So a connection is accepted without TLS, and wrapped once its first bytes are a TLS hello. Pace and
count come before any cryptography.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from edge.chargers.connection import ChargerConnection
from edge.chargers.firstbytes import is_tls
from edge.chargers.reasons import Reason

#: Makes a task of work, and keeps it (`common.supervise.Supervisor.spawn`).
Spawn = Callable[[str, Coroutine[Any, Any, None]], object]
#: What may come before the hand-over: a hello, or a request right behind the handshake's last flight.
_EARLY_MAX: Final = 64 * 1024


class TlsOpening(asyncio.Protocol):
    """Stands for a `ChargerConnection` (`inner`) until its TLS handshake is done, and hands over to it then.

    `refused` is told why it never came to that: the reason, the connection, and OpenSSL's words if there are.
    """

    def __init__(
        self,
        inner: ChargerConnection,
        context: ssl.SSLContext,
        spawn: Spawn,
        refused: Callable[[Reason, ChargerConnection, str], None],
        *,
        within_s: float,
    ) -> None:
        self.inner = inner
        self.protocol = inner.protocol  #: `websockets` asks what it gave us for it
        self._context, self._refused, self._spawn = context, refused, spawn
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._early = b""
        self._wrapping = False
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in, or drop it."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by descent
        if self.inner.enter(transport):
            self._patience = self._loop.call_later(self._within_s, self._transport.abort)
        else:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Look at the first bytes; later, keep what comes between the handshake and the hand-over."""
        assert self._transport is not None
        self._early += data[: _EARLY_MAX - len(self._early)]
        if self._wrapping or len(self._early) < 2:  # too short to tell
            return
        if not is_tls(self._early):
            self._transport.abort()
            return
        self._wrapping = True
        self._transport.pause_reading()
        self._spawn("TLS of a charger", self._wrap(self._transport))
        # right behind what `start_tls` begins with, and before anything more is read
        self._loop.call_soon(self._loop.call_soon, self._feed, self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection went; if that was before the handshake began, say what it was."""
        if not self._wrapping:
            self.inner.first = self._early
            self._end(Reason.PLAIN_ON_TLS if len(self._early) > 1 else Reason.SILENT)

    def _feed(self, transport: asyncio.Transport) -> None:
        """Give the hello, which was read already, to the TLS protocol that stands in our place now."""
        if transport.is_closing():
            return
        wrapping = cast("asyncio.BufferedProtocol", transport.get_protocol())
        hello, self._early = self._early, b""
        while hello:
            room = cast("memoryview", wrapping.get_buffer(len(hello)))
            size = min(len(room), len(hello))
            room[:size] = hello[:size]
            hello = hello[size:]
            wrapping.buffer_updated(size)

    async def _wrap(self, transport: asyncio.Transport) -> None:
        try:
            async with asyncio.timeout(self._within_s):
                wrapped = await self._loop.start_tls(transport, self, self._context, server_side=True)
            if wrapped is None:
                raise ConnectionResetError
        except (OSError, TimeoutError) as failed:  # ssl.SSLError is an OSError
            transport.abort()
            words = getattr(failed, "reason", None) or "the charger broke it off"
            self._end(Reason.TLS_FAILED, str(words).replace("_", " ").lower())
            return
        self._end()
        wrapped.set_protocol(self.inner)
        self.inner.connection_made(wrapped)
        if self._early:
            self.inner.data_received(self._early)

    def _end(self, why: Reason | None = None, words: str = "") -> None:
        if self._patience is not None:
            self._patience.cancel()
        if why is not None and self.inner.entered:
            self._refused(why, self.inner, words)
            self.inner.leave()

"""The first moments of a connection to a TLS port: counted, looked at, then let into the TLS handshake.

    TCP ─▶ pace, count ─▶ first bytes ─▶ TLS handshake ─▶ the connection
                            no TLS: plain           failed: tls

`asyncio` begins TLS by itself where a port is opened with it, asks nobody before, and tells nobody about a
handshake that fails. So a connection is accepted without TLS, and wrapped once its first bytes are a TLS
hello. Pace and count come before any cryptography.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, Final, Protocol, cast

#: Makes a task of work, and keeps it (`common.supervise.Supervisor.spawn`).
Spawn = Callable[[str, Coroutine[Any, Any, None]], object]
#: What may come before the hand-over: a hello, or a request right behind the handshake's last flight.
_EARLY_MAX: Final = 64 * 1024


class Broken(StrEnum):
    """Why a connection never came as far as a request."""

    SILENT = "silent"  #: nothing came
    PLAIN = "plain"  #: something that is no TLS
    TLS = "tls"  #: the handshake failed


class Opened(Protocol):
    """A connection (of `websockets`) that can be counted before it begins."""

    protocol: Any
    entered: bool

    def enter(self, transport: asyncio.BaseTransport) -> bool:
        """Count it in, on the raw transport. False: drop it."""

    def leave(self) -> None:
        """It is gone before it began."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, on what is encrypted."""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""


def is_tls(data: bytes | bytearray) -> bool:
    """Whether a connection begins with a TLS hello: a handshake record of SSL 3 or later."""
    return len(data) >= 2 and data[0] == 0x16 and data[1] == 0x03


class TlsOpening(asyncio.Protocol):
    """Stands for a connection (`inner`) until its TLS handshake is done, and hands over to it then.

    `broken` is told why it never came to that: the reason, the first bytes, and OpenSSL's words if there are.
    """

    def __init__(
        self,
        inner: Opened,
        context: ssl.SSLContext,
        spawn: Spawn,
        broken: Callable[[Broken, bytes, str], None],
        *,
        within_s: float,
    ) -> None:
        self.protocol = inner.protocol  #: `websockets` asks what it gave us for it
        self._inner, self._context, self._broken, self._spawn = inner, context, broken, spawn
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._early = b""
        self._wrapping = self._lost = self._handed = False
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it in, or drop it."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by descent
        if self._inner.enter(transport):
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
        self._spawn("TLS handshake", self._wrap(self._transport))
        # right behind what `start_tls` begins with, and before anything more is read
        self._loop.call_soon(self._loop.call_soon, self._feed, self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection went; if that was before the handshake began, say what it was.

        One that goes in the moment between the handshake's end and the hand-over is told to us alone.
        """
        if not self._wrapping:
            self._end(Broken.PLAIN if len(self._early) > 1 else Broken.SILENT)
        elif self._handed:
            self._inner.connection_lost(exc)
        self._lost = True

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
            # uvloop calls a handshake done, too, that was broken off without an error, and tells nobody then.
            if wrapped is None or self._lost or transport.is_closing():
                raise ConnectionResetError
        except (OSError, TimeoutError) as failed:  # ssl.SSLError is an OSError
            transport.abort()
            words = (
                getattr(failed, "verify_message", "")  # what is wrong with its certificate
                or getattr(failed, "reason", None)
                or "the other side broke it off"
            )
            self._end(Broken.TLS, str(words).replace("_", " ").lower())
            return
        self._end()
        inner, self._handed = self._inner, True
        wrapped.set_protocol(cast("asyncio.BaseProtocol", inner))
        inner.connection_made(wrapped)
        if self._early:
            inner.data_received(self._early)

    def _end(self, why: Broken | None = None, words: str = "") -> None:
        if self._patience is not None:
            self._patience.cancel()
        if why is not None and self._inner.entered:
            self._broken(why, self._early, words)
            self._inner.leave()

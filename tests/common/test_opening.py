"""A connection that goes in the moment between the TLS handshake and the hand-over gives its place back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from common.link.opening import Broken, TlsOpening

HELLO = b"\x16\x03\x01\x02\x00"


class Inner:
    """A connection that was counted in."""

    protocol = None

    def __init__(self) -> None:
        self.entered = False
        self.begun = self.lost = self.left = 0

    def enter(self, _: Any) -> bool:
        self.entered = True
        return True

    def leave(self) -> None:
        self.entered = False
        self.left += 1

    def connection_made(self, _: Any) -> None:
        self.begun += 1

    def data_received(self, data: bytes) -> None:
        raise AssertionError(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.lost += 1


class Transport:
    """The socket's, or what is encrypted on it."""

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def __init__(self) -> None:
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def set_protocol(self, _: Any) -> None: ...


class Loop:
    """A loop whose handshake ends well, while something else happens."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def call_later(self, *_: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(60, int)

    def call_soon(self, *_: Any) -> None: ...

    async def start_tls(self, *_: Any, **__: Any) -> Transport:
        self._meanwhile()
        return Transport()


@pytest.mark.parametrize("when", ["before the hand-over", "without being told", "right behind it", "never"])
async def test_a_place_is_given_back_whenever_the_other_side_goes(when: str) -> None:
    inner, told = Inner(), list[Broken]()
    work: list[Any] = []
    opening = TlsOpening(
        inner,
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        lambda _, coroutine: work.append(coroutine),
        lambda why, *_: told.append(why),
        within_s=5,
    )
    socket = Transport()

    def meanwhile() -> None:
        if when == "before the hand-over":
            opening.connection_lost(None)
        if when == "without being told":
            socket.closing = True

    opening._loop = Loop(meanwhile)  # type: ignore[assignment]
    opening.connection_made(socket)  # type: ignore[arg-type]
    opening.data_received(HELLO)
    opening._early = b""
    await work[0]
    if when == "right behind it":
        opening.connection_lost(None)
    expected = {
        "before the hand-over": (0, 0, 1, [Broken.TLS]),
        "without being told": (0, 0, 1, [Broken.TLS]),
        "right behind it": (1, 1, 0, []),
        "never": (1, 0, 0, []),
    }
    assert (inner.begun, inner.lost, inner.left, told) == expected[when]

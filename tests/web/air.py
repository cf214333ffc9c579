"""The site's Wi-Fi as a test needs it: datagrams between a page and the box, which can be cut and mended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Self

Address = tuple[str, int]

#: More than any datagram has.
_DATAGRAM_BYTES = 65_536


class Air:
    """Relay from 127.0.0.1:`port` to the same port of `box`. `async with` it.

    While it is cut nothing comes through, and nobody is told.
    """

    def __init__(self, box: str, port: int) -> None:
        self._box: Address = (box, port)
        self._here = _socket()
        self._here.bind(("127.0.0.1", port))
        self._there: dict[Address, socket.socket] = {}
        self._whole = True
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        self._loop.add_reader(self._here, self._out)
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in (self._here, *self._there.values()):
            self._loop.remove_reader(one)
            one.close()

    @property
    def senders(self) -> int:
        """How many have sent anything to the box so far."""
        return len(self._there)

    def cut(self) -> None:
        self._whole = False

    def mend(self) -> None:
        self._whole = True

    def _out(self) -> None:
        data, who = self._here.recvfrom(_DATAGRAM_BYTES)
        if not self._whole:
            return
        if who not in self._there:
            self._there[who] = there = _socket()
            there.connect(self._box)
            self._loop.add_reader(there, self._back, there, who)
        with contextlib.suppress(OSError):  # the box is down: as on a network, nobody says so
            self._there[who].send(data)

    def _back(self, there: socket.socket, who: Address) -> None:
        with contextlib.suppress(OSError):
            data = there.recv(_DATAGRAM_BYTES)
            if self._whole:
                self._here.sendto(data, who)


def _socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    return one

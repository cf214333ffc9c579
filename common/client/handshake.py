"""The client's handshake over a fresh link: proof, grants or an invite, welcome. Makes an `Opened`.

Apart from the running connection, because several links are raced and only the one that wins is run.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from common import wire
from common.appsession import ClientSession, Closed
from common.domain import from_iso
from common.errors import Code, PlugsideError, RemoteFault, Unavailable, error, from_wire
from common.link import Link
from common.ports import Clock

#: From the first frame to the welcome: the server gives as long (`applink.Limits.auth_s`).
HANDSHAKE_TIMEOUT_S = 5.0
#: Expired grants tried before authentication; the server counts messages until then.
_RENEWALS_MAX = 3


class Opened(msgspec.Struct, frozen=True):
    """A link on which both sides are proved."""

    link: Link
    session: ClientSession
    granted: tuple[wire.Granted, ...]  #: grants received on the way: an invite's, or renewed ones
    proved_ms: int  #: on the clock that never steps: when the server's proof, with its time, was read


async def authenticate(
    link: Link, session: ClientSession, clock: Clock, *, timeout_s: float = HANDSHAKE_TIMEOUT_S
) -> Opened:
    """Run the handshake to the welcome; a grant that has run out is renewed on the way.

    Raises PlugsideError (what the server refused, untrusted_peer, no_path); the link is closed then.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _Handshake(link, session, clock).run()
    except TimeoutError:
        await link.close()
        raise Unavailable(Code.NO_PATH, f"{link.peer} did not finish the handshake") from None
    except BaseException:
        await link.close()
        raise


class _Handshake:
    def __init__(self, link: Link, session: ClientSession, clock: Clock) -> None:
        self._link, self._session, self._clock = link, session, clock
        self._granted: list[wire.Granted] = []
        self._proved_ms = 0
        self._said: PlugsideError | None = None
        self._expired: PlugsideError | None = None
        self._renewable = deque(session.grants[:_RENEWALS_MAX])

    async def run(self) -> Opened:
        session = self._session
        session.hello()
        while session.welcome is None:
            for frame in session.data_to_send():
                try:
                    await self._link.send(frame)
                except ConnectionError:
                    break  # what the other side said last can still be read
            received = await self._link.receive()
            if received is None:
                raise Unavailable(Code.NO_PATH, f"{self._link.peer or 'the other side'} hung up")
            for message in session.receive(received):
                self._take(message)
        return Opened(self._link, session, tuple(self._granted), self._proved_ms)

    def _take(self, message: wire.ServerMessage | Closed) -> None:
        match message:
            case wire.Proof():
                self._proved_ms = self._clock.mono_ms()
                _readable(message.time)
            case wire.Granted():
                self._granted.append(message)
            case wire.Refusal():
                self._refused(from_wire(message.code, message.message, message.hint))
            case wire.Bye():
                self._said = from_wire(message.code, message.message, message.hint)
            case Closed():
                raise self._said or error(message.code, message.detail)
            case _:
                pass

    def _refused(self, refusal: PlugsideError) -> None:
        """A grant that has run out is worth a try at renewing; anything else ends the attempt."""
        if refusal.code is Code.GRANT_EXPIRED:
            self._expired = self._expired or refusal
        if self._expired is None:
            raise refusal
        if not self._renewable:
            raise self._expired
        self._session.renew(self._renewable.popleft())


def _readable(time: str) -> None:
    """The server's own time is what a command's life is counted by."""
    try:
        from_iso(time)
    except ValueError:
        raise RemoteFault(Code.PROTOCOL, "the server's time cannot be read") from None

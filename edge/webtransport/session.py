"""One browser's session: a QUIC connection, the CONNECT request on it, and the one stream that is the link.

`StreamLink` is the link that the app link runs on; `Session` feeds it and sends what it says. Who may have a
session is the door's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, Headers, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent, StreamReset

from common import wire
from common.domain import Path
from common.errors import Code, Unavailable
from common.link import CLOSE_TIMEOUT_S
from common.threshold import Visit

#: A session that has not opened its stream by then is somebody who holds a place, in s.
OPEN_TIMEOUT_S = 5.0
#: A silent peer is asked, and given up when nothing came for twice as long.
PING_EVERY_S = 20.0
#: Bytes that may wait to be sent before `send` waits for the peer: the app link's own queue lies behind it.
UNSENT_BYTES_MAX = 256 * 1024
#: Frames that wait to be read, in bytes: some of a peer's largest.
UNREAD_BYTES_MAX = 4 * wire.CLIENT_BYTES_MAX
#: Streams that a peer may try to open beside the one; then it is not a page of ours.
STRAYS_MAX = 8
#: What a goodbye may weigh: one datagram.
GOODBYE_BYTES_MAX = 1280
#: HTTP/3 error codes (RFC 9114 §8.1).
NO_ERROR, EXCESSIVE_LOAD, REQUEST_REJECTED = 0x100, 0x107, 0x10B
#: SETTINGS_WEBTRANSPORT_MAX_SESSIONS of draft 7, which Safari reads.
_MAX_SESSIONS = 0xC671706A


class SessionDoor(Protocol):
    """What a session asks of the door that it came in by."""

    @property
    def binding(self) -> str:
        """SHA-256 (hex) of the certificate that is served now."""

    def judge(self, headers: Headers) -> int:
        """The HTTP status for a request: 200 opens a session."""

    def serve(self, link: StreamLink) -> asyncio.Task[None]:
        """Run what the listener runs for each link. Raises Unavailable(busy)."""


class Http3(H3Connection):
    """aioquic's HTTP/3 with the one setting that it lacks."""

    def _get_local_settings(self) -> dict[int, int]:
        return super()._get_local_settings() | {_MAX_SESSIONS: 1}


class StreamLink:
    """A link over one bidirectional stream of a WebTransport session, of either end."""

    def __init__(
        self, session: Session, stream: int, *, path: Path, peer: str, binding: str, visit: Visit | None
    ) -> None:
        self.path, self.peer, self.binding, self.visit = path, peer, binding, visit
        self._session = session
        self._stream = stream
        self._frames: deque[bytes] = deque()
        self._waiting = 0  # bytes in `_frames`
        self._line = bytearray()
        self._closed = False
        self._wake = asyncio.Event()  # something to receive, or the end
        self.drained = asyncio.Event()  # less than the maximum is unsent, or the end
        self.arrived = asyncio.Event()  # nothing is unsent

    async def send(self, frame: bytes) -> None:
        if self._closed:
            raise ConnectionError("the link is closed")
        self._session.write(self._stream, frame + b"\n")
        while not self._closed and self._session.unsent(self._stream) > UNSENT_BYTES_MAX:
            self.drained.clear()
            await self.drained.wait()

    async def receive(self) -> bytes | None:
        while not self._frames:
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        frame = self._frames.popleft()
        self._waiting -= len(frame)
        return frame

    async def close(self, code: Code | None = None) -> None:  # noqa: ARG002 - the last message said why
        self.over()
        await self._session.hang_up()

    def fed(self, data: bytes) -> bool:
        """Bytes came. False when a frame is longer than any may be, or too much waits to be read."""
        if self._closed:
            return True
        self._line += data
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        for line in filter(None, lines):  # an empty line says nothing: it only opens the stream
            self._frames.append(bytes(line))
            self._waiting += len(line)
        self._wake.set()
        longest = max((len(rest), *map(len, lines)))
        return longest <= wire.CLIENT_BYTES_MAX and self._waiting <= UNREAD_BYTES_MAX

    def over(self) -> None:
        """Nothing more comes or goes."""
        self._closed = True
        self._wake.set()
        self.drained.set()


class Session(QuicConnectionProtocol):
    """One QUIC connection: at most one WebTransport session with one stream."""

    def __init__(self, quic: QuicConnection, door: SessionDoor, visit: Visit | None) -> None:
        super().__init__(quic)
        self._door = door
        self._visit = visit
        self._binding = door.binding
        self._http: Http3 | None = None
        self._session: int | None = None
        self._link: StreamLink | None = None
        self._stream = -1
        self._strays = 0
        self._address = ""
        self._serving: asyncio.Task[None] | None = None
        self._opening = self._loop.call_later(OPEN_TIMEOUT_S, self.close, REQUEST_REJECTED)
        self._asking: asyncio.TimerHandle | None = None

    # --- from the network --------------------------------------------------------------------------------

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        self._address = plain_address(str(addr[0]))
        super().datagram_received(data, addr)

    def quic_event_received(self, event: QuicEvent) -> None:
        match event:
            case ProtocolNegotiated():
                self._http = Http3(self._quic, enable_webtransport=True)
            case ConnectionTerminated():
                self._ended()
            case StreamReset(stream_id=stream) if stream in (self._stream, self._session):
                self._finish()
        if self._http is not None:
            for told in self._http.handle_event(event):
                self._heard(told)

    def _heard(self, event: H3Event) -> None:
        match event:
            case HeadersReceived():
                self._requested(event)
            case WebTransportStreamDataReceived():
                self._streamed(event)
            case DataReceived(stream_id=stream, stream_ended=True) if stream == self._session:
                self._finish()  # the page closed its session

    def _requested(self, event: HeadersReceived) -> None:
        assert self._http is not None
        status = self._door.judge(event.headers) if self._session is None else 429
        answer = [(b":status", b"%d" % status)]
        if status == 200:
            self._session = event.stream_id
            answer.append((b"sec-webtransport-http3-draft", b"draft02"))
        self._http.send_headers(event.stream_id, answer, end_stream=status != 200)
        if status != 200:
            # The answer has gone out by then; who was refused holds no place any longer than that.
            self._loop.call_soon(self.close, REQUEST_REJECTED, "refused")

    def _streamed(self, event: WebTransportStreamDataReceived) -> None:
        if self._link is None and event.session_id == self._session and event.stream_id % 4 == 0:
            self._begin(event.stream_id)
        if self._link is None or event.stream_id != self._stream:
            self._strays += 1
            if self._strays > STRAYS_MAX:
                self.close(EXCESSIVE_LOAD, "one stream is what this is for")
            return
        if event.data and not self._link.fed(event.data):
            self.close(EXCESSIVE_LOAD, "too much at once")
        if event.stream_ended:
            self._finish()

    def _begin(self, stream: int) -> None:
        self._opening.cancel()
        link = StreamLink(
            self, stream, path=Path.LAN, peer=self._address, binding=self._binding, visit=self._visit
        )
        try:
            self._serving = self._door.serve(link)
        except Unavailable as busy:
            self.close(EXCESSIVE_LOAD, busy.code)
            return
        self._stream, self._link = stream, link
        self._ask()

    # --- to the network ----------------------------------------------------------------------------------

    def write(self, stream: int, data: bytes) -> None:
        """Send bytes on a stream, with what else is due."""
        self._quic.send_stream_data(stream, data)
        self.transmit()

    def unsent(self, stream: int) -> int:
        """Bytes of a stream that the peer has not acknowledged."""
        # aioquic tells this nowhere else: its own adapter for asyncio's streams has no flow control.
        known = self._quic._streams.get(stream)
        return 0 if known is None else len(known.sender._buffer)

    def transmit(self) -> None:
        self._hold_back()
        super().transmit()
        if self._link is None:
            return
        unsent = self.unsent(self._stream)
        if unsent <= UNSENT_BYTES_MAX:
            self._link.drained.set()
        if not unsent:
            self._link.arrived.set()

    def _hold_back(self) -> None:
        """Say no goodbye that is more than an address may be sent that has proved nothing (RFC 9000 §8.1).

        aioquic keeps to three times what came in everything else.
        """
        quic = self._quic
        if quic._close_pending and not quic._network_paths[0].can_send(GOODBYE_BYTES_MAX):
            quic._close_pending = False
            quic._close_begin(is_initiator=True, now=self._loop.time())

    def _ask(self) -> None:
        """Ask a silent peer, so that one that is gone is noticed: its answer renews the idle timeout."""
        self._quic.send_ping(0)
        self.transmit()
        self._asking = self._loop.call_later(PING_EVERY_S, self._ask)

    async def hang_up(self) -> None:
        """Let what was sent arrive, within `CLOSE_TIMEOUT_S`, and end the connection."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._link is not None and not self._closed.is_set() and self.unsent(self._stream):
                    self._link.arrived.clear()
                    await self._link.arrived.wait()
        except TimeoutError:
            pass
        self.close(NO_ERROR)

    # --- the end -----------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """The peer left in good order."""
        if self._link is not None:
            self._link.over()
        elif self._session is not None:
            self.close(NO_ERROR)

    def _ended(self) -> None:
        if self._visit is not None:
            self._visit.leave()
        self._opening.cancel()
        if self._asking is not None:
            self._asking.cancel()
        if self._link is not None:
            self._link.over()
            self._link.arrived.set()

    def cancel(self) -> None:
        """End it now, with whatever runs on it."""
        if self._serving is not None:
            self._serving.cancel()
        self.close(NO_ERROR)
        self._ended()


def plain_address(address: str) -> str:
    """An address without the zone that a socket adds, and IPv4 as itself."""
    return address.partition("%")[0].removeprefix("::ffff:")

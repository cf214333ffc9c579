"""What a browser does towards the box, in Python: WebTransport with the certificate pinned by its hash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from ssl import CERT_NONE
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent, StreamDataReceived
from cryptography.hazmat.primitives.serialization import Encoding

from common import wire
from common.domain import Path
from common.errors import Code, Unavailable
from common.link.websocket import LINK_PATH

ORIGIN = "https://app.example"
PATIENCE_S = 30.0
#: What a page takes before it has read it: one largest frame.
UNREAD_BYTES = wire.SERVER_BYTES_MAX


class Browser(QuicConnectionProtocol):
    """One connection of a page. `request` a session, then `stream`."""

    def __init__(self, quic: Any, stream_handler: Any = None) -> None:
        super().__init__(quic, stream_handler)
        self.http: H3Connection | None = None
        self.answers: dict[int, asyncio.Future[dict[bytes, bytes]]] = {}
        self.link: BrowserLink | None = None

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        # aioquic takes whatever comes; a page that does not read takes no more at some point.
        if self.link is None or self.link.waiting < UNREAD_BYTES:
            super().datagram_received(data, addr)

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic, enable_webtransport=True)
        if isinstance(event, ConnectionTerminated):
            for answer in self.answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionError(event.reason_phrase))
            if self.link is not None:
                self.link.feed(b"", end=True)
        # aioquic's HTTP/3 does not know streams that we began.
        link = self.link
        if isinstance(event, StreamDataReceived) and link is not None and event.stream_id == link.stream:
            link.feed(event.data, end=event.end_stream)
            return
        for told in self.http.handle_event(event) if self.http is not None else ():
            if isinstance(told, HeadersReceived):
                self.answers[told.stream_id].set_result(dict(told.headers))

    async def request(self, headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, dict[bytes, bytes]]:
        """Send a request; its stream, and the headers of the answer."""
        assert self.http is not None
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = asyncio.get_running_loop().create_future()
        self.http.send_headers(stream, list(headers))
        self.transmit()
        async with asyncio.timeout(PATIENCE_S):
            return stream, await self.answers[stream]

    def stream(self, session: int) -> int:
        """Open a bidirectional stream in a session."""
        assert self.http is not None
        return self.http.create_webtransport_stream(session)

    async def leave(self) -> None:
        """Close the connection and its socket."""
        self.close()
        assert self._transport is not None
        self._transport.close()

    def send(self, stream: int, data: bytes) -> None:
        self._quic.send_stream_data(stream, data)
        self.transmit()


class BrowserLink:
    """A `common.link.Link` over a page's stream."""

    path = Path.LAN
    visit = None

    def __init__(self, browser: Browser, stream: int, binding: str) -> None:
        self.binding, self.peer = binding, "box"
        self.stream = stream
        self._browser, self._closed = browser, False
        self._reader = asyncio.StreamReader(limit=2**24)
        self.waiting = 0
        browser.link = self
        browser.send(stream, b"\n")  # a stream is there for the box once something comes on it

    def feed(self, data: bytes, *, end: bool) -> None:
        if data:
            self.waiting += len(data)
            self._reader.feed_data(data)
        if end:
            self._reader.feed_eof()

    async def send(self, frame: bytes) -> None:
        if self._closed:
            raise ConnectionError("closed")
        self._browser.send(self.stream, frame + b"\n")

    async def receive(self) -> bytes | None:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        self.waiting -= len(line)
        return line[:-1]

    async def close(self, code: object = None) -> None:
        if not self._closed:
            self._closed = True
            await self._browser.leave()
            self.feed(b"", end=True)


def connect_headers(port: int, **changed: bytes) -> list[tuple[bytes, bytes]]:
    """What Chromium sends to open a session; `changed` by name without the colon, b"" leaves it out."""
    headers = {
        b":method": b"CONNECT",
        b":protocol": b"webtransport",
        b":scheme": b"https",
        b":authority": f"127.0.0.1:{port}".encode(),
        b":path": LINK_PATH.encode(),
        b"origin": ORIGIN.encode(),
        b"sec-webtransport-http3-draft02": b"1",
    }
    for name, value in changed.items():
        key = name.encode() if name == "origin" else b":" + name.encode()
        headers[key] = value
    return [(name, value) for name, value in headers.items() if value]


async def browse(port: int, *, local: str = "127.0.0.1") -> Browser:
    """A connection to the box that looks at no certificate. Raises Unavailable(no_path); `leave` it.

    local: the address of loopback that it comes from.
    """
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, verify_mode=CERT_NONE, max_datagram_frame_size=65536
    )
    loop = asyncio.get_running_loop()
    _, browser = await loop.create_datagram_endpoint(
        lambda: Browser(QuicConnection(configuration=configuration)), local_addr=(local, 0)
    )
    browser.connect(("127.0.0.1", port))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await browser.wait_connected()
    except (ConnectionError, TimeoutError) as failed:
        await browser.leave()
        raise Unavailable(Code.NO_PATH, str(failed)) from None
    return browser


@asynccontextmanager
async def browsing(port: int) -> AsyncIterator[Browser]:
    """`browse`, and leave at the end."""
    browser = await browse(port)
    try:
        yield browser
    finally:
        await browser.leave()


def shown(browser: Browser) -> str:
    """SHA-256 (hex) of the certificate that the box showed: what a browser compares with its pins."""
    certificate = browser._quic.tls._peer_certificate
    assert certificate is not None
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


async def connect_browser(port: int) -> BrowserLink:
    """A link as a page has it. Raises Unavailable(no_path)."""
    browser = await browse(port)
    try:
        session, answer = await browser.request(connect_headers(port))
        if answer[b":status"] != b"200":
            raise Unavailable(Code.NO_PATH, str(answer))
        return BrowserLink(browser, browser.stream(session), shown(browser))
    except BaseException:
        await browser.leave()
        raise

"""Links over WebSocket, for both ends, on the `websockets` package.

A message is a text frame of JSON. Not compressed: the frames are small, and compression costs memory for each
link and tells sizes of secrets. Sizes are bounded by `common.wire` at either end before a byte is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from common import wire
from common.domain import Path
from common.errors import Code, LocalFault, Unavailable
from common.link import CLOSE_TIMEOUT_S, Link
from common.link.opening import Spawn, TlsOpening
from common.link.tls import ServerTls, peer_hash, pinned_context
from common.threshold import TCP_COST, Threshold, Visit

#: The package's own INFO has several lines for every connection; what matters of one, its session tells.
_quiet = logging.getLogger("plugside.link.websockets")
_quiet.setLevel(logging.WARNING)

#: Where the app link lives, at the box and at the cloud.
LINK_PATH = "/v1/link"
#: A handshake that takes longer is somebody who sends byte by byte, or a dead network.
OPEN_TIMEOUT_S = 5.0
#: A silent peer is asked, and given up when it does not answer as long again.
PING_EVERY_S = 20.0
#: Links of one listener: more than the phones of one site, and with their queues still a bounded memory.
LINKS_MAX = 256
#: RFC 6455 §7.4.2, private use: closed by the app link; the reason is one of our codes.
APP_CLOSE = 4000

PageHandler = Callable[[ServerConnection, Request], Response | Awaitable[Response | None] | None]


class WebSocketLink:
    """A link over one open WebSocket, of either end."""

    def __init__(
        self, connection: Connection, path: Path, binding: str = "", visit: Visit | None = None
    ) -> None:
        self._connection = connection
        self.path = path
        self.binding = binding
        self.visit = visit
        address = connection.remote_address
        self.peer = str(address[0]) if isinstance(address, tuple) else ""

    async def send(self, frame: bytes) -> None:
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise ConnectionError(str(closed)) from None

    async def receive(self) -> bytes | None:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed:
            return None

    async def close(self, code: Code | None = None) -> None:
        # The package bounds this by its close_timeout, and then drops the transport.
        if code is None:
            await self._connection.close()
        else:
            await self._connection.close(APP_CLOSE, code.value)


# --- client ------------------------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether this host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def lan_url(address: str) -> str:
    """The app link's URL at a box. address: host:port."""
    return f"wss://{address}{LINK_PATH}"


async def connect_websocket(
    url: str,
    path: Path,
    *,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = OPEN_TIMEOUT_S,
) -> WebSocketLink:
    """Open a link to `url` (wss://, or ws:// on loopback only).

    path LAN: any certificate, its hash becomes the link's `binding`, and the session's handshake proves the
    box. path CLOUD: verified by the system's authorities, or by `tls`.
    Raises Unavailable(no_path); LocalFault(bad_settings) for a URL that may not be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in {"ws", "wss"} or not host:
        raise LocalFault(Code.BAD_SETTINGS, f"{url} is not a ws:// or wss:// address")
    if parts.scheme == "ws" and not is_loopback(host):
        raise LocalFault(Code.BAD_SETTINGS, f"{url} is not encrypted; only this machine is reached like that")
    secure = parts.scheme == "wss"
    context = (
        (tls or (pinned_context() if path is Path.LAN else ssl.create_default_context())) if secure else None
    )
    try:
        connection = await connect(
            url,
            ssl=context,
            compression=None,
            max_size=wire.SERVER_BYTES_MAX,
            open_timeout=timeout_s,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            # A box is on this network; only the way to the cloud may lead through a proxy.
            proxy=None if path is Path.LAN or is_loopback(host) else True,
            logger=_quiet,
        )
    except (OSError, WebSocketException) as failed:
        raise Unavailable(Code.NO_PATH, f"{parts.hostname}:{parts.port or ''} {failed}") from None
    binding = peer_hash(connection.transport.get_extra_info("ssl_object")) if path is Path.LAN else ""
    return WebSocketLink(connection, path, binding)


# --- server ------------------------------------------------------------------------------------------------


def _no_page(origin: str | None) -> bool:
    return origin is None


class WebSocketListener:
    """An open listener. `addresses` are the (host, port) pairs that it really has."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.addresses = tuple((str(s.getsockname()[0]), int(s.getsockname()[1])) for s in server.sockets)

    async def ended(self) -> None:
        """Return once it listens no more, whoever closed it."""
        await self._server.wait_closed()

    async def close(self) -> None:
        """Stop listening and close every link, each within `CLOSE_TIMEOUT_S`."""
        self._server.close()
        await self._server.wait_closed()


class _Counted(ServerConnection):
    """A connection that is counted at the threshold before its TLS begins."""

    def __init__(
        self, protocol: ServerProtocol, server: Server, *, threshold: Threshold, **settings: Any
    ) -> None:
        super().__init__(protocol, server, **settings)
        self._threshold = threshold
        self.entered = False
        self.visit: Visit | None = None

    def enter(self, transport: asyncio.BaseTransport) -> bool:
        peer = transport.get_extra_info("peername")
        self.visit = self._threshold.knock(str(peer[0]) if isinstance(peer, tuple) else "", TCP_COST)
        self.entered = self.visit is not None
        return self.entered

    def leave(self) -> None:
        self.entered = False
        if self.visit is not None:
            self.visit.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.leave()


def _opens(
    threshold: Threshold | None, tls: ServerTls | None, spawn: Spawn | None
) -> Callable[..., Any] | None:
    """What `websockets` makes of a connection that it has accepted; None = its own."""
    if threshold is None:
        return None
    assert tls is not None, "a threshold is before cryptography"
    assert spawn is not None, "a TLS handshake is a task of somebody's"

    def connection(protocol: ServerProtocol, server: Server, **settings: Any) -> TlsOpening:
        counted = _Counted(protocol, server, threshold=threshold, **settings)
        return TlsOpening(counted, tls.context, spawn, lambda *_: None, within_s=OPEN_TIMEOUT_S)

    return connection


class _Front:
    """What a listener does with a request, and with a link that came of it."""

    def __init__(
        self,
        on_link: Callable[[Link], Awaitable[None]],
        path: Path,
        tls: ServerTls | None,
        *,
        pages: PageHandler | None,
        hosts: Callable[[str], bool],
        allowed: Callable[[str | None], bool],
        links_max: int | None,
    ) -> None:
        self._on_link, self._path, self._tls = on_link, path, tls
        self._pages, self._hosts, self._allowed, self._links_max = pages, hosts, allowed, links_max
        self._links = 0

    async def handle(self, connection: ServerConnection) -> None:
        self._links += 1
        try:
            secured = connection.transport.get_extra_info("ssl_object")
            binding = self._tls.binding(secured) if self._tls else ""
            visit = connection.visit if isinstance(connection, _Counted) else None
            await self._on_link(WebSocketLink(connection, self._path, binding, visit))
        finally:
            self._links -= 1

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        named = request.headers.get_all("Host")
        if len(named) != 1:
            return connection.respond(HTTPStatus.BAD_REQUEST, "One Host, please.\n")
        if not self._hosts(named[0]):
            return connection.respond(HTTPStatus.MISDIRECTED_REQUEST, "This box has another name.\n")
        if request.path != LINK_PATH:
            answer = self._pages(connection, request) if self._pages is not None else None
            if isinstance(answer, Awaitable):
                answer = await answer
            return answer or connection.respond(HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        told = request.headers.get_all("origin")
        if len(told) > 1 or not self._allowed(told[0] if told else None):
            return connection.respond(HTTPStatus.FORBIDDEN, "This page may not connect here.\n")
        if self._links_max is not None and self._links >= self._links_max:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Too many links; try again shortly.\n")
        return None


async def listen_websocket(
    host: str,
    port: int,
    on_link: Callable[[Link], Awaitable[None]],
    *,
    path: Path = Path.LAN,
    tls: ServerTls | None = None,
    pages: PageHandler | None = None,
    allowed: Callable[[str | None], bool] = _no_page,
    links_max: int = LINKS_MAX,
    threshold: Threshold | None = None,
    spawn: Spawn | None = None,
    hosts: Callable[[str], bool] = lambda _host: True,
) -> WebSocketListener:
    """Listen, and run `on_link` for each link until it returns; the link is closed then.

    host: address to bind; port 0 = any. Without `tls`, loopback only. pages: answers what is
    not the app link (return None to refuse it here with 404). origins: pages that may open a link; None
    stands for clients that are no browser, and is all that is let in unless said otherwise. threshold: asked
    before a TLS handshake begins, which runs as a task of `spawn`; it counts links in place of `links_max`.
    hosts: whether a `Host` is one of this listener's names; 421 if not.
    Raises LocalFault(bad_settings) if the address cannot be had.
    """
    if tls is None and not is_loopback(host):
        raise LocalFault(Code.BAD_SETTINGS, f"an app link without TLS is for loopback only, not {host}")
    front = _Front(
        on_link,
        path,
        tls,
        pages=pages,
        hosts=hosts,
        allowed=allowed,
        links_max=None if threshold is not None else links_max,
    )
    try:
        server = await serve(
            front.handle,
            host,
            port,
            ssl=tls.context if tls and threshold is None else None,
            process_request=front.admit,
            compression=None,
            max_size=wire.CLIENT_BYTES_MAX,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            server_header=None,
            logger=_quiet,
            # Typed as a class; called like one.
            create_connection=cast("type[ServerConnection] | None", _opens(threshold, tls, spawn)),
        )
    except OSError as failed:
        raise LocalFault(
            Code.BAD_SETTINGS,
            f"apps cannot connect to {host}:{port}: {failed}",
            hint="Give `run` another --lan address, or stop what holds this one.",
        ) from None
    return WebSocketListener(server)

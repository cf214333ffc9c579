"""Links over WebSocket, for both ends, on the `websockets` package.

A message is a text frame of JSON. Not compressed: the frames are small, and compression costs memory for each
link and tells sizes of secrets. Sizes are bounded by `common.wire` at either end before a byte is read.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.http11 import Request, Response

from common import wire
from common.domain import Path
from common.errors import Code, LocalFault, Unavailable
from common.link import CLOSE_TIMEOUT_S, Link
from common.link.tls import ServerTls, peer_hash, pinned_context

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

    def __init__(self, connection: Connection, path: Path, binding: str = "") -> None:
        self._connection = connection
        self.path = path
        self.binding = binding
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
) -> WebSocketListener:
    """Listen, and run `on_link` for each link until it returns; the link is closed then.

    host: address to bind; port 0 = any. Without `tls`, loopback only. pages: answers what is
    not the app link (return None to refuse it here with 404). origins: pages that may open a link; None
    stands for clients that are no browser, and is all that is let in unless said otherwise.
    Raises LocalFault(bad_settings) if the address cannot be had.
    """
    if tls is None and not is_loopback(host):
        raise LocalFault(Code.BAD_SETTINGS, f"an app link without TLS is for loopback only, not {host}")
    links = 0

    async def handle(connection: ServerConnection) -> None:
        nonlocal links
        links += 1
        try:
            binding = tls.binding(connection.transport.get_extra_info("ssl_object")) if tls else ""
            link = WebSocketLink(connection, path, binding)
            await on_link(link)
        finally:
            links -= 1

    async def admit(connection: ServerConnection, request: Request) -> Response | None:
        if request.path != LINK_PATH:
            answer = pages(connection, request) if pages is not None else None
            if isinstance(answer, Awaitable):
                answer = await answer
            return answer or connection.respond(HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        told = request.headers.get_all("origin")
        if len(told) > 1 or not allowed(told[0] if told else None):
            return connection.respond(HTTPStatus.FORBIDDEN, "This page may not connect here.\n")
        if links >= links_max:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Too many links; try again shortly.\n")
        return None

    try:
        server = await serve(
            handle,
            host,
            port,
            ssl=tls.context if tls else None,
            process_request=admit,
            compression=None,
            max_size=wire.CLIENT_BYTES_MAX,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            server_header=None,
            logger=_quiet,
        )
    except OSError as failed:
        raise LocalFault(
            Code.BAD_SETTINGS,
            f"apps cannot connect to {host}:{port}: {failed}",
            hint="Give `run` another --lan address, or stop what holds this one.",
        ) from None
    return WebSocketListener(server)

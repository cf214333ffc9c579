"""The box's few pages: the app over HTTPS where phones connect; over plain HTTP one that says where it is.

The app needs a secure context (WebCrypto, the service worker). The box serves it under its own certificate,
which browsers warn about once, or under one that the installer has for the box's name. Pages are public:
whoever can reach the port may read them, and what they can do, they do by the app link.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from common.errors import Code, LocalFault
from common.webapp import GUARDS, Answer, WebApp

_quiet = logging.getLogger("plugside.pages")
_quiet.setLevel(logging.WARNING)

#: A request has to have come by then, and its answer to have gone, in s.
_TIMEOUT_S = 5.0
_PLAIN = {
    **GUARDS,
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
}


def app_page(app: WebApp, request: Request) -> Response | None:
    """The app's answer to a request on the LAN port; None: there is no such page."""
    path = request.path.partition("?")[0]
    answer = app.answer(
        path,
        accepts=",".join(request.headers.get_all("accept-encoding")),
        known=",".join(request.headers.get_all("if-none-match")),
    )
    if answer is None and path == "/":
        return _response(_page(HTTPStatus.NOT_FOUND, "The app is not part of this installation", ()))
    return _response(answer) if answer is not None else None


def where_page(links: tuple[str, ...]) -> Answer:
    """The one page over plain HTTP: where the app is."""
    return _page(HTTPStatus.OK, "This is a Plugside box. Open the app here:", links)


def _page(status: HTTPStatus, sentence: str, links: tuple[str, ...]) -> Answer:
    shown = "".join(f'<p><a href="{html.escape(link)}">{html.escape(link)}</a></p>' for link in links)
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Plugside</title></head>'
        f"<body><h1>Plugside</h1><p>{html.escape(sentence)}</p>{shown}</body></html>\n"
    ).encode()
    return Answer(status, {**_PLAIN, "content-length": str(len(body))}, body)


def _response(answer: Answer) -> Response:
    headers = Headers([*answer.headers.items(), ("connection", "close")])
    return Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)


class PlainPage:
    """An open listener for the plain page. `port` is the one that it really has."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.port = int(server.sockets[0].getsockname()[1])

    async def ended(self) -> None:
        """Return once it listens no more, whoever closed it."""
        await self._server.wait_closed()

    async def close(self) -> None:
        """Stop listening."""
        self._server.close()
        await self._server.wait_closed()


async def listen_plain(host: str, port: int, links: Callable[[], tuple[str, ...]]) -> PlainPage:
    """Serve the page that says where the app is, whatever is asked for. Raises LocalFault(bad_settings)."""

    def answer(_connection: ServerConnection, _request: Request) -> Response:
        return _response(where_page(links()))

    async def never(connection: ServerConnection) -> None:
        await connection.close()

    try:
        server = await serve(
            never,
            host,
            port,
            process_request=answer,
            compression=None,
            open_timeout=_TIMEOUT_S,
            close_timeout=_TIMEOUT_S,
            server_header=None,
            logger=_quiet,
        )
    except OSError as failed:
        raise LocalFault(
            Code.BAD_SETTINGS,
            f"the plain page cannot be had at {host}:{port}: {failed}",
            hint="Give `run` another --page address, or stop what holds this one.",
        ) from None
    return PlainPage(server)

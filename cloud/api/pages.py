"""The app's pages before the API: ASGI middleware that answers what the build has and passes on the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from common.webapp import WebApp

# ASGI, as its specification has it: plain dictionaries.
_Event = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[Any, Any, Any], Awaitable[None]]


class Pages:
    """See the module."""

    def __init__(self, app: _App, pages: WebApp) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: _Event, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        told = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._pages.answer(
            scope["path"],
            accepts=told.get(b"accept-encoding", ""),
            known=told.get(b"if-none-match", ""),
        )
        if answer is None:
            await self._app(scope, receive, send)
            return
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body, "more_body": False})

"""WebSockets of the web framework as what the rest of the house knows: an app link, and a tunnel's socket."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.connection import WebSocket
from litestar.exceptions import WebSocketDisconnect

from common.domain import Path
from common.errors import Code
from common.link import CLOSE_TIMEOUT_S
from common.link.websocket import APP_CLOSE


class _AsgiSocket:
    """One accepted WebSocket. Receives either kind of frame; sends the kind that the subclass says."""

    _SENDS = "text"

    def __init__(self, socket: WebSocket[Any, Any, Any]) -> None:
        self._socket = socket
        self._closed = False
        self.peer = socket.client.host if socket.client else ""

    async def send(self, frame: bytes) -> None:
        """Waits while the peer reads slowly. Raises ConnectionError once closed."""
        if self._closed:
            raise ConnectionError("closed")
        value: Any = frame.decode() if self._SENDS == "text" else frame
        try:
            event: Any = {"type": "websocket.send", self._SENDS: value}
            await self._socket.send(event)
        except (WebSocketDisconnect, OSError, RuntimeError) as gone:
            # RuntimeError: the server has closed it meanwhile and takes no more.
            self._closed = True
            raise ConnectionError(str(gone)) from None

    async def receive(self) -> bytes | None:
        """The next frame; None once closed."""
        if self._closed:
            return None
        event: Any = await self._socket.receive()
        if event["type"] != "websocket.receive":
            self._closed = True
            return None
        text = event.get("text")
        data: bytes = text.encode(errors="surrogatepass") if text is not None else event["bytes"]
        return data

    async def close(self, code: Code | None = None) -> None:
        """Idempotent; raises nothing."""
        if self._closed:
            return
        self._closed = True
        number, reason = (1000, "") if code is None else (APP_CLOSE, code.value)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.send({"type": "websocket.close", "code": number, "reason": reason})
        except (WebSocketDisconnect, OSError, RuntimeError, TimeoutError):
            pass


class AppSocket(_AsgiSocket):
    """`common.link.Link` of an app: text frames of JSON. The certificate may be a proxy's: no binding."""

    path = Path.CLOUD
    binding = ""
    visit = None


class TunnelSocket(_AsgiSocket):
    """`cloud.edges.Socket` of a box: binary frames of MessagePack."""

    _SENDS = "bytes"

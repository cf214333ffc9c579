"""Links: a duplex stream of frames, whatever carries it. The app link's shells know nothing below this.

    websocket   native clients on the LAN (TLS, pinned) and through the cloud (WebPKI); plain on loopback
    unix        local commands: the box's and the cloud's own socket

A transport that lives elsewhere (the cloud's web framework, WebTransport on the LAN) joins by having the same
six members; tests/applink runs one suite over all of them.
"""

from __future__ import annotations

from typing import Protocol

from common.domain import Path
from common.errors import Code
from common.threshold import Visit

#: Seconds that a close may take before the transport is dropped without a word.
CLOSE_TIMEOUT_S = 1.0


class Link(Protocol):
    """One connection. Frames keep their order and their borders."""

    @property
    def path(self) -> Path:
        """Which way it goes. Never a reason to trust it."""

    @property
    def peer(self) -> str:
        """Who is at the other end, for logs and limits: an address, or `uid:` on a Unix socket."""

    @property
    def binding(self) -> str:
        """SHA-256 (hex) of the TLS certificate in use; empty where both ends cannot know it."""

    @property
    def visit(self) -> Visit | None:
        """How it was let in at the box's LAN door; None where nobody is counted."""

    async def send(self, frame: bytes) -> None:
        """Hand over one frame; waits while the peer reads slowly. Raises ConnectionError once closed."""

    async def receive(self) -> bytes | None:
        """The next frame; None once the link is closed, whoever closed it. Cancel-safe."""

    async def close(self, code: Code | None = None) -> None:
        """Close with a reason, within `CLOSE_TIMEOUT_S`. Idempotent; raises nothing."""

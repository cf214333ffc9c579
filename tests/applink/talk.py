"""Both ends of an app link without a transport: sessions made to order, and frames passed by hand."""

from __future__ import annotations

from typing import Any

from common import wire
from common.appsession import ClientSession, Closed, Event, ServerSession, Serving
from common.domain import Path
from common.trust import Verifier, b64
from tests.trust.cast import BOX, NOW_MS, PHONE, SITE, grant, verifier

CERTIFICATES = ("11" * 32, "22" * 32)
BINDING = CERTIFICATES[0]


def serving(path: Path = Path.LAN, judge: Verifier | None = None, site: str | None = SITE) -> Serving:
    """What the box's listener shares."""
    return Serving(identity=BOX, verifier=judge or verifier(), path=path, site=site)


def server(**changes: Any) -> ServerSession:
    """A server's session at the box, on the LAN."""
    options: dict[str, Any] = {"nonce": b64(b"s" * 32), "certificates": CERTIFICATES, "binding": BINDING}
    shared = changes.pop("serving", None) or serving()
    return ServerSession(shared, **(options | changes))


def client(**changes: Any) -> ClientSession:
    """A paired phone's session on the LAN, with one grant."""
    options: dict[str, Any] = {
        "nonce": b64(b"c" * 32),
        "path": Path.LAN,
        "server": BOX.fingerprint,
        "key": PHONE,
        "grants": (grant(),),
        "binding": BINDING,
    }
    return ClientSession(**(options | changes))


class Talk:
    """A client and a server that talk until neither has more to say. Notes what crossed."""

    def __init__(self, client: ClientSession, server: ServerSession, now_ms: int = NOW_MS) -> None:
        self.client, self.server, self.now_ms = client, server, now_ms
        self.sent: list[bytes] = []  # by the client
        self.events: list[Event] = []
        self.heard: list[wire.ServerMessage | Closed] = []

    def exchange(self) -> None:
        """Pass frames both ways until it is quiet."""
        while frames := [*self.client.data_to_send()]:
            for frame in frames:
                self.sent.append(frame)
                self.events += self.server.receive(frame, self.now_ms)
            self.answer()

    def answer(self) -> None:
        """Pass on what the server has to say."""
        for frame in self.server.data_to_send():
            self.heard += self.client.receive(frame)

    def tell(self, message: wire.Message) -> None:
        """A message of the server's backend, and what follows from it."""
        self.heard += self.client.receive(wire.encode(message))
        self.exchange()

    def open(self) -> Talk:
        """The whole handshake, answered as a backend does."""
        self.client.hello()
        self.exchange()
        self.tell(WELCOME)
        return self


WELCOME = wire.Welcome(
    sites=(wire.SiteAccess(site=SITE, role="driver", principal="driver-1"),), time="2027-01-15T08:00:00.000Z"
)


def codes(heard: list[wire.ServerMessage | Closed]) -> list[str]:
    """The codes of refusals, byes and ends, in order."""
    return [str(one.code) for one in heard if isinstance(one, wire.Refusal | wire.Bye | Closed)]

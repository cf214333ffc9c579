"""A box with a backend that answers everything, and apps that talk to it over a real transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path as Folder
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from common import wire
from common.applink import Limits, Peer, new_session, serve
from common.appsession import ClientSession, Closed, Positions, Serving
from common.commands import Command
from common.domain import Path
from common.errors import Code, Refused
from common.link import Link
from common.policy import Claims, local_presence
from common.trust import IdentityKey, Verifier, b64
from common.view import View
from tests.applink.transports import Transport, lan_certificates
from tests.trust.cast import BOX, NOW_MS, PHONE, SITE, grant, verifier

TIME = "2027-01-15T08:00:00.000Z"
#: Any answer comes at once; this is when a test gives up.
PATIENCE_S = 30.0

M = TypeVar("M", bound=wire.Message)


class FixedClock:
    """Time stands still until a test moves it."""

    quality = "synced"

    def __init__(self, at_ms: int = NOW_MS) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    def mono_ms(self) -> int:
        return self.at_ms


class CountedIds:
    """Ids that are unique and the same at every run."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def uid(self) -> str:
        return f"0190d3a2-0000-7000-8000-{next(self._numbers):012d}"

    def token(self, size: int = 16) -> bytes:
        return next(self._numbers).to_bytes(size, "big")

    def transaction(self) -> int:
        return next(self._numbers)

    def jitter(self) -> float:
        return 0.5


def access(claims: Claims) -> wire.SiteAccess:
    return wire.SiteAccess(site=claims.site, role=claims.role, principal=claims.principal)


class Answering:
    """A backend that answers each request at once, and notes what it was asked."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.asked: list[tuple[str, Any]] = []
        self.gone: list[Peer] = []
        self.followers: list[Peer] = []

    def authenticated(self, peer: Peer, claims: tuple[Claims, ...]) -> None:
        if peer not in self.peers:
            self.peers.append(peer)
        peer.send(wire.Welcome(sites=tuple(map(access, claims)), time=TIME))

    def follow(self, peer: Peer, sites: tuple[str, ...], since: dict[str, tuple[str, int]]) -> None:
        self.asked.append(("follow", (sites, since)))
        for site in sites:
            peer.send(wire.Snapshot(site=site, epoch="1-a", seq=10, view=View(site=site), at=TIME))
        self.followers.append(peer)

    def command(
        self, peer: Peer, message: wire.SendCommand, claims: Claims, payload: bytes, command: Command
    ) -> None:
        self.asked.append(("command", payload))
        peer.send(wire.Accepted(id=message.id))
        peer.send(wire.Confirmed(id=message.id, answer="accepted"))
        peer.send(wire.Settled(id=message.id, outcome="succeeded"))

    def query(self, peer: Peer, message: wire.Query, claims: Claims) -> None:
        if message.what == "nonsense":
            raise Refused(Code.BAD_REQUEST, "there is nothing of that name")
        if message.what == "broken":
            raise ZeroDivisionError
        peer.send(wire.Page(id=message.id, rows=(message.args,)))

    def manage(self, peer: Peer, message: wire.Manage, claims: Claims) -> None:
        peer.send(wire.Managed(id=message.id, result=message.args))

    def redeem(self, peer: Peer, message: wire.Redeem, key: str) -> None:
        if message.secret != "the secret":
            raise Refused(Code.BAD_INVITE)
        peer.send(wire.Granted(grant=grant(key=key), site=SITE_ACCESS))

    def renew(self, peer: Peer, message: wire.Renew, claims: Claims) -> None:
        peer.send(wire.Granted(grant=grant(key=claims.key, grant_id="renewed"), site=SITE_ACCESS))

    def closed(self, peer: Peer) -> None:
        self.gone.append(peer)


SITE_ACCESS = wire.SiteAccess(site=SITE, role="driver", principal="driver-1")


class World:
    """One box, served over one transport."""

    def __init__(self, transport: Transport, folder: Folder, limits: Limits) -> None:
        self.transport, self.limits = transport, limits
        self.local = transport.path is Path.LOCAL
        self.verifier: Verifier = verifier()
        self.clock, self.ids = FixedClock(), CountedIds()
        self.backend = Answering()
        self.ends: list[Code | None] = []
        self._changed = asyncio.Condition()
        self.certificates = lan_certificates(folder).hashes if transport.bound else ()
        self.links: list[Link] = []
        self._serving = Serving(identity=BOX, verifier=self.verifier, path=transport.path, site=SITE)

    async def on_link(self, link: Link) -> None:
        self.links.append(link)
        local = local_presence(SITE) if self.local else None
        session = new_session(self._serving, link, self.ids, certificates=self.certificates, local=local)
        self.ends.append(await serve(link, session, self.backend, clock=self.clock, limits=self.limits))
        async with self._changed:
            self._changed.notify_all()

    async def ended(self, count: int = 1) -> None:
        """Wait until so many links have been served to their end."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.ends) >= count)

    async def app(self, **options: Any) -> App:
        """An app that is connected but has said nothing. options: of `ClientSession`."""
        return App(await self.connect(), self.transport, **options)

    async def opened(self, **options: Any) -> App:
        """An app that is welcome."""
        app = await self.app(**options)
        await app.hello()
        await app.until(wire.Welcome)
        return app

    async def connect(self) -> Link:
        raise NotImplementedError("set by `world`")


@asynccontextmanager
async def world(transport: Transport, folder: Folder, limits: Limits | None = None) -> AsyncIterator[World]:
    """A box that listens."""
    box = World(transport, folder, limits or Limits())
    async with transport.open(folder, box.on_link) as connect:
        box.connect = connect  # type: ignore[method-assign]
        yield box


class App:
    """A client's end: one link and one session."""

    def __init__(
        self,
        link: Link,
        transport: Transport,
        *,
        key: IdentityKey | None = PHONE,
        grants: tuple[str, ...] | None = None,
        invite: str = "",
        server: str | None = BOX.fingerprint,
        positions: Positions | None = None,
    ) -> None:
        local = transport.path is Path.LOCAL
        self.link = link
        self.session = ClientSession(
            nonce=b64(b"c" * 32),
            path=transport.path,
            server=None if local else server,
            key=None if local else key,
            grants=() if local or invite else ((grant(),) if grants is None else grants),
            invite=invite,
            binding=link.binding,
            positions=positions,
        )
        self.heard: list[wire.ServerMessage | Closed] = []

    async def __aenter__(self) -> App:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.link.close()

    async def hello(self) -> None:
        self.session.hello()
        await self.flush()

    async def flush(self) -> None:
        for frame in self.session.data_to_send():
            await self.link.send(frame)

    async def ask(self, message: Any) -> None:
        self.session.ask(message)
        await self.flush()

    async def until(self, kind: type[M]) -> M:
        """The next message of this kind; what comes before it is in `heard`. Fails when the link ends."""
        async with asyncio.timeout(PATIENCE_S):
            while (frame := await self.link.receive()) is not None:
                news = self.session.receive(frame)
                await self.flush()
                self.heard += news
                for message in news:
                    if isinstance(message, kind):
                        return message
        raise AssertionError(f"the link ended before a {kind.__name__}; heard {self.heard}")

    async def end(self) -> list[str]:
        """Read to the end. The codes of byes and refusals on the way."""
        async with asyncio.timeout(PATIENCE_S):
            while (frame := await self.link.receive()) is not None:
                self.heard += self.session.receive(frame)
        return [str(one.code) for one in self.heard if isinstance(one, wire.Bye | wire.Refusal | Closed)]


def fact_frame(seq: int, size: int = 0) -> bytes:
    """A pushed fact, with a record of about `size` bytes."""
    record = msgspec.Raw(msgspec.json.encode({"n": seq, "pad": "x" * size}))
    return wire.encode(wire.FactMessage(site=SITE, epoch="1-a", seq=seq, record=record))

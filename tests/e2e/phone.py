"""An app by hand: the app link's real session over the real transports, one link at a time as a test says.

`common/client` chooses paths, follows many sites and repairs what breaks. These tests also need to say which
way a message goes, to send one envelope twice, to sign with the wrong key and to stop reading; so this phone
does only what it is told. Pairing goes the real way: an invite, redeemed where it was made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from common import commands, trust, wire
from common.appsession import ClientSession, Closed
from common.clock import SystemClock, SystemIds
from common.commands import Command, Name
from common.domain import Path, Target, iso
from common.errors import Code
from common.keystore import generate_identity
from common.link import Link
from common.link.websocket import LINK_PATH, connect_websocket, lan_url
from common.trust.handshake import NONCE_BYTES
from tests.e2e.chargers import PATIENCE_S

Heard = wire.ServerMessage | Closed


class Talk:
    """One open link. `heard` holds all that came, in order."""

    def __init__(self, link: Link, session: ClientSession, phone: Phone) -> None:
        self.link = link
        self.heard: list[Heard] = []
        self.frames: list[bytes] = []  #: the same as they came
        self._session, self._phone = session, phone
        self._more = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()

    async def read(self) -> None:
        """Serve the link until it ends."""
        self._session.hello()
        await self.flush()
        while True:
            await self._reading.wait()
            frame = await self.link.receive()
            if frame is None:
                break
            self.frames.append(frame)
            self.heard += self._session.receive(frame)
            self._more.set()
            with contextlib.suppress(ConnectionError):
                await self.flush()
        if not self.of(Closed):
            self.heard.append(Closed(Code.NO_PATH, "the connection ended"))
        self._more.set()

    def stop_reading(self) -> None:
        """Be a phone in a pocket: connected, and taking nothing."""
        self._reading.clear()

    def read_on(self) -> None:
        self._reading.set()

    async def flush(self) -> None:
        for frame in self._session.data_to_send():
            await self.link.send(frame)

    def of(self, kind: Any) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]

    async def until(self, condition: Callable[[], bool], what: str = "what was awaited") -> None:
        """Wait until something that came makes the condition true."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            last = "\n".join(repr(message)[:400] for message in self.heard[-8:])
            raise AssertionError(f"{what} never came. The last that did:\n{last}") from None

    async def ask(self, message: wire.Follow | wire.SendCommand | wire.Query | wire.Manage) -> None:
        self._session.ask(message)
        await self.flush()

    async def follow(self) -> wire.Snapshot:
        """Follow the site; returns its snapshot, behind which the facts come."""
        before = len(self.of(wire.Snapshot))
        self._session.follow(self._phone.site.site)
        await self.flush()
        await self.until(lambda: len(self.of(wire.Snapshot)) > before, "a snapshot")
        return self.of(wire.Snapshot)[-1]

    async def send(self, sealed: Sealed) -> None:
        """Send a sealed command, whether or not it was sent before."""
        message = wire.SendCommand(
            id=sealed.command.id, site=sealed.command.site, envelope=sealed.envelope, grant=self._phone.grant
        )
        await self.ask(message)

    def answers(self, command_id: str) -> list[Any]:
        """Everything that was said about a command, in order."""
        kinds = wire.Accepted | wire.Confirmed | wire.Settled | wire.Refusal
        return [m for m in self.heard if isinstance(m, kinds) and m.id == command_id]

    async def ended(self, command_id: str) -> wire.Settled | wire.Refusal:
        """Wait for a command's end: settled or refused."""
        ends = (wire.Settled, wire.Refusal)

        def over() -> bool:
            return any(isinstance(m, ends) for m in self.answers(command_id))

        await self.until(over, f"the end of command {command_id}")
        last = next(m for m in self.answers(command_id) if isinstance(m, ends))
        assert isinstance(last, ends)
        return last

    async def query(self, what: str, **args: Any) -> list[Any]:
        """One page of a query."""
        asked = SystemIds().uid()
        await self.ask(wire.Query(id=asked, site=self._phone.site.site, what=what, args=args))

        def answers() -> list[wire.Page | wire.Refusal]:
            return [m for m in self.heard if isinstance(m, wire.Page | wire.Refusal) and m.id == asked]

        await self.until(lambda: bool(answers()), f"the page of {what}")
        (page,) = answers()
        assert isinstance(page, wire.Page), page
        return list(page.rows)


class Sealed:
    """A signed command, ready to go any way, any number of times."""

    def __init__(self, command: Command, envelope: str) -> None:
        self.command, self.envelope = command, envelope


class Phone:
    """A device with a key of its own, and, once joined, a grant for one site."""

    def __init__(self, name: str = "phone") -> None:
        self.name = name
        self.key = generate_identity()
        self.grant = ""
        self.site: wire.SiteAccess
        self.cloud = self.cloud_key = ""

    async def join(self, invite: str) -> Phone:
        """Redeem an invite where it was made: at the box, or in the cloud."""
        ticket = trust.Invite.from_text(invite)
        path, url = (
            (Path.CLOUD, _cloud_link(ticket.urls[0]))
            if ticket.urls
            else (Path.LAN, lan_url(ticket.addresses[0]))
        )
        async with self._talk(path, url, ticket.server, invite=ticket.secret) as talk:
            await talk.until(lambda: bool(talk.of(wire.Welcome | wire.Refusal | Closed)), "a welcome")
            assert talk.of(wire.Welcome), talk.heard
            (granted,) = talk.of(wire.Granted)
        self.grant, self.site = granted.grant, granted.site
        self.cloud, self.cloud_key = granted.cloud, granted.cloud_key
        return self

    @asynccontextmanager
    async def link(self, path: Path, *, lan: str = "") -> AsyncIterator[Talk]:
        """An open, welcomed link. lan: another way to the box than its own address (a cable)."""
        at_box = path is Path.LAN
        url = lan_url(lan or self.site.addresses[0]) if at_box else _cloud_link(self.cloud)
        async with self._talk(path, url, self.site.key if at_box else self.cloud_key) as talk:
            await talk.until(lambda: bool(talk.of(wire.Welcome | wire.Refusal | Closed)), "a welcome")
            assert talk.of(wire.Welcome), talk.heard
            yield talk

    @asynccontextmanager
    async def _talk(self, path: Path, url: str, server: str, invite: str = "") -> AsyncIterator[Talk]:
        link = await connect_websocket(url, path, timeout_s=PATIENCE_S)
        session = ClientSession(
            nonce=trust.b64(SystemIds().token(NONCE_BYTES)),
            path=path,
            server=server,
            key=self.key,
            grants=(self.grant,) if self.grant else (),
            invite=invite,
            device=self.name,
            binding=link.binding,
            client="e2e",
        )
        talk = Talk(link, session, self)
        reading = asyncio.get_running_loop().create_task(talk.read())
        try:
            yield talk
        finally:
            talk.read_on()
            await link.close()
            await reading

    def seal(
        self,
        name: Name,
        charger: str,
        *,
        life_ms: int = 20_000,
        command_id: str = "",
        site: str = "",
        key: trust.IdentityKey | None = None,
        **args: Any,
    ) -> Sealed:
        """A command of this phone's, signed; each part may be made wrong."""
        command = Command(
            site=site or self.site.site,
            id=command_id or SystemIds().uid(),
            name=name,
            target=Target(charger, 1, 1),
            args=args,
            expires_at=iso(SystemClock().now_ms() + life_ms),
        )
        return Sealed(command, trust.seal(commands.encode(command), key or self.key))


def _cloud_link(url: str) -> str:
    """The app link at a cloud that people know by its http(s) address."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return f"{scheme}://{parts.netloc}{LINK_PATH}"

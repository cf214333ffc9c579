"""What all paths of one client share: the device's key, its clocks, and how box and cloud are dialled.

Dialling includes the handshake: what comes back is proved on both sides, or an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from urllib.parse import urlsplit

import msgspec

from common.appsession import ClientSession, Positions
from common.client import discovery
from common.client.handshake import Opened, authenticate
from common.client.pace import Pace
from common.client.profile import Profile
from common.domain import Path
from common.errors import Code, Unavailable
from common.link import Link
from common.link.websocket import LINK_PATH, connect_websocket, lan_url
from common.ports import Clock, Ids
from common.trust import b64
from common.trust.handshake import NONCE_BYTES

CLIENT_NAME = "plugside (Python)"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown to a server that has proved itself: grants, or an invite with the device's name."""

    grants: tuple[str, ...] = ()
    invite: str = ""
    name: str = ""
    revocations: tuple[str, ...] = ()
    site: str = ""  #: whose box it must be that is dialled; empty = an invite does not say
    rotation: int = 0  #: the number of the statement by which its key was pinned
    gone: tuple[str, ...] = ()  #: fingerprints that were its box's and are not any more


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What all paths of one client share."""

    profile: Profile
    clock: Clock
    ids: Ids
    positions: Positions
    interfaces: tuple[str, ...] | None = ()
    pace: Pace = Pace()

    async def dial_lan(self, address: str, box: str, shown: Shown) -> Opened:
        """A proved link to a box. Raises PlugsideError."""
        return await self._open(await _connect(lan_url(address), Path.LAN), box, shown)

    async def dial_cloud(self, url: str, cloud: str, shown: Shown) -> Opened:
        """A proved link to a cloud. Raises PlugsideError."""
        return await self._open(await _connect(link_url(url), Path.CLOUD), cloud, shown)

    async def _open(self, link: Link, server: str, shown: Shown) -> Opened:
        session = ClientSession(
            nonce=b64(self.ids.token(NONCE_BYTES)),
            path=link.path,
            server=server,
            key=self.profile.key,
            grants=shown.grants,
            invite=shown.invite,
            device=shown.name,
            binding=link.binding,
            positions=self.positions,
            client=CLIENT_NAME,
            carried=shown.revocations,
            site=shown.site,
            rotation=shown.rotation,
            gone=shown.gone,
        )
        return await authenticate(link, session, self.clock)

    def search(self, box: str, addresses: Iterable[str]) -> AsyncGenerator[str, None]:
        """Addresses of a box by mDNS, as they are found. addresses: where it was known to be."""
        return _addresses(discovery.interfaces_for(self.interfaces, addresses), box)


async def _connect(url: str, path: Path) -> Link:
    try:
        return await connect_websocket(url, path)
    except ValueError as wrong:  # a hint from elsewhere that is no address
        raise Unavailable(Code.NO_PATH, f"{url} is no address: {wrong}") from None


async def _addresses(interfaces: tuple[str, ...] | None, box: str) -> AsyncGenerator[str, None]:
    async with aclosing(discovery.browse(interfaces, edge=box)) as announced:
        async for found in announced:
            for address in found.addresses:
                yield address


def link_url(url: str) -> str:
    """The app link's URL of a cloud, from its base URL or the link's own."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    return f"{scheme}://{parts.netloc}{path if path.endswith(LINK_PATH) else path + LINK_PATH}"

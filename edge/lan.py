"""The door for apps on the LAN: TLS with a certificate of our own calendar, the app link behind it.

A client pins the certificate's hash (from the QR, or from the signed proof of the box's key), so no authority
has to vouch for it. The hashes that the proof names, and the addresses that the QR shows, are kept true here.
"""

from __future__ import annotations

import asyncio

from common import applink
from common.appsession import Serving
from common.domain import Path
from common.keystore import Keystore
from common.link import Link
from common.link.tls import ServerTls
from common.link.websocket import WebSocketListener, listen_websocket
from common.ports import Clock, Ids
from edge.apps import Apps
from edge.authority import Authority
from edge.discovery import lan_addresses

#: How often the LAN certificate's calendar is looked at, in s. Its windows are days long.
CERTIFICATE_EVERY_S = 3600.0


class Lan:
    """See the module. `open` is called by the door's room, again after a failure; `port` is known then."""

    def __init__(self, authority: Authority, apps: Apps, store: Keystore, clock: Clock, ids: Ids) -> None:
        self._authority = authority
        self._apps = apps
        self._store = store
        self._clock = clock
        self._ids = ids
        self._tls: ServerTls | None = None
        self._addresses: list[str] = []
        self.port = 0

    async def open(
        self, host: str, port: int, interfaces: tuple[str, ...], origins: tuple[str, ...]
    ) -> WebSocketListener:
        """Listen for native clients and for pages from `origins`. Raises LocalFault."""
        self._addresses = lan_addresses(interfaces, host)
        listener = await listen_websocket(
            host, port, self._serve, tls=self._renew_certificate(), origins=(None, *origins)
        )
        self.port = listener.addresses[0][1]
        self._authority.addresses = tuple(host_port(a, self.port) for a in self._addresses)
        return listener

    async def _serve(self, link: Link) -> None:
        serves = serving(self._authority, Path.LAN)
        session = applink.new_session(serves, link, self._ids, certificates=self._authority.certificates)
        await applink.serve(link, session, self._apps, clock=self._clock)

    def _renew_certificate(self) -> ServerTls:
        """Serve the certificate that the calendar names for this time."""
        host_name = f"plugside-{self._authority.edge_id[:8]}.local"
        made = self._store.lan_certificates(self._clock.now_ms(), host_name, self._addresses)
        self._authority.certificates = made.hashes
        if self._tls is None:
            self._tls = ServerTls(made.current.pem, made.current.hash)
        else:
            self._tls.use(made.current.pem, made.current.hash)
        return self._tls

    async def keep_certificate(self) -> None:
        """The room that looks at the calendar."""
        while True:
            await asyncio.sleep(CERTIFICATE_EVERY_S)
            self._renew_certificate()


def serving(authority: Authority, path: Path) -> Serving:
    """What a session that came by `path` proves itself with."""
    return Serving(identity=authority.identity, verifier=authority.verifier, path=path, site=authority.site)


def host_port(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""The door for apps on the LAN: TLS with a certificate of our own calendar, the app link behind it.

A client pins the certificate's hash (from the QR, or from the signed proof of the box's key), so no authority
has to vouch for it. The hashes that the proof names, and the addresses that the QR shows, are kept true here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from common import applink
from common.appsession import Serving
from common.domain import Path
from common.keystore import YEAR_AHEAD, Keystore, LanCertificates
from common.link import Link
from common.link.tls import ServerTls
from common.link.websocket import WebSocketListener, listen_websocket
from common.ports import Clock, Ids
from common.supervise import Supervisor
from edge.apps import Apps
from edge.authority import Authority
from edge.discovery import lan_addresses

if TYPE_CHECKING:
    from edge.webtransport.door import WebTransportListener

#: How often the LAN certificate's calendar is looked at, in s: its windows are days long, but a clock that is
#: set moves by years, and until then a browser finds a certificate of another time.
CERTIFICATE_EVERY_S = 60.0
#: Between two certificates that are made ahead, in s: a small box's disk is the ledger's first.
AHEAD_EVERY_S = 0.25


class Lan:
    """See the module. Each `open_…` is called by its door's room, again after a failure.

    `port` is known after the first; browsers come to the same number over UDP.
    """

    def __init__(
        self,
        authority: Authority,
        apps: Apps,
        store: Keystore,
        tasks: Supervisor,
        clock: Clock,
        ids: Ids,
        *,
        origins: tuple[str, ...],
    ) -> None:
        """origins: of pages that may connect, beside the cloud's own."""
        self._origins = origins
        self._tasks = tasks
        self._authority = authority
        self._apps = apps
        self._store = store
        self._clock = clock
        self._ids = ids
        self._tls: ServerTls | None = None
        self._browsers: WebTransportListener | None = None
        self._addresses: list[str] = []
        self.port = 0

    async def open(self, host: str, port: int, interfaces: tuple[str, ...]) -> WebSocketListener:
        """Listen for native clients. Raises LocalFault."""
        self._addresses = lan_addresses(interfaces, host)
        listener = await listen_websocket(
            host, port, self._serve, tls=self._renew_certificate(), origins=(None, *self._origins)
        )
        self.port = listener.addresses[0][1]
        self._authority.addresses = tuple(host_port(a, self.port) for a in self._addresses)
        return listener

    async def open_browsers(self, host: str) -> WebTransportListener:
        """Listen for pages, at the port that native clients have over TCP. Raises LocalFault."""
        # Loaded here: a box that no page may reach does not pay for QUIC.
        from edge.webtransport.door import listen_webtransport

        self._renew_certificate()
        current = self._certificates.current
        self._browsers = await listen_webtransport(
            host,
            self.port,
            self._serve,
            pem=current.pem,
            certificate_hash=current.hash,
            allowed=self._allowed,
            spawn=self._tasks.spawn,
        )
        return self._browsers

    def _allowed(self, origin: str | None) -> bool:
        """Whether a page of this origin may connect: a listed one, or the app as the cloud serves it."""
        cloud = urlsplit(self._authority.cloud_url)
        return origin is not None and (
            origin in self._origins or origin == f"{cloud.scheme}://{cloud.netloc}"
        )

    async def _serve(self, link: Link) -> None:
        serves = serving(self._authority, Path.LAN)
        session = applink.new_session(serves, link, self._ids, certificates=self._authority.certificates)
        await applink.serve(link, session, self._apps, clock=self._clock)

    def _made(self, at_once: int) -> LanCertificates:
        """The certificates for this time and the year to come, of which so many are made now."""
        host_name = f"plugside-{self._authority.edge_id[:8]}.local"
        return self._store.lan_certificates(
            self._clock.now_ms(), host_name, self._addresses, ahead=YEAR_AHEAD, at_once=at_once
        )

    def _renew_certificate(self, made: LanCertificates | None = None) -> ServerTls:
        """Serve the certificate that the calendar names for this time."""
        made = made or self._made(at_once=2)
        self._authority.certificates = made.hashes
        self._certificates = made
        if self._browsers is not None:
            self._browsers.use(made.current.pem, made.current.hash)
        if self._tls is None:
            self._tls = ServerTls(made.current.pem, made.current.hash)
        else:
            self._tls.use(made.current.pem, made.current.hash)
        return self._tls

    async def keep_certificate(self) -> None:
        """The room that looks at the calendar, and makes what is served within a year."""
        while True:
            if not self._certificates.serves(self._clock.now_ms()):
                self._renew_certificate()
            have = len(self._certificates.hashes)
            if have <= YEAR_AHEAD:
                self._renew_certificate(await asyncio.to_thread(self._made, have + 1))
            await asyncio.sleep(AHEAD_EVERY_S if have < YEAR_AHEAD else CERTIFICATE_EVERY_S)


def serving(authority: Authority, path: Path) -> Serving:
    """What a session that came by `path` proves itself with."""
    return Serving(identity=authority.identity, verifier=authority.verifier, path=path, site=authority.site)


def host_port(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

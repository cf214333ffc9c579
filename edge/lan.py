"""The door for apps on the LAN: TLS with a certificate of our own calendar, the app link behind it.

A client pins the certificate's hash (from the QR, or from the signed proof of the box's key), so no authority
has to vouch for it. The hashes that the proof names, and the addresses that the QR shows, are kept true here.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path as FilePath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from common import applink
from common.appsession import Serving
from common.domain import Path
from common.errors import LocalFault
from common.keystore import YEAR_AHEAD, Keystore, LanCertificates
from common.link import Link
from common.link.hosts import host_of, is_ours
from common.link.tls import ServerTls, certificate_names
from common.link.websocket import WebSocketListener, listen_websocket
from common.ports import Clock, Ids
from common.supervise import Supervisor
from common.threshold import Threshold
from common.webapp import WebApp
from edge.apps import Apps
from edge.authority import Authority
from edge.discovery import lan_addresses
from edge.pages import PlainPage, app_page, listen_plain

if TYPE_CHECKING:
    from edge.webtransport.door import WebTransportListener

log = logging.getLogger("plugside.lan")

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
        named: Named | None = None,
    ) -> None:
        """origins: of pages that may connect, beside the cloud's and the box's own. named: a certificate for
        browsers that come by a name."""
        self.threshold = Threshold(clock, noted=apps.noted)
        self._origins = origins
        self._named = named
        self._app = WebApp()
        self._tasks = tasks
        self._authority = authority
        self._apps = apps
        self._store = store
        self._clock = clock
        self._ids = ids
        self._tls: ServerTls | None = None
        self._browsers: WebTransportListener | None = None
        self._where: tuple[tuple[str, ...], str] = ((), "")
        self._addresses: list[str] = []
        self.port = 0

    async def open(self, host: str, port: int, interfaces: tuple[str, ...]) -> WebSocketListener:
        """Listen for native clients. Raises LocalFault."""
        self._where = (interfaces, host)
        self._addresses = lan_addresses(interfaces, host)
        listener = await listen_websocket(
            host,
            port,
            self._serve,
            tls=self._renew_certificate(),
            pages=lambda _, request: app_page(self._app, request),
            allowed=lambda origin: origin is None or self._allowed(origin),
            hosts=self._ours,
            threshold=self.threshold,
            spawn=self._tasks.spawn,
        )
        self.port = listener.addresses[0][1]
        self.look()
        return listener

    def look(self) -> None:
        """Tell phones from now on the addresses that the box has now."""
        self._addresses = lan_addresses(*self._where)
        self._authority.addresses = tuple(host_port(a, self.port) for a in self._addresses)

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
            hosts=self._ours,
            spawn=self._tasks.spawn,
            threshold=self.threshold,
        )
        return self._browsers

    async def open_page(self, host: str, port: int) -> PlainPage:
        """Say over plain HTTP where the app is. Raises LocalFault."""
        return await listen_plain(
            host, port, lambda: (self._cloud, *self.origins) if self._cloud else self.origins
        )

    @property
    def _cloud(self) -> str:
        """The origin of the site's cloud; empty = it has none."""
        parts = urlsplit(self._authority.cloud_url)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""

    @property
    def origins(self) -> tuple[str, ...]:
        """Where the box itself serves the app, the best first: names that are vouched for, then addresses."""
        vouched = [host for host in (self._named.hosts if self._named else ()) if "*" not in host]
        names = (*vouched, *self._addresses, *self._authority.keys.host_names)
        return tuple(f"https://{host_port(name, self.port)}" for name in names)

    def _ours(self, host: str) -> bool:
        """Whether this is a name of this box: the installer's own may be among the origins of the app."""
        names = {urlsplit(origin).hostname or "" for origin in self._origins}
        return is_ours(host, names) or (self._named is not None and self._named.covers(host_of(host)))

    def _allowed(self, origin: str | None) -> bool:
        """Whether a page of this origin may connect: a listed one, or the app as cloud or box serve it."""
        if not origin:  # an empty one is no page of anybody's, and no cloud's either where there is none
            return False
        if origin in (*self._origins, *self.origins, self._cloud):
            return True
        parts = urlsplit(origin)
        vouched = self._named is not None and self._named.covers(parts.hostname or "")
        return vouched and origin == f"https://{parts.hostname}:{self.port}"

    async def _serve(self, link: Link) -> None:
        serves = serving(self._authority, Path.LAN)
        session = applink.new_session(serves, link, self._ids, certificates=self._authority.certificates)
        await applink.serve(link, session, self._apps, clock=self._clock)

    def _made(self, at_once: int) -> LanCertificates:
        """The certificates for this time and the year to come, of which so many are made now."""
        name = self._authority.keys.host_names[0]
        return self._store.lan_certificates(
            self._clock.now_ms(), name, self._addresses, ahead=YEAR_AHEAD, at_once=at_once
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
        self._show_named(self._tls)
        return self._tls

    def _show_named(self, tls: ServerTls) -> None:
        if self._named is not None and self._named.changed():
            tls.use_named(self._named.cert, self._named.key, self._named.hosts)

    async def keep_certificate(self) -> None:
        """The room that looks at the calendar, and makes what is served within a year."""
        while True:
            if not self._certificates.serves(self._clock.now_ms()):
                self._renew_certificate()
            if self._tls is not None:
                self._show_named(self._tls)
            have = len(self._certificates.hashes)
            if have <= YEAR_AHEAD:
                self._renew_certificate(await asyncio.to_thread(self._made, have + 1))
            await asyncio.sleep(AHEAD_EVERY_S if have < YEAR_AHEAD else CERTIFICATE_EVERY_S)


class Named:
    """The installer's certificate for browsers. Read again when its file has changed: they live for weeks."""

    def __init__(self, cert: FilePath, key: FilePath) -> None:
        """Raises LocalFault(bad_settings) when it cannot be read or names nobody."""
        self.cert, self.key = cert, key
        self.hosts: tuple[str, ...] = ()
        self._seen_ns = 0
        self._read()

    def _read(self) -> None:
        self.hosts = certificate_names(self.cert)

    def covers(self, host: str) -> bool:
        """Whether it vouches for this host, by its name or as one of a domain's."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts

    def changed(self) -> bool:
        """Whether it is another one than at the last call; the first call says yes."""
        try:
            seen_ns = self.cert.stat().st_mtime_ns
            if seen_ns == self._seen_ns:
                return False
            self._read()
        except (OSError, LocalFault) as unusable:
            # What is served goes on until a good one is there.
            log.warning("the certificate in %s cannot be read now: %s", self.cert, unusable)
            return False
        self._seen_ns = seen_ns
        return True


def named(cert: FilePath | None, key: FilePath | None) -> Named | None:
    """The installer's certificate, if there is one. Raises LocalFault(bad_settings)."""
    return Named(cert, key) if cert is not None and key is not None else None


def serving(authority: Authority, path: Path) -> Serving:
    """What a session that came by `path` proves itself with."""
    return Serving(
        identity=authority.identity,
        verifier=authority.verifier,
        path=path,
        site=authority.site,
        rotations=authority.keys.statements,
    )


def host_port(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

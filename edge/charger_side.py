"""The chargers' side of a site: listener, file server, passwords, certificates, and how they hang together.

    gateway ─▶ SecurityDesk ─▶ FileDesk ─▶ listener ─▶ charger
    charger ─▶ listener (SiteGuard) ─▶ SerialCheck ─▶ CertificateDesk ─▶ gateway

Made by `edge.site`, which gives it what it needs of the settings.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from common.ports import Clock, Ids
from common.supervise import Supervisor
from edge.authority import Authority
from edge.bus import Bus
from edge.chargers.credentials import Credentials
from edge.chargers.files.desk import FileDesk
from edge.chargers.files.passes import Passes
from edge.chargers.files.server import FileServer
from edge.chargers.files.shelf import Shelf
from edge.chargers.listener import ChargerListener
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.ocpp201.dialect import Ocpp201
from edge.chargers.proving import is_near
from edge.chargers.securing import SecurityDesk, SerialCheck, SiteGuard
from edge.chargers.signing import CertificateDesk, NoAuthority
from edge.discovery import lan_addresses
from edge.gateway import Gateway
from edge.lan import host_port
from edge.management import Management
from edge.recovery import Recovery
from edge.securing import ChargerSecurity, ChargersPart
from edge.tags import Tags

if TYPE_CHECKING:
    from common.keystore import Keystore
    from edge.chargers.siteca import SiteCa

#: How often the box looks whether its certificate for chargers is due, or its address another one.
LOOK_EVERY_S = 3600


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where chargers come to. `secure`: the port with TLS, None = there is none."""

    plain: tuple[str, int]
    secure: tuple[str, int] | None
    files: tuple[str, int]
    names: tuple[str, ...] = ()  #: DNS names by which chargers may dial it, besides its own
    networks: tuple[str, ...] = ()  #: where plain OCPP may come from; see `proving.is_near`


class ChargerSide:
    """See the module."""

    def __init__(
        self,
        places: Places,
        gateway: Gateway,
        authority: Authority,
        store: Keystore,
        tags: Tags,
        shelf: Shelf,
        tasks: Supervisor,
        clock: Clock,
        ids: Ids,
        *,
        adopted: Callable[[str], str | None],
        in_session: Callable[[str], bool],
        adopt_any: bool,
    ) -> None:
        self._places, self._authority = places, authority
        credentials = Credentials(store, clock, ids)
        self._ca = self._site_ca(gateway, store, clock, credentials) if places.secure is not None else None
        self._context = self._ca.context(self._names()) if self._ca is not None else None
        check = SerialCheck(CertificateDesk(gateway, self._ca or NoAuthority(), tasks))
        self.listener = ChargerListener(
            check,
            # The first is preferred where both are offered: 1.6 is served whole here, limits included.
            [Ocpp16(tags.ref, raw_tag=tags.raw), Ocpp201(tags.ref)],
            host=places.plain[0],
            port=places.plain[1],
            clock=clock,
            ids=ids,
            adopted=adopted,
            in_session=in_session,
            guard=SiteGuard(lambda: gateway.state, credentials, self._ca),
            near=lambda address: is_near(address, places.networks),
            secure=self._secure(),
            spawn=tasks.spawn,
            pinned=lambda charger: gateway.state.look(charger).tuning.traits.protocol,
            adopt_any=adopt_any,
            stops=gateway.held,
        )
        check.present = self.listener.present
        check.disconnect = lambda charger, code, why: self.listener.disconnect(charger, code=code, reason=why)
        passes = Passes(authority.document.file_secret, lambda: gateway.state)
        host, port = places.files
        self.files = FileServer(shelf, passes, gateway, host=host, port=port, ids=ids)
        files = FileDesk(self.listener, gateway, shelf, passes, self.files, tasks)
        self.requests = SecurityDesk(files, gateway, credentials, self._ca)
        self._management = ChargerSecurity(gateway, credentials, ids).requests
        self.part = ChargersPart(gateway, credentials, self._ca, self.serve_certificates)

    def joins(self, bus: Bus, management: Management, recovery: Recovery) -> None:
        """Hear of every fact that is on disk; answer people; be among what the next box needs."""
        bus.tap(self.requests.committed)
        for name, request in self._management.items():
            management.offer(name, request)
        recovery.parts.append(self.part)

    def _site_ca(self, gateway: Gateway, store: Keystore, clock: Clock, credentials: Credentials) -> SiteCa:
        from edge.chargers.siteca import SiteCa  # a box without TLS for chargers does not pay for X.509

        def serial(charger: str) -> str:
            known = gateway.state.view.chargers.get(charger)
            return known.serial if known is not None else ""

        return SiteCa(store, lambda: self._authority.site, serial, clock, credentials.issued)

    def _secure(self) -> tuple[str, int, ssl.SSLContext] | None:
        if self._places.secure is None or self._context is None:
            return None
        return (*self._places.secure, self._context)

    def _names(self) -> list[str]:
        """What chargers may dial: each must be in the certificate (A00.FR.308; quirk 109)."""
        assert self._places.secure is not None
        own = self._authority.keys.host_names
        return [*own, *self._places.names, *lan_addresses((), self._places.secure[0])]

    async def keep_certificates(self) -> None:
        """The room that renews the box's certificates for chargers, and follows its address."""
        while True:
            await self.serve_certificates()
            await asyncio.sleep(LOOK_EVERY_S)

    async def serve_certificates(self) -> None:
        """Put the certificates that are due, if any, into the port's TLS."""
        if self._ca is None or self._context is None:
            return
        # Loaded in the loop's thread again: no handshake may look at a context that is being changed.
        if await asyncio.to_thread(self._ca.prepare, self._names()):
            self._ca.load(self._context)

    def urls(self, host: str) -> dict[str, str]:
        """Where chargers dial; their identity goes behind the slash. host: the box's, on their network."""
        told = {"ocpp_url": f"ws://{host_port(host, self.listener.port)}/"}
        if (port := self.listener.tls_port) is not None:
            told["ocpps_url"] = f"wss://{host_port(host, port)}/"
        return told

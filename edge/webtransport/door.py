"""The door for browsers: who may begin a handshake, who may open a session, which certificate they see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path as FilePath
from typing import Any

from aioquic._buffer import Buffer
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN
from aioquic.h3.events import Headers
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from aioquic.quic.retry import QuicRetryTokenHandler
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from common import wire
from common.errors import Code, LocalFault
from common.link import Link
from common.link.hosts import is_ours
from common.link.websocket import LINK_PATH
from common.threshold import Threshold, Visit
from edge.webtransport.session import PING_EVERY_S, Session, StreamLink, plain_address

#: Bytes that a peer may have under way to us: two of its largest frames.
WINDOW_BYTES = 2 * wire.CLIENT_BYTES_MAX

#: Headers that a request has once: a second one would be another answer to whose page it is, or for whom.
_ONCE = frozenset({b":method", b":protocol", b":path", b":authority", b"host", b"origin"})

#: It has a line at INFO for every packet that comes twice.
logging.getLogger("quic").setLevel(logging.WARNING)

Allowed = Callable[[str | None], bool]
OnLink = Callable[[Link], Awaitable[None]]
Spawn = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]


class Door(QuicServer):
    """The listener's datagrams. Made by `listen_webtransport`."""

    def __init__(
        self,
        on_link: OnLink,
        *,
        pem: FilePath,
        certificate_hash: str,
        allowed: Allowed,
        hosts: Callable[[str], bool],
        spawn: Spawn,
        threshold: Threshold,
    ) -> None:
        super().__init__(configuration=_configuration(pem), create_protocol=self._create)
        self.binding = certificate_hash
        self._on_link = on_link
        self._allowed, self._hosts = allowed, hosts
        self._spawn = spawn
        self.threshold = threshold
        self._tokens = QuicRetryTokenHandler()
        self._visit: Visit | None = None  #: of the handshake that is just beginning
        self.lost = asyncio.Event()

    def use(self, pem: FilePath, certificate_hash: str) -> None:
        """Serve this certificate from the next connection on; open ones keep theirs."""
        if certificate_hash != self.binding:
            self._configuration = _configuration(pem)
            self.binding = certificate_hash

    def _create(self, quic: QuicConnection, **_: Any) -> Session:
        visit, self._visit = self._visit, None
        return Session(quic, self, visit)

    # --- who may come in ---------------------------------------------------------------------------------

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        assert isinstance(data, bytes)
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=8)
        except ValueError:
            return
        self._retry: QuicRetryTokenHandler | None = None  # type: ignore[assignment] # aioquic sets None too
        new = header.packet_type == QuicPacketType.INITIAL and header.destination_cid not in self._protocols
        if new and not self._may_begin(bool(header.token), str(addr[0])):
            return  # a client that means it asks again, after a while that doubles
        super().datagram_received(data, addr)
        if self._visit is not None:  # it came to no connection: another version, an old proof of address
            self._visit.leave()
            self._visit = None

    def _may_begin(self, token: bool, address: str) -> bool:
        """Whether a handshake may begin, or be answered with a Retry, which costs next to nothing."""
        if not token and self.threshold.pressed:
            self._retry = self._tokens
            return True
        if token:  # a proof of address that was asked for a moment ago; checked before anything costly
            self._retry = self._tokens
        self._visit = self.threshold.knock(plain_address(address))
        return self._visit is not None

    def judge(self, headers: Headers) -> int:
        told = dict(headers)
        if sum(name in _ONCE for name, _ in headers) > len(_ONCE & told.keys()):
            return 400  # which of the two is meant nobody can know
        if told.get(b":method") != b"CONNECT" or told.get(b":protocol") != b"webtransport":
            return 404
        if told.get(b":path") != LINK_PATH.encode():
            return 404
        authority = told.get(b":authority", b"")
        if told.get(b"host", authority) != authority:
            return 400  # RFC 9114 §4.3.1: where both are there, they say the same
        if not self._hosts(authority.decode("latin-1")):
            return 421
        origin = told.get(b"origin")
        if not self._allowed(None if origin is None else origin.decode("latin-1")):
            return 403
        return 200

    # --- what runs on a session --------------------------------------------------------------------------

    def serve(self, link: StreamLink) -> asyncio.Task[None]:
        return self._spawn(f"app at {link.peer}", self._run(link))

    async def _run(self, link: StreamLink) -> None:
        try:
            await self._on_link(link)
        finally:
            await link.close()

    # --- the end -----------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost.set()

    def close(self) -> None:
        for protocol in set(self._protocols.values()):
            assert isinstance(protocol, Session)
            protocol.cancel()
        super().close()


class WebTransportListener:
    """An open listener. `port` is the one that it really has."""

    def __init__(self, door: Door, port: int) -> None:
        self._door = door
        self.port = port

    def use(self, pem: FilePath, certificate_hash: str) -> None:
        """Serve this certificate from the next connection on; open ones keep theirs."""
        self._door.use(pem, certificate_hash)

    async def ended(self) -> None:
        """Return once it listens no more, whoever closed it."""
        await self._door.lost.wait()

    async def close(self) -> None:
        """Stop listening and end every link."""
        self._door.close()
        await self._door.lost.wait()


async def listen_webtransport(
    host: str,
    port: int,
    on_link: OnLink,
    *,
    pem: FilePath,
    certificate_hash: str,
    allowed: Allowed,
    spawn: Spawn,
    threshold: Threshold,
    hosts: Callable[[str], bool] = is_ours,
) -> WebTransportListener:
    """Listen on a UDP port, and run `on_link` for each link until it returns; the link is closed then.

    pem: private key and certificate in one file; certificate_hash: SHA-256 of its DER, hex. allowed: whether
    a page of this origin may open a session (None: no browser). spawn: runs a link's task. threshold: asked
    before a handshake begins. hosts: whether an `:authority` is one of this listener's names.
    Raises LocalFault(bad_settings) if the address cannot be had.
    """
    loop = asyncio.get_running_loop()
    door = Door(
        on_link,
        pem=pem,
        certificate_hash=certificate_hash,
        allowed=allowed,
        hosts=hosts,
        spawn=spawn,
        threshold=threshold,
    )
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: door, local_addr=(host, port))
    except OSError as failed:
        raise LocalFault(
            Code.BAD_SETTINGS,
            f"browsers cannot connect to {host}:{port} (UDP): {failed}",
            hint="Give `run` another --lan address, or stop what holds this one.",
        ) from None
    return WebTransportListener(door, int(transport.get_extra_info("sockname")[1]))


def _configuration(pem: FilePath) -> QuicConfiguration:
    text = pem.read_bytes()
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=H3_ALPN,
        idle_timeout=2 * PING_EVERY_S,
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
        # HTTP/3 datagrams must be announced for WebTransport; what comes in them is not looked at.
        max_datagram_frame_size=1200,
    )
    configuration.certificate = load_pem_x509_certificate(text)
    configuration.private_key = load_pem_private_key(text, None)
    return configuration

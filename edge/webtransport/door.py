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
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from aioquic.quic.retry import QuicRetryTokenHandler
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from common import wire
from common.budget import Budget, Rate
from common.errors import Code, LocalFault
from common.link import Link
from common.link.websocket import LINK_PATH, LINKS_MAX
from edge.webtransport.session import PING_EVERY_S, Session, StreamLink

#: A handshake costs some 2.4 ms of the processor: 20 a second are a twentieth of the loop (design §10).
HANDSHAKES = Rate(per_s=20, burst=20)
#: One household's phones come back together when the Wi-Fi does.
HANDSHAKES_EACH = Rate(per_s=2, burst=10)
#: Connections that have no session yet: strangers hold no more places than this.
STRANGERS_MAX = 64
#: Bytes that a peer may have under way to us: two of its largest frames.
WINDOW_BYTES = 2 * wire.CLIENT_BYTES_MAX

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
        links_max: int,
        spawn: Spawn,
        budget: Budget,
    ) -> None:
        super().__init__(configuration=_configuration(pem), create_protocol=self._create)
        self.binding = certificate_hash
        self._on_link = on_link
        self._allowed = allowed
        self._links_max = links_max
        self._spawn = spawn
        self.budget = budget
        self._tokens = QuicRetryTokenHandler()
        self._linked: set[Session] = set()
        self.lost = asyncio.Event()

    def use(self, pem: FilePath, certificate_hash: str) -> None:
        """Serve this certificate from the next connection on; open ones keep theirs."""
        if certificate_hash != self.binding:
            self._configuration = _configuration(pem)
            self.binding = certificate_hash

    def _create(self, quic: QuicConnection, **_: Any) -> Session:
        return Session(quic, self)

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

    def _may_begin(self, token: bool, address: str) -> bool:
        """Whether a handshake may begin, or be answered with a Retry, which costs next to nothing."""
        now_s = self._loop.time()
        if not token and self.budget.pressed(now_s):
            self._retry = self._tokens
            return True
        if token:  # a proof of address that was asked for a moment ago; checked before anything costly
            self._retry = self._tokens
        strangers = len(set(self._protocols.values())) - len(self._linked)
        return strangers < STRANGERS_MAX and self.budget.admit(address, now_s)

    def judge(self, headers: dict[bytes, bytes]) -> int:
        if headers.get(b":method") != b"CONNECT" or headers.get(b":protocol") != b"webtransport":
            return 404
        if headers.get(b":path") != LINK_PATH.encode():
            return 404
        origin = headers.get(b"origin")
        if not self._allowed(None if origin is None else origin.decode("latin-1")):
            return 403
        return 200 if len(self._linked) < self._links_max else 503

    # --- what runs on a session --------------------------------------------------------------------------

    def serve(self, session: Session, link: StreamLink) -> asyncio.Task[None]:
        task = self._spawn(f"app at {link.peer}", self._run(session, link))
        self._linked.add(session)
        return task

    async def _run(self, session: Session, link: StreamLink) -> None:
        try:
            await self._on_link(link)
        finally:
            self._linked.discard(session)
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

    @property
    def refused(self) -> int:
        """Handshakes that found no budget left, for metrics."""
        return self._door.budget.refused

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
    links_max: int = LINKS_MAX,
    budget: Budget | None = None,
) -> WebTransportListener:
    """Listen on a UDP port, and run `on_link` for each link until it returns; the link is closed then.

    pem: private key and certificate in one file; certificate_hash: SHA-256 of its DER, hex. allowed: whether
    a page of this origin may open a session (None: no browser). spawn: runs a link's task.
    budget: of handshakes, else one of `HANDSHAKES`.
    Raises LocalFault(bad_settings) if the address cannot be had.
    """
    loop = asyncio.get_running_loop()
    door = Door(
        on_link,
        pem=pem,
        certificate_hash=certificate_hash,
        allowed=allowed,
        links_max=links_max,
        spawn=spawn,
        budget=Budget(HANDSHAKES, HANDSHAKES_EACH) if budget is None else budget,
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

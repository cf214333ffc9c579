"""The chargers' door: a WebSocket listener that lets a site's own chargers in, one connection for each.

    TCP ─▶ `doorman` (who comes in) ─▶ version ─▶ `link` (one for each charger) ─▶ gateway

The newest connection of an identity is the charger; the older one's end changes nothing any more. May be
stopped and started again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.frames import CloseCode
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.typing import Subprotocol

from common.errors import Code, LocalFault
from common.ports import Clock, Ids
from edge.chargers import link, stoponly
from edge.chargers.admission import Buckets, Waiting
from edge.chargers.calls import not_connected
from edge.chargers.connection import ChargerConnection
from edge.chargers.dialect import Dialect
from edge.chargers.doorbook import Dial, Doorbook
from edge.chargers.doorman import Doorman
from edge.chargers.link import ChargerLink
from edge.chargers.ports import Gateway
from edge.chargers.proving import Guard, Open, is_near
from edge.chargers.standing import Standing
from edge.chargers.stoponly import NoStops, Stops
from edge.chargers.tls import Spawn, TlsOpening
from edge.chargers.versions import Versions
from edge.core.inputs import (
    Input,
    Request,
    StationConnected,
    StationDisconnected,
)

log = logging.getLogger("plugside.chargers")
_websockets_log = logging.getLogger("plugside.chargers.websockets")
_websockets_log.setLevel(
    logging.WARNING
)  # its INFO has a line for every connection, which we write ourselves


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the listener."""

    link: link.Limits = link.Limits()
    #: A StopTransaction with a long transactionData exceeds 1 MiB, and is sent again for ever if refused.
    message_max_bytes: int = 8 * 1024 * 1024
    #: Three times the largest site that one box was measured for (200 chargers): each may have a dead twin.
    connections_max: int = 600
    #: A site's chargers may share one address and all dial at once after a power cut; beyond that, handshakes
    #: of one address may take about 5 % of the loop (0.25 ms each).
    dials_burst: int = 600
    dials_per_s: float = 200
    #: Slow modems were seen to need some seconds from TCP to the request.
    open_timeout_s: float = 15
    #: From another address and without a password: how long the present charger has to answer a ping.
    probe_s: float = 3
    #: `adopt any` is for demos and tests.
    adopt_any_max: int = 600


class ChargerListener:
    """The listener. `async with` it, or `start` and `stop`; `send` requests to chargers at any time.

    `adopted` returns the stored spelling of an identity of this site, matched in any case, or None.
    `guard` knows how chargers prove themselves; `near`: whether plain OCPP may come from an address.
    `tls`: the port speaks TLS with this context; `secure`: so does a second one, there beside it (host, port,
    context). `spawn` then makes their handshakes tasks of somebody's.
    `pinned` returns the version that a charger should speak though it offers others ("" = none).
    `in_session` tells whether a session runs on a charger: no housekeeping then.
    `stops`: those for which a charger is let in although nothing can be written down.
    """

    def __init__(
        self,
        gateway: Gateway,
        dialects: Sequence[Dialect],
        *,
        host: str,
        port: int,
        clock: Clock,
        ids: Ids,
        adopted: Callable[[str], str | None],
        in_session: Callable[[str], bool],
        guard: Guard | None = None,
        near: Callable[[str], bool] = is_near,
        pinned: Callable[[str], str] = lambda _: "",
        adopt_any: bool = False,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        secure: tuple[str, int, ssl.SSLContext] | None = None,
        spawn: Spawn | None = None,
        stops: Stops | None = None,
    ) -> None:
        self._gateway, self._clock, self._ids = gateway, clock, ids
        self._versions = Versions(dialects, pinned)
        self._in_session = in_session
        self._stops: Stops = NoStops() if stops is None else stops
        self._spawn = spawn
        self._doors = [(host, port, tls)] + ([secure] if secure is not None else [])
        assert spawn is not None or not any(context for *_, context in self._doors), "a handshake is a task"
        self._limits = limits or Limits()
        self._servers: list[Server] = []
        self._stopping = False
        self._links: dict[str, ChargerLink] = {}
        self._standings: dict[str, Standing] = {}
        self._book = Doorbook(
            self._mono_ms,
            clock.now_ms,
            lambda delay_s, tell: asyncio.get_running_loop().call_later(delay_s, tell),
        )
        self._doorman = Doorman(
            self,
            self._book,
            mono_ms=self._mono_ms,
            now_ms=clock.now_ms,
            adopted=adopted,
            guard=guard or Open(),
            near=near,
            adopt_any_max=self._limits.adopt_any_max if adopt_any else 0,
            probe_s=self._limits.probe_s,
            connections_max=self._limits.connections_max,
            buckets=Buckets(burst=self._limits.dials_burst, per_second=self._limits.dials_per_s),
        )

    # ------------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Listen. Raises LocalFault if an address cannot be had."""
        self._stopping = False
        try:
            for host, port, tls in self._doors:
                self._servers.append(await self._serve(host, port, tls))
        except LocalFault:
            await self.stop()
            raise

    async def _serve(self, host: str, port: int, tls: ssl.SSLContext | None) -> Server:
        door = self._doorman

        def connection(protocol: Any, server: Any, **settings: Any) -> ChargerConnection | TlsOpening:
            plain = ChargerConnection(protocol, server, door=door, **settings)
            if tls is None or self._spawn is None:
                return plain
            return TlsOpening(plain, tls, self._spawn, door.without_tls, within_s=self._limits.open_timeout_s)

        try:
            return await serve(
                self._attend,
                host,
                port,
                process_request=self._admit,
                process_response=self._answered,
                select_subprotocol=self._choose,
                compression=None,  # `_admit` allows it where the version asks for it (quirk 17)
                server_header=None,
                open_timeout=self._limits.open_timeout_s,
                close_timeout=self._limits.link.close_s,
                ping_interval=None,  # the link pings: a charger that never pongs is not dead (quirk 12)
                max_size=self._limits.message_max_bytes,
                logger=_websockets_log,
                create_connection=cast("type[ServerConnection]", connection),
            )
        except OSError as failed:
            option = "--ocpp" if tls is None else "--ocpps"
            hint = f"Give `run` another {option} address, or stop what holds this one."
            raise LocalFault(
                Code.BAD_SETTINGS, f"chargers cannot dial {host}:{port}: {failed}", hint=hint
            ) from None

    async def stop(self) -> None:
        """Close every connection with 1001, so that chargers dial again soon, and stop listening."""
        if not self._servers:
            return
        self._stopping = True
        servers, self._servers = self._servers, []
        self.disconnect(code=CloseCode.GOING_AWAY, reason="the box restarts")
        self._doorman.close()
        for server in servers:
            server.close()
        for server in servers:
            await server.wait_closed()
        self._book.close()

    async def ended(self) -> None:
        """Return once it listens no more, whoever closed it."""
        for server in self._servers[:1]:
            await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port that chargers dial; with port 0 the one that the system chose."""
        return self._port_of(0)

    @property
    def tls_port(self) -> int | None:
        """The second port, with TLS, if there is one."""
        return self._port_of(1) if len(self._doors) > 1 else None

    def _port_of(self, door: int) -> int:
        if door >= len(self._servers):
            return self._doors[door][1]
        return int(next(iter(self._servers[door].sockets)).getsockname()[1])

    # ------------------------------------------------------------------------------------------- to chargers

    def send(self, request: Request) -> None:
        """Have a request sent to its charger. Its end comes as `CallEnded`, in a later turn of the loop."""
        present = self._links.get(request.charger)
        if present is not None:
            present.send(request)
            return
        asyncio.get_running_loop().call_soon(self.submit, not_connected(request))

    def reached_at(self, charger: str) -> str | None:
        """The box's own address on a charger's present connection; None if it is not connected."""
        present = self._links.get(charger)
        own = present.ws.local_address if present is not None else None
        return str(own[0]) if isinstance(own, tuple) else None

    def disconnect(
        self, charger: str | None = None, *, code: int = CloseCode.INTERNAL_ERROR, reason: str
    ) -> None:
        """Close one charger's connection, or all: what they have not got an answer to, they will repeat."""
        for name, present in list(self._links.items()):
            if charger is None or name == charger:
                present.cut(code, reason)

    # ------------------------------------------------------------------------------------------- for people

    def describe(self) -> list[dict[str, Any]]:
        """Return every charger that was let in since the process started, as plain data."""
        return [self._describe(standing) for standing in self._standings.values()]

    def _describe(self, standing: Standing) -> dict[str, Any]:
        about = standing.describe()
        present = self._links.get(standing.charger)
        about["connected"] = present is not None
        if present is not None:
            about |= {
                "address": present.ws.peer,
                "protocol": present.dialect.subprotocol,
                "since_ms": present.since_ms,
                "last_seen_ms": present.heard_ms,
                "waiting_calls": present.waiting_calls,
            }
        return about

    @property
    def refusals(self) -> Counter[str]:
        """Connections turned away, by reason."""
        return self._book.refusals

    def dials(self) -> Iterator[Dial]:
        """Go through the connections that were turned away, the latest first."""
        return self._book.dials()

    def waiting(self) -> Iterator[Waiting]:
        """Go through the chargers that dialled and are not adopted, in order of their last dial."""
        return self._doorman.waiting()

    # ------------------------------------------------------------------------------------------- the door

    def _mono_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    async def _admit(self, ws: ServerConnection, request: HttpRequest) -> Response | None:
        assert isinstance(ws, ChargerConnection)
        refused = await self._doorman.admit(ws, request)
        if refused is None:
            offers = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
            offered = [token.strip() for token in offers.split(",") if token.strip()]
            ws.protocol.available_extensions = self._versions.extensions(ws.charger, offered)
        return refused

    def _answered(self, ws: ServerConnection, request: HttpRequest, response: Response) -> None:  # noqa: ARG002
        assert isinstance(ws, ChargerConnection)
        if ws.charger and response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._doorman.malformed(ws)

    def receives(self, charger: str) -> bool:
        """See `doorman.House`."""
        if self._stopping or self._gateway.accepting:
            return not self._stopping
        return bool(self._stops.for_charger(charger, self._clock.now_ms()))

    def present(self, charger: str) -> ChargerConnection | None:
        """See `doorman.House`."""
        present = self._links.get(charger)
        return None if present is None else present.ws

    def submit(self, given: Input) -> bool:
        """Hand an input to the gateway; False if it was not taken. See `doorman.House`."""
        try:
            self._gateway.submit(given, None)
        except Exception as broken:
            log.error("%s was not taken: %s", type(given).__name__, broken)  # noqa: TRY400
            return False
        return True

    def _choose(
        self, ws: ServerConnection | TlsOpening, offered: Sequence[Subprotocol]
    ) -> Subprotocol | None:
        """Return the first of our versions that is offered, exactly as the charger wrote it."""
        if isinstance(ws, TlsOpening):  # `websockets` asks with what it was given at the beginning
            ws = ws.inner
        assert isinstance(ws, ChargerConnection)
        ws.offered = tuple(offered)
        chosen = self._versions.choose(ws.charger, offered)
        return None if chosen is None else Subprotocol(chosen)

    # ------------------------------------------------------------------------------------------- a connection

    async def _attend(self, ws: ServerConnection) -> None:
        """Serve a connection that was let in, until it ends."""
        assert isinstance(ws, ChargerConnection)
        dialect = self._versions.dialect(ws.offered, ws.subprotocol)
        if dialect is None:  # OCPP-J 1.6 §3.2: complete the handshake without the header, then close
            self._doorman.without_version(ws)
            ours = self._versions.names
            await ws.close(CloseCode.PROTOCOL_ERROR, f"no common subprotocol; this box speaks {ours}")
            return
        charger = ws.charger
        if not self._gateway.accepting:
            await stoponly.carry(ws, dialect, self._stops, now_ms=self._clock.now_ms(), new_id=self._ids.uid)
            return
        standing = self._standings.setdefault(charger, Standing(charger))
        standing.connections += 1
        present = ChargerLink(
            ws,
            charger,
            dialect,
            self._gateway,
            standing,
            clock=self._clock,
            new_id=self._ids.uid,
            in_session=self._in_session,
            limits=self._limits.link,
        )
        older = self._links.get(charger)
        self._links[charger] = present
        if older is not None:  # its calls are lost before the new connection is there, and it is not missed
            older.cut(CloseCode.POLICY_VIOLATION, "replaced by a newer connection")
            older.detach()
        log.info("%s: connected from %s with %s", charger, ws.peer, dialect.subprotocol)
        self._doorman.let_in(ws)
        here = StationConnected(
            charger=charger,
            protocol=dialect.subprotocol,
            address=ws.peer,
            each=dialect.asks_each,
            profile=ws.proof.profile,
            credential=ws.proof.credential,
        )
        if not self.submit(here):
            present.cut(CloseCode.INTERNAL_ERROR, "nothing can be written down now; dial again")
        try:
            standing.last_end = await present.run()
        finally:
            present.detach()
            if self._links.get(charger) is present:
                del self._links[charger]
                log.info("%s: disconnected: %s", charger, standing.last_end)
                self.submit(StationDisconnected(charger=charger, reason=standing.last_end))

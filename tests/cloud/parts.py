"""What the tests of the cloud are made of: a running cloud, a box without chargers, devices with keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from cloud.service import Cloud
from cloud.settings import CloudSettings
from common import commands, facts, sync, trust, wire
from common.appsession import ClientSession
from common.client.connection import Connection
from common.client.handshake import authenticate
from common.client.local import local
from common.clock import SystemClock, SystemIds
from common.commands import Command, Name
from common.domain import Path as LinkPath
from common.domain import Role, Target, iso
from common.doubles import place_order
from common.keystore import generate_identity, generate_issuer
from common.link.websocket import LINK_PATH, connect_websocket
from common.policy import Claims
from common.reconcile import LedgerRow, fold_all, ledger_page
from common.trust.enrolment import BOX_CODE_LIFE_MS
from common.view import View, apply
from tests.store.box import Box

CLOCK, IDS = SystemClock(), SystemIds()
#: A deadline for what takes milliseconds; a test that needs it has failed.
SOON_S = 40.0


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for something that is about to be so."""
    async with asyncio.timeout(SOON_S):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(data: Path, **given: Any) -> AsyncIterator[Cloud]:
    """A cloud on a free port of loopback, until the block ends."""
    cloud = Cloud(
        CloudSettings.load({"data": data, "listen": "127.0.0.1:0", "socket": data / "c.sock", **given})
    )
    stop = asyncio.Event()
    try:
        await cloud.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cloud.run(stop))
            try:
                yield cloud
            finally:
                stop.set()
    finally:
        await cloud.close()


class FakeBox:
    """A site box without chargers: real keys, real journal rows, real cursor, and a script for commands."""

    def __init__(self, url: str, site: str = "") -> None:
        self.url = url
        self.identity, self.issuer = generate_identity(), generate_issuer()
        self.signer = self.identity  #: of heads
        self.site = site or f"s-{self.identity.fingerprint[:16]}"
        self.ledger = Box(self.site)
        self.instance = IDS.uid()
        self.view = View(site=self.site)
        self.relayed: list[sync.Relay] = []
        self.answers: Callable[[wire.SendCommand], list[sync.Step]] = settle
        self.rows: Callable[[], list[LedgerRow]] = self.honest_rows
        self.said: list[sync.CloudMessage] = []
        self.socket: ClientConnection | None = None
        self.code: trust.BoxCode | None = None
        self.asked: trust.EnrolRequest | None = None

    # --- joining -------------------------------------------------------------------------------------------

    def pair(self) -> str:
        """A pairing code, as `plugside-edge pair` shows it."""
        self.code = trust.BoxCode(
            secret=trust.b64(IDS.token(16)),
            server=self.identity.fingerprint,
            expires_ms=(CLOCK.now_ms() + BOX_CODE_LIFE_MS) // 1000 * 1000,
        )
        return self.code.to_text()

    def request(self) -> trust.EnrolRequest:
        assert self.code is not None
        return trust.request_enrolment(self.identity, self.issuer.public, self.site, self.code.secret)

    async def ask_in(self) -> httpx.Response:
        """One request to be taken in."""
        async with httpx.AsyncClient(timeout=SOON_S, verify=False) as client:
            self.asked = self.request()
            body = msgspec.json.encode(self.asked)
            return await client.post(f"{self.url}/v1/enrolments", content=body)

    async def join(self, cloud: Cloud, name: str = "Home", *, replace: bool = False) -> None:
        """The operator types the code, the box asks."""
        code = self.pair()
        async with local(cloud._settings.socket_path) as operator:
            await operator.manage("site_add", {"name": name, "code": code, "replace": replace})
        response = await self.ask_in()
        assert response.status_code == 200, response.text

    # --- the tunnel ----------------------------------------------------------------------------------------

    def hello(self, nonce: str, **other: Any) -> sync.TunnelHello:
        host = self.url.partition("://")[2]
        fields: dict[str, Any] = {
            "site": self.site,
            "epoch": self.ledger.journal.epoch,
            "last_seq": len(self.ledger.journal.rows),
            "instance_id": self.instance,
            "boot_id": "boot",
            "wall": iso(CLOCK.now_ms()),
            "key": self.identity.public,
            "addresses": ("192.0.2.7:9443",),
            "certificates": tuple(f"{number:064x}" for number in range(61)),
            "signature": trust.sign_tunnel(self.identity, nonce, other.pop("host", host)),
        }
        return sync.TunnelHello(**{**fields, **other})

    @contextlib.asynccontextmanager
    async def dial(self) -> AsyncIterator[tuple[ClientConnection, sync.Challenge]]:
        """A socket that has been challenged."""
        url = self.url.replace("http", "ws", 1) + "/v1/edge"
        async with connect(url, compression=None, max_size=sync.TUNNEL_BYTES_MAX) as socket:
            challenge = sync.decode_cloud(await socket.recv())
            assert isinstance(challenge, sync.Challenge)
            yield socket, challenge

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[FakeBox]:
        """A welcomed box that answers whatever it is asked, until the block ends."""
        async with self.dial() as (socket, challenge):
            await self._agree(socket, challenge)
            self.socket = socket
            await self.show()
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(socket))
                try:
                    yield self
                finally:
                    reader.cancel()
                    self.socket = None
                    self.ledger.cursor.disconnected()

    async def _agree(self, socket: ClientConnection, challenge: sync.Challenge) -> None:
        for _ in range(3):
            await socket.send(sync.encode(self.hello(challenge.nonce)))
            welcome = sync.decode_cloud(await socket.recv())
            assert isinstance(welcome, sync.TunnelWelcome), welcome
            step = self.ledger.cursor.on_welcome(welcome, self.ledger.journal.known_chain(welcome.hwm))
            if isinstance(step, sync.Resume):
                return
            self.ledger.rotate()
        raise AssertionError("no epoch suits the cloud")

    async def show(self) -> None:
        """The live lane's snapshot, and whatever batch is due."""
        assert self.socket is not None
        journal = self.ledger.journal
        snapshot = sync.LiveSnapshot(
            epoch=journal.epoch, seq=len(journal.rows), view=self.view, at=iso(CLOCK.now_ms())
        )
        await self.socket.send(sync.encode(snapshot))
        await self._send_due()

    async def tell(self, *bodies: facts.Body) -> None:
        """Journal facts; when the tunnel stands, over both lanes."""
        for body in bodies:
            fact = self.ledger.write(body)
            apply(self.view, fact)
            if self.socket is not None:
                live = sync.LiveFact(epoch=fact.epoch, seq=fact.seq, record=fact.record)
                await self.socket.send(sync.encode(live))
        await self._send_due()

    async def _send_due(self) -> None:
        if self.socket is not None and (batch := self.ledger.next_batch()) is not None:
            await self.socket.send(sync.encode(self._witnessed(batch)))

    def _witnessed(self, batch: sync.Batch) -> sync.Batch:
        """With the head of the chain after it signed, as a box does."""
        at, last = iso(CLOCK.now_ms()), batch.records[-1].seq
        signature = trust.sign_head(self.signer, self.site, batch.epoch, last, batch.chain_end, at)
        return msgspec.structs.replace(batch, at=at, signature=signature)

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            try:
                message = sync.decode_cloud(await socket.recv())
            except ConnectionClosed:
                return
            self.said.append(message)
            match message:
                case sync.Ack():
                    self.ledger.cursor.on_ack(message, 0)
                    await self._send_due()
                case sync.Relay():
                    self.relayed.append(message)
                    for step in self.answers(message.command):
                        await socket.send(sync.encode(sync.Progress(ref=message.ref, message=step)))
                case sync.Ask():
                    page = self._ledger_page(message.query)
                    await socket.send(sync.encode(sync.Answer(ref=message.ref, message=page)))
                case _:
                    pass

    def _ledger_page(self, query: wire.Query) -> wire.Page:
        """Two rows a page, in the order that is asked for, as a box pages it."""
        by_place = query.args["order"] == "place"
        rows = sorted(self.rows(), key=place_order if by_place else lambda row: row.session)
        first = int(query.after or 0)
        more = str(first + 2) if len(rows) > first + 2 else ""
        return wire.Page(id=query.id, rows=ledger_page(rows[first : first + 2]), next=more)

    def honest_rows(self) -> list[LedgerRow]:
        """The ledger that its journal comes to."""
        told = []
        for row in self.ledger.journal.rows:
            with contextlib.suppress(msgspec.DecodeError):  # poison
                told.append(facts.read("", row.seq, row.record or b"").body)
        return list(fold_all(told).values())

    @property
    def drained(self) -> bool:
        """Everything is acknowledged."""
        return self.ledger.cursor.backlog == 0


def settle(command: wire.SendCommand) -> list[sync.Step]:
    """A box that does what it is asked."""
    return [
        wire.Accepted(id=command.id),
        wire.Confirmed(id=command.id, answer="accepted"),
        wire.Settled(id=command.id, outcome="succeeded", session="s1"),
    ]


class Device:
    """A phone: a key, and the grants that it was given."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.key = generate_identity()
        self.grants: tuple[str, ...] = ()
        self.granted: wire.Granted | None = None

    @contextlib.asynccontextmanager
    async def link(self, **shown: Any) -> AsyncIterator[Connection]:
        """An open app link to the cloud. shown: `invite`, or other `grants`."""
        url = self.cloud.url.replace("http", "ws", 1) + LINK_PATH
        link = await connect_websocket(url, LinkPath.CLOUD)
        session = ClientSession(
            nonce=trust.b64(IDS.token(32)),
            path=LinkPath.CLOUD,
            server=self.cloud.accounts.identity.fingerprint,
            key=self.key,
            **{"grants": self.grants, **shown},
        )
        opened = await authenticate(link, session, CLOCK)
        async with Connection(opened, clock=CLOCK, ids=IDS) as connection:
            yield connection

    async def join(self, invite: str) -> wire.Granted:
        """Redeem an invite and use the grant."""
        secret = trust.Invite.from_text(invite).secret
        async with self.link(invite=secret, grants=()) as connection:
            (granted,) = connection.granted
        self.grants = (*self.grants, granted.grant)
        self.granted = granted
        return granted

    def command(
        self, site: str, name: Name = Name.START, *, args: Any = None, id_: str = "", ttl_ms: int = 20_000
    ) -> wire.SendCommand:
        """A signed command."""
        command = Command(
            site=site,
            id=id_ or IDS.uid(),
            name=name,
            target=Target(charger="CP1"),
            args=args or {},
            expires_at=iso(CLOCK.now_ms() + ttl_ms),
        )
        return wire.SendCommand(
            id=command.id, site=site, envelope=trust.seal(commands.encode(command), self.key)
        )


async def invite(cloud: Cloud, site: str, **wanted: Any) -> dict[str, Any]:
    """An invite minted on the cloud's own socket."""
    async with local(cloud._settings.socket_path) as operator:
        return await operator.manage("invite", {"site": site, **wanted})


async def join(cloud: Cloud, site: str, role: Role = Role.DRIVER, **wanted: Any) -> Device:
    """A device with rights at a site."""
    made = await invite(cloud, site, role=role.value, **wanted)
    device = Device(cloud)
    await device.join(made["invite"])
    return device


class Steps:
    """What came back for one command."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.over = asyncio.Event()

    def tell(self, message: Any) -> None:
        self.told.append(message)
        if isinstance(message, wire.Settled | wire.Refusal):
            self.over.set()

    def lost(self, fault: Exception) -> None:
        self.told.append(fault)
        self.over.set()


async def send(connection: Connection, message: wire.SendCommand) -> list[Any]:
    """Send a command and wait for its end; everything that was told."""
    steps = Steps()
    connection.send_command(message, steps.tell, steps.lost)
    async with asyncio.timeout(SOON_S):
        await steps.over.wait()
    return steps.told


def claims(site: str) -> Claims:
    return Claims(site=site, principal="op", role=Role.OPERATOR)


async def until_closed(socket: ClientConnection) -> None:
    """Read on until the other side has closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()

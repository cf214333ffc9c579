"""The uplink: the one WebSocket that the box holds to its cloud, with two lanes (design §9).

    live     snapshot, then every committed fact; commands in, progress out. Never waits for the other lane.
    durable  batches of journal records, one in flight; the pure `EdgeCursor` says what and when.

Runs as a supervised room: it raises when the link ends, and is started again with back-off. Nothing here is
remembered across links; the cloud's mark is where sync resumes. The reader never waits: commands go straight
to the commander, questions to a task of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from common import sync, trust, wire
from common.domain import iso
from common.errors import Code, PlugsideError, RemoteFault, Unavailable, error, from_wire
from common.facts import Fact, SecurityNoted
from common.link.websocket import is_loopback
from common.policy import local_presence, view_for
from common.ports import Clock
from common.trust.revocations import LISTS_MAX
from edge import agreed
from edge.authority import Authority
from edge.commander import Commander, Sender, refusal
from edge.enrolment import Enrolment, tunnel_url
from edge.gateway import Gateway
from edge.inheritance import Inheritance
from edge.journal.journal import Journal
from edge.linkends import reason, rooted, wait
from edge.overview import SOFTWARE
from edge.queries import Queries
from edge.receipts import witnessed
from edge.recovery import Recovery
from edge.renewing import Renewals

log = logging.getLogger("plugside.uplink")
#: The package's own DEBUG shows the ends of every frame, and short ones whole.
_websockets_log = logging.getLogger("plugside.uplink.websockets")
_websockets_log.setLevel(logging.WARNING)

#: Live facts that may wait for the socket. When it is full the lane starts over with a fresh snapshot,
#: which is smaller than the facts it replaces.
LIVE_MAX = 2048
#: A silent cloud is pinged, and given up after as long again: a NAT forgets an idle mapping after minutes.
PING_EVERY_S = 20.0
OPEN_TIMEOUT_S = 10.0
#: How long a cloud may take to agree to a close; one that is gone never does, and the box may want to stop.
CLOSE_TIMEOUT_S = 2.0
#: The cloud must have welcomed us by then, or the link is not one.
WELCOME_TIMEOUT_S = 10.0
#: Frames that may wait for a cloud that does not read, behind the live facts; then the link is ended.
OUT_MAX = 1024
#: Commands of one link whose end is awaited, and questions that wait to be answered; more are refused (busy).
RELAYS_MAX = 1024
ASKS_MAX = 16


class Uplink:
    """The box's side of the tunnel. One for each site; `run` is one link's life."""

    def __init__(
        self,
        url: str,
        authority: Authority,
        gateway: Gateway,
        journal: Journal,
        commander: Commander,
        queries: Queries,
        recovery: Recovery,
        renewals: Renewals,
        clock: Clock,
        *,
        boot_id: str,
    ) -> None:
        self.connected = False
        self.cursor = sync.EdgeCursor(journal.epoch, journal.committed_seq)
        self._enrolment = Enrolment(url.rstrip("/"), authority, clock)
        self._url = tunnel_url(url)
        self.authority = authority
        self.gateway = gateway
        self.journal = journal
        self.commander = commander
        self.queries = queries
        self.recovery = recovery
        self.renewals = renewals
        self.clock = clock
        self._boot_id = boot_id
        self._inheritance = Inheritance(gateway, journal)
        self.live: deque[Fact] = deque()
        self.live_lost = False
        self.work = asyncio.Event()
        self.news: deque[str] = deque(maxlen=LISTS_MAX)  #: lists that the cloud has not got
        self.hears = self.renews = False
        #: This link has to end: the box is released or has another key, or its cloud reads nothing.
        self.left = asyncio.Event()
        self.hear_time: Callable[[str], None] = lambda _: None  #: told the cloud's time
        self.heard_of_key: Callable[[sync.TunnelWelcome], None] = lambda _: None  #: told the site's key there
        gateway.bus.tap(self._committed)

    # --- fed by the bus ----------------------------------------------------------------------------------

    def _committed(self, fact: Fact) -> None:
        if fact.epoch == self.cursor.epoch:
            self.cursor.committed(fact.seq, fact.kind, self.clock.mono_ms())
        # Behind a lost one nothing is kept: the snapshot that comes next holds it.
        if self.connected and not self.live_lost:
            if len(self.live) < LIVE_MAX:
                self.live.append(fact)
            else:
                self.live_lost = True
            self.work.set()

    def withdrawn(self, one: trust.RevocationList) -> None:
        """A list is new here: the cloud hears of it, whoever brought it."""
        self.news.append(one.text)
        self.work.set()

    # --- one link ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, authenticate, sync until the link ends. Raises what ended it."""
        self.left.clear()
        await self._enrolment.done()
        if self.cursor.epoch != self.journal.epoch:
            # The last link ended while its epoch was being rotated.
            self._rotated()
        try:
            await self._connect()
        except (OSError, WebSocketException) as failed:
            raise Unavailable(
                Code.CLOUD_UNREACHABLE, f"{self._url}: {failed or type(failed).__name__}"
            ) from None

    async def _connect(self) -> None:
        async with connect(
            self._url,
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=sync.TUNNEL_BYTES_MAX,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            # Only the way off this machine may lead through a proxy.
            proxy=None if is_loopback(urlsplit(self._url).hostname or "") else True,
            logger=_websockets_log,
        ) as socket:
            try:
                await self._talk(socket)
            finally:
                self.connected = False
                self.authority.reaches_cloud(False)
                self.cursor.disconnected()
                self.live.clear()

    async def _talk(self, socket: ClientConnection) -> None:
        challenge = await self._receive(socket)
        if not isinstance(challenge, sync.Challenge):
            raise RemoteFault(Code.PROTOCOL, "the cloud did not begin with a challenge")
        await self._settle_epoch(socket, challenge)
        log.info("connected to %s; records to send: %d", self._url, self.cursor.backlog)
        self.live.clear()
        self.live_lost = True  # begin the live lane with a snapshot
        self.connected = True
        self.authority.reaches_cloud(True)
        self.work.set()
        link = _Link(socket, self)
        self.renewals.begin(link.say, renews=self.renews)
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = (link.read(), link.write(), link.answer(), link.seal(), link.overflow())
                for part in (*parts, rooted(socket.local_address[0])):
                    tasks.create_task(part)
        except ExceptionGroup as ended:
            raise reason(ended) from None
        finally:
            link.leave()

    async def _settle_epoch(self, socket: ClientConnection, challenge: sync.Challenge) -> None:
        """Say hello until both sides agree on an epoch. Two tries: a second rotation would be a bug."""
        for _ in range(3):
            await socket.send(sync.encode(self._hello(challenge)))
            welcome = await self._receive(socket)
            if isinstance(welcome, sync.TunnelBye):
                raise from_wire(welcome.code, welcome.message, welcome.hint)
            if not isinstance(welcome, sync.TunnelWelcome):
                raise RemoteFault(Code.PROTOCOL, "the cloud answered hello with something else")
            self.authority.learn(welcome.trust)
            self.hear_time(welcome.time)
            self.heard_of_key(welcome)
            self.authority.withdrawals.take(welcome.revocations)
            self.hears, self.renews = welcome.hears, welcome.renews
            told = set(welcome.revocations)
            self.news.clear()
            self.news.extend(text for text in self.authority.withdrawals.texts if text not in told)
            self.recovery.welcomed(welcome)
            step = self.cursor.on_welcome(welcome, self.journal.chain_at(welcome.hwm))
            if isinstance(step, sync.Resume):
                await self._inheritance.settle(welcome)
                return
            await self.rotate(step)
        raise RemoteFault(Code.PROTOCOL, "no epoch suits the cloud")

    async def rotate(self, why: sync.Rotate) -> None:
        """Begin a new epoch and tell the cursor. Records that are missing for good are declared first."""
        log.warning("beginning a new epoch: %s; everything retained is sent again", why.reason)
        if why.gap:
            await self.gateway.written(SecurityNoted(what="history_gap", detail=why.reason))
        await self._inheritance.ask()
        await self.gateway.rotate_epoch()
        self._rotated()

    def _rotated(self) -> None:
        journal = self.journal
        self.cursor.rotated(journal.epoch, journal.committed_seq, journal.begins_after)

    def _hello(self, challenge: sync.Challenge) -> sync.TunnelHello:
        return self.authority.hello(
            challenge.nonce,
            urlsplit(self._url).netloc,
            epoch=self.cursor.epoch,
            last_seq=self.cursor.last_seq,
            boot_id=self._boot_id,
            wall=iso(self.clock.now_ms()),
            clock=self.clock.quality,
            software=SOFTWARE,
            inherits=self._inheritance.wanted,
            last_link=self._inheritance.last_link,
            begins_after=self.journal.begins_after,
        )

    async def _receive(self, socket: ClientConnection) -> sync.CloudMessage:
        """The next message of the handshake, which may not take its time."""
        async with asyncio.timeout(WELCOME_TIMEOUT_S):
            return sync.decode_cloud(await socket.recv())


class _Link:
    """One connected tunnel: its reader, its writer, and who answers the cloud's questions."""

    def __init__(self, socket: ClientConnection, uplink: Uplink) -> None:
        self._socket = socket
        self._up = uplink
        self._out: deque[bytes] = deque()
        self._asks: asyncio.Queue[sync.Ask] = asyncio.Queue(ASKS_MAX)
        self._senders: set[Sender] = set()
        self._slow = False

    def leave(self) -> None:
        """The link has ended; what was asked for over it goes on."""
        self._up.renewals.end()
        for sender in self._senders:
            self._up.commander.leave(sender)

    async def overflow(self) -> None:
        """Raises Unavailable: more waits to be said than may (slow_reader), or this link is over for us."""
        await self._up.left.wait()
        if self._slow:
            raise Unavailable(Code.SLOW_READER, "the cloud does not read")
        raise Unavailable(Code.SHUTTING_DOWN, "the box was released, or has another key")

    # --- cloud → edge ------------------------------------------------------------------------------------

    async def read(self) -> None:
        async for frame in self._socket:
            message = sync.decode_cloud(frame)
            if isinstance(message, sync.Ack):
                self._up.cursor.on_ack(message, self._up.clock.mono_ms())
            elif isinstance(message, sync.Nack):
                step = self._up.cursor.on_nack(message, self._up.clock.mono_ms())
                if isinstance(step, sync.Rotate):
                    await self._up.rotate(step)
                    raise RemoteFault(Code.PROTOCOL, "reconnecting with the new epoch")
            elif isinstance(message, sync.Relay):
                self._relay(message)
            elif isinstance(message, sync.Ask):
                self._ask(message)
            elif isinstance(message, sync.Statements):
                self._up.authority.learn(message.trust)
                self._up.authority.withdrawals.take(message.revocations)
                now_ms = self._up.clock.now_ms()
                agreed.told(self._up.gateway, self._up.authority, message.rights, now_ms)
            elif isinstance(message, sync.Renewed):
                self._up.renewals.told(message)
            elif isinstance(message, sync.TunnelBye):
                raise from_wire(message.code, message.message, message.hint)
            self._up.work.set()
        raise Unavailable(Code.CLOUD_UNREACHABLE, "the cloud closed the link")

    def _relay(self, relay: sync.Relay) -> None:
        """The same signed bytes as on the LAN, through the same commander."""

        def tell(step: sync.Step) -> None:
            self.say(sync.Progress(ref=relay.ref, message=step))
            if isinstance(step, wire.Settled | wire.Refusal):
                self._senders.discard(sender)

        sender = Sender(tell)
        if len(self._senders) >= RELAYS_MAX:
            sender.refuse(relay.command.id, error(Code.BUSY))
            return
        self._senders.add(sender)
        self._up.commander.relayed(relay.command, sender)

    def _ask(self, ask: sync.Ask) -> None:
        try:
            self._asks.put_nowait(ask)
        except asyncio.QueueFull:
            self.say(sync.Answer(ref=ask.ref, message=refusal(ask.query.id, error(Code.BUSY))))

    async def answer(self) -> None:
        """Answer the cloud's questions, one after the other; each is sent before the next is looked at."""
        claims = local_presence(self._up.authority.site)
        while True:
            ask = await self._asks.get()
            answer: wire.Page | wire.Refusal
            try:
                answer = await self._up.queries.answer(ask.query, claims)
            except PlugsideError as refused:
                answer = refusal(ask.query.id, refused)
            await self._socket.send(sync.encode(sync.Answer(ref=ask.ref, message=answer)))

    # --- edge → cloud ------------------------------------------------------------------------------------

    async def seal(self) -> None:
        """Bring the cloud what it keeps for the box after this one, whenever that has changed."""
        while True:
            sealed = await self._up.recovery.next()
            await self._socket.send(sync.encode(sync.Keep(sealed=sealed)))

    def say(self, message: sync.TunnelMessage) -> None:
        if len(self._out) >= OUT_MAX:
            self._slow = True
            self._up.left.set()
            return
        self._out.append(sync.encode(message))
        self._up.work.set()

    async def write(self) -> None:
        """Live lane first, then at most one batch, then sleep until something is due."""
        up = self._up
        while True:
            up.work.clear()
            while up.news and up.hears:
                await self._socket.send(sync.encode(sync.Statements(revocations=(up.news.popleft(),))))
            await self._write_live()
            want = up.cursor.wanted(up.clock.mono_ms())
            if want is not None:
                rows = up.journal.records(
                    want.from_seq, max_records=want.max_records, max_bytes=want.max_bytes
                )
                batch = witnessed(up.authority, up.cursor.batch_of(rows), iso(up.clock.now_ms()))
                packs = up.cursor.packs
                # Off the loop: some ms on a small processor, which a tap should not wait for.
                frame = await asyncio.to_thread(sync.pack, batch) if packs else sync.encode(batch)
                await self._socket.send(frame)
                continue
            if not up.live and not self._out and not up.live_lost:
                await wait(up.work, up.cursor.wake_at_ms(), up.clock.mono_ms())

    async def _write_live(self) -> None:
        up = self._up
        while self._out:
            await self._socket.send(self._out.popleft())
        if up.live_lost:
            await self._socket.send(await self._snapshot())
        while up.live:
            fact = up.live.popleft()
            live = sync.LiveFact(epoch=fact.epoch, seq=fact.seq, record=fact.record)
            await self._socket.send(sync.encode(live))
            while self._out:
                await self._socket.send(self._out.popleft())

    async def _snapshot(self) -> bytes:
        """The view with nothing in it that is not on disk yet, and no gap before the live facts."""
        up = self._up
        frame: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        view = view_for(local_presence(up.authority.site), up.gateway.state.view)
        at = iso(up.clock.now_ms())
        encoded = sync.encode(sync.LiveSnapshot(epoch=view.epoch, seq=view.seq, view=view, at=at))
        up.live.clear()
        up.live_lost = False

        def release() -> None:
            # Facts that were on their way to the disk are in the snapshot; those behind it follow.
            while up.live and up.live[0].seq <= view.seq:
                up.live.popleft()
            if not frame.done():
                frame.set_result(encoded)

        up.gateway.when_committed(release)
        return await frame

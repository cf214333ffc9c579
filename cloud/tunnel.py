"""One tunnel: a box's WebSocket from its challenge to its end (design §9).

    challenge ─▶ hello (signed) ─▶ open_link: fence, mark ─▶ welcome ─┬─ batches, one by one ─▶ store ─▶ ack
                                                                      ├─ live lane ─▶ hub
                                                                      └─ progress, answers ─▶ whoever waits
    commands, questions ─▶ bounded queue ─▶ one writer

The reader never waits for the store: a batch is on its way to SQL while commands, progress and live facts go
by.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from cloud.accounts import Accounts
from cloud.boxkeys import BoxKeys
from cloud.capped import capped, charged
from cloud.counters import Counters
from cloud.hub import Hub
from cloud.renewals import BoxRenewals
from cloud.router import Router
from cloud.store.ports import Store
from cloud.store.rows import HelloNote, SiteRow
from common import sync, trust, wire
from common.domain import iso
from common.errors import Code, PlugsideError, Refused, RemoteFault, Unavailable, error, from_wire
from common.ports import Clock, Ids
from common.trust.handshake import CERTIFICATES_MAX, NONCE_BYTES
from common.trust.recovery import SEALED_BYTES_MAX

log = logging.getLogger("plugside.edges")

#: From the first byte to a believed hello.
HELLO_TIMEOUT_S = 10.0
#: Frames for one box that may wait for its socket: more than all its commands under way.
QUEUE_MAX = 1024
#: How long a box is told to wait when our database cannot write now.
BUSY_RETRY_MS = 1000
#: How long a question to a box may take, over a slow uplink.
ASK_TIMEOUT_S = 10.0
#: Questions to one box at once.
ASKS_MAX = 16
ADDRESSES_MAX = 16
#: Of sealed secrets, in base64url.
SEALED_CHARS_MAX = SEALED_BYTES_MAX * 4 // 3 + 4


class Socket(Protocol):
    """One open WebSocket, whatever framework serves it."""

    @property
    def peer(self) -> str: ...

    async def send(self, frame: bytes) -> None:
        """Raises ConnectionError once closed."""

    async def receive(self) -> bytes | None:
        """None once closed."""

    async def close(self, code: Code | None = None) -> None: ...


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What all tunnels of a process work on."""

    store: Store
    accounts: Accounts
    boxkeys: BoxKeys
    hub: Hub
    router: Router
    counters: Counters
    clock: Clock
    ids: Ids


class Tunnel:
    """One box's WebSocket, from its challenge to its end."""

    def __init__(
        self, shared: Shared, socket: Socket, hosts: frozenset[str], welcomed: Callable[[Tunnel], None]
    ) -> None:
        """hosts: the names by which boxes may know this cloud. welcomed: called when `link` is the site's."""
        self.socket = socket
        self.site: SiteRow | None = None
        self.key = ""  #: the public key that the box has proved
        self.link = 0
        self._edges = shared
        self._welcomed = welcomed
        self._hosts = hosts
        self._nonce = trust.b64(shared.ids.token(NONCE_BYTES))
        self._epoch = ""
        self._out: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._batch: asyncio.Queue[sync.Batch] = asyncio.Queue(maxsize=1)
        self._renewals = BoxRenewals(shared.accounts, self.say)
        self._asked: dict[str, asyncio.Future[wire.Page]] = {}
        self._ending: PlugsideError | None = None

    # --- life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Raises what ended it, in a group if several things did; returns when the box hung up."""
        await self.socket.send(sync.encode(sync.Challenge(nonce=self._nonce)))
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            frame = await self.socket.receive()
            if frame is None:
                return
            if len(frame) > sync.HELLO_BYTES_MAX:
                raise RemoteFault(Code.TOO_LARGE)
            message = sync.decode_edge(frame)
            if not isinstance(message, sync.TunnelHello):
                raise RemoteFault(Code.PROTOCOL, "a tunnel begins with a hello")
            self.site = await self._authenticate(message)
            if self._ending is not None:
                raise self._ending
            await self._welcome(message)
        self._edges.router.connected(self.site.id)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._ingest())
            tasks.create_task(self._renewals.run(self.site.id))
            tasks.create_task(self._tell_rights(self.site.id))
            tasks.create_task(self._while_heard())
            await self._read()
            raise ConnectionError("the box hung up")

    async def _while_heard(self) -> None:
        """A key that was given up is heard for a day, and not for as long as its link stands."""
        assert self.site is not None
        if self.key != self.site.public:
            left_ms = self.site.former_until_ms - self._edges.clock.now_ms()
            await asyncio.sleep(max(0.0, left_ms / 1000))
            self.end(Refused(Code.KEY_REPLACED))

    def end(self, why: PlugsideError) -> None:
        """End it from our side."""
        self._ending = self._ending or why
        self._wake.set()

    async def goodbye(self, why: PlugsideError) -> None:
        """The last word."""
        bye = sync.TunnelBye(code=why.code, message=why.message, hint=why.hint)
        try:
            async with asyncio.timeout(1.0):
                await self.socket.send(sync.encode(bye))
        except (ConnectionError, TimeoutError):
            pass

    async def _authenticate(self, hello: sync.TunnelHello) -> SiteRow:
        """The site whose enrolled key has signed our challenge."""
        site = await self._edges.store.site(hello.site)
        if site is None or site.id != hello.site:
            raise Refused(
                Code.UNKNOWN_SITE,
                hint="Run `plugside-edge pair` on the box and `plugside-cloud site add NAME CODE` here.",
            )
        for host in self._hosts:
            try:
                trust.check_tunnel(hello.key, hello.signature, self._nonce, host)
            except Refused:
                continue
            self.key = hello.key
            site = await self._edges.boxkeys.believed(site, hello.key, hello.rotations)
            return await self._with_issuer(site, hello)
        if site.public != hello.key:
            raise RemoteFault(Code.UNTRUSTED_PEER, "this site has another box now")
        raise RemoteFault(
            Code.UNTRUSTED_PEER,
            f"the box's signature is not for {', '.join(sorted(self._hosts))}",
            hint="Let the box dial the cloud by the name that --public-url says.",
        )

    async def _with_issuer(self, site: SiteRow, hello: sync.TunnelHello) -> SiteRow:
        """A box may begin to issue with another key: its identity vouches for it."""
        if hello.issuer in ("", site.issuer) or hello.key != site.public:
            return site
        voucher = trust.Voucher(box=site.public, issuer=hello.issuer, site=site.id, signature=hello.vouching)
        issuer = trust.check_voucher(voucher)
        changed = msgspec.structs.replace(site, issuer=issuer.public)
        if not await self._edges.store.put_site(changed, held=site.public):
            raise RemoteFault(Code.UNTRUSTED_PEER, "this site has another box now")
        await self._edges.accounts.open()
        return changed

    async def _welcome(self, hello: sync.TunnelHello) -> None:
        assert self.site is not None
        edges = self._edges
        version = sync.choose_version(hello.versions)
        if not 0 < len(hello.epoch) <= 64:
            raise RemoteFault(Code.PROTOCOL, "an epoch has 1 to 64 characters")
        note = HelloNote(
            last_seq=hello.last_seq,
            boot_id=hello.boot_id,
            wall=hello.wall,
            clock=hello.clock,
            addresses=hello.addresses[:ADDRESSES_MAX],
            certificates=hello.certificates[:CERTIFICATES_MAX],
            software=hello.software[:64],
            last_link=hello.last_link,
            begins_after=hello.begins_after,
        )
        now_ms = edges.clock.now_ms()
        opened = await edges.store.open_link(self.site.id, hello.epoch, hello.instance_id, note, now_ms)
        self.link, self._epoch = opened.link, hello.epoch
        if opened.restored:
            log.warning("the box of %s remembers more than this database: it was restored", self.site.name)
        sealed = await edges.store.sealed(self.site.id)
        estate = await edges.store.estate(self.site.id) if hello.inherits else ()
        charges = await charged(edges.store, self.site.id, now_ms) if hello.inherits else {}
        # From here to the welcome nothing waits: whoever has news for the box says it behind that.
        self._welcomed(self)
        edges.hub.arrived(self.site.id, self.link)
        self.say(
            sync.TunnelWelcome(
                version=version,
                link_epoch=opened.link,
                epoch=hello.epoch,
                hwm=opened.mark.hwm,
                chain_at_hwm=opened.mark.chain,
                superseded=opened.superseded,
                incarnation=edges.store.incarnation,
                time=iso(now_ms),
                box=self.site.box,
                former_until="" if self.key == self.site.public else iso(self.site.former_until_ms),
                trust=edges.accounts.statements,
                revocations=edges.accounts.withdrawals.texts(self.site.id),
                hears=True,
                packs=True,
                renews=True,
                max_bytes=sync.BATCH_UNPACKED_BYTES_MAX,
                estate=estate,
                charges=charges,
                sealed=sealed if hello.inherits else (),
                sealed_number=max((blob.number for blob in sealed), default=0),
            )
        )
        log.info(
            "box of %s connected from %s, at %d of %s",
            self.site.name,
            self.socket.peer,
            opened.mark.hwm,
            hello.epoch,
        )

    async def _tell_rights(self, site: str) -> None:
        """What people's cards are good for, behind the welcome; what cannot be told now their phones tell."""
        with suppress(Unavailable):
            async for rights in capped(self._edges.store, self._edges.accounts, site):
                self.say(sync.Statements(rights=rights))

    # --- out -----------------------------------------------------------------------------------------------

    def say(self, message: sync.TunnelMessage) -> None:
        """Queue one frame. A box that does not read its commands is cut; it comes back."""
        if len(self._out) >= QUEUE_MAX:
            self.end(error(Code.SLOW_READER))
            raise Unavailable(Code.BUSY, "the box does not keep up")
        self._out.append(sync.encode(message))
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._out:
                await self.socket.send(self._out.popleft())
            if self._ending is not None:
                raise self._ending

    async def ask(self, query: wire.Query) -> wire.Page:
        """One page of the box's answer."""
        if len(self._asked) >= ASKS_MAX:
            raise Unavailable(Code.BUSY)
        waiting: asyncio.Future[wire.Page] = asyncio.get_running_loop().create_future()
        self._asked[query.id] = waiting
        try:
            self.say(sync.Ask(ref=query.id, query=query))
            async with asyncio.timeout(ASK_TIMEOUT_S):
                return await waiting
        except TimeoutError:
            raise Unavailable(Code.SITE_OFFLINE, "the box did not answer in time") from None
        finally:
            self._asked.pop(query.id, None)

    def give_up_asking(self) -> None:
        """No answer will come any more."""
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(Unavailable(Code.SITE_OFFLINE))

    # --- in ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        assert self.site is not None
        hub, router, site = self._edges.hub, self._edges.router, self.site.id
        while (frame := await self.socket.receive()) is not None:
            match sync.decode_edge(frame):
                case sync.Progress() as progress:
                    router.progress(site, progress.ref, progress.message)
                case sync.LiveFact() as fact:
                    hub.fact(site, fact)
                case sync.LiveSnapshot() as snapshot:
                    hub.snapshot(site, snapshot)
                case sync.Batch() as batch:
                    self._begin_batch(batch)
                case sync.Answer() as answer:
                    self._answered(answer)
                case sync.TunnelHello() as hello:
                    await self._again(hello)
                case sync.Statements() as told:
                    await self._edges.accounts.withdrawals.take(site, told.revocations)
                case sync.Renew() as asked:
                    self._renewals.take(asked)
                case sync.Keep() as keep:
                    await self._keep(keep)
                case sync.TunnelBye() as bye:
                    log.info("box of %s says goodbye: %s", self.site.name, bye.message)
                    return

    async def _again(self, hello: sync.TunnelHello) -> None:
        """The box has begun a new epoch and says hello again, on the same link and challenge."""
        assert self.site is not None
        if hello.site != self.site.id or hello.key != self.key:
            raise RemoteFault(Code.PROTOCOL, "a hello of another box on this link")
        await self._batch.join()
        await self._welcome(hello)

    async def _keep(self, keep: sync.Keep) -> None:
        """Keep what nobody here can open."""
        assert self.site is not None
        if keep.sealed.site != self.site.id or len(keep.sealed.data) > SEALED_CHARS_MAX:
            raise RemoteFault(Code.PROTOCOL, "what was sealed is of another site, or larger than is kept")
        await self._edges.store.keep_sealed(keep.sealed, self._edges.clock.now_ms())

    def _begin_batch(self, batch: sync.Batch) -> None:
        try:
            self._batch.put_nowait(batch)
        except asyncio.QueueFull:
            raise RemoteFault(Code.PROTOCOL, "more than one batch in flight") from None

    async def _ingest(self) -> None:
        """Batches, one after the other, each acknowledged once it is committed."""
        while True:
            batch = await self._batch.get()
            try:
                self.say(await self._apply(batch))
            finally:
                self._batch.task_done()

    async def _apply(self, batch: sync.Batch) -> sync.Ack | sync.Nack:
        assert self.site is not None
        edges, site = self._edges, self.site
        if batch.epoch != self._epoch or batch.link != self.link:
            raise RemoteFault(Code.PROTOCOL, "a batch of another link than this one")
        try:
            answer = await edges.store.ingest(
                site.id, self.link, batch, edges.hub.copy(site.id), edges.clock.now_ms()
            )
        except Unavailable as trouble:
            log.warning("a batch of %s waits: %s", site.name, trouble)
            expected = batch.from_seq
            return sync.Nack(
                link=self.link,
                epoch=batch.epoch,
                expected=expected,
                reason="busy",
                retry_after_ms=BUSY_RETRY_MS,
            )
        if isinstance(answer, sync.Ack):
            edges.counters.batch(len(batch.records), len(answer.quarantined))
            for seq in answer.quarantined:
                log.error("record %d of %s is in quarantine", seq, site.name)
        return answer

    def _answered(self, answer: sync.Answer) -> None:
        waiting = self._asked.get(answer.ref)
        if waiting is None or waiting.done():
            return
        match answer.message:
            case wire.Page() as page:
                waiting.set_result(page)
            case wire.Refusal() as refusal:
                waiting.set_exception(from_wire(refusal.code, refusal.message, refusal.hint))

"""A cloud in this process, speaking the tunnel by `common.sync`: it does what a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from common import facts, sync, trust, wire
from common.keystore import generate_issuer
from common.policy import Claims
from common.trust.issuers import NEVER_MS
from edge.authority import Authority

NONCE = trust.b64(b"n" * 32)


class FakeCloud:
    """Marks and records as a store would keep them; `live`, `progress`, `answers` as they came."""

    def __init__(self) -> None:
        self.root, self.online = generate_issuer(), generate_issuer()
        self.port = 0
        self.links = 0
        self.hellos: list[sync.TunnelHello] = []
        self.marks: dict[str, sync.Mark] = {}
        self.facts: dict[str, facts.Fact] = {}
        self.live: list[sync.LiveSnapshot | sync.LiveFact] = []
        self.progress: list[tuple[str, wire.Message]] = []
        self.answers: list[tuple[str, wire.Message]] = []
        self.batches = 0
        self.lose_acks = 0
        self.nacks: list[str] = []  #: reasons for the next batches
        self.farewell: sync.TunnelBye | None = None
        self.hears = True
        self.time = ""
        self.renews = True
        self.renewal: Callable[[str], sync.Renewed | None] | None = None  #: by the grant; None = no answer
        self.asked_renewals: list[sync.Renew] = []
        self.known_lists: tuple[str, ...] = ()  #: of withdrawn rights, for the next welcome
        self.lists: list[str] = []  #: that the box told
        self._server: Server | None = None
        self._socket: ServerConnection | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await serve(self._attend, "127.0.0.1", self.port, compression=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def keys(self, number: int = 1) -> trust.SignedKeySet:
        online = trust.OnlineKey(public=self.online.public, not_after_ms=NEVER_MS)
        return trust.sign_key_set(self.root, number, [online])

    def take_in(self, box: Authority, url: str = "") -> None:
        """Enrol the box by the pairing code that it shows."""
        code = trust.BoxCode.from_text(box.pair().to_text())
        request = box.enrolment()
        assert request is not None
        trust.check_enrolment(request, code, 0)
        bundle = trust.TrustBundle(
            site=box.site,
            root=self.root.public,
            keys=self.keys(),
            url=url or self.url,
            cloud="cloud-fingerprint",
        )
        box.enrolled(trust.answer_enrolment(bundle, request, code.secret), request, self.url)

    @property
    def issuing(self) -> trust.Issuing:
        """Its online key of this moment, and whom it speaks for."""
        (issuer,) = trust.cloud_issuers(trust.open_key_set(self.keys(), self.root.public))
        return trust.Issuing(key=self.online, issuer=issuer)

    def grant(self, claims: Claims, now_ms: int, grant_id: str = "g-1") -> str:
        return trust.issue_grant(
            self.issuing,
            site=claims.site,
            principal=claims.principal,
            role=claims.role,
            key=claims.key,
            grant_id=grant_id,
            now_ms=now_ms,
            chargers=claims.chargers,
            caps=claims.caps,
        )

    async def say(self, message: sync.TunnelMessage) -> None:
        assert self._socket is not None
        await self._socket.send(sync.encode(message))

    async def hang_up(self) -> None:
        assert self._socket is not None
        await self._socket.close()

    # --- one tunnel ----------------------------------------------------------------------------------------

    async def _attend(self, socket: ServerConnection) -> None:
        self.links += 1
        try:
            await socket.send(sync.encode(sync.Challenge(nonce=NONCE)))
            async for frame in socket:
                answer = self._heard(sync.decode_edge(frame))
                if isinstance(answer, sync.TunnelWelcome):
                    self._socket = socket
                if answer is not None:
                    await socket.send(sync.encode(answer))
        except ConnectionClosed:
            pass

    def _heard(self, message: sync.EdgeMessage) -> sync.TunnelMessage | None:
        if isinstance(message, sync.TunnelHello):
            return self._welcome(message)
        if isinstance(message, sync.Batch):
            return self._take(message)
        if isinstance(message, sync.Progress):
            self.progress.append((message.ref, message.message))
        elif isinstance(message, sync.Answer):
            self.answers.append((message.ref, message.message))
        elif isinstance(message, sync.Renew):
            self.asked_renewals.append(message)
            told = self.renewal(message.grant) if self.renewal is not None else None
            return msgspec.structs.replace(told, ref=message.ref) if told is not None else None
        elif isinstance(message, sync.Statements):
            self.lists += message.revocations
        elif isinstance(message, sync.LiveSnapshot | sync.LiveFact):
            self.live.append(message)
        return None

    def _welcome(self, hello: sync.TunnelHello) -> sync.TunnelMessage:
        self.hellos.append(hello)
        trust.check_tunnel(hello.key, hello.signature, NONCE, f"127.0.0.1:{self.port}")
        if self.farewell is not None:
            return self.farewell
        mark = self.marks.setdefault(hello.epoch, sync.first_mark(hello.epoch, hello.begins_after))
        latest = list(self.marks)[-1]
        return sync.TunnelWelcome(
            version=1,
            link_epoch=self.links,
            epoch=hello.epoch,
            hwm=mark.hwm,
            chain_at_hwm=mark.chain,
            superseded=hello.epoch != latest,
            max_records=7,
            hears=self.hears,
            renews=self.renews,
            time=self.time,
            revocations=self.known_lists,
        )

    def _take(self, batch: sync.Batch) -> sync.TunnelMessage | None:
        self.batches += 1
        mark = self.marks[batch.epoch]
        if self.nacks:
            decline = sync.Decline(mark.hwm + 1, self.nacks.pop(0))
            return sync.nack(batch.link, batch.epoch, decline)
        verdict = sync.check(mark, batch)
        if isinstance(verdict, sync.Decline):
            return sync.nack(batch.link, batch.epoch, verdict)
        if isinstance(verdict, sync.Apply):
            for record in verdict.records:
                fact: Any = sync.open_record(batch.epoch, record)
                assert isinstance(fact, facts.Fact), fact
                self.facts[fact.uid] = fact
            self.marks[batch.epoch] = mark = verdict.mark
        if self.lose_acks:
            self.lose_acks -= 1
            return None
        return sync.ack(batch.link, mark)

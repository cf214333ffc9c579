"""A site for the charger side's tests: the real listener on loopback over a gateway that lives in memory."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from common.clock import SystemClock, SystemIds
from edge.chargers import link, listener, outbox
from edge.chargers.link import ReplyTo
from edge.chargers.listener import ChargerListener
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.proving import Certificate, Proof
from edge.core import inputs as core
from edge.core.reports import AvailabilityReported

Kind = TypeVar("Kind", bound=core.Input)

#: Nothing on loopback takes this long; a test that waits for it has failed.
PATIENCE_S = 30


def tag_ref(tag: str) -> str:
    return "ref-" + hashlib.sha256(tag.encode()).hexdigest()[:12]


class Memory:
    """A gateway without a disk: decides and replies at once; while `holding`, replies wait for `release`."""

    def __init__(self) -> None:
        self.accepting = True
        self.broken = False
        self.holding = False
        self.inputs: list[core.Input] = []
        self.in_session: set[str] = set()
        self.adopted = {"cp1": "CP1", "cp2": "CP2"}
        self.passwords: dict[str, bytes] = {}
        self.taken_as: dict[str, frozenset[int]] = {}
        self.used: list[tuple[str, str]] = []
        self._held: list[Callable[[], None]] = []
        self._stored: dict[str, bytes] = {}
        self._transactions = itertools.count(1001)
        self._more = asyncio.Event()

    # --- proving.Guard: whoever has a password here is at profile 1 or 2, unless `taken_as` says more

    def taken(self, charger: str) -> frozenset[int]:
        return self.taken_as.get(charger, frozenset({1, 2} if charger in self.passwords else {0}))

    def knows(self, charger: str) -> bool:
        return charger in self.passwords

    def fitting(self, charger: str, presented: Sequence[bytes]) -> str:
        return "password" if self.passwords.get(charger) in presented else ""

    def owns(self, charger: str, certificate: Certificate) -> bool:
        return False

    def came_in(self, charger: str, proof: Proof) -> None:
        self.used.append((charger, proof.credential))

    def submit(self, given: core.Input, reply_to: ReplyTo | None = None) -> None:
        if self.broken:
            raise RuntimeError("the journal cannot commit")
        self.inputs.append(given)
        self._more.set()
        reply = self._reply(given)
        if reply_to is None or reply is None:
            return
        key = getattr(reply, "key", "")
        payload = self._stored[key] if getattr(reply, "replay", False) else reply_to.render(reply)
        if key:
            self._stored[key] = payload
        if self.holding:
            self._held.append(lambda: reply_to.send(payload))
        else:
            reply_to.send(payload)

    def _reply(self, given: core.Input) -> core.Reply | None:
        match given:
            case core.Booted():
                return core.BootReply()
            case core.AuthorizeAsked():
                return core.AuthorizeReply("accepted" if given.minted else "blocked")
            case core.TransactionStarted():
                key = f"{given.charger} {given.evse} {given.tag_ref} {given.started.text}"
                if key in self._stored:
                    return core.StartReply("", "accepted", key, replay=True)
                return core.StartReply(str(next(self._transactions)), "accepted", key)
            case core.TransactionEnded():
                return core.StopReply("accepted" if given.tag_ref else None)
            case AvailabilityReported() | core.StatusReported() | core.MeterReported() | core.Unreadable():
                return core.Acknowledged()
        return None

    def release(self) -> None:
        held, self._held = self._held, []
        for send in held:
            send()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was submitted makes the condition true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._more.clear()
                await self._more.wait()

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [given for given in self.inputs if isinstance(given, kind)]

    async def first(self, kind: type[Kind], number: int = 1) -> Kind:
        """Wait for the input of this kind that comes as the given one."""
        await self.until(lambda: len(self.of(kind)) >= number)
        return self.of(kind)[number - 1]


class Charger:
    """A raw OCPP-J client that does what it is told, be it right or wrong."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self._ids = itertools.count(1)

    async def send(self, frame: bytes | str) -> None:
        await self.ws.send(frame, text=True)

    async def recv(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await self.ws.recv())

    async def call(self, action: str, payload: object = None, message_id: object = None) -> Any:
        """Send a call and return the next frame that arrives."""
        frame = [2, message_id or f"c{next(self._ids)}", action, {} if payload is None else payload]
        await self.send(json.dumps(frame))
        return await self.recv()

    async def alive(self) -> bool:
        """Whether the connection still serves a heartbeat."""
        return "currentTime" in (await self.call("Heartbeat", {}, "alive"))[2]

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the end of the connection; return code and reason."""
        async with asyncio.timeout(PATIENCE_S):
            await self.ws.wait_closed()
        return self.ws.close_code, self.ws.close_reason


class Site:
    """A listener and its gateway."""

    def __init__(self, **settings: Any) -> None:
        self.memory = Memory()
        self.listener = ChargerListener(
            self.memory,
            settings.pop("dialects", None)
            or [
                settings.pop("dialect", None) or Ocpp16(tag_ref, heartbeat_s=settings.pop("heartbeat_s", 300))
            ],
            host="127.0.0.1",
            port=settings.pop("port", 0),
            clock=SystemClock(),
            ids=SystemIds(),
            adopted=lambda identity: self.memory.adopted.get(identity.casefold()),
            in_session=lambda charger: charger in self.memory.in_session,
            guard=self.memory,
            **settings,
        )

    async def __aenter__(self) -> Self:
        await self.listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop()

    def url(self, path: str = "CP1") -> str:
        return f"ws://127.0.0.1:{self.listener.port}/{path}"

    @asynccontextmanager
    async def charger(self, path: str = "CP1", **settings: Any) -> AsyncIterator[Charger]:
        settings.setdefault("subprotocols", ["ocpp1.6"])
        settings.setdefault("compression", None)
        async with connect(self.url(path), proxy=None, ping_interval=None, **settings) as ws:
            yield Charger(ws)

    def request(self, action: core.Action, priority: int = core.PRIORITY_START, **more: Any) -> core.Request:
        made = core.Request(
            id=SystemIds().uid(),
            charger=more.pop("charger", "CP1"),
            action=action,
            priority=priority,
            expires_ms=SystemClock().now_ms() + 60_000,
            **more,
        )
        self.listener.send(made)
        return made

    def about(self, charger: str = "CP1") -> dict[str, Any]:
        return next(one for one in self.listener.describe() if one["charger"] == charger)


def limits(*, calls: outbox.Limits | None = None, **kind: Any) -> listener.Limits:
    """Return listener limits; link limits by their own names."""
    of_link = {name: kind.pop(name) for name in list(kind) if name in link.Limits.__struct_fields__}
    return listener.Limits(link=link.Limits(outbox=calls or outbox.Limits(), **of_link), **kind)

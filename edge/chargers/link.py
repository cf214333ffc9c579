"""One charger's connection, from the upgraded socket to its end, used once.

    frame ──▶ decode ──▶ call ──▶ dialect ──▶ gateway.submit(input, reply_to)      … later: reply_to.send
                   └───▶ result ─▶ calls ───▶ dialect ──▶ gateway.submit(CallEnded)
    listener.send ─▶ calls ──▶ dialect ──▶ frame

The reader never waits (design §2.3): a frame is handled from beginning to end without an await, so the
answer to our call resolves while a reply of ours is still on its way to the disk, and order is arrival.
No frame ends a connection (quirk 28): what cannot be read is counted, logged once, and answered as OCPP-J
says. Writing never waits either: frames go straight into the transport; a charger that does not read is cut.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

import msgspec
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from common.ports import Clock
from edge.chargers import outbox
from edge.chargers.admission import Throttle
from edge.chargers.calls import Calls
from edge.chargers.connection import ChargerConnection
from edge.chargers.dialect import CannotDo, Dialect, Direct, Inbound, ToCore
from edge.chargers.firstbytes import readable
from edge.chargers.frames import (
    LOST_ID,
    Call,
    CallError,
    Fault,
    MessageId,
    Result,
    RpcError,
    Unreadable,
    decode_noting,
    encode_error,
    encode_result,
)
from edge.chargers.ports import Gateway, ReplyTo
from edge.chargers.standing import Standing
from edge.core.inputs import (
    AuthorizeAsked,
    Booted,
    Input,
    Note,
    Reply,
    Request,
    StatusReported,
    TransactionStarted,
)

__all__ = ["ChargerLink", "Gateway", "Limits", "ReplyTo"]

log = logging.getLogger("plugside.chargers")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one link."""

    outbox: outbox.Limits = outbox.Limits()
    #: A charger has one call outstanding by the specification; one that flushes without waiting was seen to
    #: have a handful. Beyond this it is broken or hostile.
    unanswered_max: int = 64
    #: Answers that are kept for repeats of the same message on this connection.
    repeats_max: int = 32
    #: What may wait for a charger that does not read: replies are below 1 KiB, so this is minutes of them.
    unread_max_bytes: int = 256 * 1024
    #: A charger that is silent this long is pinged (quirk 14: it should ping as often itself).
    ping_after_s: float = 30
    #: Silent for so long in spite of pings, a charger that has ponged before is gone.
    gone_after_s: float = 90
    #: One that never pongs (quirk 12) is known by its heartbeats alone: this many may be missed (quirk 13).
    heartbeats_missed: int = 3
    #: How long a peer may take to agree to a close. Dead ones never do.
    close_s: float = 2


#: Frames that a reader handles before it lets others have the loop: about a millisecond.
_BURST: Final = 16

# The action of a call whose JSON is broken further on, so that a broken transaction message can be kept.
_BROKEN_CALL = re.compile(rb'\s*\[\s*2\s*,\s*(?:"[^"]*"|-?[0-9]+)\s*,\s*"([A-Za-z]{1,64})"')

_Key = tuple[MessageId, str, int]


class _Reply:
    """The `ReplyTo` of one call."""

    __slots__ = ("_boots", "_key", "_link", "_message_id", "_render")

    def __init__(
        self,
        link: ChargerLink,
        message_id: MessageId,
        key: _Key | None,
        render: Callable[[Reply], bytes],
        *,
        boots: bool,
    ) -> None:
        self._link: ChargerLink | None = link
        self._message_id, self._key, self._render, self._boots = message_id, key, render, boots

    def render(self, reply: Reply) -> bytes:
        return self._render(reply)

    def send(self, payload: bytes) -> None:
        link, self._link = self._link, None
        if link is not None:
            link._replied(self._message_id, self._key, payload, self._boots)


class ChargerLink:
    """One connection of one charger. `run` reads until it ends; `send` and `cut` work at any time."""

    def __init__(
        self,
        ws: ChargerConnection,
        charger: str,
        dialect: Dialect,
        gateway: Gateway,
        standing: Standing,
        *,
        clock: Clock,
        new_id: Callable[[], str],
        in_session: Callable[[str], bool],
        limits: Limits,
    ) -> None:
        self.charger = charger
        self.dialect = dialect
        self.standing = standing
        self.since_ms = clock.now_ms()
        self._ws, self._gateway, self._clock = ws, gateway, clock
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._calls = Calls(
            dialect,
            standing,
            write=self._write,
            report=self._report,
            in_session=in_session,
            deafened=self._deafened,
            clock=clock,
            new_id=new_id,
            limits=limits.outbox,
        )
        self._unanswered = 0
        self._answers: dict[_Key, bytes | None] = {}  # None: the answer is on its way
        self._notes = Throttle(every_ms=60_000, keys_max=32)
        self._end: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._over = False
        self._framework_error = RpcError.RPC_FRAMEWORK.wire(dialect.version)

    @property
    def ws(self) -> ChargerConnection:
        """The connection itself."""
        return self._ws

    @property
    def heard_ms(self) -> int:
        """When the charger was last heard, UTC."""
        return self._clock.now_ms() - round((self._loop.time() - self._ws.heard_at) * 1000)

    @property
    def waiting_calls(self) -> int:
        """How many requests wait in the outbox."""
        return len(self._calls)

    def _mono_ms(self) -> int:
        return int(self._loop.time() * 1000)

    # ---------------------------------------------------------------------------------------- its life

    async def run(self) -> str:
        """Read until the connection ends; return why it did. Ends every call that is still open."""
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self._keep())
                try:
                    await self._read()
                finally:
                    keeper.cancel()
        finally:
            self.detach()
        return self._end.result()[1] if self._end.done() else self._ws.why_closed()

    def cut(self, code: int, reason: str) -> None:
        """Begin to close the connection; nothing that it still sends is taken."""
        if not self._end.done():
            self._end.set_result((code, reason))

    def detach(self) -> None:
        """End every call: what was out is lost, what waited was never sent. Later replies go nowhere."""
        if not self._over:
            self._over = True
            self._calls.close()

    async def _read(self) -> None:
        handled = 0
        try:
            while True:
                data = await self._ws.recv(decode=False)
                if self._end.done():
                    continue  # being closed
                self._handle(data)
                handled += 1
                if not handled % _BURST:
                    await asyncio.sleep(0)
        except ConnectionClosed as closed:
            sent = None if closed.rcvd_then_sent else closed.sent  # an echo of the charger's is not ours
            if sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG and not self._end.done():
                self._oversized()

    def _oversized(self) -> None:
        # Refused by its head, so nobody knows what it was; a charger sends it again after it has dialled.
        limit = self._ws.protocol.max_message_size
        self._end.set_result((CloseCode.MESSAGE_TOO_BIG, f"sent a message of more than {limit} bytes"))
        if self.standing.oversized():
            log.warning(
                "%s: sent a message of more than %s bytes, which is not taken and ends the connection; "
                "counted from now on. It may send it again for ever: empty its StopTxnSampledData and "
                "StopTxnAlignedData, so that its stops get shorter, then restart it or clear its queue.",
                self.charger,
                limit,
            )

    async def _keep(self) -> None:
        """Watch over the connection until it is to end, then close it."""
        limits = self._limits
        unponged_s = max(limits.gone_after_s, limits.heartbeats_missed * self.dialect.heartbeat_s)
        silent_s = await self._ws.silence(
            self._end,
            ping_after_s=limits.ping_after_s,
            gone_after_s=limits.gone_after_s,
            unponged_s=unponged_s,
        )
        if silent_s is not None:
            self.cut(CloseCode.POLICY_VIOLATION, f"silent for {silent_s:.0f} s")
        code, reason = self._end.result()
        log.info("%s: closing its connection: %s", self.charger, reason)
        await self._ws.end(code, reason, within_s=limits.close_s)

    # ---------------------------------------------------------------------------------------- what comes in

    def _handle(self, data: bytes) -> None:
        frame, notes = decode_noting(data)
        for note in notes:
            self._violated(note)
        if isinstance(frame, Call):
            self._call(frame)
        elif isinstance(frame, Result | CallError):
            self._calls.answered(frame)
        elif isinstance(frame, Unreadable):
            self._unreadable(frame, data)
        self._calls.pump()

    def _call(self, call: Call) -> None:
        try:
            found = self.dialect.inbound(self.charger, call.action, call.payload, self._clock.now_ms())
        except Exception as fault:
            # our fault: kept and acknowledged like any message that could not be read
            if self.standing.violated(f"{call.action[:32]} fault {type(fault).__name__}"):
                log.exception("%s: %s broke the dialect; please report this", self.charger, call.action[:32])
            found = self.dialect.unreadable(self.charger, call.action, bytes(call.payload), "internal")
        self._take(call.message_id, call.action, call.payload, found)

    def _take(self, message_id: MessageId, action: str, payload: bytes | msgspec.Raw, found: Inbound) -> None:
        for name in found.violations:
            self._violated(f"{action[:32]} {name}")
        if isinstance(found, CannotDo):
            self._violated(f"{action[:32]} {found.code}")
            self._write(encode_error(message_id, found.code.wire(self.dialect.version), found.description))
        elif isinstance(found, Direct):
            for given in found.inputs:
                if not isinstance(given, Note) or self._notes.passes(str(given.body), self._mono_ms()):
                    self._submit(given, None)
            self._write(encode_result(message_id, found.payload))
        else:
            self._to_core(message_id, action, payload, found)

    def _to_core(
        self, message_id: MessageId, action: str, payload: bytes | msgspec.Raw, found: ToCore
    ) -> None:
        """Hand a call to the core, unless it is the repeat of one (quirk 22)."""
        key = _repeat_key(message_id, action, payload) if found.repeatable else None
        if key is not None and key in self._answers:
            self.standing.repeats += 1
            stored = self._answers[key]
            if stored is not None:
                self._write(encode_result(message_id, stored))
            return  # one on its way answers both: they have the same id
        if self._unanswered >= self._limits.unanswered_max:
            self.cut(CloseCode.POLICY_VIOLATION, f"{self._unanswered} calls sent without awaiting an answer")
            return
        if key is not None:
            self._answers[key] = None
            if len(self._answers) > self._limits.repeats_max:
                del self._answers[next(iter(self._answers))]
        self._unanswered += 1
        last = found.inputs[-1]
        if isinstance(last, AuthorizeAsked | TransactionStarted):
            self.standing.tag_ms = self._clock.now_ms()
        for given in found.inputs[:-1]:
            self._submit(given, None)
        if isinstance(last, StatusReported):
            self.standing.reported(last.evse, last.state, self._clock.now_ms())
        self._submit(last, _Reply(self, message_id, key, found.render, boots=isinstance(last, Booted)))

    def _submit(self, given: Input, reply_to: ReplyTo | None) -> None:
        if self._over or self._end.done():
            return
        try:
            self._gateway.submit(given, reply_to)
        except Exception as broken:
            # without the loop nothing may be acknowledged: the charger keeps what it has and dials again
            log.error("%s: nothing can be taken from it now: %s", self.charger, broken)  # noqa: TRY400
            self.cut(CloseCode.INTERNAL_ERROR, "cannot write it down now; keep it and dial again")

    def _report(self, ended: Input) -> None:
        """Hand over the end of a call; unlike a charger's call it counts after the connection's end, too."""
        try:
            self._gateway.submit(ended, None)
        except Exception as broken:
            log.error("%s: the end of a call was not taken: %s", self.charger, broken)  # noqa: TRY400

    def _unreadable(self, frame: Unreadable, data: bytes) -> None:
        if frame.reason is Fault.EMPTY:
            return
        first_bytes = readable(frame.first_bytes)
        if self.standing.bad_frame(frame.reason, first_bytes):
            log.warning(
                "%s: sent a frame that is not OCPP-J (%s), counted from now on. It begins %s. "
                "Check the charger's firmware version with its maker.",
                self.charger,
                frame.reason,
                first_bytes,
            )
        if frame.answers is not None:
            self._calls.answer_unreadable(frame.answers)
        if frame.message_id is None:
            # 2.x has an id for a call whose id is lost (quirk 26), 1.6 has none
            if self.dialect.version != "1.6" and frame.may_be_call:
                self._write(encode_error(LOST_ID, self._framework_error, f"not OCPP-J: {frame.reason}"))
            return
        broken = _BROKEN_CALL.match(data[:512])
        if broken is None:
            self._write(encode_error(frame.message_id, self._framework_error, f"not OCPP-J: {frame.reason}"))
            return
        action = broken[1].decode()
        found = self.dialect.unreadable(self.charger, action, data, f"frame:{frame.reason}")
        self._take(frame.message_id, action, data, found)

    def _violated(self, name: str) -> None:
        if self.standing.violated(name):
            log.info("%s: departs from OCPP: %s; counted from now on", self.charger, name)

    # ---------------------------------------------------------------------------------------- what goes out

    def send(self, request: Request) -> None:
        """Take a request; its call leaves when its turn comes, and its end comes as `CallEnded`."""
        self._calls.send(request)

    def _deafened(self) -> None:
        # once: a charger that is still deaf on a fresh connection gains nothing from a third (quirk 32)
        if not self.standing.closed_for_deafness:
            self.standing.closed_for_deafness = True
            self.cut(CloseCode.POLICY_VIOLATION, "calls are not answered")

    def _replied(self, message_id: MessageId, key: _Key | None, payload: bytes, boots: bool) -> None:
        self._unanswered -= 1
        if key is not None and key in self._answers:
            self._answers[key] = payload
        self._write(encode_result(message_id, payload))
        if boots:
            self._calls.booted()
        self._calls.pump()

    def _write(self, frame: bytes) -> None:
        # without a task and without waiting: a coroutine for each reply would double what a message costs
        broadcast((self._ws,), frame.decode())
        if self._ws.transport.get_write_buffer_size() > self._limits.unread_max_bytes:
            self.cut(CloseCode.POLICY_VIOLATION, "does not read what it is sent")


def _repeat_key(message_id: MessageId, action: str, payload: bytes | msgspec.Raw) -> _Key:
    """Return what tells a repeat. Python's hash of bytes is 64 bits under a key of this process."""
    return message_id, action, hash(bytes(payload))

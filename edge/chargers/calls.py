"""Our calls on one connection: from a request of the core to `CallEnded`, whatever becomes of it.

The half of a link that speaks. `outbox` decides when which call leaves; this puts it into the charger's
version, writes it, matches answers, keeps the outbox's time, and reports every end exactly once (a late
answer after a timeout is reported besides).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from common.errors import LocalFault
from common.ports import Clock
from edge.chargers.dialect import Answer, Dialect, Unsendable
from edge.chargers.frames import CallError, MessageId, Result, encode_call
from edge.chargers.outbox import Ended, Limits, Outbox
from edge.chargers.standing import Standing
from edge.core.inputs import CallEnded, Request

log = logging.getLogger("plugside.chargers")

#: The timer fires this much late, for loops whose clock counts whole milliseconds.
_TIMER_SLACK_S: Final = 0.002


class Calls:
    """Outgoing calls of one connection.

    `write` puts a frame on the wire without waiting; `report` hands an end to the gateway; `in_session` tells
    whether a session runs on the charger; `deafened` is called when the charger has become deaf.
    """

    def __init__(
        self,
        dialect: Dialect,
        standing: Standing,
        *,
        write: Callable[[bytes], None],
        report: Callable[[CallEnded], None],
        in_session: Callable[[str], bool],
        deafened: Callable[[], None],
        clock: Clock,
        new_id: Callable[[], str],
        limits: Limits,
    ) -> None:
        self._dialect, self._standing = dialect, standing
        self._write, self._report, self._deafened = write, report, deafened
        self._in_session, self._clock, self._new_id = in_session, clock, new_id
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(mono_ms=self._mono_ms(), limits=limits)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False

    def __len__(self) -> int:
        """How many requests wait to be sent."""
        return len(self._outbox)

    def _mono_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def send(self, request: Request) -> None:
        """Take a request in; its call leaves when its turn comes, at once if nothing is before it."""
        if self._closed:
            self._end_soon(Ended(request, "not_sent", "the charger disconnected"))
            return
        for ended in self._outbox.offer(request, now_ms=self._clock.now_ms(), mono_ms=self._mono_ms()):
            self._end_soon(ended)
        self.pump()

    def booted(self) -> None:
        """The charger's Boot is answered."""
        self._outbox.booted()
        self.pump()

    def pump(self) -> None:
        """Send what may leave now and end what is over. Costs nothing when nothing is: call it freely."""
        if self._closed or self._outbox.idle:
            return
        self._outbox.in_session = self._in_session(self._standing.charger)
        while True:
            mono_ms = self._mono_ms()
            sending, over = self._outbox.poll(mono_ms)
            for ended in over:
                self._end_soon(ended)
            if sending is None:
                break
            try:
                call = self._dialect.outbound(sending.action)
            except (Unsendable, LocalFault) as why:
                if isinstance(why, LocalFault):
                    log.exception("%s: a call was not sent; please report this", self._standing.charger)
                for request in sending.requests:
                    self._end_soon(Ended(request, "not_sent", str(why)))
                continue
            message_id = self._new_id()
            self._outbox.sent(message_id, sending, mono_ms)
            self._write(encode_call(message_id, call.action, call.payload))
        if self._outbox.deaf and not self._standing.deaf:
            self._standing.deaf = True
            log.warning("%s: answers no calls any more; housekeeping is stopped", self._standing.charger)
            self._deafened()
        self._set_timer()

    def answered(self, frame: Result | CallError) -> None:
        """A reply came: on time, late, or to nothing that we asked (never answered, quirk 30)."""
        self._settle(frame.message_id, frame)

    def answer_unreadable(self, message_id: MessageId) -> None:
        """A reply came of which only the id could be read."""
        self._settle(message_id, None)

    def close(self) -> None:
        """End everything, at once: what was out is lost, what waited was never sent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for ended in self._outbox.close():
            self._report(_call_ended(ended.request, Answer(ended.answer, ended.detail)))

    def _settle(self, message_id: MessageId, frame: Result | CallError | None) -> None:
        requests = self._outbox.answered(str(message_id))
        if not requests:
            self._standing.unmatched_answers += 1
            return
        self._standing.hears()
        answer = Answer("error", "the charger's answer could not be read")
        if frame is not None:
            try:
                answer = self._dialect.answer(requests[0].action, frame)
            except Exception:
                log.exception("%s: its answer broke the dialect; please report this", self._standing.charger)
        for name in answer.violations:
            self._standing.violated(f"answer {name}")
        for request in requests:
            self._report(_call_ended(request, answer))
        self.pump()

    def _end_soon(self, ended: Ended) -> None:
        """Report in a turn of its own: this may run inside the gateway's, which takes one input at a time."""
        self._loop.call_soon(self._report, _call_ended(ended.request, Answer(ended.answer, ended.detail)))

    def _set_timer(self) -> None:
        deadline_ms = self._outbox.deadline()
        if deadline_ms is None:
            return
        when = deadline_ms / 1000 + _TIMER_SLACK_S
        if self._timer is None or when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = self._loop.call_at(when, self._on_timer), when

    def _on_timer(self) -> None:
        self._timer = None
        self.pump()


def not_connected(request: Request) -> CallEnded:
    """Return the end of a request whose charger is not there."""
    return _call_ended(request, Answer("not_sent", "the charger is not connected"))


def _call_ended(request: Request, answer: Answer) -> CallEnded:
    return CallEnded(
        charger=request.charger,
        request=request.id,
        command=request.command,
        answer=answer.answer,
        detail=answer.detail,
        result=answer.result,
        context=request.context,
    )

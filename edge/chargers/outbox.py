"""What waits to be asked of one charger, in which order, and when waiting is over.

`link` owns one for each connection: requests from the core go in by `offer`, `poll` says which call leaves
now and which requests ended without an answer, `answered` matches what the charger said. Pure: times come as
arguments (`mono_ms` never steps; `now_ms` is the wall, needed once, to turn an expiry into a time to live).

A charger serves one call at a time (OCPP-J 1.6 §4.1.1), so there is one outstanding and the rest wait:

1. stop > limit > start > housekeeping; first come first served among equals.
2. A stop does not wait for a slow answer: a call that has been out for `stop_patience_ms` is abandoned for
   it. It ends as `timeout`; a late answer is still matched and reported. Another stop is never abandoned.
3. Housekeeping waits for the charger's Boot or a grace (quirk 35), and for the end of every session.
4. Expiry is looked at right before a call leaves. Nothing expired is ever sent.
5. Identical housekeeping that waits shares one call; each request gets its own end. A limit that waits is
   replaced by a later one of its slot.
6. After `deaf_after` timeouts in a row the charger is deaf (quirk 32): housekeeping ends at once, the rest is
   still tried, and any answer makes it hear again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from edge.core.inputs import (
    PRIORITY_HOUSEKEEPING,
    PRIORITY_STOP,
    Action,
    ChangeAvailability,
    ClearAuthorizationCache,
    ClearLimit,
    GetVariables,
    Request,
    SetLimit,
    SetVariable,
    TriggerStatus,
)

#: Actions whose effect is the same done once or twice, so that two that wait may become one call.
_IDEMPOTENT: Final = (SetVariable, GetVariables, ClearAuthorizationCache, TriggerStatus, ChangeAvailability)

DISCONNECTED: Final = "the charger disconnected"
REPLACED: Final = "a later limit took its place"
EXPIRED: Final = "expired before it could be sent"
QUEUE_FULL: Final = "queue full"
DEAF: Final = "the charger has stopped answering calls; restart it if this lasts"
NO_ANSWER: Final = "no answer in time; the charger may still act"
ABANDONED: Final = "no answer yet when a stop had to go first; the charger may still act"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one outbox."""

    #: Answers normally take below 1 s and were seen to take 20 s (a full GetConfiguration over a slow modem).
    call_timeout_ms: int = 30_000
    #: Slow chargers answer in 0.6 s (quirk 20); a driver who stops should not wait longer than this.
    stop_patience_ms: int = 1_000
    #: Wallbox loops on calls before Boot is answered; a charger that boots does so within seconds (quirk 35).
    boot_grace_ms: int = 10_000
    #: Above what an installer's whole set of configuration keys needs (about 20), twice over.
    queue_max: int = 64
    #: Timed-out calls whose late answer is still recognised.
    late_max: int = 16
    deaf_after: int = 3


class Ended(NamedTuple):
    """A request that ended without the charger's answer. `answer`: timeout | lost | not_sent."""

    request: Request
    answer: str
    detail: str


class Sending(NamedTuple):
    """A call that should leave now, and the requests that it serves."""

    action: Action
    requests: tuple[Request, ...]


class _Waiting(msgspec.Struct):
    """A call that waits, with every request that it serves."""

    requests: list[Request]
    expires: list[int]  # mono_ms, one for each request
    order: int

    @property
    def action(self) -> Action:
        return self.requests[0].action

    @property
    def priority(self) -> int:
        return self.requests[0].priority


class _Outstanding(msgspec.Struct):
    message_id: str
    requests: tuple[Request, ...]
    sent_ms: int

    @property
    def priority(self) -> int:
        return self.requests[0].priority


class Outbox:
    """The outgoing calls of one connection. Rejected and ended requests leave nothing behind."""

    def __init__(self, *, mono_ms: int, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._waiting: list[_Waiting] = []
        self._outstanding: _Outstanding | None = None
        self._late: OrderedDict[str, tuple[Request, ...]] = OrderedDict()
        self._order = 0
        self._calm_at = mono_ms + self._limits.boot_grace_ms
        self._timeouts = 0
        self.in_session = False  #: kept true by the caller while a session runs on the charger

    # ------------------------------------------------------------------------------------------- what it is

    @property
    def deaf(self) -> bool:
        """Whether the last calls all went unanswered."""
        return self._timeouts >= self._limits.deaf_after

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is outstanding."""
        return not self._waiting and self._outstanding is None

    def __len__(self) -> int:
        """How many requests wait to be sent."""
        return sum(len(entry.requests) for entry in self._waiting)

    # ------------------------------------------------------------------------------------------- what enters

    def offer(self, request: Request, *, now_ms: int, mono_ms: int) -> tuple[Ended, ...]:
        """Take a request in. Returns what ended instead: itself, or the least one it pushed out."""
        if self.deaf and request.priority == PRIORITY_HOUSEKEEPING:
            return (Ended(request, "not_sent", DEAF),)
        pushed_out: tuple[Ended, ...] = self._replaced(request)
        if len(self) >= self._limits.queue_max:
            last = max(self._waiting, key=lambda entry: (entry.priority, entry.order))
            if last.priority <= request.priority:
                return (Ended(request, "not_sent", QUEUE_FULL),)
            pushed_out += (Ended(last.requests.pop(), "not_sent", QUEUE_FULL),)
            last.expires.pop()
            if not last.requests:
                self._waiting.remove(last)
        expires = mono_ms + request.expires_ms - now_ms
        twin = self._twin(request)
        if twin is not None:
            twin.requests.append(request)
            twin.expires.append(expires)
        else:
            self._order += 1
            self._waiting.append(_Waiting([request], [expires], self._order))
        return pushed_out

    def _replaced(self, request: Request) -> tuple[Ended, ...]:
        """Take out limits of the same slot that wait: the latest counts (design §2.3)."""
        action = request.action
        if not isinstance(action, SetLimit | ClearLimit):
            return ()
        over: list[Ended] = []
        for entry in list(self._waiting):
            other = entry.action
            if isinstance(other, SetLimit | ClearLimit) and _slot(other) == _slot(action):
                self._waiting.remove(entry)
                over += [Ended(one, "not_sent", REPLACED) for one in entry.requests]
        return tuple(over)

    def _twin(self, request: Request) -> _Waiting | None:
        """Return the waiting call that does what `request` asks, unless something came between them."""
        if request.priority != PRIORITY_HOUSEKEEPING or not isinstance(request.action, _IDEMPOTENT):
            return None
        for entry in reversed(self._waiting):
            if type(entry.action) is type(request.action) and entry.priority == request.priority:
                # an unequal one of its kind may write the same thing: then the order of the two matters
                return entry if entry.action == request.action else None
        return None

    def booted(self) -> None:
        """The charger's Boot was answered: housekeeping may begin."""
        self._calm_at = 0

    # ------------------------------------------------------------------------------------------- what leaves

    def poll(self, mono_ms: int) -> tuple[Sending | None, tuple[Ended, ...]]:
        """Return the call to send now, if any, and what ended. After sending, tell `sent`.

        To be called after everything that went in and when `deadline` is reached.
        """
        if mono_ms >= self._calm_at:
            self._calm_at = 0
        ended = [*self._overdue(mono_ms), *self._expired(mono_ms)]
        if self.deaf:
            ended += self._drop_housekeeping()
        chosen = self._next()
        if chosen is None:
            return None, tuple(ended)
        out = self._outstanding
        if out is not None:
            if chosen.priority != PRIORITY_STOP or out.priority == PRIORITY_STOP:
                return None, tuple(ended)
            if mono_ms < out.sent_ms + self._limits.stop_patience_ms:
                return None, tuple(ended)
            # one call that a stop overtook says nothing about the charger's hearing
            ended += self._give_up(out, ABANDONED)
        self._waiting.remove(chosen)
        return Sending(chosen.action, tuple(chosen.requests)), tuple(ended)

    def sent(self, message_id: str, sending: Sending, mono_ms: int) -> None:
        """The call left under this message id, which must be new."""
        assert self._outstanding is None, "one outstanding call"
        self._outstanding = _Outstanding(message_id, sending.requests, mono_ms)

    def answered(self, message_id: str) -> tuple[Request, ...]:
        """Return the requests that this answer belongs to, late ones too; () for an id that is not ours."""
        out = self._outstanding
        if out is not None and out.message_id == message_id:
            self._outstanding = None
            self._timeouts = 0
            return out.requests
        late = self._late.pop(message_id, ())
        if late:
            self._timeouts = 0
        return late

    def deadline(self) -> int | None:
        """Return when `poll` has to be called again though nothing went in (mono_ms), or None.

        Right after a `poll` (and the `sent` that it asked for) this lies in the future: no busy waiting.
        """
        times = [when for entry in self._waiting for when in entry.expires]
        out = self._outstanding
        if out is not None:
            times.append(out.sent_ms + self._limits.call_timeout_ms)
            if out.priority != PRIORITY_STOP and any(e.priority == PRIORITY_STOP for e in self._waiting):
                times.append(out.sent_ms + self._limits.stop_patience_ms)
        elif self._calm_at and self._waiting:
            times.append(self._calm_at)
        return min(times, default=None)

    def close(self) -> tuple[Ended, ...]:
        """The connection is over: what was out is lost, what waited was never sent."""
        ended: list[Ended] = []
        if self._outstanding is not None:
            ended += [Ended(request, "lost", DISCONNECTED) for request in self._outstanding.requests]
            self._outstanding = None
        for entry in self._waiting:
            ended += [Ended(request, "not_sent", DISCONNECTED) for request in entry.requests]
        self._waiting.clear()
        self._late.clear()
        return tuple(ended)

    # ------------------------------------------------------------------------------------------- inside

    def _next(self) -> _Waiting | None:
        """Return the first call in order of priority that may leave as far as the charger's state goes."""
        chosen = min(self._waiting, key=lambda entry: (entry.priority, entry.order), default=None)
        if chosen is None or chosen.priority < PRIORITY_HOUSEKEEPING:
            return chosen
        return None if self.in_session or self._calm_at else chosen

    def _overdue(self, mono_ms: int) -> list[Ended]:
        out = self._outstanding
        if out is None or mono_ms < out.sent_ms + self._limits.call_timeout_ms:
            return []
        self._timeouts += 1
        return self._give_up(out, NO_ANSWER)

    def _give_up(self, out: _Outstanding, why: str) -> list[Ended]:
        self._outstanding = None
        self._late[out.message_id] = out.requests
        if len(self._late) > self._limits.late_max:
            self._late.popitem(last=False)
        return [Ended(request, "timeout", why) for request in out.requests]

    def _expired(self, mono_ms: int) -> list[Ended]:
        ended: list[Ended] = []
        for entry in list(self._waiting):
            keep: list[Request] = []
            until: list[int] = []
            for request, expires in zip(entry.requests, entry.expires, strict=True):
                if mono_ms < expires:
                    keep.append(request)
                    until.append(expires)
                else:
                    ended.append(Ended(request, "not_sent", EXPIRED))
            if not keep:
                self._waiting.remove(entry)
            entry.requests, entry.expires = keep or entry.requests, until or entry.expires
        return ended

    def _drop_housekeeping(self) -> list[Ended]:
        dropped = [entry for entry in self._waiting if entry.priority == PRIORITY_HOUSEKEEPING]
        self._waiting = [entry for entry in self._waiting if entry.priority != PRIORITY_HOUSEKEEPING]
        return [Ended(request, "not_sent", DEAF) for entry in dropped for request in entry.requests]


def _slot(action: SetLimit | ClearLimit) -> tuple[str, int]:
    return action.scope, action.evse

"""What every version's dialect does alike: read, or keep aside and acknowledge, or refuse; check, encode.

A version gives its tables (`Tables`) and says in `_meaning` what its messages mean; `Translator` does the
rest of `edge.chargers.dialect.Dialect`. Everything that leaves is checked against the specification's schema
first (quirk 34); what cannot be read is acknowledged all the same where a charger would lose it otherwise
(quirks 23 and 33).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from common.facts import SecurityNoted
from edge.chargers.dialect import (
    Answer,
    CannotDo,
    Direct,
    Inbound,
    Outgoing,
    TagRef,
    ToCore,
    canonical_tag,
    quarantined,
)
from edge.chargers.frames import CallError, Result, RpcError
from edge.chargers.shared import answers, times
from edge.chargers.shared.coerce import Reader, UnreadablePayload
from edge.chargers.shared.payload import Payload, encode
from edge.chargers.shared.schemas import Schemas
from edge.core import inputs as core

#: Seconds between heartbeats that chargers are told at Boot. They set the clocks of chargers without a
#: battery; liveness does not rest on them (`link` pings), so this is on the calm side of quirk 84's 60–300.
HEARTBEAT_S: Final = 300
#: Free text of a charger that is shown to people: the specification allows 50 characters, chargers send more.
INFO_MAX_CHARS: Final = 100
#: Answers that are kept encoded: one for each action and each word of a judgement.
_KEPT_MAX: Final = 128

Render = Callable[[core.Reply], bytes]


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """What of a version is data."""

    reader: Reader  #: of what a charger asks
    schemas: Schemas
    requests: Mapping[str, type[Payload]]
    #: Kept and acknowledged when they cannot be read (quirk 23): action → `Unreadable.what`.
    quarantined: Mapping[str, str]
    #: The answer to what is acknowledged and goes no further, readable or not (quirk 33).
    noted: Mapping[str, Payload]
    #: Actions that the version has and a charger may not ask of us.
    ours: frozenset[str]


class Translator:
    """The common half of a dialect. `tag_ref` is the site's keyed hash for tags (`canonical_tag` form).

    `raw_tag` is its reverse, for tags that are known: raw tags go to chargers and nowhere else.
    """

    subprotocol: str
    version: Literal["1.6", "2.0.1", "2.1"]
    asks_each: bool = False
    compresses: bool = False
    tables: Tables

    def __init__(
        self,
        tag_ref: TagRef,
        *,
        raw_tag: Callable[[str], str | None] = lambda _: None,
        heartbeat_s: int = HEARTBEAT_S,
    ) -> None:
        self.heartbeat_s = heartbeat_s
        self._tag_ref = tag_ref
        self._raw_tag = raw_tag
        self._kept: dict[tuple[str, object], bytes] = {}
        self._acknowledgements: dict[str, Render] = {}
        self._beat: tuple[int, bytes] | None = None

    # ---------------------------------------------------------------------------------------- for a version

    def _meaning(self, charger: str, request: Payload, now_ms: int) -> Inbound:
        """Return what a readable call means."""
        raise NotImplementedError

    def _request(self, action: core.Action) -> Payload:
        """Return the call that carries out an action; raises Unsendable."""
        raise NotImplementedError

    def _reply(self, action: core.Action, payload: msgspec.Raw) -> Answer:
        """Return what a CALLRESULT to this action's call means."""
        raise NotImplementedError

    def _keeping(self, charger: str, action: str, raw: bytes) -> Render:  # noqa: ARG002 - for versions
        """Return the answer to a message that is kept because it could not be read."""
        return self._acknowledging(action)

    # ---------------------------------------------------------------------------------------- from a charger

    def inbound(self, charger: str, action: str, payload: msgspec.Raw, now_ms: int) -> Inbound:
        """Return what a charger's call means; see `Dialect`."""
        try:
            request, violations = self.tables.reader.read(action, payload)
        except UnreadablePayload as wrong:
            return self.unreadable(charger, action, bytes(payload), wrong.reason)
        found = self._meaning(charger, request, now_ms)
        if violations:
            found = msgspec.structs.replace(found, violations=violations + found.violations)
        return found

    def unreadable(self, charger: str, action: str, raw: bytes, reason: str) -> Inbound:
        """Quarantine and acknowledge, or refuse; see `Dialect`."""
        tables, violations = self.tables, (reason,)
        what = tables.quarantined.get(action)
        if what is not None:
            kept = core.Unreadable(
                charger=charger, what=what, reason=reason, raw=quarantined(raw, self._tag_ref)
            )
            render = self._keeping(charger, action, raw)
            return ToCore(inputs=(kept,), render=render, repeatable=True, violations=violations)
        if action in tables.noted:
            return Direct(payload=self._noted(action), violations=violations)
        if action in tables.requests:
            return CannotDo(code=_fault(reason), description=reason, violations=violations)
        code = RpcError.NOT_SUPPORTED if action in tables.ours else RpcError.NOT_IMPLEMENTED
        return CannotDo(code=code, description=f"no charger may ask this: {action[:64]}")

    def _ref(self, tag: str) -> str | None:
        canonical = canonical_tag(tag)
        return self._tag_ref(canonical) if canonical else None

    def _event_noted(self, charger: str, action: str, kind: str) -> Direct:
        """Acknowledge a security event. Its kind alone is kept: the rest is free text, perhaps with a tag."""
        detail = kind[:INFO_MAX_CHARS]
        noted = core.Note(body=SecurityNoted(what="charger_event", charger=charger, detail=detail))
        return Direct(payload=self._noted(action), inputs=(noted,))

    # ---------------------------------------------------------------------------------------- answering

    def _checked(self, action: str, answer: Payload) -> bytes:
        self.tables.schemas.check("response", action, answer)
        return encode(answer)

    def _once(self, action: str, what: object, make: Callable[[], Payload]) -> bytes:
        """Return an answer that is the same for the same `what`, checked and encoded the first time."""
        kept = self._kept.get((action, what))
        if kept is None:
            kept = self._kept[action, what] = self._checked(action, make())
            if len(self._kept) > _KEPT_MAX:
                del self._kept[next(iter(self._kept))]
        return kept

    def _noted(self, action: str) -> bytes:
        return self._once(action, None, lambda: self.tables.noted[action])

    def _alive(self, now_ms: int, make: Callable[[str], Payload]) -> bytes:
        """Return the answer to a heartbeat; one second serves all chargers."""
        second = now_ms // 1000
        if self._beat is None or self._beat[0] != second:
            self._beat = (second, self._checked("Heartbeat", make(told_time(now_ms))))
        return self._beat[1]

    def _acknowledging(self, action: str) -> Render:
        render = self._acknowledgements.get(action)
        if render is None:
            payload = self._noted(action)
            render = self._acknowledgements[action] = lambda _: payload
        return render

    # ---------------------------------------------------------------------------------------- to a charger

    def outbound(self, action: core.Action) -> Outgoing:
        """Return the call that carries out an action; see `Dialect`."""
        request = self._request(action)
        name = type(request).__name__
        self.tables.schemas.check("request", name, request)
        return Outgoing(name, encode(request))

    def answer(self, action: core.Action, reply: Result | CallError) -> Answer:
        """Return what a charger's reply to an action means; see `Dialect`."""
        return answers.refusal(reply) if isinstance(reply, CallError) else self._reply(action, reply.payload)


def stamp(text: str) -> core.Stamp:
    """Return a charger's time with the instant that it names, if it names one."""
    instant = times.parse(text)
    if instant.utc is None or not instant.has_zone:
        return core.Stamp(text)
    return core.Stamp(text, round(instant.utc.timestamp() * 1000))


def told_time(now_ms: int) -> str:
    """Return the time as chargers are told it."""
    return times.render(datetime.fromtimestamp(now_ms // 1000, UTC))


def _fault(reason: str) -> RpcError:
    """Return the code for an unreadable payload by the stable word at its reason's end."""
    return {
        "missing": RpcError.OCCURRENCE_CONSTRAINT,
        "null": RpcError.OCCURRENCE_CONSTRAINT,
        "range": RpcError.PROPERTY_CONSTRAINT,
        "type": RpcError.TYPE_CONSTRAINT,
    }.get(reason.rpartition(":")[2], RpcError.FORMAT)

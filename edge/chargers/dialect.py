"""What a protocol version has to provide: the translation between its payloads and the core's vocabulary.

Between `link` (frames, order, timeouts) and the core (decisions). A dialect is pure, synchronous and keeps no
state of a charger: the same bytes always mean the same. Every version implements `Dialect`; no rule about
sessions, rights or states stands in one (design §2.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

import msgspec

from edge.chargers.frames import CallError, Result, RpcError
from edge.core.inputs import Action, Input, Reply

#: `tag → reference`: a keyed hash, from the site. It is given tags as `canonical_tag` leaves them.
TagRef = Callable[[str], str]

_MINTED = re.compile(r"[0-9A-F]{16}")


class ToCore(msgspec.Struct, frozen=True, kw_only=True):
    """A call for the core. `render` turns its reply, which answers the last input, into payload bytes.

    `repeatable`: the payload tells one event for good (it carries its own time), so the same id with the same
    payload on one connection is the same message sent again, and gets the same answer.
    """

    inputs: tuple[Input, ...]
    render: Callable[[Reply], bytes]
    repeatable: bool = False
    violations: tuple[str, ...] = ()


class Direct(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is answered without the core. `inputs` are worth knowing, but the answer does not wait."""

    payload: bytes
    inputs: tuple[Input, ...] = ()
    violations: tuple[str, ...] = ()


class CannotDo(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is refused. Never a transaction message or a status: some chargers drop those for good."""

    code: RpcError
    description: str
    violations: tuple[str, ...] = ()


Inbound = ToCore | Direct | CannotDo


class Outgoing(msgspec.Struct, frozen=True):
    """A call in this version's words; the payload has been checked against its schema."""

    action: str
    payload: bytes


class Answer(msgspec.Struct, frozen=True):
    """What a charger made of a call, in `CallEnded`'s words.

    `answer`: accepted | rejected | scheduled | not_supported | error.
    """

    answer: str
    detail: str = ""
    result: dict[str, Any] = {}
    violations: tuple[str, ...] = ()


class Unsendable(Exception):  # noqa: N818 - the caller ends the request with it; nobody else sees it
    """This version, or this charger's ids, leave no way to say that; the text tells why."""


class Dialect(Protocol):
    """One protocol version. Every method is pure and total: no bytes from a charger make it raise."""

    @property
    def subprotocol(self) -> str:
        """The WebSocket subprotocol, e.g. `ocpp1.6`."""

    @property
    def version(self) -> Literal["1.6", "2.0.1", "2.1"]:
        """For `RpcError.wire`."""

    @property
    def heartbeat_s(self) -> int:
        """The heartbeat interval that chargers are told, in seconds; bounds how long silence is no sign."""

    @property
    def compresses(self) -> bool:
        """Whether frames may be compressed: 1.6 discourages it, 2.x demands that it is supported."""

    @property
    def asks_each(self) -> bool:
        """Whether a charger can be asked for the state of a named connector only, not of all at once."""

    def inbound(self, charger: str, action: str, payload: msgspec.Raw, now_ms: int) -> Inbound:
        """Return what a charger's call means. `now_ms` is what the charger is told as the time."""

    def unreadable(self, charger: str, action: str, raw: bytes, reason: str) -> Inbound:
        """Return what to do with a call of which only the action is known for sure (quirks 23, 26).

        Transaction messages and statuses are quarantined and acknowledged, the rest is refused.
        """

    def outbound(self, action: Action) -> Outgoing:
        """Return the call that carries out an action. Raises Unsendable, or LocalFault if ours is wrong."""

    def answer(self, action: Action, reply: Result | CallError) -> Answer:
        """Return what the charger's reply to that action's call means."""


def canonical_tag(text: str) -> str:
    """Return the form in which a tag is compared and hashed: without blanks around it, in lower case.

    Tags are case-insensitive (OCPP 1.6 §7.28: CiString), and readers of one maker show the same card in
    another case (quirk 65). Whoever stores a tag's reference hashes this form.
    """
    return text.strip().casefold()


def minted(text: str) -> str:
    """Return a tag in the form in which we mint (design §7: 16 upper-case hex characters), or ""."""
    upper = text.strip().upper()
    return upper if _MINTED.fullmatch(upper) else ""


#: How much of a quarantined message is kept (facts.OrphanRecorded.raw), in characters.
RAW_MAX: Final = 8 * 1024
#: How much of it is looked at: enough to fill that after tags were replaced, without holding up the loop.
_LOOKED_AT_BYTES: Final = 4 * RAW_MAX

_TAG_KEYS = {"idtag", "parentidtag", "idtoken"}
# A tag's member where the whole is not JSON: a string, perhaps cut, or whatever runs to the next delimiter.
_TAG_MEMBER = re.compile(
    rb'("(?:idtag|parentidtag|idtoken)"\s*:\s*)(?:"((?:[^"\\]|\\.)*)"?|([^",}\]]+))',
    re.IGNORECASE | re.DOTALL,
)


def quarantined(raw: bytes, tag_ref: TagRef) -> str:
    """Return a message as it may be kept: tags replaced by their references, cut at `RAW_MAX` characters."""
    raw = raw[:_LOOKED_AT_BYTES]
    try:
        plain = msgspec.json.decode(raw)
        text = msgspec.json.encode(_without_tags(plain, tag_ref)).decode()
    except (ValueError, RecursionError, TypeError):
        hidden = _TAG_MEMBER.sub(lambda found: found[1] + _hide(found[2] or found[3] or b"", tag_ref), raw)
        text = hidden.decode("utf-8", "replace")
    return text.replace("\x00", "")[:RAW_MAX]


def _hide(tag: bytes, tag_ref: TagRef) -> bytes:
    return b'"%s"' % tag_ref(canonical_tag(tag.decode("utf-8", "replace"))).encode()


def _without_tags(value: Any, tag_ref: TagRef) -> Any:
    if isinstance(value, list):
        return [_without_tags(item, tag_ref) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: tag_ref(canonical_tag(item if isinstance(item, str) else msgspec.json.encode(item).decode()))
        if key.casefold() in _TAG_KEYS and item is not None
        else _without_tags(item, tag_ref)
        for key, item in value.items()
    }

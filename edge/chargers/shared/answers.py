"""A charger's answers to our calls, in `CallEnded`'s words: what the versions' dialects have in common.

An answer's status may be any text (quirk 93); a word that is not known is an `error`, never a success.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from edge.chargers.dialect import Answer
from edge.chargers.frames import CallError, RpcError

#: Answers' words, as `word` leaves them → `CallEnded.answer`. `unlocked` is UnlockConnector's own; some
#: chargers answer it with `Accepted` (quirk 93).
_MEANINGS: Final = {
    "accepted": "accepted",
    "unlocked": "accepted",
    "rebootrequired": "accepted",
    "acceptedcanceled": "accepted",
    "scheduled": "scheduled",
    "rejected": "rejected",
    "unlockfailed": "rejected",
    "ongoingauthorizedtransaction": "rejected",
    "failed": "rejected",
    "notfound": "rejected",
    "unknown": "rejected",
    "unknowncomponent": "rejected",
    "unknownconnector": "rejected",
    "unknownvariable": "rejected",
    "invalidcertificate": "rejected",
    "revokedcertificate": "rejected",
    "notsupported": "not_supported",
    "notsupportedattributetype": "not_supported",
    "notimplemented": "not_supported",
    "unknownmessageid": "not_supported",
    "unknownvendorid": "not_supported",
}
#: Words that say no more than the meaning does; the others go into the detail.
_PLAIN: Final = {"accepted", "unlocked", "scheduled", "rejected", "notsupported", "notimplemented", "unknown"}

#: Keys that hold a secret. Reading one gives nothing (OCPP: write only), and where it does it is not kept.
_SECRET: Final = ("authorizationkey", "basicauthpassword", "password")

#: A result becomes part of one fact, which holds 16 KiB; this leaves room for the rest of it.
RESULT_MAX_BYTES: Final = 12 * 1024
#: A description or a status word of a charger, in details.
DETAIL_MAX_CHARS: Final = 200

_NOT_WORD = re.compile(r"[^a-z]")


def word(text: str) -> str:
    """Return an enumerated word without case and separators: chargers write `SuspendedEv`, `No_Error`."""
    return _NOT_WORD.sub("", text.lower())


def of_status(
    status: str, result: dict[str, Any] | None = None, violations: tuple[str, ...] = (), *, why: str = ""
) -> Answer:
    """Return what an answer that is one word means. `why`: what the charger said beside it."""
    plain = word(status)
    answer = _MEANINGS.get(plain, "error")
    detail = ""
    if answer == "error":
        detail = f"the charger answered {status[:DETAIL_MAX_CHARS]!r}"
    elif plain not in _PLAIN:
        detail = status[:DETAIL_MAX_CHARS]
    if why:
        detail = f"{detail}: {why}".removeprefix(": ")[:DETAIL_MAX_CHARS]
    return Answer(answer, detail, result or {}, violations)


def unreadable(reason: str) -> Answer:
    """Return what an answer means that could not be read."""
    return Answer("error", f"the charger's answer could not be read: {reason}")


def refusal(reply: CallError) -> Answer:
    """Return what a CALLERROR means."""
    detail = f"{reply.code}: {reply.description}".rstrip(": ")[:DETAIL_MAX_CHARS]
    # versions and libraries swap the two (quirk 29), so no more is made of the difference
    unknown = RpcError.of(reply.code) in (RpcError.NOT_IMPLEMENTED, RpcError.NOT_SUPPORTED)
    return Answer("not_supported" if unknown else "error", detail)


def data(text: str | None) -> dict[str, Any]:
    """Return a vendor message's data as a result."""
    return {"data": text[: RESULT_MAX_BYTES // 4]} if text else {}  # a character has up to four bytes


def values(told: Iterable[tuple[str, str | None, bool]], unknown: Iterable[str]) -> dict[str, Any]:
    """Return configuration as a result: (key, value, read only) of each told, and the keys not known.

    As many as a fact holds; `cut` names how many were left out.
    """
    kept: dict[str, Any] = {}
    room, cut = RESULT_MAX_BYTES, 0
    for key, value, readonly in told:
        shown = None if key.casefold().endswith(_SECRET) else value
        entry = {"value": shown, "readonly": readonly}
        room -= len(msgspec.json.encode({key: entry}))
        if room < 0:
            cut += 1
        else:
            kept[key] = entry
    not_known = list(unknown)
    fitting = [key for key in not_known if (room := room - len(key.encode()) - 3) >= 0]
    cut += len(not_known) - len(fitting)
    result: dict[str, Any] = {"values": kept, "unknown": fitting}
    if cut:
        result["cut"] = cut
    return result

"""Names that follow from content: deduplication keys, session uids, minted tags, and how far a clock is
believed when it takes part in them.

Every charger repeats itself when a reply is lost, with the same message id, a new one, or one that meant
something else before (quirk 22). So nothing here knows a message id: the same content gives the same
name, today, after a restart, and on a box that was installed anew.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from common.domain import iso
from edge.core.inputs import Stamp

#: An earlier time is one of a clock that was never set: 1970, 2000, the firmware's build (quirk 41).
BELIEVED_FROM_MS = 1_577_836_800_000  # 2020-01-01
#: How far ahead of ours a charger's clock may be: a wrong time zone is at most 14 h.
AHEAD_MS = 24 * 3600 * 1000
#: The same while ours is only a floor: as long as a build may be in use without ever being told the time.
AHEAD_UNSURE_MS = 20 * 366 * 24 * 3600 * 1000
#: A time without zone is kept as it was sent; the longest real form has 35 characters.
STAMP_CHARS_MAX = 64
#: Transaction ids: 36 characters in 2.x, the longest integer in 1.6 below 20.
TRANSACTION_CHARS_MAX = 64


def canonical(stamp: Stamp) -> str:
    """The UTC second with `Z`, or the charger's raw text when it has no zone (design §4)."""
    if stamp.at_ms is not None:
        try:
            return iso(stamp.at_ms)[:19] + "Z"
        except (ValueError, OverflowError, OSError):
            pass  # a year beyond 9999: the text is all there is
    return bounded(stamp.text, STAMP_CHARS_MAX)


# A sample's time is looked at by the clock, the power and the register.
@lru_cache(maxsize=256)
def instant(text: str) -> int | None:
    """Milliseconds for a time as told, one without zone read as UTC; None if it cannot be read."""
    try:
        told = datetime.fromisoformat(text)
        return round((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def moment(stamp: Stamp) -> int | None:
    """The instant that a stamp names, as far as it can be read."""
    return stamp.at_ms if stamp.at_ms is not None else instant(stamp.text)


def believable(at_ms: int | None, now_ms: int, *, unsure: bool = False) -> bool:
    """Whether a charger's time can be one: set at all, and not far in the future.

    unsure: our own clock is a floor, so what is far ahead of it may well be the truth.
    """
    ahead_ms = AHEAD_UNSURE_MS if unsure else AHEAD_MS
    return at_ms is not None and BELIEVED_FROM_MS <= at_ms <= now_ms + ahead_ms


def bounded(text: str, limit: int) -> str:
    """An identifier of at most `limit` characters; a longer one keeps its beginning and gets its hash."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 33]}~{_digest(text)}"


def transaction_id(told: str) -> str:
    """A transaction id as we keep it: any integer or text as it came (quirk 57), a monstrous one bounded."""
    return bounded(told, TRANSACTION_CHARS_MAX)


def is_transaction(told: str) -> bool:
    """Whether it can be an id: chargers that wait for ours send none, 0, −1 or less (quirk 55)."""
    return told not in ("", "0") and not told.startswith("-")


def start_key(
    charger: str, evse: int, tag_ref: str | None, meter_start_wh: float | None, started: str
) -> str:
    """The deduplication key K of a 1.6 start (QUIRKS.md). `tag_ref` is of the casefolded tag."""
    return _digest("start", charger, str(evse), tag_ref or "", _number(meter_start_wh), started)


def transaction_key(charger: str, transaction: str) -> str:
    """The deduplication key of a 2.x start: the station's own transaction id."""
    return _digest("transaction", charger, transaction)


def remote_start_id(tag: str) -> int:
    """The number that stands for a minted tag in a 2.x start request: a positive 31-bit integer."""
    return int(tag[:8], 16) & 0x7FFFFFFF or 1


def event_digest(step: str, at: Stamp, content: bytes) -> str:
    """What makes two events of one transaction the same report."""
    return _digest("event", step, canonical(at), content.hex())[:16]


def event_key(charger: str, transaction: str, digest: str) -> str:
    """Where the reply to an event that judged a tag is kept."""
    return _digest("event", charger, transaction_id(transaction), digest)


def stop_key(charger: str, transaction: str) -> str:
    """Where the reply to a stop is kept."""
    return _digest("stop", charger, transaction_id(transaction))


def session_uid(site: str, charger: str, *content: str, salt: str = "") -> str:
    """A session's uid: a UUID (version 8, RFC 9562 §5.8) of its content, without the idTag (design §4)."""
    h = _digest("session", site, charger, *content, *([salt] if salt else []))
    return f"{h[:8]}-{h[8:12]}-8{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:32]}"


def session_content(evse: int, started: str, meter_start_wh: float | None) -> tuple[str, ...]:
    """What of a 1.6 start names its session."""
    return (str(evse), started, _number(meter_start_wh))


def fixed_tag(charger: str, evse: int) -> str:
    """The idTag of every start on a connector whose charger must know its tags beforehand
    (`traits.Traits.mint`), in the form of a minted one."""
    return sha256(f"plugside-fixed|{charger}|{evse}".encode()).hexdigest()[:16].upper()


def minted_tag(command_id: str) -> str:
    """The idTag that stands for a start command: 16 upper-case hex characters (quirk 65: 20 at most)."""
    return sha256(b"plugside-tag|" + command_id.encode()).hexdigest()[:16].upper()


def orphan_digest(what: str, reason: str, evse: int, transaction: str, raw: str) -> str:
    """What makes two orphans the same report."""
    return _digest(what, reason, str(evse), transaction, raw)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _digest(*parts: str) -> str:
    # Each part goes in with its length, so that no two lists of parts are the same bytes.
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]

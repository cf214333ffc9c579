"""Which sessions are asked for: one set of filters for box and cloud. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from common.domain import from_iso, iso
from common.errors import Code, Refused

#: Characters of a filter's text: a charger's id has 48, a principal 64.
_CHARS_MAX = 64


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of the query `sessions`; None = any. What is not a staff's to see stays filtered by policy.

    since, until: when it began, as the session tells it: ISO 8601 with `Z`, the first included, the last not;
    in whole seconds, as chargers tell them.
    flagged: what may want a person's look (`common.review.attention` has the last word).
    """

    session: str | None = None  #: that one alone
    charger: str | None = None
    principal: str | None = None
    since: str | None = None
    until: str | None = None
    flagged: bool = False


#: No filter.
ALL = Sought()


def sought(args: Mapping[str, Any]) -> Sought:
    """The filters among a query's arguments. Raises Refused(bad_request) naming what is wrong."""
    return Sought(
        session=_text(args, "session"),
        charger=_text(args, "charger"),
        principal=_text(args, "principal"),
        since=_instant(args, "since"),
        until=_instant(args, "until"),
        flagged=args.get("flagged", False) is True,
    )


def _text(args: Mapping[str, Any], name: str) -> str | None:
    value = args.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _CHARS_MAX:
        raise Refused(Code.BAD_REQUEST, f"{name} is a text of at most {_CHARS_MAX} characters")
    return value


def _instant(args: Mapping[str, Any], name: str) -> str | None:
    text = _text(args, name)
    if text is None:
        return None
    try:
        return iso(from_iso(text) // 1000 * 1000)
    except (ValueError, OverflowError):
        raise Refused(Code.BAD_REQUEST, f"{name} is a time such as 2026-11-30T00:00:00Z") from None

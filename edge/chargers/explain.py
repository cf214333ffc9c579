"""Why a charger is not (or not wholly) at work: findings for an installer, from what the door has seen.

`listener` knows its connections, `doorbook` whom it turned away; this puts the two beside what the site knows
of a charger. The words are in `reasons`. Asked for by `edge.report`, for `chargers why` and later the doctor.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from common.domain import iso
from edge.chargers.doorbook import Dial
from edge.chargers.reasons import MAY_BE_ANY, REASONS, Reason

Finding = dict[str, Any]


def dial(turned_away: Dial) -> Finding:
    """Return a refusal as a finding."""
    return finding(
        turned_away.reason,
        charger=turned_away.charger,
        address=turned_away.address,
        named=turned_away.named,
        offered=turned_away.offered,
        first_bytes=turned_away.first_bytes,
        detail=turned_away.detail,
        count=turned_away.count,
        first_at=iso(turned_away.first_ms),
        last_at=iso(turned_away.last_ms),
    )


def finding(reason: Reason, **more: Any) -> Finding:
    """Return a reason in words. more: what else is known; what is empty is left out."""
    told = REASONS[reason]
    known = {name: value for name, value in more.items() if value not in ("", None)}
    return {"reason": reason.value, "sentence": told.sentence, "advice": told.advice} | known


def charger(
    charger_id: str, since: str, address: str, about: Mapping[str, Any] | None, dials: Iterable[Dial]
) -> list[Finding]:
    """Return the findings about an adopted charger; the first one is the one that matters most.

    since: when it last came or went, "" if it never did; address: where it was last. about: its description
    by the listener, None if it was not let in since the box started. dials: whom the door turned away.
    """
    dials = list(dials)
    own = [dial(one) for one in dials if _concerns(one, charger_id, address)]
    if about is None or not about["connected"]:
        last = "" if about is None else about["last_end"]
        state = Reason.GONE if since or about is not None else Reason.NEVER_DIALLED
        if state is Reason.NEVER_DIALLED and not own:
            strangers = [dial(one) for one in dials if one.reason in MAY_BE_ANY]
            return [finding(state, charger=charger_id), *strangers]
        if about is not None and about["deaf"]:
            own.append(finding(Reason.DEAF, charger=charger_id, address=address))
        return [*own, finding(state, charger=charger_id, address=address, since=since, detail=last)]
    found = []
    if about["deaf"]:
        found.append(finding(Reason.DEAF, charger=charger_id, address=address))
    if about["too_large"]:
        found.append(finding(Reason.TOO_LARGE, charger=charger_id, count=about["too_large"]))
    for kind, first_bytes in about["unread"].items():
        count = about["bad_frames_by_kind"].get(kind, 1)
        found.append(
            finding(Reason.UNREADABLE, charger=charger_id, detail=kind, first_bytes=first_bytes, count=count)
        )
    found += own
    return found or [finding(Reason.CONNECTED, charger=charger_id, address=address)]


def _concerns(turned_away: Dial, charger_id: str, address: str) -> bool:
    if turned_away.charger:
        return turned_away.charger.casefold() == charger_id.casefold()
    return bool(address) and turned_away.address == address

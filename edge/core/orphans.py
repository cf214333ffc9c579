"""Orphans: what a charger reported and no rule has a place for. Kept whole, told once, never guessed at."""

from __future__ import annotations

import msgspec

from common import facts
from edge.core import identity, inputs, meter, resolving
from edge.core.state import ORPHANS_MAX, Draft, SiteState, Station

#: Kept of a message (facts.OrphanRecorded), in characters and in bytes of JSON, so that a record fits 16 KiB.
RAW_CHARS_MAX = 8 * 1024
RAW_BYTES_MAX = 12 * 1024
REASON_CHARS_MAX = 200

_encode = msgspec.json.encode


def record(
    draft: Draft,
    station: Station,
    charger: str,
    what: str,
    reason: str,
    *,
    evse: int = 0,
    transaction: str = "",
    principal: str | None = None,
    raw: str = "",
    given: inputs.Input | None = None,
) -> bool:
    """Record what came, unless the same was recorded a moment ago. Returns whether it was new.

    `given` is written out when there is no `raw`; its samples are not (they become facts of their own).
    """
    at, meter_wh = "", None
    if given is not None:
        raw = _written(given)
        at, meter_wh = _told(given)
    transaction = identity.transaction_id(transaction)
    reason, raw = reason[:REASON_CHARS_MAX], _cut(raw)
    digest = identity.orphan_digest(what, reason, evse, transaction, raw)
    if digest in station.orphans:
        return False
    draft.facts.append(
        facts.OrphanRecorded(
            charger=charger,
            what=what,
            reason=reason,
            evse=evse,
            transaction=transaction,
            orphan=digest,
            at=at,
            meter_wh=meter_wh,
            raw=raw,
            principal=principal,
        )
    )
    return True


def recorded(state: SiteState, body: facts.OrphanRecorded, at_ms: int) -> None:
    """Apply: remember it, so that a repeat is known."""
    station = state.station(body.charger)
    digest = identity.orphan_digest(body.what, body.reason, body.evse, body.transaction, body.raw)
    station.orphans.append(digest)
    if len(station.orphans) > ORPHANS_MAX:
        del station.orphans[0]
    resolving.recorded(state, body)


def _told(given: inputs.Input) -> tuple[str, float | None]:
    """When it was by the charger's clock, and at which register."""
    match given:
        case inputs.TransactionStarted():
            return identity.canonical(given.started), _register(given.meter_start_wh)
        case inputs.TransactionEnded():
            return identity.canonical(given.ended), _register(given.meter_stop_wh)
    return "", None


def _register(told_wh: float | None) -> float | None:
    return meter.finite(told_wh)


def _written(given: inputs.Input) -> str:
    # A minted tag is a tag in clear; the rest of an input holds references only.
    told = msgspec.to_builtins(given)
    for name in ("samples", "recalled", "minted", "charger"):
        told.pop(name, None)
    for name, value in told.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:  # JSON's integers end there
            told[name] = str(value)
    return _encode(told).decode()


def _cut(raw: str) -> str:
    raw = raw[:RAW_CHARS_MAX]
    while len(_encode(raw)) > RAW_BYTES_MAX:
        raw = raw[: len(raw) * 3 // 4]
    return raw

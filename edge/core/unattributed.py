"""Energy without a start: a charge that the charger never said had begun (quirks 54, 60).

Some firmware accepts a remote start, charges, and never sends the start; and after a journal was lost, meter
values come for a transaction that nobody knows. Both are shown, and what the meter tells goes into a session
of its own, so that nothing is lost. Such a session is nobody's and is never billed by itself: an operator
decides (`resolving`), or the charger's true start takes its place.

No status opens one. The first kind needs five minutes of charging without a session (`connector`) and then a
meter value that says so; the second a fresh value, with an id that can be one, where a car is connected.
"""

from __future__ import annotations

from typing import Final

from common import facts
from common.domain import AXES, ConnectorState, iso
from common.ports import Ids
from edge.core import clocks, identity, inputs, meter, scale
from edge.core.registers import IN_SESSION
from edge.core.state import EVSES_MAX, SiteState, Station, connector_number

#: A sample this far from now, by the charger's corrected clock, is of now: others come out of a queue, and an
#: earlier backend's history must open nothing (quirk 39).
FRESH_MS: Final = 15 * 60_000
#: What such a session says in place of a tag's judgement.
AUTHORIZATION: Final = "unattributed"


def begun(
    state: SiteState, station: Station, given: inputs.MeterReported, now_ms: int, ids: Ids
) -> facts.SessionStarted | None:
    """The session that these values begin, if they do."""
    place = station.places.get(given.evse)
    if not 1 <= given.evse <= EVSES_MAX or place is None or place.session is not None:
        return None
    named = given.transaction is not None and identity.is_transaction(given.transaction)
    if named:
        wanted = AXES[place.state].energised and _is_fresh(station, given, now_ms)
    else:
        wanted = place.unattributed and place.state is ConnectorState.CHARGING and _tells_energy(given)
    if not wanted:
        return None
    transaction = identity.transaction_id(given.transaction or "") if named else ""
    since_ms = place.charging_ms if not named and place.charging_ms else now_ms
    first_wh = _first_wh(given)
    factor = station.tuning.traits.register_factor
    return facts.SessionStarted(
        session=identity.session_uid(state.view.site, given.charger, "unattributed", salt=ids.uid()),
        charger=given.charger,
        evse=given.evse,
        connector=connector_number(given.connector),
        transaction=transaction,
        started_at=iso(since_ms)[:19] + "Z",
        received_at=iso(now_ms),
        meter_start_wh=scale.value(first_wh, factor),
        authorization=AUTHORIZATION,
        key=identity.transaction_key(given.charger, transaction) if named else "",
        weak=True,
        boot=state.boots(given.charger),
        scale=factor,
        flags=(("adopted" if named else "unattributed"), *scale.flag(factor)),
    )


def _is_fresh(station: Station, given: inputs.MeterReported, now_ms: int) -> bool:
    times = [identity.instant(sample.at) for sample in given.samples if sample.at is not None]
    told = [at_ms for at in times if (at_ms := clocks.ours(station, at)) is not None]
    return _tells_energy(given) and bool(told) and abs(max(told) - now_ms) <= FRESH_MS


def _tells_energy(given: inputs.MeterReported) -> bool:
    return any(
        sample.location in IN_SESSION
        and (sample.energy_wh is not None or sample.interval_wh is not None or (sample.power_w or 0) > 0)
        for sample in given.samples
    )


def _first_wh(given: inputs.MeterReported) -> float | None:
    told = [
        (sample.at or "", sample.energy_wh)
        for sample in given.samples
        if sample.energy_wh is not None and sample.location in IN_SESSION
    ]
    return meter.finite(min(told)[1]) if told else None

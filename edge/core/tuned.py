"""Where traits, configuration and limits hang on the life of a charger: its boots, connections and sessions.

`engine` calls these beside its other handlers, so that neither knows of the other's rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from common import commands, facts
from common.errors import Code, Refused
from common.ports import Ids
from common.tuning import (
    ChargerConfigured,
    LimitApplied,
    LimitWanted,
    ModelLearned,
    OfflinePolicyChanged,
    ReservationChanged,
    SettingsWanted,
    TagsListed,
    TraitsChanged,
)
from edge.core import (
    configuration,
    inputs,
    limit_orders,
    limiting,
    limits,
    listing,
    models,
    proofs,
    reserving,
    securing,
)
from edge.core.state import Draft, SiteState, Station
from edge.core.traits import merged


def booted(draft: Draft, station: Station, given: inputs.Booted) -> None:
    """Decide: the charger said what it is, so what is known of its model may be another."""
    if given.traits != station.tuning.catalogue:
        draft.facts.append(
            TraitsChanged(charger=given.charger, source="catalogue", traits=dict(given.traits))
        )


def call_ended(state: SiteState, given: inputs.CallEnded, now_ms: int, ids: Ids) -> inputs.Decision:
    """Decide: a call that carried its own procedure came to its end."""
    if isinstance(given.context, limiting.Step):
        return limit_orders.call_ended(state, given, given.context, now_ms)
    if isinstance(given.context, securing.Step):
        return securing.answered(state, given, given.context)
    if isinstance(given.context, listing.Delivery):
        return listing.answered(state, given, given.context, now_ms, ids)
    assert isinstance(given.context, configuration.Setup)
    return configuration.answered(state, given, given.context, now_ms, ids)


def measured(
    state: SiteState, given: inputs.MeterReported, decision: inputs.Decision, now_ms: int
) -> inputs.Decision:
    """Decide: what meter values say besides, about the limit on their connector."""
    if not state.look(given.charger).tuning.limits.slots:
        return decision
    told = proofs.measured(state, given.charger, given.evse, given.samples, now_ms)
    return msgspec.structs.replace(decision, facts=(*decision.facts, *told)) if told else decision


def judge(state: SiteState, given: inputs.CommandReceived, args: commands.Adjust) -> None:
    """Whether a trait may be set so. Raises Refused."""
    tuning = state.look(given.target.charger).tuning
    if args.expect is not None and args.expect != tuning.revision:
        raise Refused(Code.CHANGED_MEANWHILE, f"the traits are at revision {tuning.revision}")
    if args.trait == "settings" and isinstance(args.value, dict):
        for key in args.value:
            securing.judge_key(str(key))
    try:
        merged(tuning.catalogue, _adjusted(tuning.installer, args))
    except msgspec.ValidationError as wrong:
        raise Refused(Code.BAD_REQUEST, str(wrong)) from None


def adjusted(station: Station, charger: str, args: commands.Adjust) -> TraitsChanged:
    """An installer put a value over what is known of the model; None takes it away again."""
    traits = _adjusted(station.tuning.installer, args)
    revision = station.tuning.revision + 1
    return TraitsChanged(charger=charger, source="installer", traits=traits, revision=revision)


def _adjusted(installer: dict[str, Any], args: commands.Adjust) -> dict[str, Any]:
    without = {name: value for name, value in installer.items() if name != args.trait}
    return without if args.value is None else {**without, args.trait: args.value}


# --- applying ----------------------------------------------------------------------------------------------


def traits_changed(state: SiteState, body: TraitsChanged, at_ms: int) -> None:
    station = state.station(body.charger)
    if body.source == "installer":
        station.tuning.installer, station.tuning.revision = dict(body.traits), body.revision
        configuration.again(state, station, at_ms)
    else:
        station.tuning.catalogue = dict(body.traits)
    _look_again(state, station, at_ms)


def seen(state: SiteState, body: facts.ChargerSeen, at_ms: int) -> None:
    if body.adopted:
        station = state.station(body.charger)
        configuration.connected(state, station, at_ms)
        listing.came(state, station, at_ms)
        limits.stale(state, station, at_ms, booted=False)


def started_anew(state: SiteState, body: facts.ChargerBooted, at_ms: int) -> None:
    station = state.station(body.charger)
    configuration.booted(state, station, at_ms)
    listing.came(state, station, at_ms)
    limits.stale(state, station, at_ms, booted=True)


def session_ended(state: SiteState, body: facts.SessionEnded, at_ms: int) -> None:
    station = state.station(body.charger)
    configuration.session_over(state, station, at_ms)
    listing.came(state, station, at_ms)
    limits.session_over(state, station, body.evse, body.session, at_ms)


def look_again(state: SiteState, charger: str, at_ms: int) -> None:
    """Something that limits depend on may have changed."""
    _look_again(state, state.station(charger), at_ms)


def _look_again(state: SiteState, station: Station, at_ms: int) -> None:
    if station.tuning.limits.used:
        state.arm(at_ms)


APPLIERS: Final[dict[type[facts.Body], Callable[[SiteState, Any, int], None]]] = {
    SettingsWanted: configuration.settings_wanted,
    ChargerConfigured: configuration.configured,
    ModelLearned: models.learned,
    TraitsChanged: traits_changed,
    LimitWanted: limits.wanted,
    LimitApplied: limits.applied,
    OfflinePolicyChanged: listing.policy_changed,
    TagsListed: listing.delivered,
    ReservationChanged: reserving.changed,
}

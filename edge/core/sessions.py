"""Sessions as they are remembered: look-up, the provisional end and the timers behind it.

A session ends when its charger says so. What says nothing more is closed *provisionally*, from the last
register, and the charger's own stop, whenever it comes, replaces that (`session_revised`):

    another start on its connector ......... at once (`ledger`)
    its connector Available after a Boot ... 60 s later
    its connector Available otherwise ...... 10 min later: many send Available before the stop, some while
                                             the car still charges; any sample of the session starts it anew
    24 h without a word .................... unless an online charger shows the connector in use

Only a live connection lets the short timers run: a charger that is away cannot deliver the stop it holds.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import facts
from common.domain import AXES, ConnectorState, EnergyMethod, MeterSample, iso
from edge.core import clocks, identity, inputs, meter, orders, quiet, scale
from edge.core.state import ENDED_SESSIONS_MAX, Draft, Session, SiteState, Station, connector_number

SILENCE_MS: Final = 24 * 3600 * 1000
AFTER_BOOT_MS: Final = 60_000
AFTER_AVAILABLE_MS: Final = 600_000
#: A station that said it still holds events of a session that has ended is asked anew so long after the end:
#: soon, because its word may have crossed with our receipt for the last of them.
GAP_ASK_AFTER_MS: Final = (5_000, 300_000, 3_600_000, 24 * 3_600_000)


# --- looking up --------------------------------------------------------------------------------------------


def by_transaction(station: Station, transaction: str) -> Session | None:
    """The newest session with this id, or the one that superseded it."""
    transaction = identity.transaction_id(transaction)
    if not transaction:
        return None
    for session in reversed(station.sessions.values()):
        if session.transaction == transaction:
            while session.successor is not None and session.successor in station.sessions:
                session = station.sessions[session.successor]
            return session
    return None


def named(station: Station, transaction: str, recalled: inputs.Known | None) -> Session | None:
    """The session with this id, in memory or in the journal."""
    session = by_transaction(station, transaction)
    if session is None and recalled is not None:
        return revived(recalled)
    return session


def revived(known: inputs.Known) -> Session:
    """A session from what the journal remembers of it."""
    return Session(
        id=known.session,
        evse=known.evse,
        connector=known.connector,
        transaction=known.transaction,
        principal=known.principal,
        scale=scale.of(known.flags),
        key=known.key,
        weak=known.weak,
        boot=known.boot,
        authorization=known.authorization,
        started_at=known.started_at,
        meter_start_wh=known.meter_start_wh,
        ended=known.ended,
        provisional=known.provisional,
        revision=known.revision,
        ended_at=known.ended_at,
        meter_stop_wh=known.meter_stop_wh,
    )


def samples_of(
    charger: str,
    session: Session,
    groups: list[tuple[MeterSample, ...]],
    transaction: str = "",
) -> list[facts.MeterSampled]:
    """The facts that groups of samples (`meter.taken`) of a session make; `transaction` as they named it."""
    return [
        facts.MeterSampled(
            charger=charger,
            evse=session.evse,
            connector=session.connector,
            session=session.id,
            principal=session.principal,
            transaction=transaction,
            samples=group,
            late=session.ended,
        )
        for group in groups
    ]


def unattached(
    charger: str, evse: int, number: int, transaction: str, samples: tuple[MeterSample, ...]
) -> list[facts.MeterSampled]:
    """The facts that samples make which are nobody's. `transaction`: the id they named, if any."""
    return [
        facts.MeterSampled(
            charger=charger,
            evse=evse,
            connector=connector_number(number),
            transaction=identity.transaction_id(transaction),
            samples=group,
        )
        for group in meter.taken({}, samples)
    ]


# --- closing -----------------------------------------------------------------------------------------------


def close_provisionally(
    state: SiteState,
    draft: Draft,
    charger: str,
    session: Session,
    reason: str,
    now_ms: int,
    *,
    before_ms: int | None = None,
) -> None:
    """Close from the last register. `before_ms`: it was over by then, by the charger's own clock."""
    station = state.look(charger)
    # A session's times are its charger's own, so what we saw is told by its clock.
    ended_ms = (session.heard_ms or now_ms) + clocks.offset_ms(station)
    if before_ms is not None and identity.believable(before_ms, now_ms, unsure=state.unsure):
        ended_ms = min(ended_ms, before_ms)
    started_ms = identity.instant(session.started_at)
    if started_ms is not None and identity.believable(started_ms, now_ms, unsure=state.unsure):
        ended_ms = max(ended_ms, started_ms)
    energy = meter.energy(session.meter_start_wh, None, session.registers)
    draft.facts.append(
        closing(
            charger,
            session,
            iso(ended_ms)[:19] + "Z",
            now_ms,
            meter_stop_wh=session.registers.last_wh,
            energy=msgspec.structs.replace(energy, flags=(*energy.flags, "missing_stop")),
            reason=reason,
            provisional=True,
        )
    )
    proposal = scale.proposal(charger, station, session, session.registers)
    if proposal is not None:
        draft.facts.append(proposal)
    orders.session_over(state, draft, charger, session.id, superseded=False)


def supersede(state: SiteState, draft: Draft, charger: str, session: Session, now_ms: int) -> None:
    """The charger reported this start again with another time: nothing was charged under this one."""
    # The register stood where the second report found it: that is a measurement, if it was told.
    method = EnergyMethod.UNKNOWN if session.meter_start_wh is None else EnergyMethod.REGISTER
    energy = meter.Energy(0.0, method, ("superseded",))
    draft.facts.append(
        closing(
            charger,
            session,
            session.started_at,
            now_ms,
            meter_stop_wh=session.meter_start_wh,
            energy=energy,
            reason="superseded",
            provisional=False,
        )
    )
    orders.session_over(state, draft, charger, session.id, superseded=True)


def closing(
    charger: str,
    session: Session,
    ended_at: str,
    now_ms: int,
    *,
    meter_stop_wh: float | None,
    energy: meter.Energy,
    reason: str,
    provisional: bool,
    stopped_by: str | None = None,
) -> facts.SessionEnded:
    """The fact that a session is over, with this energy and its flags."""
    return facts.SessionEnded(
        session=session.id,
        charger=charger,
        evse=session.evse,
        connector=session.connector,
        transaction=session.transaction,
        principal=session.principal,
        ended_at=ended_at,
        received_at=iso(now_ms),
        meter_stop_wh=meter_stop_wh,
        energy_wh=energy.energy_wh,
        method=energy.method,
        reason=reason,
        provisional=provisional,
        stopped_by=stopped_by,
        obtained=energy.method.obtained,
        flags=energy.flags,
    )


# --- time --------------------------------------------------------------------------------------------------


def due(state: SiteState, draft: Draft, now_ms: int) -> None:
    """Close provisionally what has been silent for too long."""
    for charger, station in state.stations.items():
        for session in station.sessions.values():
            if session.ended:
                continue
            if session.closing_ms and now_ms >= session.closing_ms:
                close_provisionally(state, draft, charger, session, "missing_stop", now_ms)
            elif now_ms >= session.heard_ms + SILENCE_MS and not _in_use(station, session):
                close_provisionally(state, draft, charger, session, "silence", now_ms)


def timers(station: Station) -> list[int]:
    """When something of this charger's sessions is due."""
    times = []
    for session in station.sessions.values():
        if session.ended:
            continue
        if session.closing_ms:
            times.append(session.closing_ms)
        if not _in_use(station, session):
            times.append(session.heard_ms + SILENCE_MS)
    return times


def _in_use(station: Station, session: Session) -> bool:
    place = station.places.get(session.evse)
    here = place is not None and place.session == session.id
    return station.online and here and place is not None and AXES[place.state].energised


# --- applying ----------------------------------------------------------------------------------------------


def begun(body: facts.SessionStarted, at_ms: int) -> Session:
    """The session that a start makes."""
    return Session(
        id=body.session,
        evse=body.evse,
        connector=body.connector,
        transaction=body.transaction,
        principal=body.principal,
        command=body.command,
        tag_ref=body.tag_ref,
        key=body.key,
        weak=body.weak,
        boot=body.boot,
        authorization=body.authorization,
        started_at=body.started_at,
        meter_start_wh=body.meter_start_wh,
        scale=body.scale,
        carried="carried" in body.flags,
        heard_ms=at_ms,
        sampled_ms=at_ms,
    )


def started(state: SiteState, body: facts.SessionStarted, at_ms: int) -> None:
    station = state.station(body.charger)
    if body.evse and not body.history:
        place = station.place(body.evse)
        place.connector = body.connector or place.connector
        place.session, place.charging_ms, place.unattributed = body.session, 0, False
    station.sessions[body.session] = begun(body, at_ms)
    ours = "adopted" not in body.flags
    if ours and body.transaction.isascii() and body.transaction.isdigit() and len(body.transaction) <= 10:
        station.last_transaction = int(body.transaction)
    before = station.sessions.get(body.supersedes) if body.supersedes else None
    if before is not None:
        before.successor = body.session
    for minted in station.minted.values():
        if body.command is not None and minted.command == body.command:
            minted.session = body.session
    clocks.told(station, body.started_at, at_ms)
    state.arm(at_ms + min(SILENCE_MS, quiet.ASK_AFTER_MS[0]))


def sampled(state: SiteState, body: facts.MeterSampled, at_ms: int) -> None:
    if body.session is None:
        return
    station = state.station(body.charger)
    session = station.sessions.get(body.session)
    if session is None or (session.ended and not session.provisional):
        return
    if session.ended:
        # Closed by us, and yet it goes on: the registers run on for the revision that will come.
        meter.follow(session.registers, body.samples)
        return
    session.heard_ms = session.sampled_ms = at_ms
    state.arm(at_ms + quiet.ASK_AFTER_MS[0])
    session.cited = session.cited or body.transaction == session.transaction
    meter.remember(session.seen, session.registers, body.samples)
    if session.closing_ms:
        close_after(state, session, at_ms)
    last = body.samples[-1].at if body.samples else None
    if last is not None:
        clocks.told(station, last, at_ms)


def ended(state: SiteState, body: facts.SessionEnded, at_ms: int) -> None:
    station = state.station(body.charger)
    place = station.places.get(body.evse)
    if place is not None and place.session == body.session:
        place.session = None
    session = station.sessions.get(body.session)
    if session is None:
        return
    session.ended, session.provisional = True, body.provisional
    session.ended_at, session.meter_stop_wh = body.ended_at, body.meter_stop_wh
    session.closing_ms, session.seen = 0, {}
    missing = "incomplete" in body.flags and "events_lost" not in body.flags
    session.gap_ms = at_ms if missing else 0
    if missing:
        state.arm(at_ms + GAP_ASK_AFTER_MS[0])
    if not body.provisional:
        session.registers = meter.Registers()
        if "superseded" not in body.flags:
            clocks.told(station, body.ended_at, at_ms)
    over = [uid for uid, known in station.sessions.items() if known.ended]
    for uid in over[: max(0, len(over) - ENDED_SESSIONS_MAX)]:
        del station.sessions[uid]


def revised(state: SiteState, body: facts.SessionRevised, at_ms: int) -> None:
    session = state.station(body.charger).sessions.get(body.session)
    if session is None:
        return
    session.ended, session.provisional, session.revision = True, False, body.revision
    session.gap_ms = 0
    session.ended_at = body.ended_at or session.ended_at
    if body.meter_stop_wh is not None:
        session.meter_stop_wh = body.meter_stop_wh
    session.registers = meter.Registers()


def connector_stepped(state: SiteState, body: facts.ConnectorChanged, stepped: bool, at_ms: int) -> None:
    """A status was heard on a connector; `stepped`: its held state is another one now."""
    station = state.station(body.charger)
    session = station.open_on(body.evse) if body.evse else None
    if stepped and body.via == "report" and body.reported_at:
        clocks.told(station, body.reported_at, at_ms, live=True)
    elif body.reported_at:  # perhaps the time of an earlier change: no word on a clock that stands
        clocks.learn(station, body.reported_at, at_ms, live=True)
    if session is None or body.via == "epoch":
        return
    session.heard_ms = at_ms
    state.arm(at_ms + SILENCE_MS)
    if not stepped:
        return
    state.arm(at_ms)  # whether its meter should be asked is looked at anew (`quiet`)
    if body.state is ConnectorState.AVAILABLE:
        session.available = True
        close_after(state, session, at_ms, rebooted=state.boots(body.charger) > session.boot)
    else:
        session.closing_ms = 0


def close_after(state: SiteState, session: Session, at_ms: int, *, rebooted: bool = False) -> None:
    """Start the missing-stop timer, or start it anew."""
    session.closing_ms = at_ms + (AFTER_BOOT_MS if rebooted else AFTER_AVAILABLE_MS)
    state.arm(session.closing_ms)


def contact(state: SiteState, station: Station, at_ms: int) -> None:
    """The charger came or went: silence counts from here, and the short timers stop."""
    for session in station.sessions.values():
        if not session.ended:
            session.heard_ms, session.closing_ms = at_ms, 0
            state.arm(at_ms + SILENCE_MS)

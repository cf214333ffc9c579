"""The view: a site's state as people see it, a pure reduction of its facts.

The edge's core keeps one inside its own state, the cloud keeps a copy for each site, the client keeps what it
may see; all three apply the same facts with the same function, so there is one place where a fact's meaning
for the screen is written. `apply` changes the view in place (it is on the path of every message).
Snapshots are filtered per principal by `common.policy`.
"""

from __future__ import annotations

from collections.abc import Callable

from common import facts, limits, progress, tuning
from common.domain import ConnectorState, EnergyMethod, MeterSample, Phase
from common.shown import ChargerView as ChargerView
from common.shown import CommandView as CommandView
from common.shown import ConnectorView as ConnectorView
from common.shown import RefusedTagView as RefusedTagView
from common.shown import SessionView as SessionView
from common.shown import TapView as TapView
from common.shown import View as View

#: Settled commands kept for followers that were away for a moment. More live in the journal.
SETTLED_COMMANDS_MAX = 64
#: Tags that were shown lately and are nobody's.
TAPS_MAX = 16
#: Ended sessions kept in the view for each charger; history is a query.
ENDED_SESSIONS_MAX = 4


def apply(view: View, fact: facts.Fact) -> View:
    """Bring `view` up to `fact`. Unknown kinds only advance the position. Returns the same object."""
    view.epoch, view.seq, view.at = fact.epoch, fact.seq, fact.at
    reduce_one = _REDUCERS.get(type(fact.body))
    if reduce_one is not None:
        reduce_one(view, fact, fact.body)
    return view


def charger(view: View, charger_id: str) -> ChargerView:
    """The charger's entry, made if it is new."""
    known = view.chargers.get(charger_id)
    if known is None:
        known = view.chargers[charger_id] = ChargerView(charger_id)
    return known


def connector(view: View, charger_id: str, evse: int, connector_id: int = 1) -> ConnectorView:
    """The connector's entry, made if it is new."""
    connectors = charger(view, charger_id).connectors
    known = connectors.get(evse)
    if known is None:
        known = connectors[evse] = ConnectorView(evse, connector_id)
    return known


def spelling(view: View, charger_id: str) -> str:
    """The id as this site spells it, found in any case; as given if there is none."""
    known = view.chargers
    if charger_id in known and known[charger_id].adopted:
        return charger_id
    folded = charger_id.casefold()
    alike = [entry for entry in known.values() if entry.id.casefold() == folded]
    return next((e.id for e in alike if e.adopted), alike[0].id if alike else charger_id)


def open_session(view: View, charger_id: str, evse: int) -> SessionView | None:
    """The open session on a connector, if there is one."""
    known = view.chargers.get(charger_id)
    place = known.connectors.get(evse) if known else None
    return view.sessions.get(place.session) if place and place.session else None


def _seen(view: View, fact: facts.Fact, body: facts.ChargerSeen) -> None:
    entry = charger(view, body.charger)
    entry.adopted = body.adopted
    entry.address = body.address
    if body.adopted:
        entry.online, entry.since, entry.protocol, entry.lost_reason = True, fact.at, body.protocol, ""


def _adopted(view: View, fact: facts.Fact, body: facts.ChargerAdopted) -> None:
    if body.removed:
        view.chargers.pop(body.charger, None)
        return
    entry = charger(view, body.charger)
    entry.adopted = True
    entry.name = body.name or entry.name


def _booted(view: View, fact: facts.Fact, body: facts.ChargerBooted) -> None:
    entry = charger(view, body.charger)
    # A charger that boots without saying what it is has not become nobody.
    entry.vendor, entry.model = body.vendor or entry.vendor, body.model or entry.model
    if body.firmware not in ("", entry.firmware):
        entry.update = ""
    entry.serial, entry.firmware = body.serial or entry.serial, body.firmware or entry.firmware
    entry.boots += 1
    entry.reboot_required, entry.limit = False, limits.forgotten(entry.limit)
    for place in entry.connectors.values():
        place.limit = limits.forgotten(place.limit)
        place.session_limit = limits.forgotten(place.session_limit)


def _updated(view: View, fact: facts.Fact, body: facts.FirmwareChanged) -> None:
    charger(view, body.charger).update = "" if body.status == "installed" else body.status


def _lost(view: View, fact: facts.Fact, body: facts.ChargerLost) -> None:
    entry = charger(view, body.charger)
    entry.online, entry.since, entry.lost_reason = False, fact.at, body.reason
    for place in entry.connectors.values():
        place.stale, place.observed = True, None


def _changed(view: View, fact: facts.Fact, body: facts.ConnectorChanged) -> None:
    if body.evse == 0:
        charger(view, body.charger).station = body.state
        return
    place = connector(view, body.charger, body.evse, body.connector)
    stepped = place.state is not body.state
    if stepped:
        place.since = fact.at
    place.unattributed = body.unattributed or (place.unattributed and not stepped and body.via != "epoch")
    place.state, place.plug, place.observed = body.state, body.plug, body.observed
    place.error_code, place.info = body.error_code, body.info
    place.stale = body.via == "epoch"
    session = view.sessions.get(place.session) if place.session else None
    if session is not None and not session.ended_at and body.state is not ConnectorState.CHARGING:
        _still(session)


#: States in which nothing flows, whatever a meter says.
_STILL = frozenset({ConnectorState.SUSPENDED_EV, ConnectorState.SUSPENDED_EVSE, ConnectorState.FINISHING})


def _still(session: SessionView) -> None:
    """Power that a meter last reported is not power that flows now (quirk 76)."""
    if session.power_w:
        session.power_w = 0.0
        session.current_a = None


def _started(view: View, fact: facts.Fact, body: facts.SessionStarted) -> None:
    view.sessions[body.session] = SessionView(
        session=body.session,
        charger=body.charger,
        evse=body.evse,
        connector=body.connector,
        transaction=body.transaction,
        principal=body.principal,
        command=body.command,
        started_at=body.started_at,
        received_at=body.received_at,
        authorization=body.authorization,
        meter_start_wh=body.meter_start_wh,
        flags=body.flags,
    )
    if body.principal is not None and body.authorization == "accepted":
        view.refused_tags.pop(body.principal, None)
    if body.evse and not body.history:
        place = connector(view, body.charger, body.evse, body.connector)
        place.session, place.unattributed = body.session, False
    _forget_old_sessions(view, body.charger)


def _learned(view: View, fact: facts.Fact, body: facts.SessionLearned) -> None:
    session = view.sessions.get(body.session)
    if session is None:
        return
    for name, value in progress.told(body).items():
        if name != "tag_ref":
            setattr(session, name, value)
    if body.evse and not session.ended_at:
        _leave(view, session)
        connector(view, body.charger, body.evse, session.connector).session = body.session


def _event(view: View, fact: facts.Fact, body: facts.SessionEvent) -> None:
    session = view.sessions.get(body.session)
    if session is None or body.phase is None:
        return
    session.phase = body.phase
    if body.phase is not Phase.CHARGING:
        _still(session)


def _leave(view: View, session: SessionView) -> None:
    """No connector has this session any more."""
    for place in charger(view, session.charger).connectors.values():
        if place.session == session.session:
            place.session = None


def _forget_old_sessions(view: View, charger_id: str) -> None:
    ended = [s for s in view.sessions.values() if s.charger == charger_id and s.ended_at]
    for old in ended[: max(0, len(ended) - ENDED_SESSIONS_MAX)]:
        del view.sessions[old.session]


def _sampled(view: View, fact: facts.Fact, body: facts.MeterSampled) -> None:
    session = view.sessions.get(body.session) if body.session else None
    if session is None or session.ended_at or body.late:
        return
    session.heard_at = fact.at
    for sample in body.samples:
        # Batches come out of order or hours old (quirk 77): only a newer sample touches live figures.
        if sample.at is not None and sample.at < session.sampled_at:
            continue
        _show(session, sample)
    place = charger(view, session.charger).connectors.get(session.evse)
    if place is not None and place.session == session.session and place.state in _STILL:
        _still(session)  # some meters go on telling the last power (quirk 76)


def _show(session: SessionView, sample: MeterSample) -> None:
    session.sampled_at = sample.at or session.sampled_at
    # Inlet and body are the charger's own side of the socket (quirk 79): never a session's energy.
    outlet = sample.location in ("outlet", "cable")
    if sample.energy_wh is not None and session.meter_start_wh is not None and outlet:
        session.energy_wh = max(0.0, sample.energy_wh - session.meter_start_wh)
        session.method = EnergyMethod.SAMPLES
    if sample.power_w is not None:
        session.power_w = sample.power_w
    if sample.current_a is not None:
        session.current_a = sample.current_a
    if sample.soc_percent is not None:
        session.soc_percent = sample.soc_percent


def _ended(view: View, fact: facts.Fact, body: facts.SessionEnded) -> None:
    session = view.sessions.get(body.session)
    if body.evse:
        place = connector(view, body.charger, body.evse, body.connector)
        if place.session == body.session:
            place.session = place.session_limit = None
    if session is None:
        return
    session.ended_at, session.reason = body.ended_at, body.reason
    session.meter_stop_wh, session.energy_wh, session.method = body.meter_stop_wh, body.energy_wh, body.method
    session.provisional, session.obtained = body.provisional, body.obtained
    session.power_w, session.current_a = None, None
    session.flags = tuple(dict.fromkeys(session.flags + body.flags))


def _revised(view: View, fact: facts.Fact, body: facts.SessionRevised) -> None:
    session = view.sessions.get(body.session)
    if session is None:
        return
    session.revision = body.revision
    session.provisional = False
    session.ended_at = body.ended_at or session.ended_at
    session.meter_stop_wh = body.meter_stop_wh if body.meter_stop_wh is not None else session.meter_stop_wh
    session.energy_wh, session.method, session.obtained = body.energy_wh, body.method, body.obtained
    session.principal = session.principal or body.principal
    session.flags = tuple(dict.fromkeys(session.flags + body.flags))


def _accepted(view: View, fact: facts.Fact, body: facts.CommandAccepted) -> None:
    view.commands[body.command] = CommandView(
        command=body.command,
        name=body.name,
        charger=body.charger,
        principal=body.principal,
        session=body.session,
        evse=body.evse,
        operative=operative if isinstance(operative := body.args.get("operative"), bool) else None,
    )


def _sent(view: View, fact: facts.Fact, body: facts.CommandSent) -> None:
    known = view.commands.get(body.command)
    if known is not None:
        known.state = "sent"


def _confirmed(view: View, fact: facts.Fact, body: facts.CommandConfirmed) -> None:
    known = view.commands.get(body.command)
    if known is not None:
        known.state, known.answer = "confirmed", body.answer


def _settled(view: View, fact: facts.Fact, body: facts.CommandSettled) -> None:
    known = view.commands.get(body.command)
    if known is None:
        return  # a refusal: nothing was on its way
    known.state, known.outcome, known.code = "settled", body.outcome, body.code
    known.session = body.session or known.session
    if known.operative is not None and known.outcome == "succeeded":
        for evse, place in charger(view, known.charger).connectors.items():
            if known.evse in (None, evse):
                place.out_of_service = not known.operative
    settled = [c for c in view.commands.values() if c.state == "settled"]
    for old in settled[: max(0, len(settled) - SETTLED_COMMANDS_MAX)]:
        del view.commands[old.command]


def _limit_wanted(view: View, fact: facts.Fact, body: tuning.LimitWanted) -> None:
    wanted = charger(view, body.charger).wanted
    wanted.revision = max(wanted.revision, body.revision)
    if body.rank == "installer":
        wanted.safety_a = body.limit_a
    elif body.rank == "operator":
        wanted.policy_a.pop(body.evse, None)
        if body.limit_a is not None:
            wanted.policy_a[body.evse] = body.limit_a


def _limit_applied(view: View, fact: facts.Fact, body: tuning.LimitApplied) -> None:
    if body.evse == 0:
        entry = charger(view, body.charger)
        entry.limit = limits.after(entry.limit, body)
        return
    place = connector(view, body.charger, body.evse)
    if body.scope == "session":
        # A charge's own, for whoever sees that charge: its end, which clears it, is told to nobody else.
        if place.session is not None:
            place.session_limit = limits.after(place.session_limit, body)
    else:
        place.limit = limits.after(place.limit, body)


def _authorization(view: View, fact: facts.Fact, body: facts.AuthorizationChanged) -> None:
    if body.change == "unknown_tag":
        view.taps.pop(body.tag_ref, None)
        view.taps[body.tag_ref] = TapView(body.charger, fact.at)
        if len(view.taps) > TAPS_MAX:
            del view.taps[next(iter(view.taps))]
    elif body.change == "tag_assigned":
        view.taps.pop(body.tag_ref, None)
    elif body.change == "tag_refused" and body.principal is not None:
        view.refused_tags.pop(body.principal, None)
        view.refused_tags[body.principal] = RefusedTagView(body.charger, fact.at, body.because)
        if len(view.refused_tags) > TAPS_MAX:
            del view.refused_tags[next(iter(view.refused_tags))]


def _reserved(view: View, fact: facts.Fact, body: tuning.ReservationChanged) -> None:
    place = connector(view, body.charger, body.evse, body.connector)
    made = body.state == "made"
    place.reserved_by, place.reserved_until = (body.command, body.until) if made else ("", "")


def _configured(view: View, fact: facts.Fact, body: tuning.ChargerConfigured) -> None:
    if body.answer == "reboot_required":
        charger(view, body.charger).reboot_required = True


def _secured(view: View, fact: facts.Fact, body: facts.ChargerSecured) -> None:
    charger(view, body.charger).profile = body.profile


_REDUCERS: dict[type[facts.Body], Callable[..., None]] = {
    facts.ChargerSeen: _seen,
    facts.ChargerAdopted: _adopted,
    facts.ChargerBooted: _booted,
    facts.ChargerLost: _lost,
    facts.FirmwareChanged: _updated,
    facts.ConnectorChanged: _changed,
    facts.SessionStarted: _started,
    facts.SessionEvent: _event,
    facts.SessionLearned: _learned,
    facts.MeterSampled: _sampled,
    facts.SessionEnded: _ended,
    facts.SessionRevised: _revised,
    facts.CommandAccepted: _accepted,
    facts.CommandSent: _sent,
    facts.CommandConfirmed: _confirmed,
    facts.CommandSettled: _settled,
    tuning.LimitWanted: _limit_wanted,
    tuning.LimitApplied: _limit_applied,
    tuning.ChargerConfigured: _configured,
    tuning.ReservationChanged: _reserved,
    facts.AuthorizationChanged: _authorization,
    facts.ChargerSecured: _secured,
}

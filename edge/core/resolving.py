"""An operator decides on what is flagged: sessions that are over, and orphans.

    Resolve ──▶ judge (what is there, compare-and-set by revision) ──▶ session_revised | orphan_resolved

A decision adds a revision and takes nothing away: what the charger told stays in the facts before it, and so
does every earlier decision. It says `obtained="operator"` and why. Only sessions that are over can be decided
on: while one is open its charger may still tell the truth. After a decision the charger's own stop, should it
come, is a conflict for a person and overrides nobody.
"""

from __future__ import annotations

from typing import Final

from common import commands, facts, review
from common.domain import EnergyMethod
from common.errors import Code, Refused
from edge.core import inputs, meter
from edge.core.inputs import Known
from edge.core.state import UNDECIDED_MAX, Draft, Orphan, SiteState

#: A reason for people, in characters; and the fewest that can be one.
REASON_MAX: Final = 300
#: A pseudonym is shorter; the bound keeps what is none out of the ledger.
PRINCIPAL_MAX: Final = 64


def judge(state: SiteState, given: inputs.CommandReceived, args: commands.Resolve) -> None:
    """Whether this can be decided so. Raises Refused."""
    _well_formed(args)
    if args.orphan and _orphan(state, given, args) is None:
        raise Refused(Code.UNKNOWN_ORPHAN)
    if not args.session:
        return
    session = _session(state, given, args)
    if session is None:
        raise Refused(Code.UNKNOWN_SESSION)
    if not session.ended:
        raise Refused(Code.SESSION_OPEN)
    if args.revision != session.revision:
        raise Refused(Code.CHANGED_MEANWHILE, f"it is at revision {session.revision}")
    _decided(state, given, args, session)


def decide(state: SiteState, draft: Draft, given: inputs.CommandReceived, args: commands.Resolve) -> None:
    """Add the facts of a decision that was judged."""
    if args.session:
        session = _session(state, given, args)
        assert session is not None, "judged before"
        draft.facts.append(_decided(state, given, args, session))
    if args.orphan:
        kinds = {"accept": review.ACCEPTED, "attach": review.ATTACHED, "dismiss": review.DISMISSED}
        draft.facts.append(
            facts.OrphanResolved(
                charger=given.target.charger,
                orphan=args.orphan,
                decision=kinds[args.decision],
                session=args.session or None,
                command=given.id,
                reason=_reason(args),
            )
        )


def _well_formed(args: commands.Resolve) -> None:
    if not _reason(args) or len(args.reason) > REASON_MAX or not args.reason.isprintable():
        raise Refused(Code.BAD_REQUEST, f"say why, in {REASON_MAX} printable characters at most")
    if not args.session and not args.orphan:
        raise Refused(Code.BAD_REQUEST, "name a session or an orphan")
    if (args.decision == "set") != (args.energy_wh is not None):
        raise Refused(Code.BAD_REQUEST, "`set` needs an energy, and nothing else does")
    if args.energy_wh is not None and not 0 <= args.energy_wh <= meter.PLAUSIBLE_WH:
        raise Refused(Code.BAD_REQUEST, f"an energy is 0 to {meter.PLAUSIBLE_WH:.0f} Wh")
    if len(args.principal) > PRINCIPAL_MAX or not args.principal.isprintable():
        raise Refused(Code.BAD_REQUEST, "that is no principal")
    if args.orphan:
        if args.decision == "set" or args.principal or (args.decision == "attach") != bool(args.session):
            raise Refused(
                Code.BAD_REQUEST, "an orphan is accepted, dismissed, or attached to a session that is named"
            )
    elif (args.decision == "attach") != bool(args.principal):
        raise Refused(Code.BAD_REQUEST, "`attach` needs the principal whose session it is")


def _reason(args: commands.Resolve) -> str:
    return args.reason.strip()


def _session(state: SiteState, given: inputs.CommandReceived, args: commands.Resolve) -> Known | None:
    """The session as the journal has it; one of another charger is not there."""
    known = given.known
    if known is None or known.session != args.session or known.charger != given.target.charger:
        return None
    return known


def _orphan(state: SiteState, given: inputs.CommandReceived, args: commands.Resolve) -> Orphan | None:
    waiting = state.look(given.target.charger).undecided
    if args.orphan in waiting:
        return waiting[args.orphan]
    told = given.orphan
    if told is None or told.orphan != args.orphan or told.charger != given.target.charger:
        return None
    return orphan_of(told)


def orphan_of(body: facts.OrphanRecorded) -> Orphan:
    """What is remembered of an orphan."""
    return Orphan(what=body.what, evse=body.evse, at=body.at, meter_wh=body.meter_wh)


def _decided(
    state: SiteState, given: inputs.CommandReceived, args: commands.Resolve, session: Known
) -> facts.SessionRevised:
    """The revision that a decision makes. Raises Refused where it does not fit."""
    energy_wh, method, principal = session.energy_wh, session.method, session.principal
    ended_at: str | None = None
    meter_stop_wh: float | None = None
    kind = {"accept": review.ACCEPTED, "set": review.SET, "attach": review.ATTACHED}.get(
        args.decision, review.DISMISSED
    )
    match args.decision:
        case "set":
            energy_wh, method = args.energy_wh, EnergyMethod.STATED
        case "dismiss":
            energy_wh, method = None, EnergyMethod.UNKNOWN
        case "attach" if args.orphan:
            orphan = _orphan(state, given, args)
            assert orphan is not None, "judged before"
            ended_at, meter_stop_wh = orphan.at or None, orphan.meter_wh
            energy = meter.energy(session.meter_start_wh, meter_stop_wh, meter.Registers())
            if orphan.what == "stop" and energy.energy_wh is not None:
                energy_wh, method = energy.energy_wh, energy.method
            else:  # kept beside the session, whose own values stand
                ended_at = meter_stop_wh = None
        case "attach":
            if session.principal is not None:
                raise Refused(Code.NOTHING_TO_DECIDE, "the session belongs to somebody already")
            principal = args.principal
    if args.decision != "dismiss" and energy_wh is None:
        raise Refused(Code.NOTHING_TO_DECIDE, "the session has no energy yet: set one")
    return facts.SessionRevised(
        session=session.session,
        charger=session.charger,
        principal=principal,
        revision=session.revision + 1,
        ended_at=ended_at,
        meter_stop_wh=meter_stop_wh,
        energy_wh=energy_wh,
        method=method,
        obtained="operator",
        command=given.id,
        reason=_reason(args),
        flags=(review.RESOLVED[kind],),
    )


# --- applying ----------------------------------------------------------------------------------------------


def recorded(state: SiteState, body: facts.OrphanRecorded) -> None:
    """Remember an orphan until it is decided on."""
    undecided = state.station(body.charger).undecided
    undecided[body.orphan] = orphan_of(body)
    if len(undecided) > UNDECIDED_MAX:
        del undecided[next(iter(undecided))]


def resolved(state: SiteState, body: facts.OrphanResolved, at_ms: int) -> None:
    """It was decided on."""
    state.station(body.charger).undecided.pop(body.orphan, None)

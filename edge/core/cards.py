"""A card whose owner has caps: held to them as a start from the app is (`allowance`).

    shown at a charger   refused where no charge may begin now, unless it is to end one; its owner is told
    a start with it      recorded whatever it is (quirk 51). One that may not be is answered so, and stopped;
                         one that may takes along how much energy is left

The caps are those of the newest grant of its owner that this box has seen. A charger that starts by its own
list while the box is away is held to what is left once it tells. Pure.
"""

from __future__ import annotations

import msgspec

from common.caps import Caps, left_wh, may_begin
from common.errors import Code, Refused
from edge.core import allowance, authorization, clocks, identity, inputs
from edge.core.authorization import Verdict
from edge.core.state import SiteState


def asked(state: SiteState, given: inputs.AuthorizeAsked, now_ms: int) -> inputs.Decision:
    """A tag was shown. One that nobody knows is told to operators, so that they can assign it."""
    verdict = authorization.judge(state, given.charger, given.tag_ref, given.minted)
    if not _ends_one(state, given.charger, verdict):
        verdict = _held(state, given.charger, 0, verdict, now_ms, now_ms)
    told = authorization.told(state, given.charger, given.tag_ref, verdict, now_ms)
    return inputs.Decision(facts=told, reply=inputs.AuthorizeReply(verdict.status))


def judge(
    state: SiteState,
    charger: str,
    evse: int,
    tag_ref: str | None,
    minted: str,
    started_ms: int | None,
    now_ms: int,
) -> Verdict:
    """The verdict on the tag of a start. evse: 0 = not told. started_ms: by the charger's clock."""
    station = state.look(charger)
    verdict = authorization.judge(state, charger, tag_ref, minted)
    if verdict.command is not None:
        known = next((one for one in station.minted.values() if one.command == verdict.command), None)
        return msgspec.structs.replace(verdict, cap_wh=known.cap_wh if known is not None else None)
    at_ms = clocks.ours(station, started_ms)
    if at_ms is None or not identity.believable(at_ms, now_ms, unsure=state.unsure):
        at_ms = now_ms
    return _held(state, charger, evse, verdict, at_ms, now_ms)


def _held(state: SiteState, charger: str, evse: int, verdict: Verdict, at_ms: int, now_ms: int) -> Verdict:
    """The verdict under its owner's caps: hours by when it began, counts by the present period."""
    principal = verdict.principal
    known = state.caps.get(principal) if principal is not None else None
    if verdict.status != "accepted" or verdict.command is not None or known is None or known.caps is None:
        return verdict
    assert principal is not None
    caps, had = known.caps, allowance.had(state, principal, known.caps, now_ms)
    try:
        if evse:
            may_begin(caps, charger, evse, had, at_ms)
        else:
            _may_be_here(caps, charger)
            may_begin(msgspec.structs.replace(caps, connectors=None), charger, evse, had, at_ms)
    except Refused as no:
        return Verdict("blocked", principal, cap_wh=0, because=no.detail)
    return msgspec.structs.replace(verdict, cap_wh=left_wh(caps, had))


def _may_be_here(caps: Caps, charger: str) -> None:
    """A tag is shown to a charger, not to one of its connectors: one of them has to be among those agreed."""
    places = caps.connectors
    if places is not None and charger not in {place.rpartition("/")[0] for place in places}:
        raise Refused(Code.NOT_PERMITTED, f"yours are {', '.join(places) or 'none'}")


def _ends_one(state: SiteState, charger: str, verdict: Verdict) -> bool:
    """Whether its owner charges here: chargers ask before they end a charge by a card, too."""
    sessions = state.look(charger).sessions.values()
    return any(not one.ended and one.principal == verdict.principal is not None for one in sessions)

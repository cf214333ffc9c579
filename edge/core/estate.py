"""What a new box takes over from the one before it: chargers with their security profiles, limits and traits,
open sessions, and the counts of caps.

The cloud keeps the records of the box that is gone; a box that has nothing yet, or was restored from a
backup, is given those that the site goes on with. It writes them down as its own facts, so that the charger's
StopTransaction, with the id that the old box gave, finds its session: one session, whatever became of the
box. What this box knows already it knows better, and leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from common import facts
from common.caps import Charge
from common.carried import CHARGES_MAX
from common.facts import Body, Fact
from common.tuning import LimitWanted, OfflinePolicyChanged, TraitsChanged
from edge.core import securing, sessions, unattributed
from edge.core.limits import MAXIMUM_A
from edge.core.state import Draft, SiteState
from edge.core.traits import merged

#: Marks a session that another box had opened.
CARRIED = "carried"


def vacant(state: SiteState) -> bool:
    """Whether a box has nothing of a site's own: it may become another site's."""
    adopted = any(charger.adopted for charger in state.view.chargers.values())
    return not (adopted or state.view.sessions)


def taken_over(state: SiteState, records: Iterable[Fact], known: Callable[[str], bool]) -> Iterator[Body]:
    """The facts to write, each to be applied before the next is asked for.

    records: what the cloud gave, the oldest first. known: whether the journal has this session.
    """
    ours: set[str] = set()
    decided: list[Decided] = []
    for record in records:
        body = record.body
        match body:
            case LimitWanted() | TraitsChanged() | OfflinePolicyChanged():
                if _news(state, body):
                    decided.append(body)
            case facts.ChargerAdopted() if not body.removed:
                if not _adopted(state, body.charger):
                    yield msgspec.structs.replace(body, since=body.since or record.at)
            case facts.ChargerSecured() if body.profile > state.look(body.charger).security.profile:
                # Never less than before; the passwords come back with the recovery key.
                yield facts.ChargerSecured(charger=body.charger, change="set", profile=body.profile)
            case facts.SessionStarted() if not known(body.session):
                ours.add(body.session)
                yield from _carried(state, body)
            case facts.SessionStarted():
                pass
            case _ if getattr(body, "session", None) in ours:
                yield body
    # Behind the sessions: a limit reaches those that ran before it (`limits.wanted_in`). Which ones are news
    # was judged above, since the first of a charger moves its revision.
    for body in decided:
        if isinstance(body, OfflinePolicyChanged) or _adopted(state, body.charger):
            yield body


def _adopted(state: SiteState, charger: str) -> bool:
    entry = state.view.chargers.get(charger)
    return entry is not None and entry.adopted


Decided = LimitWanted | TraitsChanged | OfflinePolicyChanged


def _news(state: SiteState, body: Decided) -> bool:
    """Whether this box lacks a decision. Of limits a later revision is from after its copy was made.

    A cloud chooses what it hands over, and an installer's limit is the floor that no cloud raises: one that
    stands here only ever falls.
    """
    if isinstance(body, OfflinePolicyChanged):
        return not state.offline_revision
    tuning = state.look(body.charger).tuning
    if isinstance(body, TraitsChanged):
        return body.source == "installer" and not tuning.revision and _fits(body)
    if body.rank not in ("installer", "operator") or not 0 <= (body.limit_a or 0.0) <= MAXIMUM_A:
        return False
    stands_a = tuning.limits.safety_a if body.rank == "installer" else None
    falls = stands_a is None or (body.limit_a is not None and body.limit_a < stands_a)
    return falls and body.revision > tuning.limits.revision


def _fits(body: TraitsChanged) -> bool:
    try:
        traits = merged(body.traits)
    except msgspec.ValidationError:
        return False  # of another version, or made up: applied it would end the box at each start
    return not any(securing.protected(key) for key in traits.settings)


def counted(state: SiteState, charges: Mapping[str, Sequence[Charge]]) -> Iterator[Body]:
    """The facts that bring what was counted for caps: of charges that are over and not known here."""
    for principal, told in charges.items():
        known = state.taken.get(principal, {})
        news = [charge for charge in told if charge.session not in known]
        for first in range(0, len(news), CHARGES_MAX):
            piece = tuple(news[first : first + CHARGES_MAX])
            yield facts.AllowanceCarried(principal=principal, charges=piece)


def _carried(state: SiteState, body: facts.SessionStarted) -> Iterator[Body]:
    """The start as this box remembers it: its own count of boots; a connector that is in use stays so, but by
    what the charger told of this very session before anybody knew it here (`unattributed`)."""
    station = state.look(body.charger)
    stray = sessions.by_transaction(station, body.transaction)
    if stray is not None and (stray.ended or stray.authorization != unattributed.AUTHORIZATION):
        stray = None
    if stray is not None:
        draft = Draft()
        sessions.supersede(state, draft, body.charger, stray, stray.heard_ms)
        yield from draft.facts
    yield msgspec.structs.replace(
        body,
        boot=state.boots(body.charger),
        supersedes=stray.id if stray is not None else None,
        history=body.history or station.open_on(body.evse) is not None,
        flags=tuple(dict.fromkeys((*body.flags, CARRIED))),
    )

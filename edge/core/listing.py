"""The local list: which tags a charger may start on while the box is away, brought to it and verified.

    boot, tags or policy changed ─▶ read its version ─▶ the same: done
                    send the list, whole ◀──────────────────┘
                    └─▶ read again ─▶ verified | unproven

Only under the policy `listed`. A list's version follows from what is in it, so the same number means the
same list, also after the box was replaced. One call is out at a time and carries its procedure with it. It
ends by itself: whatever came of a version is not tried again before the next boot. One that the tags changed
under is left off at its next answer, or its last piece would bring back what was withdrawn. 0 and −1 are no
versions (quirk 94). Tags leave by their reference; the dialect alone puts the raw tag in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from common.ports import Ids
from common.tuning import OfflinePolicyChanged, TagsListed
from edge.core import configuration, inputs, models
from edge.core.state import Draft, SiteState, Station
from edge.core.tuning import OfflinePolicy

#: After the settings of a boot have begun; the list is read behind them.
AFTER_BOOT_MS: Final = 20_000
#: Tags in one message where the charger does not say how many it takes: 4 KiB.
SEND_MAX: Final = 50
#: The most that is listed anywhere: of what a charger says it takes beyond, nobody knows what it does.
LIST_MAX: Final = 5_000

STRICT, LISTED = "strict", "listed"
#: What came of a list that was on its way when other tags became the good ones.
OVERTAKEN: Final = "overtaken"
#: What each policy means to a charger. Under neither a tag is accepted because nobody has said otherwise.
POLICIES: Final = {
    STRICT: OfflinePolicy(
        local_list=False,
        local_preauthorize=False,
        authorize_offline=False,
        stop_on_invalid=True,
        allow_unknown_offline=False,
    ),
    LISTED: OfflinePolicy(
        local_list=True,
        local_preauthorize=False,
        authorize_offline=True,
        stop_on_invalid=True,
        allow_unknown_offline=False,
    ),
}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One procedure on its way. `step`: read | send | verify."""

    boots: int
    version: int
    refs: tuple[str, ...]
    of: int  #: tags that are good here, of which `refs` are those that fit
    step: str = "read"
    sent: int = 0


# --- what is wanted ----------------------------------------------------------------------------------------


def listed(state: SiteState, charger: str) -> tuple[str, ...]:
    """The references of all tags that are good at this charger, in a steady order."""
    if not state.offline.local_list:
        return ()
    good = (ref for ref, tag in state.tags.items() if tag.chargers is None or charger in tag.chargers)
    return tuple(sorted(good))


def version_of(refs: tuple[str, ...]) -> int:
    """The number of a list with these tags: positive, and the same for the same tags."""
    digest = blake2b(",".join(refs).encode(), digest_size=4).digest()
    return int.from_bytes(digest) & 0x7FFFFFFF or 1


def _fitting(state: SiteState, charger: str) -> tuple[tuple[str, ...], int]:
    refs = listed(state, charger)
    most = models.of(state, charger).list_max or LIST_MAX
    return refs[: min(most, LIST_MAX)], len(refs)


def _wanting(state: SiteState, charger: str, station: Station) -> Delivery | None:
    """What is to be brought to a charger; None: nothing, or it was tried in this boot."""
    refs, of = _fitting(state, charger)
    known = station.tuning.listing
    version = version_of(refs)
    if not state.offline.local_list and not known.entries:
        return None  # nothing of ours is there
    if known.tried == version and known.boots == state.boots(charger):
        return None
    return Delivery(boots=state.boots(charger), version=version, refs=refs, of=of)


# --- the procedure -----------------------------------------------------------------------------------------


def due(state: SiteState, draft: Draft, now_ms: int, ids: Ids) -> None:
    """Begin where it is time to: in (seen, now], as questions are."""
    for charger, station in state.stations.items():
        if state.seen_ms < station.tuning.listing.due_ms <= now_ms and _may(station):
            delivery = _wanting(state, charger, station)
            if delivery is not None:
                _ask(draft, charger, delivery, inputs.ReadTagVersion(), now_ms, ids)


def timers(state: SiteState, station: Station) -> Iterator[int]:
    """When a procedure should begin."""
    due_ms = station.tuning.listing.due_ms
    if due_ms > state.seen_ms and station.online:
        yield due_ms


def _may(station: Station) -> bool:
    return station.online and all(session.ended for session in station.sessions.values())


def _ask(
    draft: Draft, charger: str, delivery: Delivery, action: inputs.Action, now_ms: int, ids: Ids
) -> None:
    draft.requests.append(
        inputs.Request(
            id=ids.uid(),
            charger=charger,
            action=action,
            priority=inputs.PRIORITY_HOUSEKEEPING,
            expires_ms=now_ms + configuration.CALL_LIFE_MS,
            context=delivery,
        )
    )


def answered(
    state: SiteState, given: inputs.CallEnded, delivery: Delivery, now_ms: int, ids: Ids
) -> inputs.Decision:
    """A call of the procedure came to its end: the next one, or what came of it."""
    station, draft = state.look(given.charger), Draft()
    if given.answer in ("not_sent", "lost") or delivery.boots != state.boots(given.charger):
        return inputs.NOTHING  # a car came, or the link went: whatever comes next begins it anew
    good = listed(state, given.charger)
    if (delivery.refs, delivery.of) != (good[: len(delivery.refs)], len(good)):
        return _over(draft, given.charger, delivery, OVERTAKEN)  # no piece of it may come behind the new list
    if given.answer == "timeout":
        return _over(draft, given.charger, delivery, "unanswered")
    if delivery.step == "send":
        if given.answer != "accepted":
            no = "not_supported" if given.answer == "not_supported" else "refused"
            return _over(draft, given.charger, delivery, no)
        if delivery.sent < len(delivery.refs):
            return _send(state, draft, given.charger, delivery, now_ms, ids)
        after = msgspec.structs.replace(delivery, step="verify")
        _ask(draft, given.charger, after, inputs.ReadTagVersion(), now_ms, ids)
        return draft.decision()
    told = given.result.get("version") if given.answer == "accepted" else None
    if not isinstance(told, int) or told < 0:
        return _over(draft, given.charger, delivery, "not_supported")
    if told == delivery.version:
        return _over(draft, given.charger, delivery, "verified")
    if delivery.step == "verify":
        return _over(draft, given.charger, delivery, "unproven")
    if not _may(station):
        return inputs.NOTHING
    return _send(state, draft, given.charger, delivery, now_ms, ids)


def _send(
    state: SiteState, draft: Draft, charger: str, delivery: Delivery, now_ms: int, ids: Ids
) -> inputs.Decision:
    """The next piece: the first replaces what was there, the others add to it."""
    most = models.of(state, charger).list_send_max or SEND_MAX
    piece = delivery.refs[delivery.sent : delivery.sent + most]
    sent = delivery.sent + len(piece)
    left = -(-(len(delivery.refs) - sent) // most)
    action = inputs.SendTags(max(1, delivery.version - left), piece, whole=delivery.sent == 0)
    after = msgspec.structs.replace(delivery, step="send", sent=sent)
    _ask(draft, charger, after, action, now_ms, ids)
    return draft.decision()


def _over(draft: Draft, charger: str, delivery: Delivery, answer: str) -> inputs.Decision:
    draft.facts.append(
        TagsListed(
            charger=charger,
            version=delivery.version,
            entries=len(delivery.refs),
            of=delivery.of,
            answer=answer,
        )
    )
    return draft.decision()


# --- applying ----------------------------------------------------------------------------------------------


def delivered(state: SiteState, body: TagsListed, at_ms: int) -> None:
    known = state.station(body.charger).tuning.listing
    known.tried, known.boots, known.answer = body.version, state.boots(body.charger), body.answer
    if body.answer in ("verified", "unproven"):
        known.entries = body.entries
    elif body.answer == OVERTAKEN:
        # Any of it may be there. What is good now may be what was tried before, so it is looked at once more.
        known.entries = max(known.entries, body.entries)
        arm(state, state.station(body.charger), at_ms + AFTER_BOOT_MS)


def policy_changed(state: SiteState, body: OfflinePolicyChanged, at_ms: int) -> None:
    state.offline = POLICIES.get(body.policy, POLICIES[STRICT])
    state.offline_policy, state.offline_revision = body.policy, body.revision
    for station in state.stations.values():
        configuration.again(state, station, at_ms)
    tags_changed(state, at_ms)


def tags_changed(state: SiteState, at_ms: int) -> None:
    """Who may charge has changed: soon, and once for all that changes now."""
    for station in state.stations.values():
        arm(state, station, at_ms + configuration.AFTER_CHANGE_MS)


def came(state: SiteState, station: Station, at_ms: int) -> None:
    """A charger is there, or booted: its list is looked at behind its settings."""
    arm(state, station, max(station.tuning.setup.due_ms, at_ms) + AFTER_BOOT_MS)


def arm(state: SiteState, station: Station, due_ms: int) -> None:
    station.tuning.listing.due_ms = due_ms
    state.arm(due_ms)

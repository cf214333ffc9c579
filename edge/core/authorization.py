"""Who a tag stands for: a start of the app's (minted tag), a card that an operator assigned, or nobody.
What its owner's caps say of it is in `cards`.

Nothing is ever accepted because nothing was configured. A session of somebody unknown is recorded all the
same, with its own transaction id (quirk 51): what the charger then does with "invalid" is its own setting.
"""

from __future__ import annotations

import msgspec

from common import commands, facts
from common.errors import Code, Refused
from edge.core import listing
from edge.core.state import UNKNOWN_TAGS_MAX, SiteState, Tag

#: A tag that nobody knows is told this often at most: somebody taps it again and again.
TELL_AGAIN_MS = 60_000
#: As `common.desk.PrincipalId` bounds it.
PRINCIPAL_CHARS_MAX = 64


class Verdict(msgspec.Struct, frozen=True):
    """Whether a tag is good on a charger, whose it is, and the start command that it stands for."""

    status: str
    principal: str | None = None
    command: str | None = None
    cap_wh: int | None = None  #: how much energy a charge that begins now may take
    because: str = ""  #: of one that caps refuse: why, for people


_INVALID = Verdict("invalid")


def judge(state: SiteState, charger: str, tag_ref: str | None, minted: str) -> Verdict:
    """A tag's verdict. A minted tag is good for ever: its command was judged when it was given, and a start
    may come late (design §7). Only the charger that it was minted for can use it.
    """
    station = state.look(charger)
    intent = station.minted.get(minted) if minted else None
    if intent is not None and intent.fixed and intent.session is not None:
        return _INVALID  # whoever read that tag from a start could use it for ever
    if intent is not None:
        return Verdict("accepted", intent.principal, intent.command)
    tag = state.tags.get(tag_ref) if tag_ref else None
    if tag is None or (tag.chargers is not None and charger not in tag.chargers):
        return _INVALID
    return Verdict("accepted", tag.principal)


def told(
    state: SiteState, charger: str, tag_ref: str | None, verdict: Verdict, now_ms: int
) -> tuple[facts.AuthorizationChanged, ...]:
    """What is to be told of a tag that was shown, before a start or by one: to operators that it is nobody's,
    to its owner that it is refused."""
    if verdict.status == "accepted" or not tag_ref:
        return ()
    refused = verdict.status == "blocked"
    known = state.refused_tags if refused else state.unknown_tags
    if now_ms < known.get(tag_ref, 0) + TELL_AGAIN_MS:
        return ()
    return (
        facts.AuthorizationChanged(
            principal=verdict.principal if refused else None,
            change="tag_refused" if refused else "unknown_tag",
            tag_ref=tag_ref,
            charger=charger,
            because=verdict.because,
        ),
    )


def judge_tag(state: SiteState, args: commands.AssignTag | commands.WithdrawTag) -> None:
    """Whether a tag may be given to somebody, or taken away. Raises Refused(bad_request)."""
    known = args.tag_ref in state.tags
    if isinstance(args, commands.WithdrawTag):
        if not known:
            raise Refused(Code.BAD_REQUEST, "that tag is nobody's")
    elif not known and args.tag_ref not in state.unknown_tags:
        raise Refused(Code.BAD_REQUEST, "that tag was not shown here lately; have it tapped again")
    elif not 0 < len(args.principal) <= PRINCIPAL_CHARS_MAX:
        raise Refused(Code.BAD_REQUEST, "whose tag it is has to be said")


def decided(args: commands.AssignTag | commands.WithdrawTag, state: SiteState) -> facts.AuthorizationChanged:
    """The fact that a tag is somebody's from now on, or nobody's."""
    if isinstance(args, commands.AssignTag):
        return facts.AuthorizationChanged(
            principal=args.principal, change="tag_assigned", tag_ref=args.tag_ref, chargers=args.chargers
        )
    was = state.tags[args.tag_ref].principal
    return facts.AuthorizationChanged(principal=was, change="tag_removed", tag_ref=args.tag_ref)


def judge_policy(state: SiteState, args: commands.OfflinePolicy) -> None:
    """Whether the policy may be set so. Raises Refused(changed_meanwhile)."""
    if args.expect is not None and args.expect != state.offline_revision:
        raise Refused(Code.CHANGED_MEANWHILE, f"the policy is at revision {state.offline_revision}")


def changed(state: SiteState, body: facts.AuthorizationChanged, at_ms: int) -> None:
    """Apply. The number of assigned tags is that of the cards an operator handed out."""
    if body.change in ("tag_assigned", "tag_removed", "forgotten", "revoked"):
        listing.tags_changed(state, at_ms)
    if body.change == "tag_assigned" and body.tag_ref and body.principal is not None:
        state.tags[body.tag_ref] = Tag(body.principal, body.chargers)
        state.unknown_tags.pop(body.tag_ref, None)
    elif body.change == "tag_removed":
        state.tags.pop(body.tag_ref, None)
    elif body.change in ("forgotten", "revoked") and body.principal is not None:
        for tag_ref in [ref for ref, tag in state.tags.items() if tag.principal == body.principal]:
            del state.tags[tag_ref]
    elif body.change in ("unknown_tag", "tag_refused"):
        tapped = state.unknown_tags if body.change == "unknown_tag" else state.refused_tags
        tapped.pop(body.tag_ref, None)
        tapped[body.tag_ref] = at_ms
        if len(tapped) > UNKNOWN_TAGS_MAX:
            del tapped[next(iter(tapped))]

"""Who a tag stands for: a start of the app's (minted tag), a card that an operator assigned, or nobody.

Nothing is ever accepted because nothing was configured. A session of somebody unknown is recorded all the
same, with its own transaction id (quirk 51): what the charger then does with "invalid" is its own setting.
"""

from __future__ import annotations

import msgspec

from common import commands, facts
from common.errors import Code, Refused
from edge.core import inputs, listing
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


def asked(state: SiteState, given: inputs.AuthorizeAsked, now_ms: int) -> inputs.Decision:
    """A tag was shown. One that nobody knows is told to operators, so that they can assign it."""
    verdict = judge(state, given.charger, given.tag_ref, given.minted)
    reply = inputs.AuthorizeReply(verdict.status)
    return inputs.Decision(facts=told(state, given.charger, given.tag_ref, verdict, now_ms), reply=reply)


def told(
    state: SiteState, charger: str, tag_ref: str | None, verdict: Verdict, now_ms: int
) -> tuple[facts.AuthorizationChanged, ...]:
    """What operators should know of a tag that was shown, before a start or by one: that it is nobody's."""
    if verdict.status == "accepted" or not tag_ref:
        return ()
    if now_ms < state.unknown_tags.get(tag_ref, 0) + TELL_AGAIN_MS:
        return ()
    return (facts.AuthorizationChanged(change="unknown_tag", tag_ref=tag_ref, charger=charger),)


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
    elif body.change == "unknown_tag":
        state.unknown_tags.pop(body.tag_ref, None)
        state.unknown_tags[body.tag_ref] = at_ms
        if len(state.unknown_tags) > UNKNOWN_TAGS_MAX:
            del state.unknown_tags[next(iter(state.unknown_tags))]

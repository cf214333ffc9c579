"""Tags: assigned, minted, unknown."""

from __future__ import annotations

import pytest

from common import facts
from edge.core import inputs
from edge.core.identity import minted_tag
from edge.core.state import MINTED_MAX, UNKNOWN_TAGS_MAX
from tests.core.world import MINUTE, SECOND, Site, kinds, tagged


def asked(tag_ref: str = "tag-a", minted: str = "", charger: str = "CP1") -> inputs.AuthorizeAsked:
    return inputs.AuthorizeAsked(charger=charger, tag_ref=tag_ref, minted=minted)


def status(decision: inputs.Decision) -> str:
    assert isinstance(decision.reply, inputs.AuthorizeReply)
    return decision.reply.status


def test_nothing_is_accepted_because_nothing_was_configured() -> None:
    site = Site().ready()
    decision = site.feed(asked())
    assert status(decision) == "invalid"
    (told,) = decision.facts
    assert told == facts.AuthorizationChanged(change="unknown_tag", tag_ref="tag-a", charger="CP1")


def test_an_unknown_tag_is_told_once_a_minute() -> None:
    site = Site().ready()
    assert len(site.feed(asked()).facts) == 1
    site.now += 59 * SECOND
    assert site.feed(asked()).facts == ()
    assert len(site.feed(asked("tag-b")).facts) == 1
    site.now += SECOND
    assert len(site.feed(asked()).facts) == 1
    site.check()


def test_a_start_without_a_question_tells_of_its_tag_too() -> None:
    site = Site().ready()
    site.begin(tag_ref="tag-a", minted="")
    assert site.last(facts.SessionStarted).authorization == "invalid"
    (told,) = site.all(facts.AuthorizationChanged)
    assert told == facts.AuthorizationChanged(change="unknown_tag", tag_ref="tag-a", charger="CP1")
    site.begin(tag_ref="tag-a", minted="")
    assert site.feed(asked()).facts == ()
    site.feed(tagged("tag-b", "anna"))
    site.begin(tag_ref="tag-b", minted="")
    assert len(site.all(facts.AuthorizationChanged)) == 2, "and of none that is somebody's"
    site.check()


def test_an_empty_tag_is_nobodys_and_not_worth_a_word() -> None:
    site = Site().ready()
    assert site.feed(asked("")).facts == ()


def test_an_assigned_tag_is_its_owners() -> None:
    site = Site().ready()
    site.feed(tagged("tag-a", "anna"))
    assert status(site.feed(asked())) == "accepted"
    site.begin()
    assert site.last(facts.SessionStarted).principal == "anna"
    site.check()


def test_a_tag_is_good_only_where_it_was_given() -> None:
    site = Site().ready()
    site.feed(tagged("tag-a", "anna", ("CP2",)))
    assert status(site.feed(asked())) == "invalid"
    assert status(site.feed(asked(charger="CP2"))) == "accepted"


@pytest.mark.parametrize(
    "gone",
    [
        facts.AuthorizationChanged(change="tag_removed", tag_ref="tag-a"),
        facts.AuthorizationChanged(change="forgotten", principal="anna"),
    ],
)
def test_a_tag_that_was_taken_away_is_unknown(gone: facts.AuthorizationChanged) -> None:
    site = Site().ready()
    site.feed(tagged("tag-a", "anna"))
    site.feed(tagged("tag-b", "bert"))
    site.feed(inputs.Note(body=gone))
    assert status(site.feed(asked())) == "invalid"
    assert status(site.feed(asked("tag-b"))) == "accepted"
    site.check()


def test_a_minted_tag_is_good_before_its_start_and_for_ever_after() -> None:
    site = Site().ready()
    tag = minted_tag("cmd-1")
    assert (len(tag), tag) == (16, tag.upper())
    assert int(tag, 16) >= 0
    assert status(site.feed(asked("ref", tag))) == "invalid"
    site.command(evse=1)
    assert kinds(site.feed(asked("ref", tag))) == []
    assert status(site.feed(asked("ref", tag))) == "accepted"
    site.wait(60 * MINUTE)
    assert status(site.feed(asked("ref", tag))) == "accepted"
    assert status(site.feed(asked("ref", tag, charger="CP2"))) == "invalid"


def test_what_is_remembered_of_tags_is_bounded() -> None:
    site = Site().ready()
    for number in range(UNKNOWN_TAGS_MAX + 10):
        site.feed(asked(f"tag-{number}"))
    assert len(site.state.unknown_tags) == UNKNOWN_TAGS_MAX
    for number in range(MINTED_MAX + 10):
        sent = site.command(id=f"cmd-{number}", evse=1)
        site.answer(sent, "rejected")
    assert len(site.state.stations["CP1"].minted) == MINTED_MAX
    assert minted_tag(f"cmd-{MINTED_MAX + 9}") in site.state.stations["CP1"].minted
    site.check()

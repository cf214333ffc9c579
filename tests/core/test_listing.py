"""The local list: brought whole, verified, again when it changes, never in a session, always at an end."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.commands import AssignTag, Name, OfflinePolicy, WithdrawTag
from common.errors import Code
from common.facts import AuthorizationChanged
from common.policy import local_presence
from common.tuning import ModelLearned, TagsListed
from edge.core import inputs, listing
from edge.core.inputs import Decision
from tests.core.tunable import Charger
from tests.core.world import AVAILABLE, HOUR, MINUTE, SITE, Site, refusal, stages, tagged


class Listed(Charger):
    """A charger that keeps a list, of at most `most` tags in a message; `says` is how it answers a piece."""

    def __init__(self, most: int = 50, says: str = "accepted", **settings: str) -> None:
        super().__init__(list_send_max=str(most), list_max="1000", **settings)
        self.readonly |= {"list_send_max", "list_max"}
        self.version = 0
        self.refs: tuple[str, ...] = ()
        self.says = says
        self.answers[inputs.ReadTagVersion] = self._tell
        self.answers[inputs.SendTags] = self._keep

    def _tell(self, _: inputs.ReadTagVersion) -> dict[str, Any]:
        return {"answer": "accepted", "result": {"version": self.version}}

    def _keep(self, action: inputs.SendTags) -> dict[str, Any]:
        if self.says == "accepted":
            self.refs = action.refs if action.whole else self.refs + action.refs
            self.version = action.version
        return {"answer": self.says}


def policy(site: Site, name: str, **more: Any) -> Decision:
    args = OfflinePolicy(name, **more)  # type: ignore[arg-type]
    command_id = f"policy-{name}-{len(site.journal)}"
    return site.command(Name.OFFLINE_POLICY, args=args, claims=local_presence(SITE), id=command_id)


def outcomes(charger: Charger) -> list[str]:
    return [fact.answer for fact in charger.site.all(TagsListed)]


def begun(decisions: list[Decision]) -> inputs.Request:
    """The one call that begins to bring a list."""
    requests = [request for one in decisions for request in one.requests]
    (first,) = [request for request in requests if isinstance(request.action, inputs.ReadTagVersion)]
    return first


def reply(site: Site, request: inputs.Request, **result: int) -> Decision:
    return site.answer(Decision(requests=(request,)), result=result)


def withdraw(site: Site, ref: str) -> None:
    args = WithdrawTag(tag_ref=ref)
    name = f"withdraw-{len(site.journal)}"
    told = site.command(Name.WITHDRAW_TAG, args=args, claims=local_presence(SITE), id=name)
    assert stages(told) == ["accepted", "settled"]


def ready(charger: Charger, *refs: str) -> Charger:
    for ref in refs:
        charger.site.feed(tagged(ref, f"p-{ref}"))
    assert stages(policy(charger.site, "listed")) == ["accepted", "settled"]
    charger.start().wait(2 * MINUTE)
    return charger


def test_the_list_arrives_whole_and_is_verified() -> None:
    charger = Listed()
    charger.site.feed(tagged("ref-elsewhere", "p-x", ("CP9",)))
    ready(charger, "ref-b", "ref-a")
    assert charger.refs == ("ref-a", "ref-b"), "and not the tag that is good elsewhere"
    assert outcomes(charger) == ["verified"]
    charger.site.check()


def test_a_list_that_is_there_already_is_left_alone() -> None:
    charger = Listed()
    charger.version = listing.version_of(("ref-a",))
    ready(charger, "ref-a")
    assert charger.asked(inputs.SendTags) == []
    assert outcomes(charger) == ["verified"]


def test_what_changes_together_is_sent_once_and_a_boot_looks_again() -> None:
    charger = Listed()
    ready(charger, "ref-a")
    for ref in ("ref-b", "ref-c", "ref-d"):
        charger.take(charger.site.feed(tagged(ref, "p")))
    charger.wait(MINUTE)
    assert [len(one.refs) for one in charger.asked(inputs.SendTags)] == [1, 4]
    charger.version, charger.refs = 0, ()  # somebody reset it
    charger.boot()
    charger.wait(HOUR)
    assert len(charger.refs) == 4
    assert outcomes(charger) == ["verified"] * 3


def test_more_than_fits_a_message_comes_in_pieces() -> None:
    charger = Listed(most=2)
    ready(charger, *(f"ref-{number}" for number in range(5)))
    assert [one.whole for one in charger.asked(inputs.SendTags)] == [True, False, False]
    versions = [one.version for one in charger.asked(inputs.SendTags)]
    assert versions == sorted(set(versions))
    assert charger.refs == tuple(f"ref-{number}" for number in range(5))
    assert outcomes(charger) == ["verified"]


def test_what_does_not_fit_the_charger_is_told() -> None:
    charger = Listed()
    charger.settings["list_max"] = "3"
    ready(charger, *(f"ref-{number}" for number in range(5)))
    told = charger.site.last(TagsListed)
    assert (told.entries, told.of, len(charger.refs)) == (3, 5, 3)


def test_each_refusal_ends_it_until_the_next_boot() -> None:
    for says, told in (
        ("rejected", "refused"),
        ("not_supported", "not_supported"),
        ("timeout", "unanswered"),
    ):
        charger = Listed(says=says)
        ready(charger, "ref-a").wait(HOUR)
        assert outcomes(charger) == [told]
        charger.boot()
        charger.wait(HOUR)
        assert outcomes(charger) == [told] * 2


def test_a_charger_that_tells_another_version_afterwards_is_unproven() -> None:
    charger = Listed()
    charger.answers[inputs.SendTags] = lambda _: {"answer": "accepted"}
    ready(charger, "ref-a")
    assert outcomes(charger) == ["unproven"]


def test_nothing_is_sent_while_a_car_charges() -> None:
    charger = Listed()
    ready(charger, "ref-a")
    charger.take(charger.site.begin(tag_ref="ref-a"))
    charger.take(charger.site.feed(tagged("ref-b", "p")))
    charger.wait(HOUR)
    assert charger.refs == ("ref-a",)
    (session,) = charger.site.open_sessions()
    transaction = charger.site.state.stations["CP1"].sessions[session].transaction
    charger.take(charger.site.end(transaction=transaction))
    charger.take(charger.site.status(AVAILABLE))
    charger.wait(5 * MINUTE)
    assert charger.refs == ("ref-a", "ref-b")


def halfway() -> tuple[Site, Decision]:
    """A list of three is on its way in pieces of one; the first piece is out."""
    site = Site().ready()
    site.feed(inputs.Note(body=ModelLearned(charger="CP1", what="list_send_max", value="1")))
    for ref in ("ref-a", "ref-b", "ref-c"):
        site.feed(tagged(ref, f"p-{ref}"))
    policy(site, "listed")
    piece = reply(site, begun(site.wait(MINUTE)), version=0)
    version = listing.version_of(("ref-a", "ref-b", "ref-c"))
    assert piece.requests[0].action == inputs.SendTags(version - 2, ("ref-a",), whole=True)
    return site, piece


def test_a_list_that_is_on_its_way_ends_where_a_tag_is_withdrawn() -> None:
    site, piece = halfway()
    withdraw(site, "ref-b")
    assert site.answer(piece).requests == (), "what was withdrawn does not come behind the new list"
    assert site.last(TagsListed).answer == "overtaken"
    piece = reply(site, begun(site.wait(MINUTE)), version=0)
    version = listing.version_of(("ref-a", "ref-c"))
    assert piece.requests[0].action == inputs.SendTags(version - 1, ("ref-a",), whole=True)
    site.check()


def test_tags_that_are_again_as_they_were_are_brought_though_they_were_tried() -> None:
    charger = Listed()
    ready(charger, "ref-a")
    charger.take(charger.site.feed(tagged("ref-b", "p")))
    asked = begun(charger.site.wait(MINUTE))
    withdraw(charger.site, "ref-b")
    charger.wait(MINUTE)
    reply(charger.site, asked, version=charger.version)
    charger.version = 5  # of the other list, as far as it came
    charger.wait(5 * MINUTE)
    assert charger.refs == ("ref-a",)
    assert charger.version == listing.version_of(("ref-a",))
    charger.site.check()


def test_without_a_decision_chargers_are_left_as_they_are() -> None:
    charger = Listed()
    charger.site.feed(tagged("ref-a", "p"))
    charger.start().wait(HOUR)
    assert charger.asked(inputs.ReadTagVersion) == []
    assert "authorize_offline" not in {one.name for one in charger.asked(inputs.WriteSetting)}


def test_strict_takes_the_list_away_and_tells_the_charger_to_ask() -> None:
    charger = Listed(authorize_offline="true", allow_unknown_offline="true", local_list="true")
    ready(charger, "ref-a")
    policy(charger.site, "strict")
    charger.wait(2 * MINUTE)
    assert charger.refs == ()
    assert (charger.settings["authorize_offline"], charger.settings["allow_unknown_offline"]) == (
        "false",
        "false",
    )


def test_the_policy_is_compared_and_set() -> None:
    site = Site()
    assert stages(policy(site, "listed", expect=0)) == ["accepted", "settled"]
    assert refusal(policy(site, "strict", expect=0)) == Code.CHANGED_MEANWHILE
    assert site.state.offline_policy == "listed"


def test_a_tag_that_was_tapped_is_given_to_somebody_by_its_reference() -> None:
    site = Site().ready()
    site.feed(inputs.AuthorizeAsked(charger="CP1", tag_ref="ref-new"))
    assert site.last(AuthorizationChanged).change == "unknown_tag"
    assert site.state.view.taps["ref-new"].charger == "CP1"
    who = local_presence(SITE)
    never = site.command(Name.ASSIGN_TAG, args=AssignTag("ref-never", "p-ann"), claims=who)
    assert refusal(never) == Code.BAD_REQUEST
    site.command(Name.ASSIGN_TAG, args=AssignTag("ref-new", "p-ann"), claims=who, id="two")
    assert site.state.tags["ref-new"].principal == "p-ann"
    assert not site.state.view.taps
    reply = site.feed(inputs.AuthorizeAsked(charger="CP1", tag_ref="ref-new")).reply
    assert reply == inputs.AuthorizeReply("accepted")
    site.command(Name.WITHDRAW_TAG, args=WithdrawTag("ref-new"), claims=who, id="three")
    assert "ref-new" not in site.state.tags
    site.check()


@given(st.permutations(["ref-a", "ref-b", "ref-c", "ref-d"]))
def test_a_version_is_of_its_tags_in_any_order(refs: list[str]) -> None:
    site = Site()
    site.command(Name.OFFLINE_POLICY, OfflinePolicy("listed"), claims=local_presence(SITE))
    for ref in refs:
        site.feed(tagged(ref, "p"))
    version = listing.version_of(listing.listed(site.state, "CP1"))
    assert version == listing.version_of(("ref-a", "ref-b", "ref-c", "ref-d"))
    assert 0 < version < 2**31

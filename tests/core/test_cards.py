"""Cards of people with caps: held to what was agreed, as from the app; never kept from ending a charge."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common import facts
from common.caps import Caps, Used
from common.domain import iso
from common.errors import Code
from common.policy import view_for
from edge.core import allowance, inputs, reports
from tests.core.test_allowance import DAY, capped
from tests.core.world import CHARGING, HOUR, MINUTE, PREPARING, Site, driver, operator, refusal, tagged

WHO = "driver-1"


def agreed(site: Site, **caps: Any) -> Site:
    """A driver with a card whose newest grant says so."""
    told = allowance.learnt(site.state, msgspec.structs.replace(capped(**caps), **_signed(site.now)))
    assert told is not None
    site.feed(inputs.Note(body=told))
    site.feed(tagged("tag-a", WHO))
    return site


def _signed(at_ms: int) -> dict[str, int]:
    """Of a grant of seven days that was signed then."""
    return {"renew_after_ms": at_ms + 7 * DAY // 2, "expires_ms": at_ms + 7 * DAY}


def shown(site: Site, charger: str = "CP1") -> str:
    reply = site.feed(inputs.AuthorizeAsked(charger=charger, tag_ref="tag-a", minted="")).reply
    assert isinstance(reply, inputs.AuthorizeReply)
    return reply.status


def started(site: Site, **more: Any) -> inputs.StartReply:
    reply = site.begin(**more).reply
    assert isinstance(reply, inputs.StartReply)
    return reply


def charge(site: Site, energy_wh: float) -> None:
    """One whole charge by card."""
    answered = started(site, meter_start_wh=0.0)
    assert answered.status == "accepted"
    site.now += MINUTE
    site.end(answered.transaction, energy_wh, tag_ref="tag-a")
    site.now += MINUTE


def stops(site: Site, ms: int = 0) -> list[inputs.Action]:
    return [request.action for tick in site.wait(ms) for request in tick.requests]


def test_a_card_is_refused_when_the_charges_are_used_up_and_its_owner_is_told_once_a_minute() -> None:
    site = agreed(Site().ready(), sessions=1)
    assert shown(site) == "accepted"
    charge(site, 4000.0)
    assert shown(site) == "blocked"
    told = site.last(facts.AuthorizationChanged)
    assert (told.change, told.principal, told.charger) == ("tag_refused", WHO, "CP1")
    assert told.because == "1 charges a month were agreed"
    before = len(site.journal)
    assert shown(site) == "blocked"
    assert len(site.journal) == before, "they tap again and again"
    assert view_for(driver(WHO), site.state.view).refused_tags[WHO].because == told.because
    assert view_for(operator(), site.state.view).refused_tags.keys() == {WHO}
    assert view_for(driver("driver-2"), site.state.view).refused_tags == {}
    site.check()


def test_the_app_and_the_card_share_what_was_agreed() -> None:
    site = agreed(Site().ready(), sessions=1)
    charge(site, 4000.0)
    site.status(PREPARING)
    assert refusal(site.command(claims=capped(sessions=1))) == Code.LIMIT_REACHED
    site.now += 31 * DAY
    assert shown(site) == "accepted", "the next month"


def test_a_start_that_was_not_to_be_is_recorded_and_stopped_and_is_no_charge_of_those_agreed() -> None:
    site = agreed(Site().ready(), energy_wh=10_000)
    charge(site, 10_000.0)
    answered = started(site, meter_start_wh=10_000.0)  # by a charger that did not ask
    assert answered.status == "blocked"
    session = site.last(facts.SessionStarted)
    assert (session.principal, session.authorization, session.cap_wh) == (WHO, "blocked", 0)
    assert stops(site) == [inputs.StopCharge(answered.transaction)]
    assert site.last(facts.CommandAccepted).because == "refused_tag"
    site.end(answered.transaction, 10_100.0)
    assert allowance.used(site.state, WHO, 0) == Used(energy_wh=10_100.0, sessions=1)
    site.check()


def test_a_charge_by_card_is_stopped_at_what_is_left_of_the_energy() -> None:
    site = agreed(Site().ready(), energy_wh=10_000)
    charge(site, 7000.0)
    answered = started(site, meter_start_wh=50_000.0)
    site.status(CHARGING)
    assert site.last(facts.SessionStarted).cap_wh == 3000
    site.now += MINUTE
    site.meter(site.sample(52_999.0), transaction=answered.transaction)
    assert stops(site, MINUTE) == []
    site.meter(site.sample(53_000.0), transaction=answered.transaction)
    assert stops(site) == [inputs.StopCharge(answered.transaction)]
    assert site.last(facts.CommandAccepted).because == "energy_cap"
    site.check()


def test_a_card_ends_its_own_charge_whatever_was_used() -> None:
    site = agreed(Site().ready().ready("CP2"), sessions=1)
    answered = started(site)
    assert shown(site, "CP2") == "blocked", "the one that was agreed is going on"
    assert shown(site) == "accepted", "chargers ask before they end a charge by a card, too"
    reply = site.end(answered.transaction, tag_ref="tag-a").reply
    assert isinstance(reply, inputs.StopReply)
    assert reply.status == "accepted"
    site.check()


def test_only_at_the_connectors_and_hours_that_were_agreed() -> None:
    site = agreed(Site().ready(evses=2), connectors=("CP1/2",))
    assert shown(site) == "accepted", "to one of this charger's"
    assert shown(site, "CP2") == "blocked"
    assert started(site, evse=1).status == "blocked"
    assert started(site, evse=2).status == "accepted"
    night = agreed(Site().ready(), hours=("22:00-06:00",))  # it is 15:06
    assert shown(night) == "blocked"
    assert started(night).status == "blocked"
    late = night.stamp(night.now - 12 * HOUR)
    assert started(night, started=late, meter_start_wh=9.0).status == "accepted", "told late, begun at night"
    night.check()


def test_the_grant_that_was_signed_later_counts_and_who_has_no_cap_has_none() -> None:
    site = agreed(Site().ready(), sessions=1)
    charge(site, 1.0)
    wider = msgspec.structs.replace(capped(sessions=5), **_signed(site.now - DAY))
    assert allowance.learnt(site.state, wider) is None, "an older one, of another device"
    wider = msgspec.structs.replace(wider, **_signed(site.now + DAY))
    assert allowance.learnt(site.state, msgspec.structs.replace(wider, grace=True)) is None
    told = allowance.learnt(site.state, wider)
    assert told is not None
    site.feed(inputs.Note(body=told))
    assert allowance.learnt(site.state, wider) is None, "known"
    assert shown(site) == "accepted"
    free = msgspec.structs.replace(wider, caps=None, **_signed(site.now + 2 * DAY))
    told = allowance.learnt(site.state, free)
    assert told is not None
    site.feed(inputs.Note(body=told))
    assert site.state.caps[WHO].caps is None
    assert allowance.learnt(site.state, driver("nobody's cap")) is None
    site.check()


@pytest.mark.parametrize("change", ["revoked", "forgotten"])
def test_who_is_gone_has_neither_cards_nor_caps(change: str) -> None:
    site = agreed(Site().ready(), sessions=1)
    site.feed(inputs.Note(body=facts.AuthorizationChanged(principal=WHO, change=change)))
    assert WHO not in site.state.caps
    assert shown(site) == "invalid"


def test_an_invite_of_the_box_brings_its_caps_with_it() -> None:
    site = Site().ready()
    granted = facts.AuthorizationChanged(principal=WHO, change="granted", key="k", caps=Caps(sessions=1))
    site.feed(inputs.Note(body=granted))
    site.feed(tagged("tag-a", WHO))
    charge(site, 1.0)
    assert shown(site) == "blocked"


def test_a_2x_station_whose_card_comes_with_an_event_is_held_to_the_caps_too() -> None:
    site = agreed(Site().ready(), energy_wh=5000)

    def event(step: str, number: int, tag_ref: str | None, *samples: Any) -> inputs.Decision:
        return site.feed(
            reports.TransactionEvent(
                charger="CP1", transaction="t-1", step=step, number=number, at=site.stamp(), evse=1,
                tag_ref=tag_ref, samples=samples,
            )
        )  # fmt: skip

    event("started", 0, None, site.sample(100.0, context="begin"))
    site.now += MINUTE
    reply = event("updated", 1, "tag-a").reply
    assert isinstance(reply, inputs.StopReply)
    assert reply.status == "accepted"
    learned = site.last(facts.SessionLearned)
    assert (learned.principal, learned.cap_wh) == (WHO, 5000)
    site.now += MINUTE
    event("updated", 2, None, site.sample(5100.0))
    assert stops(site) == [inputs.StopCharge("t-1")]
    site.check()


def test_a_step_of_the_clock_leaves_no_refusal_in_the_future() -> None:
    site = agreed(Site().ready(), sessions=1)
    charge(site, 1.0)
    site.now += 400 * DAY
    charge(site, 1.0)
    assert shown(site) == "blocked"
    wrong, site.now = site.now, site.now - 370 * DAY
    stepped = facts.ClockStepped(before=iso(wrong), after=iso(site.now), reason="proven_by_tunnel")
    site.feed(inputs.Note(body=stepped))
    assert site.state.refused_tags["tag-a"] <= site.now
    site.check()

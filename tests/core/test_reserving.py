"""Reservations: kept for one, refused to others, and ended by whatever the connector shows."""

from __future__ import annotations

import pytest

from common.commands import CancelReservation, Name, Reserve
from common.errors import Code
from common.facts import CommandSettled
from common.tuning import ReservationChanged
from edge.core import calls, inputs, reserving
from edge.core.state import Draft
from tests.core.world import (
    AVAILABLE,
    FAULTED,
    MINUTE,
    RESERVED,
    UNAVAILABLE,
    Site,
    driver,
    operator,
    refusal,
    stages,
)

ANN, BOB = driver("p-ann"), driver("p-bob")


def reserved(minutes: int = 30, *, evses: int = 2) -> Site:
    site = Site().ready(evses=evses)
    for evse in range(1, evses + 1):
        site.status(AVAILABLE, evse)
    asked = site.command(Name.RESERVE, Reserve(minutes), id="r-1", claims=ANN, evse=1)
    (request,) = asked.requests
    assert isinstance(request.action, inputs.Reserve)
    assert request.action.tag == reserving.tag_of("r-1")
    assert stages(site.answer(asked)) == ["confirmed", "settled"]
    site.status(RESERVED, 1)
    return site


def ends(site: Site) -> list[str]:
    return [body.why for body in site.all(ReservationChanged) if body.state == "ended"]


def test_it_is_kept_for_who_asked_and_nobody_else() -> None:
    site = reserved()
    place = site.state.view.chargers["CP1"].connectors[1]
    assert place.reserved_by == "r-1"
    assert place.reserved_until
    assert refusal(site.command(id="s-bob", claims=BOB, evse=1)) == Code.CONNECTOR_RESERVED
    assert refusal(site.command(id="s-op", claims=operator(), evse=1)) == Code.CONNECTOR_RESERVED
    started = site.command(id="s-ann", claims=ANN, evse=1)
    (request,) = started.requests
    assert isinstance(request.action, inputs.StartCharge)
    assert request.action.tag == reserving.tag_of("r-1"), "the charger compares tags"
    site.answer(started)
    site.begin(minted=reserving.tag_of("r-1"), tag_ref=None)
    assert ends(site) == ["used"]
    (session,) = site.state.view.sessions.values()
    assert (session.principal, session.command) == ("p-ann", "s-ann")
    assert not place.reserved_by
    site.check()


def test_a_start_that_waited_carries_the_tag_it_was_accepted_with() -> None:
    site = reserved(minutes=1)
    site.command(id="s-ann", claims=ANN, evse=1)
    site.wait(MINUTE + 1)
    assert ends(site) == ["expired"]
    draft = Draft()
    calls.send(site.state, draft, site.state.orders["s-ann"], site.now)
    (request,) = draft.requests
    assert isinstance(request.action, inputs.StartCharge)
    assert request.action.tag in site.state.look("CP1").minted, "or the charge that it begins is nobody's"


@pytest.mark.parametrize(
    ("shown", "why"), [(FAULTED, "faulted"), (UNAVAILABLE, "unavailable"), (AVAILABLE, "expired")]
)
def test_what_the_connector_shows_ends_it(shown: object, why: str) -> None:
    site = reserved()
    site.status(shown, 1)  # type: ignore[arg-type]
    assert ends(site) == [why]
    site.check()


def test_its_time_ends_it() -> None:
    site = reserved(minutes=5)
    site.wait(5 * MINUTE + 1)
    assert ends(site) == ["expired"]
    site.check()


def test_whose_it_is_gives_it_up() -> None:
    site = reserved()
    cancel = CancelReservation()
    asked = site.command(Name.CANCEL_RESERVATION, cancel, id="c-bob", claims=BOB, evse=1)
    assert refusal(asked) == Code.NOT_PERMITTED
    asked = site.command(Name.CANCEL_RESERVATION, cancel, id="c-ann", claims=ANN, evse=1)
    (request,) = asked.requests
    assert request.action == inputs.CancelReservation(reserving.number_of("r-1"))
    assert stages(site.answer(asked)) == ["confirmed", "settled"]
    assert ends(site) == ["cancelled"]
    again = site.command(Name.CANCEL_RESERVATION, cancel, id="c-2", claims=ANN, evse=1)
    assert refusal(again) == Code.BAD_REQUEST
    site.check()


def test_a_reservation_that_the_charger_does_not_know_is_none() -> None:
    site = reserved()
    asked = site.command(Name.CANCEL_RESERVATION, CancelReservation(), id="c-1", claims=ANN, evse=1)
    site.answer(asked, "rejected")
    assert ends(site) == ["refused"]


def test_a_charger_that_refuses_keeps_nothing() -> None:
    site = Site().ready()
    site.status(AVAILABLE)
    asked = site.command(Name.RESERVE, Reserve(), id="r-1", claims=ANN, evse=1)
    assert stages(site.answer(asked, "rejected")) == ["confirmed", "settled"]
    assert site.all(ReservationChanged) == []


def gives_up(site: Site) -> None:
    asked = site.command(Name.CANCEL_RESERVATION, CancelReservation(), id="c-1", claims=ANN, evse=1)
    assert stages(site.answer(asked)) == ["confirmed", "settled"]
    assert ends(site) == ["cancelled"]
    site.check()


def unanswered(answer: str) -> Site:
    site = Site().ready()
    site.status(AVAILABLE)
    asked = site.command(Name.RESERVE, Reserve(30), id="r-1", claims=ANN, evse=1)
    site.answer(asked, answer)
    return site


@pytest.mark.parametrize("answer", ["timeout", "lost"])
def test_one_whose_answer_was_lost_is_known_by_what_the_connector_shows(answer: str) -> None:
    site = unanswered(answer)
    site.status(RESERVED)
    site.wait(2 * MINUTE)
    assert site.last(CommandSettled).outcome == "succeeded"
    assert refusal(site.command(id="s-bob", claims=BOB, evse=1)) == Code.CONNECTOR_RESERVED
    gives_up(site)


def test_one_whose_answer_was_lost_may_show_later() -> None:
    site = unanswered("lost")
    site.wait(2 * MINUTE)
    assert site.last(CommandSettled).outcome == "unknown"
    site.status(RESERVED)
    gives_up(site)


def test_one_that_shows_when_its_time_is_over_is_somebody_elses() -> None:
    site = unanswered("lost")
    site.wait(31 * MINUTE)
    site.status(RESERVED)
    assert site.all(ReservationChanged) == []


def test_a_connector_that_shows_it_before_the_answer_ends_it_too() -> None:
    site = Site().ready()
    site.status(AVAILABLE)
    asked = site.command(Name.RESERVE, Reserve(30), id="r-1", claims=ANN, evse=1)
    site.status(RESERVED)
    site.answer(asked)
    site.status(AVAILABLE)
    assert ends(site) == ["expired"]
    site.check()


def test_drivers_keep_one_connector_for_an_hour_at_most() -> None:
    site = reserved()
    second = site.command(Name.RESERVE, Reserve(10), id="r-2", claims=ANN, evse=2)
    assert refusal(second) == Code.CONNECTOR_RESERVED
    long = site.command(Name.RESERVE, Reserve(61), id="r-3", claims=BOB, evse=2)
    assert refusal(long) == Code.BAD_REQUEST
    taken = site.command(Name.RESERVE, Reserve(10), id="r-4", claims=BOB, evse=1)
    assert refusal(taken) == Code.CONNECTOR_RESERVED
    planned = site.command(Name.RESERVE, Reserve(600), id="r-5", claims=operator(), evse=2)
    assert stages(planned)[0] == "accepted"


def test_it_survives_a_restart() -> None:
    site = reserved()
    site.check()  # rebuilt from the journal, it is the same
    assert site.state.stations["CP1"].reservations[1].principal == "p-ann"

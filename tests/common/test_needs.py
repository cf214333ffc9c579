"""What of a site needs a person, which site first; commands and people folded from facts; filters read."""

from __future__ import annotations

from typing import Any

import pytest

from common import facts, needs, roster
from common.asked import command_rows
from common.domain import ConnectorState, Path, Role
from common.errors import Code, Refused
from common.shown import ChargerView, ConnectorView, TapView, View
from common.sought import Sought, sought

AT = "2026-11-20T10:00:00.000Z"


def told(*bodies: facts.Body) -> list[facts.Fact]:
    return [
        facts.make(epoch="1-a", seq=seq, uid=f"u{seq}", at=AT, clock="synced", body=body)
        for seq, body in enumerate(bodies, 1)
    ]


def site(**chargers: ChargerView) -> View:
    return View(site="s", chargers=chargers)


def charger(state: ConnectorState, **more: Any) -> ChargerView:
    place = ConnectorView(evse=1, state=state, unattributed=more.pop("unattributed", False))
    return ChargerView(id="x", connectors={1: place}, **({"adopted": True, "online": True} | more))


# --- needs -------------------------------------------------------------------------------------------------


def test_a_site_where_all_is_well_needs_nobody() -> None:
    view = site(a=charger(ConnectorState.CHARGING), b=charger(ConnectorState.AVAILABLE))
    assert needs.of_site(view, online=True, clock="synced", backlog=needs.BACKLOG_MANY) == {}
    assert needs.counts(view) == {"all": 2, "online": 2, "charging": 1}


def test_each_need_is_counted_by_its_kind_the_gravest_first() -> None:
    view = site(
        a=charger(ConnectorState.FAULTED),
        b=charger(ConnectorState.FAULTED, online=False),
        c=charger(ConnectorState.CHARGING, unattributed=True),
        d=charger(ConnectorState.UNKNOWN, adopted=False),
    )
    view.taps["ref"] = TapView(charger="a", at=AT)
    found = needs.of_site(
        view, online=True, clock="floor", backlog=needs.BACKLOG_MANY + 1, flagged=3, orphans=2
    )
    assert list(found.items()) == [
        ("clock", 1),
        ("faulted", 1),
        ("lost", 1),
        ("unattributed", 1),
        ("flagged", 3),
        ("orphans", 2),
        ("waiting", 1),
        ("taps", 1),
        ("backlog", 1),
    ]


def test_of_a_site_that_is_away_the_last_state_is_no_news() -> None:
    view = site(a=charger(ConnectorState.FAULTED))
    assert needs.of_site(view, online=False, clock="floor", flagged=1) == {"offline": 1, "flagged": 1}


@pytest.mark.parametrize(
    ("skew_ms", "wrong"), [(0, False), (-120_000, False), (120_001, True), (-(10**8), True)]
)
def test_a_clock_that_is_far_from_ours_is_a_need(skew_ms: int, wrong: bool) -> None:
    assert ("clock" in needs.of_site(View(site="s"), online=True, clock="synced", skew_ms=skew_ms)) is wrong


def test_worst_comes_first_and_then_the_name() -> None:
    rows = [
        {"name": "b", "site": "1", "needs": {}},
        {"name": "A", "site": "2", "needs": {}},
        {"name": "c", "site": "3", "needs": {"taps": 1}},
        {"name": "d", "site": "4", "needs": {"faulted": 1, "taps": 9}},
        {"name": "e", "site": "5", "needs": {"faulted": 2}},
        {"name": "f", "site": "6", "needs": {"offline": 1}},
    ]
    assert "".join(row["name"] for row in sorted(rows, key=needs.worst_first)) == "fedcAb"
    assert [row["name"] for row in rows if needs.matches(row, " A ")] == ["A"]
    assert [row["name"] for row in rows if needs.matches(row, "5")] == ["e"]


# --- commands ----------------------------------------------------------------------------------------------


def asked(command: str) -> facts.CommandAccepted:
    return facts.CommandAccepted(
        command=command,
        principal="p",
        role=Role.OPERATOR,
        path=Path.CLOUD,
        name="unlock",
        charger="CP1",
        evse=1,
        fingerprint="f",
        expires_at=AT,
    )


def test_a_command_has_the_answer_and_the_end_that_were_told_of_it() -> None:
    rows = command_rows(
        told(asked("c3"), asked("c2"), asked("c1")),
        told(
            facts.CommandConfirmed(command="c1", charger="CP1", answer="accepted"),
            facts.CommandConfirmed(command="c2", charger="CP1", answer="rejected"),
            facts.CommandSettled(
                command="c2", charger="CP1", outcome="failed", code="charger_rejected", session="s"
            ),
            facts.CommandSettled(command="c9", charger="CP1", outcome="succeeded"),
        ),
    )
    assert [(row["command"], row["state"], row["answer"], row["outcome"]) for row in rows] == [
        ("c3", "accepted", "", ""),
        ("c2", "settled", "rejected", "failed"),
        ("c1", "confirmed", "accepted", ""),
    ]
    assert (rows[1]["code"], rows[1]["session"], rows[1]["ended_at"]) == ("charger_rejected", "s", AT)


# --- people ------------------------------------------------------------------------------------------------


def right(principal: str, change: str, **more: Any) -> facts.AuthorizationChanged:
    return facts.AuthorizationChanged(principal=principal, change=change, **more)


def test_people_are_who_was_granted_and_not_forgotten() -> None:
    known = roster.Roster()
    known.take(
        told(
            right("ann", "granted", role=Role.DRIVER, chargers=("CP1",), key="k1"),
            right("ann", "granted", role=Role.DRIVER, chargers=("CP1", "CP2"), key="k2"),
            right("bob", "granted", role=Role.OPERATOR, key="k3"),
            right("bob", "forgotten"),
            right("eve", "granted", role=Role.DRIVER, key="k4"),
            right("eve", "revoked"),
            right("card", "tag_assigned", tag_ref="t1"),
            right("ann", "tag_assigned", tag_ref="t1"),
            right("ann", "tag_assigned", tag_ref="t2"),
            right("ann", "tag_removed", tag_ref="t2"),
        )
    )
    (ann,) = known.people.values()
    assert roster.row(ann, "Ann") == {
        "principal": "ann",
        "name": "Ann",
        "role": "driver",
        "chargers": ["CP1", "CP2"],
        "devices": 2,
        "tags": ["t1"],
        "since": AT,
        "state": "active",
        "expires_at": "",
    }


# --- filters -----------------------------------------------------------------------------------------------


def test_filters_are_read_and_times_brought_into_one_form() -> None:
    assert sought({}) == Sought()
    assert sought({"since": "2026-11-30T01:00:00+01:00", "flagged": True, "charger": "CP1"}) == Sought(
        since="2026-11-30T00:00:00.000Z", flagged=True, charger="CP1"
    )


@pytest.mark.parametrize(
    "args",
    [
        {"since": "yesterday"},
        {"since": "2026-11-30T00:00:00"},
        {"until": 5},
        {"until": "9" * 65},
        {"charger": ["CP1"]},
        {"principal": "x" * 65},
    ],
)
def test_a_wrong_filter_is_refused(args: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        sought(args)
    assert refused.value.code is Code.BAD_REQUEST

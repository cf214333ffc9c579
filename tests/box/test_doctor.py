"""The doctor: what it finds, in which order, and what it says where all is well. And once on a real box."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chargers.reasons import REASONS, Reason
from edge.cli.local import HANDLERS
from edge.cli.main import parser
from edge.doctor import Finding, Weight, examine
from edge.site import Site
from tests.box.test_site import serving, settings

WELL: dict[str, Any] = {
    "time": "2026-11-30T12:00:00Z",
    "clock": "synced",
    "ocpp_url": "ws://10.0.0.2:9000/",
    "lan": ["10.0.0.2:9443"],
    "cloud": {"url": "https://cloud.example", "enrolled": True, "connected": True, "backlog": 0},
    "rooms": [{"name": "chargers", "state": "running", "last_error": ""}],
    "journal": {
        "damaged_sets": [],
        "replaced_sets": [],
        "level": "fine",
        "percent": 3.0,
        "disk_is_short": False,
        "backup": "2026-11-30",
    },
}
CONNECTED = [{"reason": Reason.CONNECTED, "sentence": "It is connected.", "advice": "Nothing to do."}]
CHARGER: dict[str, Any] = {
    "id": "CP1",
    "adopted": True,
    "why": CONNECTED,
    "wanted": {"safety_a": 16.0},
    "profile": 2,
    "limit": None,
    "connectors": {"1": {"limit": {"limit_a": 16.0, "proof": "proven"}}},
}
LEDGER = {"ok": True, "chain": {"facts": 12}, "first_difference": ""}


def wrong(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.about, one.weight.value) for one in found if one.weight is not Weight.GOOD]


def changed(**more: Any) -> dict[str, Any]:
    made = deepcopy(WELL)
    for path, value in more.items():
        *outer, last = path.split("__")
        place = made
        for name in outer:
            place = place[name]
        place[last] = value
    return made


def test_where_all_is_well_there_is_nothing_to_do() -> None:
    found = examine(WELL, [CHARGER], [], ledger=LEDGER)
    assert wrong(found) == []
    assert {one.about for one in found} >= {"clock", "cloud", "journal", "address", "chargers", "ledger"}
    assert not any(one.advice for one in found)


@pytest.mark.parametrize(
    ("health", "about", "weight"),
    [
        (changed(clock="floor"), "clock", "bad"),
        (changed(cloud__url=""), "cloud", "look"),
        (changed(cloud__enrolled=False), "cloud", "bad"),
        (changed(cloud__connected=False), "cloud", "bad"),
        (changed(rooms=[{"name": "uplink", "state": "waiting", "last_error": "no"}]), "uplink", "bad"),
        (changed(journal__level="thin"), "journal", "bad"),
        (changed(journal__damaged_sets=["/x"]), "journal", "bad"),
        (changed(journal__replaced_sets=["/x"]), "journal", "look"),
        (changed(journal__backup=""), "copy", "look"),
        (changed(lan=[]), "phones", "bad"),
    ],
)
def test_each_trouble_of_the_box_is_named(health: dict[str, Any], about: str, weight: str) -> None:
    found = examine(health, [CHARGER], [])
    assert wrong(found) == [(about, weight)]
    assert all(one.advice for one in found if one.weight is not Weight.GOOD)


def test_chargers_and_who_was_turned_away() -> None:
    waiting = {"id": "CP2", "adopted": False, "why": [_why(Reason.NOT_ADOPTED)]}
    deaf = CHARGER | {"id": "CP3", "why": [_why(Reason.DEAF)]}
    stranger = {"address": "10.0.0.9", **_why(Reason.NOT_ADOPTED)}
    found = examine(WELL, [waiting, deaf], [stranger, {"charger": "CP2", **_why(Reason.NOT_ADOPTED)}])
    assert wrong(found) == [("CP3", "bad"), ("CP2", "look"), ("10.0.0.9", "look")]


@pytest.mark.parametrize(
    ("row", "weight"),
    [
        (CHARGER | {"wanted": {"safety_a": None}}, "look"),
        (CHARGER | {"connectors": {"1": {"limit": {"limit_a": 16.0, "proof": "unproven"}}}}, "bad"),
        (CHARGER | {"connectors": {"1": {"limit": None}}}, "bad"),
    ],
)
def test_a_limit_that_nobody_has_set_or_seen(row: dict[str, Any], weight: str) -> None:
    assert wrong(examine(WELL, [row], [])) == [("CP1", weight)]


def test_chargers_that_anybody_could_be_or_listen_to_are_named_together() -> None:
    rows = [CHARGER | {"id": f"CP{n}", "profile": 0} for n in range(7)]
    rows += [CHARGER | {"id": "A", "profile": 1}, CHARGER | {"id": "W", "adopted": False, "profile": 0}]
    found = [one for one in examine(WELL, rows, []) if one.about == "security"]
    assert [one.weight for one in found] == [Weight.LOOK, Weight.LOOK]
    assert "CP0, CP1, CP2, CP3, CP4 and 2 more" in found[0].sentence
    assert "passwords too: A." in found[1].sentence
    assert ["--profile 1" in found[0].advice, "--profile 2" in found[1].advice] == [True, True]


def test_a_ledger_that_is_not_in_order_and_an_address_that_will_change() -> None:
    broken = {"ok": False, "chain": {"facts": 2}, "first_difference": "fact 2 does not follow"}
    found = examine(WELL, [CHARGER], [], address="It may change.", ledger=broken)
    assert wrong(found) == [("ledger", "bad"), ("address", "look")]
    assert "fact 2" in found[0].sentence


@given(st.lists(st.sampled_from(sorted(REASONS)), max_size=6))
def test_the_worst_is_always_first(reasons: list[Reason]) -> None:
    row = CHARGER | {"why": [_why(one) for one in reasons] or CONNECTED}
    order = [list(Weight).index(one.weight) for one in examine(WELL, [row], [])]
    assert order == sorted(order)


def _why(reason: Reason) -> dict[str, str]:
    return {"reason": reason, "sentence": REASONS[reason].sentence, "advice": REASONS[reason].advice}


async def test_on_a_real_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(Site(settings(tmp_path))):
        args = parser().parse_args(["doctor", "--ledger", "--data", str(tmp_path), "--json"])
        code = await HANDLERS["doctor"](args)
        told = json.loads(capsys.readouterr().out)
        assert code == (0 if told["ok"] else 1)
        found = {one["about"]: one["weight"] for one in told["findings"]}
        assert (found["clock"], found["ledger"], found["cloud"]) == ("good", "good", "look")
        args = parser().parse_args(["doctor", "--data", str(tmp_path)])
        args.json = False
        assert await HANDLERS["doctor"](args) == code
        out = capsys.readouterr().out
        assert "→" in out
        assert "doctor --ledger" in out

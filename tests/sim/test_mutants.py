"""The mutation gate: with a safeguard taken out, some history breaks the law that it is there for.

Those of the sync (chain, content key, resume from the cloud's mark, ack after commit, retained facts, epoch
rotation) stand in tests/sync/test_cursors.py, around the cursors alone; these need the whole box.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from common.caps import Used
from common.errors import PlugsideError
from edge.core import allowance, calls, cards, estate
from edge.core.state import SiteState
from edge.gate import Gate, Release
from edge.inheritance import Inheritance
from tests.sim.laws import problems
from tests.sim.world import Box, World

#: Histories that are lived until one breaks: many times what is needed, so that the gate does not flicker.
SEEDS = range(1, 61)


def broken(
    tamper: Callable[[Box], None] = lambda _: None, *, law: str, minutes: int = 30, **world: Any
) -> bool:
    """Whether within `SEEDS` a history of such a world breaks the law whose words hold `law`."""
    for seed in SEEDS:
        try:
            found = problems(World(seed, tamper=tamper, **world).run(minutes))
        except PlugsideError as fault:
            found = [str(fault)]
        if any(law in problem for problem in found):
            return True
    return False


class OpenGate(Gate):
    """Says everything at once."""

    def hold(self, seq: int, committed_seq: int, release: Release) -> None:
        super().hold(0, committed_seq, release)


def open_the_gate(box: Box) -> None:
    """Chargers and apps hear everything at once; the tunnel still waits for the disk, so that it is not first
    to notice."""
    box.gateway._gate = OpenGate()
    committed, loop, journal = box.cursor.committed, box._world.loop, box.journal

    def once_on_disk(seq: int, kind: str, now_ms: int) -> None:
        if journal.committed_seq >= seq:
            committed(seq, kind, now_ms)
        elif box.alive:
            loop.call_later(0.001, once_on_disk, seq, kind, now_ms)

    box.cursor.committed = once_on_disk  # type: ignore[method-assign]


def test_without_the_output_gate_a_charger_is_told_what_is_not_on_disk() -> None:
    assert broken(open_the_gate, law="have no session of their own")


def test_without_stored_replies_the_same_start_is_answered_in_two_ways() -> None:
    def forget_replies(box: Box) -> None:
        box.journal.recall_reply = lambda key: None  # type: ignore[method-assign, assignment]

    assert broken(forget_replies, law="answered in two ways")


def test_without_at_most_once_a_start_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "at_most_once", lambda _order: False)
    assert broken(law=" times")


def test_with_every_safeguard_in_place_the_same_histories_are_sound() -> None:
    assert not any(problems(World(seed).run()) for seed in list(SEEDS)[:10])


# --- rights and clocks -------------------------------------------------------------------------------------


def test_without_a_look_at_the_lists_a_withdrawn_right_still_counts() -> None:
    def look_at_none(box: Box) -> None:
        box.authority.verifier.withdrawals.covers = lambda _site, _entries: False  # type: ignore[method-assign]

    assert broken(look_at_none, law="by a right that was withdrawn")


def test_without_a_look_at_a_grants_end_it_counts_for_ever() -> None:
    def look_at_no_end(box: Box) -> None:
        verifier = box.authority.verifier
        verifier.claims = lambda token, _now, site=None: verifier.renewable(token, site)  # type: ignore[method-assign]

    assert broken(look_at_no_end, law="by a grant that had run out")


def test_without_settling_what_lists_say_a_withdrawn_tag_is_good_after_a_kill() -> None:
    def settle_nothing(box: Box) -> None:
        box.rights.settle = lambda: None  # type: ignore[method-assign]

    assert broken(settle_nothing, law="that a withdrawn tag is good")


def test_without_the_proof_of_the_tunnel_a_wrong_clock_stays_wrong() -> None:
    def believe_nobody(box: Box) -> None:
        box.watch.told_by_cloud = lambda _time: None  # type: ignore[method-assign]

    assert broken(believe_nobody, law="the box's clock is")


def test_without_its_step_written_down_a_clock_that_was_set_is_never_corrected() -> None:
    def write_nothing(box: Box) -> None:
        box.watch._tell = lambda _step, _reason="": None  # type: ignore[method-assign]

    assert broken(write_nothing, law="s off, corrected")


# --- caps --------------------------------------------------------------------------------------------------


def test_without_a_look_at_what_was_had_a_start_is_accepted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (allowance, cards):
        monkeypatch.setattr(module, "may_begin", lambda *_: None)
    assert broken(law="was accepted after", caps=True)


def test_without_a_look_at_its_samples_a_charge_goes_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "_look", lambda *_: None)
    assert broken(law="and is not asked to stop", caps=True)


def test_without_its_counts_a_box_that_was_killed_counts_anew() -> None:
    assert broken(lambda box: box.gateway.state.taken.clear(), law="is counted as", caps=True)


def test_without_a_look_at_what_runs_a_card_cannot_end_its_own_charge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cards, "_ends_one", lambda *_: False)
    assert broken(law="where its owner charged", caps=True)


def test_with_one_count_for_all_somebody_is_refused_for_what_others_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = allowance.used

    def by_all(state: SiteState, _principal: str, since_ms: int) -> Used:
        each = [used(state, principal, since_ms) for principal in state.taken]
        return Used(energy_wh=sum(u.energy_wh for u in each), sessions=sum(u.sessions for u in each))

    monkeypatch.setattr(allowance, "used", by_all)
    assert broken(law="was refused a start", caps=True)


# --- estates -----------------------------------------------------------------------------------------------

RESTORED: dict[str, Any] = {"restores": True, "caps": True, "estates": True}


def test_without_asking_on_disk_a_new_epoch_has_no_estate(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_once(box: Inheritance) -> None:
        box.wanted = True

    monkeypatch.setattr(Inheritance, "ask", ask_once)
    assert broken(law="counts as None", minutes=10, **RESTORED)


def test_without_the_clouds_counts_what_went_with_a_card_counts_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estate, "counted", lambda *_: ())
    assert broken(law="counts as None", minutes=10, **RESTORED)


def test_with_what_was_told_before_its_estate_beside_it_a_charge_is_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estate, "unattributed", SimpleNamespace(AUTHORIZATION="none"))
    assert broken(law="of what went with its card", minutes=10, **RESTORED)


def test_without_a_look_at_decisions_a_limit_that_went_with_a_card_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estate, "_news", lambda *_: False)
    clocks_are_right = {"spares": lambda what: "clock" in what or "1970" in what}
    assert broken(law="went with the card", minutes=20, **RESTORED, **clocks_are_right)

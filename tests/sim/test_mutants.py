"""The mutation gate: with a safeguard taken out, some history breaks the law that it is there for.

Those of the sync (chain, content key, resume from the cloud's mark, ack after commit, retained facts, epoch
rotation) stand in tests/sync/test_cursors.py, around the cursors alone; these need the whole box.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.errors import PlugsideError
from edge.core import calls
from edge.gate import Gate, Release
from tests.sim.laws import problems
from tests.sim.world import Box, World

#: Histories that are lived until one breaks: many times what is needed, so that the gate does not flicker.
SEEDS = range(1, 61)


def broken(tamper: Callable[[Box], None] = lambda _: None, *, law: str, lying_disk: bool = False) -> bool:
    """Whether within `SEEDS` a history breaks the law whose words hold `law`."""
    for seed in SEEDS:
        try:
            found = problems(World(seed, tamper=tamper, lying_disk=lying_disk).run())
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

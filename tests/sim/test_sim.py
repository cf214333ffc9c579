"""Histories inside the suite: the laws hold in each, a seed is reproducible, and a broken box is noticed."""

from __future__ import annotations

import pytest

from common.errors import PlugsideError
from tests.sim import many
from tests.sim.laws import problems
from tests.sim.many import live
from tests.sim.world import World

#: Seeds in every run of the suite; `make sim-night` lives 50,000.
SEEDS = 1000
#: Histories to one test, so that a failure names a few seeds.
SHARE = 50


@pytest.mark.parametrize("first", range(1, SEEDS + 1, SHARE))
def test_the_laws_hold(first: int) -> None:
    broken = {
        lived.seed: lived.problems for seed in range(first, first + SHARE) if (lived := live(seed)).problems
    }
    assert not broken, f"replay with `make sim SEED={min(broken)} ARGS='--minutes 10'`"


#: Seeds beyond the suite's that broke a law once: a proof told its step from a time that was waited for; a
#: kill parted the first facts of a clock that was set while the box was away from the fact that says so; a
#: proof that agreed with the machine told a step to another time than the box then told; a cap that a later
#: grant lowered held every charge that ran but a person's first; a new meter that was set back made a
#: double of two charges (twice); a proof just ahead of the machine told a step to a line that nothing went
#: by. And of the world: a kill before the box had looked at its clock; a timer that ended just when the
#: world did; a charge that the box had closed after two days that never were; a start that the box before
#: had judged. (Of the suite's own, 48: what a box asks of its cloud after a new epoch was forgotten with
#: its process; 138: a charge whose meter came before its estate was two.)
BROKE_ONCE = (302365, 500764, 13577, 700511, 14186, 14956, 27626, 4920, 5760, 730793, 742353)


@pytest.mark.parametrize("seed", BROKE_ONCE)
def test_what_broke_once_does_not_again(seed: int) -> None:
    assert not live(seed).problems


def test_a_failing_history_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a cut link is what breaks the law, the cut is named, and little that has to happen before it."""
    monkeypatch.setattr(many, "problems", lambda world: ["cut"] if world.faults["link cut"] else [])
    seed = next(seed for seed in range(1, 20) if live(seed).problems)
    minutes, needed = many.shrink(seed, many.SHORT_MINUTES)
    assert "link cut" in needed
    assert len(needed) <= 3, "of more than twenty kinds"
    assert minutes <= many.SHORT_MINUTES
    again = many.lived(seed, minutes, lambda what: what not in needed)
    assert again.problems, "with those alone it breaks again"
    assert {what for _, what in again.story} == needed


def test_a_seed_is_one_history() -> None:
    first, second = World(7).run(), World(7).run()
    assert [fact.record for fact in first.disk.facts] == [fact.record for fact in second.disk.facts]
    assert first.faults == second.faults


def test_what_is_said_before_it_is_on_disk_is_noticed() -> None:
    """With a disk that lies about its commits, some history loses what a charger was told is safe."""
    assert any(_noticed(seed) for seed in range(1, 31))


def _noticed(seed: int) -> bool:
    try:
        return bool(problems(World(seed, lying_disk=True).run()))
    except PlugsideError:
        return True  # the sync cursor itself found that the journal does not hold what it was told

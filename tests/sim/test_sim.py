"""Histories inside the suite: the laws hold in each, a seed is reproducible, and a broken box is noticed."""

from __future__ import annotations

import pytest

from common.errors import PlugsideError
from tests.sim.laws import problems
from tests.sim.world import World

#: Seeds in every run of the suite. `python -m tests.sim --seeds N` lives as many as one likes.
SEEDS = 120
#: Histories to one test, so that a failure names a few seeds and the workers share the load.
SHARE = 10


@pytest.mark.parametrize("first", range(1, SEEDS + 1, SHARE))
def test_the_laws_hold(first: int) -> None:
    broken = {seed: found for seed in range(first, first + SHARE) if (found := problems(World(seed).run()))}
    assert not broken, f"replay with `make sim SEED={min(broken)}`"


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

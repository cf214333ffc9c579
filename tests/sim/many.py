"""Many histories: one seed's, all laws held against it; and a failing one made as small as it goes."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from common.errors import PlugsideError
from tests.sim.laws import problems
from tests.sim.world import World

#: Of a suite's histories, in simulated minutes before the world heals. A single replay is longer.
SHORT_MINUTES = 10
#: Every third history puts old images of the box's card back, which the laws must look past in places.
RESTORES_EVERY = 3


class Lived(NamedTuple):
    """What came of one history."""

    seed: int
    problems: tuple[str, ...]
    faults: Counter[str]
    charges: int


def live(seed: int, minutes: int = SHORT_MINUTES, spared: frozenset[str] = frozenset()) -> Lived:
    """Live one seed's history and hold the laws against it."""
    world = World(seed, restores=seed % RESTORES_EVERY == 0, spared=spared)
    try:
        found = problems(world.run(minutes))
    except (AssertionError, PlugsideError) as broke:
        found = [f"{type(broke).__name__}: {broke}"]
    return Lived(seed, tuple(found), world.faults, len(world.charges))


def shrink(seed: int, minutes: int) -> tuple[int, frozenset[str]]:
    """The shortest of a failing history, and the kinds of fault that it needs: a kind is left out whenever
    the history still fails without it."""
    while minutes > 1 and live(seed, minutes // 2).problems:
        minutes //= 2
    spared: frozenset[str] = frozenset()
    kinds = live(seed, minutes).faults
    for kind in sorted(kinds):
        if live(seed, minutes, spared | {kind}).problems:
            spared |= {kind}
    return minutes, frozenset(kinds) - spared

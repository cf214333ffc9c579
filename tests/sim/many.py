"""Many histories: one seed's, all laws held against it; and a failing one made as small as it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from common.errors import PlugsideError
from tests.sim.laws import problems
from tests.sim.world import World

#: Of a suite's histories, in simulated minutes before the world heals. A single replay is longer.
SHORT_MINUTES = 10
#: Every third history puts old images of the box's card back, which the laws must look past in places.
RESTORES_EVERY = 3
#: In two of five histories people have caps, and boxes ask for their estate; the others live what they lived
#: before there was either.
CAPPED, OF = (1, 3), 5


class Lived(NamedTuple):
    """What came of one history."""

    seed: int
    problems: tuple[str, ...]
    faults: Counter[str]
    charges: int
    story: tuple[tuple[int, str], ...]  #: of a history that broke a law: when each fault struck, virtual ms


def live(seed: int, minutes: int = SHORT_MINUTES, spared: frozenset[str] = frozenset()) -> Lived:
    """Live one seed's history and hold the laws against it."""
    return lived(seed, minutes, lambda what: what in spared)


def lived(seed: int, minutes: int, spares: Callable[[str], bool], *, tell: bool = False) -> Lived:
    """The same, with the faults left out that `spares` names. tell: its story, though all laws hold."""
    capped = seed % OF in CAPPED
    world = World(seed, restores=seed % RESTORES_EVERY == 0, caps=capped, estates=capped, spares=spares)
    try:
        found = problems(world.run(minutes))
    except (AssertionError, PlugsideError) as broke:
        found = [f"{type(broke).__name__}: {broke}"]
    story = tuple(world.story) if found or tell else ()
    return Lived(seed, tuple(found), world.faults, len(world.charges), story)


def shrink(seed: int, minutes: int) -> tuple[int, frozenset[str]]:
    """The kinds of fault that a failing history needs, and how long it then has to be: a kind is left out
    whenever the history still fails without it, until none can be."""
    spared: frozenset[str] = frozenset()
    again = True
    while again:
        again = False
        for kind in sorted({what for _, what in live(seed, minutes, spared).story}):
            if live(seed, minutes, spared | {kind}).problems:
                spared, again = spared | {kind}, True
    while minutes > 1 and live(seed, minutes // 2, spared).problems:
        minutes //= 2
    while minutes > 1 and live(seed, minutes - 1, spared).problems:
        minutes -= 1
    return minutes, frozenset(what for _, what in live(seed, minutes, spared).story)

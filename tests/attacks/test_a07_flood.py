"""Group 7, all of it at once: five seconds of flood from twenty addresses at the real box, by every door.

A minute of it, with latencies beside it: `python -m tests.attacks.flood`.
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.flood import box_in, broken, flooded
from tests.attacks.flooder import AT_CHARGERS, AT_ONCE

SECONDS = 5.0


async def test_a_flood_costs_a_bounded_memory_and_the_honest_are_served_while_it_lasts(
    tmp_path: Path,
) -> None:
    with box_in(tmp_path) as box:
        seen = await flooded(box, SECONDS)
    kinds = {kind.__name__ for kind in (*AT_ONCE, *AT_CHARGERS)} | {"datagrams"}
    assert {kind for kind in kinds if not seen.tried.get(kind)} == set(), "a part of the flood never came"
    assert seen.flooded["command"], "no command while it lasted"
    assert seen.flooded["heartbeat"]
    assert broken(seen) == []

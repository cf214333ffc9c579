"""`make sim SEED=n`: live one history and say what happened. `--seeds N` lives N, from `--seed` on."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.sim.laws import problems
from tests.sim.world import World


def main() -> int:
    """Exit code 1 when a law is broken; the seed that broke it is printed."""
    options = argparse.ArgumentParser(prog="make sim", description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seeds", type=int, default=1)
    asked = options.parse_args()
    began = time.monotonic()
    faults: Counter[str] = Counter()
    charges = broken = 0
    for seed in range(asked.seed, asked.seed + asked.seeds):
        world = World(seed).run()
        faults += world.faults
        charges += len(world.charges)
        for problem in problems(world):
            broken += 1
            print(f"seed {seed}: {problem}")
    told = ", ".join(f"{count} × {what}" for what, count in sorted(faults.items()))
    print(f"{asked.seeds} histories, {charges} charges; faults: {told}")
    print(f"{broken} laws broken, in {time.monotonic() - began:.1f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

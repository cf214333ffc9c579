"""`make sim SEED=n`: live one history and tell what happened in it. `--seeds N` lives N, from `--seed` on.

`make sim-night` lives 50,000 short ones on every processor. A history that breaks a law is made smaller and
told: what struck, when, what is broken, and the command that lives it again. It then belongs among the tests.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.sim.many import SHORT_MINUTES, Lived, live, lived, shrink

#: Of a single replay, in simulated minutes.
LONG_MINUTES = 30
PROGRESS_EVERY = 1000
#: Of so many that are broken each is made smaller.
SHRUNK_MAX = 3
#: Strikes at every other exchange, and says nothing by that.
NOISE = "tunnel down"


def main() -> int:
    """Exit code 1 when a law is broken; the seed that broke it is printed."""
    options = argparse.ArgumentParser(prog="make sim", description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--minutes", type=int, help="simulated, before the world heals")
    options.add_argument("--only", help="the faults that happen, with commas between; of one seed")
    options.add_argument("--workers", type=int, default=1, help="processes; 0 = one a processor")
    asked = options.parse_args()
    logging.disable(logging.CRITICAL)  # what goes wrong here is wanted
    if asked.seeds == 1:
        only = None if asked.only is None else set(asked.only.split(","))
        return one(asked.seed, asked.minutes or LONG_MINUTES, only)
    return many(range(asked.seed, asked.seed + asked.seeds), asked.minutes or SHORT_MINUTES, asked.workers)


def one(seed: int, minutes: int, only: Collection[str] | None) -> int:
    """Live one history and tell its story."""
    told = lived(seed, minutes, lambda what: only is not None and what not in only, tell=True)
    print(f"Seed {seed}: {minutes} minutes of a box, three chargers, two phones and a cloud; then all heals.")
    print_story(told)
    if told.problems and only is None:
        print_smaller(seed, minutes)
    return 1 if told.problems else 0


def many(seeds: range, minutes: int, workers: int) -> int:
    """Live many, tell of those that break a law, and count what struck."""
    began = time.monotonic()
    faults: Counter[str] = Counter()
    charges = 0
    broken: list[int] = []
    # The objects of a history live and go together: looked through less often, it takes a tenth less time.
    with ProcessPoolExecutor(
        workers or os.cpu_count(), initializer=gc.set_threshold, initargs=(50_000, 20, 20)
    ) as pool:
        for number, told in enumerate(pool.map(partial(live, minutes=minutes), seeds, chunksize=16), 1):
            faults += told.faults
            charges += told.charges
            if told.problems:
                broken.append(told.seed)
                for problem in told.problems:
                    print(f"seed {told.seed}: {problem}", flush=True)
            if number % PROGRESS_EVERY == 0:
                print(f"{number} of {len(seeds)}, {len(broken)} broken", file=sys.stderr, flush=True)
    for seed in broken[:SHRUNK_MAX]:
        print_smaller(seed, minutes)
    counts = ", ".join(f"{count:,} × {what}" for what, count in sorted(faults.items()))
    print(f"{len(seeds):,} histories, {charges:,} charges; faults: {counts}")
    print(f"{len(broken)} broke a law, in {time.monotonic() - began:.1f} s")
    return 1 if broken else 0


def print_smaller(seed: int, minutes: int) -> None:
    """The least of a failing history that still fails."""
    short, needed = shrink(seed, minutes)
    print(f"\nSeed {seed} still breaks a law in {short} minutes with these faults alone:")
    print_story(lived(seed, short, lambda what: what not in needed, tell=True))
    again = f"--minutes {short} --only {shlex.quote(','.join(sorted(needed)))}"
    print(f"Again: make sim SEED={seed} ARGS={shlex.quote(again)}\n")


def print_story(told: Lived) -> None:
    """What struck when, and what came of it."""
    for at_ms, what in told.story:
        if what != NOISE:
            print(f"  {at_ms // 60_000:2}:{at_ms // 1000 % 60:02}.{at_ms % 1000:03}  {what}")
    print(f"  {told.charges} charges were made.")
    for problem in told.problems:
        print(f"  BROKEN: {problem}")
    if not told.problems:
        print("  Every law holds.")


if __name__ == "__main__":
    sys.exit(main())

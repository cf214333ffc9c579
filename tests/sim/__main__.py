"""`make sim SEED=n`: live one history and say what happened. `--seeds N` lives N, from `--seed` on.

`make sim-night` lives 50,000 short ones on every processor. A history that breaks a law is made smaller and
printed with the faults that it needs; it then belongs among the regression seeds of test_sim.py.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.sim.many import SHORT_MINUTES, live, shrink

#: Of a single replay, in simulated minutes.
LONG_MINUTES = 30
PROGRESS_EVERY = 1000


def main() -> int:
    """Exit code 1 when a law is broken; the seed that broke it is printed."""
    options = argparse.ArgumentParser(prog="make sim", description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--minutes", type=int, help="simulated, before the world heals")
    options.add_argument("--workers", type=int, default=1, help="processes; 0 = one a processor")
    asked = options.parse_args()
    logging.disable(logging.CRITICAL)  # what goes wrong here is wanted
    minutes = asked.minutes or (LONG_MINUTES if asked.seeds == 1 else SHORT_MINUTES)
    seeds = range(asked.seed, asked.seed + asked.seeds)
    began = time.monotonic()
    faults: Counter[str] = Counter()
    charges = 0
    broken: list[int] = []
    # The objects of a history live and go together: looked through less often, it takes a tenth less time.
    rarely = {"initializer": gc.set_threshold, "initargs": (50_000, 20, 20)}
    with ProcessPoolExecutor(asked.workers or os.cpu_count(), **rarely) as pool:
        for number, lived in enumerate(pool.map(partial(live, minutes=minutes), seeds, chunksize=16), 1):
            faults += lived.faults
            charges += lived.charges
            if lived.problems:
                broken.append(lived.seed)
                for problem in lived.problems:
                    print(f"seed {lived.seed}: {problem}", flush=True)
            if number % PROGRESS_EVERY == 0:
                print(f"{number} of {len(seeds)}, {len(broken)} broken", file=sys.stderr, flush=True)
    for seed in broken[:3]:
        short, needed = shrink(seed, minutes)
        print(f"seed {seed} needs {short} minutes and: {', '.join(sorted(needed)) or 'no fault at all'}")
        print(f"  make sim SEED={seed} ARGS='--minutes {short}'")
    told = ", ".join(f"{count:,} × {what}" for what, count in sorted(faults.items()))
    print(f"{len(seeds):,} histories, {charges:,} charges; faults: {told}")
    print(f"{len(broken)} broke a law, in {time.monotonic() - began:.1f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

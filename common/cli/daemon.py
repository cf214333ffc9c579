"""What both daemons ask of the process that they run in."""

from __future__ import annotations

import os
import resource


def keep_to_itself() -> None:
    """From now on what this process writes is its user's alone, and it leaves no core: that holds keys.

    The units say the same (`UMask`, `LimitCORE`); this holds for whoever starts a daemon by hand.
    """
    os.umask(0o077)
    none = (0, 0)
    if resource.getrlimit(resource.RLIMIT_CORE) != none:  # the unit's filter refuses what it has done itself
        resource.setrlimit(resource.RLIMIT_CORE, none)

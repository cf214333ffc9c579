"""The disk is full: the box stays up and says so, takes nothing on, and looks whether there is room again.

A journal that failed for want of room has lost nothing: its transaction was rolled back, and nobody was
answered. Chargers' sockets are closed and their handshakes get 503, so that they keep what they have; apps
are told why; a stop still reaches a charger that dials (`edge.held`). With room again the process ends and a
start rebuilds memory from the journal. Any other failure of the disk ends the process at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from edge.journal import ballast, quota
from edge.journal.folder import disk_is_full

log = logging.getLogger("plugside.journal")

#: How often the disk is tried, in s.
TRY_EVERY_S = 2.0
_PROBE = "room.probe"


def for_want_of_room(why: BaseException) -> bool:
    """Whether this failure ends when somebody frees space."""
    seen: BaseException | None = why
    while seen is not None:
        if disk_is_full(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


async def over(folder: Path, *, enough: Callable[[Path], bool]) -> None:
    """Return once the disk takes what a commit and a checkpoint need (`has_room`). The ballast goes first."""
    if ballast.release(folder):
        log.error("the disk is full: the ballast was let go; free space on it now")
    while True:
        if enough(folder):
            return
        await asyncio.sleep(TRY_EVERY_S)


def has_room(folder: Path) -> bool:
    """Whether so many bytes can be written and synced now."""
    path = folder / _PROBE
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, quota.RESERVE_BYTES)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True

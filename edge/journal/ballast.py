"""The ballast: a file of disk that nobody needs, kept to be let go when there is no other.

On a full disk SQLite cannot even delete. So room is bought in advance, and given back while the journal can
still use it: sessions then begin and end for as long as those megabytes last, and somebody is told.
"""

from __future__ import annotations

import os
from pathlib import Path

NAME = "ballast"


def held(folder: Path) -> int:
    """Bytes that the ballast holds; 0 = it was let go, or never taken."""
    try:
        return (folder / NAME).stat().st_blocks * 512
    except OSError:
        return 0


def take(folder: Path, size: int) -> bool:
    """Take the ballast if it is not held. False: the disk or its file system has it not to give."""
    if held(folder) >= size:
        return True
    path = folder / NAME
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)
    except OSError:
        release(folder)
        return False
    return held(folder) >= size


def release(folder: Path) -> int:
    """Let it go; the bytes that this gave back."""
    size = held(folder)
    try:
        (folder / NAME).unlink()
    except OSError:
        return 0
    return size

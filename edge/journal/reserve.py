"""The log's place on the disk, taken before it is needed.

A commit that makes the log longer has the file system write down the new length too, which can cost as much
as the commit itself. So the log gets its full length in zeros once, and commits
overwrite them. The same bytes are room that a filling disk cannot take from the journal.

SQLite takes no notice of what stands behind the last valid frame: a frame counts only with the header's salts
and a checksum over all before it (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
"""

from __future__ import annotations

import os
from pathlib import Path

#: Written in pieces of this size: memory is not the price of a long log.
_PIECE = bytes(256 * 1024)


def reserve(log: Path, size: int) -> bool:
    """Lengthen the log file to `size` bytes with zeros, on disk. False when the disk has no room for it.

    Nothing that is in the file changes. What was written of it when the room ended stays, and does no harm.
    """
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        at = os.fstat(fd).st_size
        while at < size:
            at += os.pwrite(fd, _PIECE[: size - at], at)
        os.fsync(fd)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True

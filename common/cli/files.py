"""Files that a person asked for: there whole, or what stood there before stays.

A table that is half of last month's and half of nothing is worse than none, and a full disk shows only while
it is being written.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from common.errors import Code, LocalFault


@contextmanager
def whole_file(target: Path, *, hint: str) -> Iterator[BinaryIO]:
    """Write `target` anew: it takes its name once it is complete and on the disk, and not before.

    hint: what to do when it cannot be written. Raises LocalFault(bad_settings); then nothing is changed. What
    is no file of its own (a pipe, /dev/stdout) is written to as it stands.
    """
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        place = Path(os.path.realpath(target))
        if place.exists() and not place.is_file():
            with place.open("wb") as file:
                yield file
            return
        unfinished = place.with_name(f".{place.name}.unfinished")
        try:
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as refused:
        why = f"{target}: {refused.strerror or refused}"
        raise LocalFault(Code.BAD_SETTINGS, why, hint=hint) from None

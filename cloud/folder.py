"""The cloud's data folder: one process at a time. Holds the keys, the database and the local socket."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from common.errors import Code, LocalFault

KEYS = "keys"
DATABASE = "cloud.db"
SOCKET = "cloud.sock"
_LOCK = "lock"


class Folder:
    """The folder, locked until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Makes the folder if there is none. Raises LocalFault: folder_in_use, folder_unusable."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as unusable:
            raise LocalFault(Code.FOLDER_UNUSABLE, f"{path}: {unusable.strerror or unusable}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise LocalFault(Code.FOLDER_IN_USE, f"{path}, process {holder}") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    @property
    def keys(self) -> Path:
        return self.path / KEYS

    @property
    def database(self) -> Path:
        return self.path / DATABASE

    @property
    def socket(self) -> Path:
        return self.path / SOCKET

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._fd)

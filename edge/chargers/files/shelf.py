"""The shelf: firmware that an installer put there, and logs that chargers sent, in the data folder.

Firmware is kept under its own SHA-256, which is checked again before it is served. An upload gets a name of
ours; the charger's is only told. Both are opaque bytes to the box. What is full says so; of logs the newest
are kept. Synchronous: callers on the loop use a thread.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from common.errors import Code, Refused, Unavailable, error

#: A piece that is read or written at once.
PIECE_BYTES: Final = 64 * 1024

#: A file whose times are older than this has other ones once it is written again.
_SETTLED_NS: Final = 1_000_000_000

_HASH = re.compile(r"[0-9a-f]{64}")
_UPLOAD = re.compile(r"[0-9A-Za-z-]{1,64}")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the shelf."""

    #: The largest firmware seen in the field is below 300 MB (an embedded Linux with its browser).
    firmware_bytes_max: int = 512 * 1024 * 1024
    #: A site has a handful of models, and keeps a version or two of each.
    firmware_files_max: int = 16
    #: A charger's log archive: some MB, seldom tens.
    upload_bytes_max: int = 64 * 1024 * 1024
    #: Logs that are kept: enough for a site where every charger was asked once, in files and bytes.
    uploads_max: int = 64
    uploads_bytes_max: int = 512 * 1024 * 1024
    #: Left free on the disk for the journal, whatever is uploaded.
    reserve_bytes: int = 256 * 1024 * 1024


class Firmware(msgspec.Struct, frozen=True, kw_only=True):
    """One firmware file. Certificate (PEM) and signature (base64) are its maker's, both or none."""

    sha256: str
    size_bytes: int
    name: str = ""
    version: str = ""
    added_at: str = ""
    certificate: str = ""
    signature: str = ""


class Incoming:
    """A file on its way onto the shelf; nothing else sees it before. Drop what is not taken."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        self.path = path
        self.size_bytes = 0
        self._max = bytes_max
        self._hash = sha256()
        self._file: BinaryIO = path.open("xb")

    @property
    def sha256(self) -> str:
        """Of what has come so far, hex."""
        return self._hash.hexdigest()

    def write(self, piece: bytes) -> None:
        """Add a piece. Raises Refused(too_large), Unavailable(disk_full)."""
        if self.size_bytes + len(piece) > self._max:
            raise error(Code.TOO_LARGE, f"{self._max} bytes are allowed")
        try:
            self._file.write(piece)
        except OSError as full:
            raise Unavailable(Code.DISK_FULL, str(full.strerror)) from None
        self._hash.update(piece)
        self.size_bytes += len(piece)

    def finish(self, place: Path) -> None:
        """Bring it to its place, whole and on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.replace(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def drop(self) -> None:
        """Forget it. Safe to call twice, and after `finish`."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink()


class Shelf:
    """Two folders in the data folder, made when they are first needed."""

    def __init__(self, folder: Path, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._firmware = folder / "firmware"
        self._uploads = folder / "uploads"
        self._checked: dict[str, tuple[int, ...]] = {}

    def clear(self) -> None:
        """Drop what an earlier process left unfinished."""
        for folder in (self._firmware, self._uploads):
            if folder.is_dir():
                for part in folder.glob("*.part"):
                    part.unlink(missing_ok=True)

    # --- firmware ----------------------------------------------------------------------------------------

    def begin_firmware(self, upload: str, size_bytes: int) -> Incoming:
        """Room for a new file. Raises Refused(too_large, limit_reached), Unavailable(disk_full)."""
        if size_bytes > self._limits.firmware_bytes_max:
            raise error(Code.TOO_LARGE, f"{self._limits.firmware_bytes_max} bytes are allowed")
        if sum(1 for _ in self.firmware()) >= self._limits.firmware_files_max:
            hint = "Remove one that no charger needs: `plugside-edge firmware remove`."
            raise Refused(
                Code.LIMIT_REACHED, f"{self._limits.firmware_files_max} firmware files are kept", hint=hint
            )
        return self._incoming(self._firmware, upload, size_bytes)

    def keep_firmware(self, incoming: Incoming, about: Firmware) -> None:
        """Take a file whose hash is what was said. Raises Refused(bad_request) if it is not."""
        if (incoming.sha256, incoming.size_bytes) != (about.sha256, about.size_bytes):
            raise Refused(Code.BAD_REQUEST, "what arrived is not the file that was announced")
        note = self._firmware / f"{about.sha256}.json"
        part = note.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(about))
        incoming.finish(self._firmware / about.sha256)
        part.replace(note)

    def firmware(self) -> Iterator[Firmware]:
        """Every file that is there, the latest last."""
        found = []
        for note in self._firmware.glob("*.json"):
            with suppress(OSError, msgspec.DecodeError):
                about = msgspec.json.decode(note.read_bytes(), type=Firmware)
                if _HASH.fullmatch(about.sha256) and (self._firmware / about.sha256).is_file():
                    found.append(about)
        return iter(sorted(found, key=lambda about: about.added_at))

    def about_firmware(self, digest: str) -> Firmware:
        """What was told of a file when it was added. Raises Refused(unknown_file)."""
        for about in self.firmware():
            if about.sha256 == digest:
                return about
        raise Refused(Code.UNKNOWN_FILE, digest[:64])

    def open_firmware(self, digest: str) -> tuple[BinaryIO, int]:
        """A file and its size, its bytes checked against its name. Raises Refused(unknown_file).

        The whole file is read unless it is the very one that was checked before, unchanged.
        """
        if not _HASH.fullmatch(digest):
            raise Refused(Code.UNKNOWN_FILE)
        try:
            fd = os.open(self._firmware / digest, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise Refused(Code.UNKNOWN_FILE, digest) from None
        file = os.fdopen(fd, "rb", buffering=0)
        try:
            self._check(file, digest)
            return file, os.fstat(fd).st_size
        except BaseException:
            file.close()
            raise

    def _check(self, file: BinaryIO, digest: str) -> None:
        told = os.fstat(file.fileno())
        mark = (told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
        if self._checked.get(digest) == mark:
            return
        hashed = sha256()
        while piece := file.read(1024 * 1024):
            hashed.update(piece)
        if hashed.hexdigest() != digest:
            raise Refused(Code.UNKNOWN_FILE, f"{digest} is not what it was when it was added")
        # A file that was written a moment ago may be written again with the same times, which go by the
        # kernel's ticks of some ms. Until they are past it is hashed each time.
        if time.clock_gettime_ns(time.CLOCK_REALTIME) - max(told.st_mtime_ns, told.st_ctime_ns) > _SETTLED_NS:
            self._checked[digest] = mark
        file.seek(0)

    def remove_firmware(self, digest: str) -> bool:
        """Take a file off the shelf; whether it was there."""
        if not _HASH.fullmatch(digest):
            return False
        self._checked.pop(digest, None)
        known = (self._firmware / digest).exists()
        for path in (self._firmware / f"{digest}.json", self._firmware / digest):
            path.unlink(missing_ok=True)
        return known

    # --- uploads -----------------------------------------------------------------------------------------

    def begin_upload(self, upload: str, size_bytes: int | None) -> Incoming:
        """Room for a charger's log. Raises Refused(too_large), Unavailable(disk_full)."""
        most = self._limits.upload_bytes_max
        if size_bytes is not None and size_bytes > most:
            raise error(Code.TOO_LARGE, f"{most} bytes are allowed")
        return self._incoming(self._uploads, upload, most if size_bytes is None else size_bytes)

    def keep_upload(self, incoming: Incoming, upload: str) -> None:
        """Take a log; the oldest leave when there are too many."""
        kept = sorted(self._uploads.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns)
        room = (
            self._limits.uploads_bytes_max - incoming.size_bytes - sum(path.stat().st_size for path in kept)
        )
        while kept and (room < 0 or len(kept) >= self._limits.uploads_max):
            oldest = kept.pop(0)
            room += oldest.stat().st_size
            oldest.unlink()
        incoming.finish(self._uploads / f"{upload}.bin")

    def read_upload(self, upload: str, offset: int, size_bytes: int) -> tuple[bytes, int]:
        """A piece of a log, and the log's size. Raises Refused(unknown_file)."""
        if not _UPLOAD.fullmatch(upload):
            raise Refused(Code.UNKNOWN_FILE)
        try:
            with (self._uploads / f"{upload}.bin").open("rb") as file:
                file.seek(offset)
                return file.read(size_bytes), os.fstat(file.fileno()).st_size
        except OSError:
            raise Refused(Code.UNKNOWN_FILE, upload, hint="Only the newest logs are kept.") from None

    def _incoming(self, folder: Path, upload: str, size_bytes: int) -> Incoming:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free - self._limits.reserve_bytes
        if free < size_bytes:
            raise Unavailable(Code.DISK_FULL, f"{max(free, 0)} bytes are free for files")
        return Incoming(folder / f"{upload}.part", size_bytes)

"""How full the journal is, and what follows from that: the pressure ladder as numbers. Pure.

    under 80 %   nothing
    80 %         samples that the cloud has are rolled up, then halved
    90 %         samples that it has not are halved, too, never a session's first or last
    95 %         samples between a session's first and last are acknowledged and not written (declared first)
    97 %         the ballast is let go, so that sessions still find room

What counts is the smaller of two: the quota, and what the disk under it still has to give. A level is left
only when the journal is well below it, so that nothing flaps at its edge.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from edge.journal.folder import WAL_BYTES_MAX

MIB: Final = 1024 * 1024
#: A site of up to four chargers, by years of samples at a usual pace.
QUOTA_MIN_BYTES: Final = 512 * MIB
#: What one more charger adds: 90 days of a sample each 30 s, about 450 bytes each.
QUOTA_CHARGER_BYTES: Final = 128 * MIB
#: What a commit needs of the disk at any moment, the log at its longest twice: it counts as taken.
RESERVE_BYTES: Final = 2 * WAL_BYTES_MAX
#: The file that is let go at the end; at least the reserve, or the checkpoint after it still fails.
BALLAST_BYTES: Final = 16 * MIB
#: A level ends this far below where it began.
SLACK: Final = 0.05


class Level(IntEnum):
    """A step of the ladder; each includes those before."""

    FINE = 0
    THIN = 1
    THIN_UNACKED = 2
    SPARSE = 3
    BALLAST = 4


_BEGINS: Final = {Level.THIN: 0.80, Level.THIN_UNACKED: 0.90, Level.SPARSE: 0.95, Level.BALLAST: 0.97}


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, in bytes. `used`: pages that hold something; `reusable`: pages that do not."""

    quota: int
    used: int
    reusable: int = 0
    log: int = 0
    disk_free: int
    ballast: int = 0

    @property
    def capacity(self) -> int:
        """What the journal can come to hold."""
        return max(1, min(self.quota, self.used + self.reusable + max(0, self.disk_free - RESERVE_BYTES)))

    @property
    def fraction(self) -> float:
        """How full it is: 1.0 = no sample fits any more."""
        return self.used / self.capacity

    @property
    def commits_are_in_danger(self) -> bool:
        """Whether the log might not find the room to grow, however many pages of the file are empty."""
        return self.disk_free + min(self.log, WAL_BYTES_MAX) < RESERVE_BYTES

    @property
    def disk_is_short(self) -> bool:
        """Whether it is the disk that is short, and not the quota."""
        return self.commits_are_in_danger or self.capacity < self.quota


def quota_bytes(chargers: int, mib: int = 0) -> int:
    """The quota for a site of so many chargers. mib: as an installer has set it; 0 = by the chargers."""
    return mib * MIB if mib else max(QUOTA_MIN_BYTES, chargers * QUOTA_CHARGER_BYTES)


def level(room: Room, before: Level = Level.FINE) -> Level:
    """The step that holds now, having been at `before`."""
    if room.commits_are_in_danger:
        return Level.BALLAST
    for step in sorted(_BEGINS, reverse=True):
        begins = _BEGINS[step]
        if room.fraction >= (begins - SLACK if step <= before else begins):
            return step
    return Level.FINE

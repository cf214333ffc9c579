"""Copies asked for by hand: `plugside-edge backup`. The daemon opens no path that a caller names.

The copy is made in the data folder, beside the nightly ones; the command line takes it from there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from common.desk import LOCAL_ONLY, Plain, Request
from common.policy import Claims
from edge.journal import backups
from edge.keeping import Keeper


class _Backup(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Copies:
    """Answers `wire.Manage` named `backup`."""

    def __init__(self, keeper: Keeper, data: Path) -> None:
        self._keeper = keeper
        self._folder = data / backups.FOLDER
        self.request = Request(_Backup, LOCAL_ONLY, self._backup)

    async def _backup(self, args: _Backup, claims: Claims) -> Plain:  # noqa: ARG002
        path, size = await self._keeper.copy(self._folder)
        return {"path": str(path), "bytes": size}

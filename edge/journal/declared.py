"""Declarations of thinning: which tombstones a journal accounts for (`common.thinning`). Read-only."""

from __future__ import annotations

import sqlite3

from common import facts
from common.thinning import Thinned


class Declared:
    """Which stretches of the journal were declared as thinned; told of each fact in the order of seq."""

    def __init__(self, db: sqlite3.Connection, epoch: str) -> None:
        self._begins: dict[str, int] = {}  # first uid → how many stretches begin there
        self._ends: dict[str, list[str]] = {}  # last uid → first uids
        self._open: dict[str, int] = {}  # first uid → stretches from there that have not ended
        self._begun: set[str] = set()
        self.count = 0
        self.undeclared = 0  #: the first tombstone that no stretch covers; 0 = none
        rows = db.execute(
            "SELECT seq, record FROM fact WHERE kind = ? AND record IS NOT NULL", (Thinned.KIND,)
        )
        for seq, record in rows:
            body = facts.read(epoch, seq, record).body
            if isinstance(body, Thinned) and body.first_uid:
                self.count += 1
                self._ends.setdefault(body.last_uid, []).append(body.first_uid)
                self._begins[body.first_uid] = self._begins.get(body.first_uid, 0) + 1

    def see(self, seq: int, uid: str, *, gone: bool) -> None:
        """The next fact; `gone`: its content is."""
        if uid in self._begins:
            self._open[uid] = self._begins[uid]
            self._begun.add(uid)
        if gone and not self._open and not self.undeclared:
            self.undeclared = seq
        for first in self._ends.get(uid, ()):
            if first not in self._begun:
                self.undeclared = 0  # it began in a part that was cut off since
            elif self._open[first] > 1:
                self._open[first] -= 1
            else:
                del self._open[first]

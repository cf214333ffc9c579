"""What is pushed but not yet on disk, for look-ups: a recall must not miss what a slow disk still holds.

A charger that loses its link resends at once. If the first message's session has already left memory, only
the journal knows it, and the commit may still be on its way. So a look-up asks here first. Entries leave with
the commit that wrote them; the journal's queue bound is the bound here too.

The latest sessions and commands stay a while longer, as they are on disk: a command is accepted, sent,
confirmed and settled within moments, and each of these needs its row.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

from edge.journal.rows import CommandRow, SessionRow

T = TypeVar("T")

#: Rows that stay after their commit, of each kind: what a busy site has going on at once, and 1 MiB at most.
RECENT_MAX = 256


class Pending:
    """Uncommitted rows and replies by their keys. Loop thread only."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[int, SessionRow]] = {}
        self._commands: dict[str, tuple[int, CommandRow]] = {}
        self._replies: dict[str, tuple[int, bytes]] = {}
        self._by_key: dict[str, tuple[int, str]] = {}
        self._by_transaction: dict[tuple[str, str], tuple[int, str]] = {}
        self.absent_command = ""  #: an id that the disk was asked for in vain, and that was not pushed since
        self._recent_sessions: dict[str, SessionRow] = {}
        self._recent_commands: dict[str, CommandRow] = {}
        self._order: deque[tuple[int, dict[Any, tuple[int, Any]], Any]] = deque()

    def _put(self, table: dict[Any, tuple[int, T]], key: Any, seq: int, value: T) -> None:
        table[key] = (seq, value)
        self._order.append((seq, table, key))

    def put_session(self, seq: int, row: SessionRow) -> None:
        """`row` is the session's state once `seq` is on disk."""
        self._put(self._sessions, row.session, seq, row)
        self._put(self._by_transaction, (row.charger, row.transaction), seq, row.session)
        known = self.session_by_key(row.key)
        if row.key and (known is None or known.started_seq <= row.started_seq):
            self._put(self._by_key, row.key, seq, row.session)

    def put_command(self, seq: int, row: CommandRow) -> None:
        """`row` is the command's state once `seq` is on disk."""
        if row.id == self.absent_command:
            self.absent_command = ""
        self._put(self._commands, row.id, seq, row)

    def put_reply(self, seq: int, key: str, body: bytes) -> None:
        """`body` is the stored reply once `seq` is on disk."""
        self._put(self._replies, key, seq, body)

    def session(self, session: str) -> SessionRow | None:
        entry = self._sessions.get(session)
        return entry[1] if entry else self._recent_sessions.get(session)

    def session_by_key(self, key: str) -> SessionRow | None:
        entry = self._by_key.get(key)
        return self.session(entry[1]) if entry else None

    def session_by_transaction(self, charger: str, transaction: str) -> SessionRow | None:
        entry = self._by_transaction.get((charger, transaction))
        return self.session(entry[1]) if entry else None

    def command(self, command: str) -> CommandRow | None:
        entry = self._commands.get(command)
        return entry[1] if entry else self._recent_commands.get(command)

    def reply(self, key: str) -> bytes | None:
        entry = self._replies.get(key)
        return entry[1] if entry else None

    def committed(self, seq: int) -> None:
        """Everything up to `seq` is on disk and is found there."""
        order = self._order
        while order and order[0][0] <= seq:
            _, table, key = order.popleft()
            entry = table.get(key)
            if entry is not None and entry[0] <= seq:
                del table[key]
                if table is self._sessions:
                    _keep(self._recent_sessions, key, entry[1])
                elif table is self._commands:
                    _keep(self._recent_commands, key, entry[1])


def _keep(recent: dict[str, T], key: str, row: T) -> None:
    recent.pop(key, None)
    recent[key] = row
    if len(recent) > RECENT_MAX:
        del recent[next(iter(recent))]

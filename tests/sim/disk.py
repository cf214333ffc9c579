"""The box's disk in the simulation: what was committed survives a crash, what was only pushed does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from common import facts
from common.facts import Fact
from common.sync import Record
from edge.journal.projection import command_after, session_after, touches_command, touches_session
from edge.journal.rows import CommandRow, SessionRow
from tests.sim.estate import Written
from tests.sim.loop import SimLoop
from tests.sync.world import Journal as Rows


class Disk:
    """Durable: rows with their chain, stored replies, the newest snapshot."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.facts: list[Fact] = []
        self.replies: dict[str, bytes] = {}
        self.snapshot: tuple[int, bytes] | None = None
        #: When each fact was really made (virtual ms), in which boot of the machine, and by how much that was
        #: wrong about the time then (ms), by uid.
        self.made: dict[str, tuple[int, int, int]] = {}
        #: The folder of the box's keys, with what it has been told is withdrawn.
        self.keys: dict[str, bytes] = {}
        #: What the journal keeps under a name.
        self.meta: dict[str, bytes] = {}

    def image(self) -> Disk:
        """A copy, as somebody makes of a card."""
        made = Disk()
        made.rows = Rows(self.rows.epoch, list(self.rows.rows), self.rows.epochs)
        made.facts, made.replies, made.snapshot = list(self.facts), dict(self.replies), self.snapshot
        made.made, made.keys, made.meta = dict(self.made), dict(self.keys), dict(self.meta)
        return made

    def rotate(self, epoch: str) -> None:
        """The same facts under a new epoch; a snapshot of the old numbers is none any more."""
        self.rows.rotate(epoch)
        self.rows.epochs += 1
        self.facts = [facts.read(epoch, seq, fact.record) for seq, fact in enumerate(self.facts, 1)]
        self.snapshot = None


class SimJournal:
    """The surface of `edge.journal.Journal` that the gateway and the recall use, over a `Disk`.

    Commits group and take time; `crash` is the end of the process with whatever was not committed.
    """

    def __init__(
        self,
        disk: Disk,
        loop: SimLoop,
        chance: random.Random,
        *,
        lies: bool = False,
        boundary: Callable[[str], None] = lambda _: None,
        boot: int = 0,
        wrong_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        """lies: tell of a commit before it is one, as a drive with a lying cache does.

        boundary: called before and after each commit; may `crash`.
        """
        self._lies = lies
        self._boot, self._wrong_ms = boot, wrong_ms
        self._boundary = boundary
        self._disk, self._loop, self._chance = disk, loop, chance
        self.epoch = disk.rows.epoch
        self.last_seq = self.committed_seq = len(disk.facts)
        self.room = True
        self._on_commit: Callable[[int], None] = lambda _: None
        self._pending: list[tuple[Sequence[Fact], Sequence[tuple[str, bytes]]]] = []
        self._syncing = False
        self._alive = True
        self._replies = dict(disk.replies)
        self._sessions: dict[str, SessionRow] = {}
        self._commands: dict[str, CommandRow] = {}
        for fact in disk.facts:
            self._project(fact)

    # --- writing -----------------------------------------------------------------------------------------

    def start(self, _loop: Any, on_commit: Callable[[int], None], _on_failure: Callable[..., None]) -> None:
        self._on_commit = on_commit

    def one_group(self) -> AbstractContextManager[None]:
        return nullcontext()

    def push(self, made: Sequence[Fact], replies: Sequence[tuple[str, bytes]] = ()) -> None:
        for fact in made:
            assert fact.seq == self.last_seq + 1, "a fact out of order"
            self.last_seq = fact.seq
            now_ms = getattr(self._loop, "now_ms", 0)  # 0: no simulation
            self._disk.made[fact.uid] = now_ms, self._boot, self._wrong_ms()
            self._project(fact)
        self._replies.update(replies)
        self._pending.append((tuple(made), tuple(replies)))
        if self._lies:
            self._loop.call_soon(self._tell, self.last_seq)
        self._sync()

    def probe(self) -> Written:
        return Written(lambda then: self._after(self.last_seq, then))

    def set(self, name: str, value: bytes) -> Written:
        seq, meta = self.last_seq, self._disk.meta
        return Written(lambda then: self._after(seq, then), lambda: meta.update({name: value}))

    def get(self, name: str) -> bytes | None:
        return self._disk.meta.get(name)

    def put_snapshot(self, seq: int, state: bytes) -> None:
        # Written by the writer behind what was pushed before it; here, once that is committed.
        self._after(seq, lambda: setattr(self._disk, "snapshot", (seq, state)))

    def _after(self, seq: int, then: Callable[[], None]) -> None:
        def look() -> None:
            if not self._alive:
                return
            if self.committed_seq >= seq:
                then()
            else:
                self._loop.call_later(0.005, look)

        look()

    def _sync(self) -> None:
        if self._syncing or not self._pending:
            return
        self._syncing = True
        group, self._pending = self._pending, []
        # Mostly a good disk, now and then an SD card that thinks for a while.
        delay_s = self._chance.choice((0.001, 0.001, 0.003, 0.01, 0.08))
        self._loop.call_later(delay_s, self._commit, group)

    def _commit(self, group: list[tuple[Sequence[Fact], Sequence[tuple[str, bytes]]]]) -> None:
        if self._alive:
            self._boundary("before a commit")
        if not self._alive:
            return  # the power went while it was on its way
        for made, replies in group:
            for fact in made:
                self._disk.rows.append(fact.uid, fact.record)
                self._disk.facts.append(fact)
            self._disk.replies.update(replies)
        self.committed_seq = len(self._disk.facts)
        self._boundary("between a commit and what it lets out")
        self._loop.call_soon(self._tell, self.committed_seq)
        self._syncing = False
        self._sync()

    def _tell(self, seq: int) -> None:
        if self._alive:
            self._on_commit(seq)

    def crash(self) -> None:
        """The process is gone."""
        self._alive = False

    # --- reading -----------------------------------------------------------------------------------------

    def _project(self, fact: Fact) -> None:
        session = touches_session(fact)
        if session is not None:
            row = session_after(self._sessions.get(session), fact)
            if row is not None:
                self._sessions[session] = row
            return
        command = touches_command(fact)
        if command is not None:
            then = command_after(self._commands.get(command), fact)
            if then is not None:
                self._commands[command] = then

    def recall_reply(self, key: str) -> bytes | None:
        return self._replies.get(key)

    def recall_command(self, command_id: str) -> CommandRow | None:
        return self._commands.get(command_id)

    def recall_session(self, uid: str) -> SessionRow | None:
        return self._sessions.get(uid)

    def recall_session_by_key(self, key: str) -> SessionRow | None:
        found = [row for row in self._sessions.values() if row.key == key]
        return max(found, key=lambda row: row.started_seq, default=None)

    def recall_session_by_transaction(self, charger: str, transaction: str) -> SessionRow | None:
        found = (r for r in self._sessions.values() if (r.charger, r.transaction) == (charger, transaction))
        return next(found, None)

    # --- sync --------------------------------------------------------------------------------------------

    def chain_at(self, seq: int) -> bytes | None:
        return self._disk.rows.known_chain(seq)

    def records(self, from_seq: int, count: int) -> list[Any]:
        return list(self._disk.rows.rows[from_seq - 1 : from_seq - 1 + count])


def fact_of(epoch: str, record: Record) -> Fact:
    """A record as the cloud reads it."""
    assert record.record is not None
    return facts.read(epoch, record.seq, record.record)

"""The journal: everything that must survive is written here first, and said only afterwards (design §5).

    gateway ── push(facts, replies) ──▶ queue ──▶ writer thread ──▶ journal.db
       ▲                                                              │
       └────────────── on_commit(seq), once a group ◀─────────────────┘
       └── recall_* , records, chain_at ◀── a read-only connection, on the loop's thread

One row a fact, in the order of `seq`. The projections, the stored replies and the snapshots go to disk in the
same transaction as the facts that they follow from. Pages of history are `edge.journal.history`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from common.errors import Code, PlugsideError, Unavailable
from common.facts import RECORD_BYTES_MAX, Fact
from common.ports import Ids
from edge.journal import backups, marks, people, recovery, rotation
from edge.journal import folder as folders
from edge.journal.projection import COMMAND_KINDS, METER_KIND, SESSION_KINDS
from edge.journal.recall import Recall, checked_name, set_meta
from edge.journal.rotation import Head
from edge.journal.writer import Call, Done, Push, Writer, unavailable

T = TypeVar("T")

log = logging.getLogger("plugside.journal")

#: What may wait for the disk, in bytes of memory: about 20,000 facts, more than the gateway's own gate lets
#: through, and a size that the box can spare while its disk stalls. Beyond it no more work is taken.
QUEUE_BYTES_MAX = 32 * 1024 * 1024
#: What a fact or a submitted function weighs in memory besides its record, in bytes.
OP_BYTES = 1024
#: How long `close` waits for the disk, in s; systemd gives up after 20.
CLOSE_S = 15.0

_PROJECTED = SESSION_KINDS | COMMAND_KINDS


class Journal(Recall):
    """One site's journal. Made by `open`, used from the event loop's thread, ended by `close`."""

    def __init__(
        self,
        path: Path,
        lock: folders.FolderLock,
        db: sqlite3.Connection,
        reader: sqlite3.Connection,
        head: Head,
        ids: Ids,
    ) -> None:
        super().__init__(reader)
        self.path = path
        self.epoch = head.epoch
        self.begins_after = head.begins_after  #: the epoch's facts are those behind this number
        self.last_seq = head.seq  #: the last fact pushed
        self.committed_seq = head.seq  #: the last fact on disk
        self._lock = lock
        self._db = db
        self._ids = ids
        self._writer = Writer(db, Path(f"{path}-wal"), head, ids, self)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_commit: Callable[[int], None] = lambda _: None
        self._on_failure: Callable[[BaseException], None] = lambda _: None
        self._failure: BaseException | None = None
        self._closed = False
        self._rotating = False
        self._gathered: list[Push | Call] | None = None
        self._weight = 0
        self._tickets = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    # --- life ------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        ids: Ids,
        quick_check: bool = True,
        connection: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> Journal:
        """Take the folder and open (or begin) its journal. Blocks; for the start of a process.

        Raises LocalFault: folder_in_use (names the other process), folder_unusable (says what to do; Damaged
        when the file is not what was written). `connection` is the class of the writing connection, for tests
        that need a slow or failing disk.
        """
        lock = folders.lock(folder)
        path = folder / folders.DATABASE
        opened: list[sqlite3.Connection] = []
        try:
            copy = partial(backups.before_migration, folder)
            db = folders.open_writer(folder, connection, quick_check=quick_check, before_migration=copy)
            opened.append(db)
            opened.append(folders.open_reader(path))
            head = recovery.head(db, ids)
            recovery.verify_since_goodbye(db, head)
            return cls(path, lock, db, opened[1], head, ids)
        except BaseException as failed:
            for half_open in reversed(opened):
                with contextlib.suppress(sqlite3.Error):
                    half_open.close()
            lock.release()
            if isinstance(failed, sqlite3.Error | marks.ChainBroken):
                raise folders.unusable(path, failed) from failed
            raise

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        on_commit: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Begin to write. `on_commit(seq)` is called on `loop` once a group, `on_failure` once at most."""
        assert self._thread is None, "a journal is started once"
        self._loop, self._on_commit, self._on_failure = loop, on_commit, on_failure
        self._thread = threading.Thread(target=self._writer.run, name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is queued, empty the log, let go of the folder. Blocks as long as the disk needs.

        Callbacks for what this writes reach the loop after it returns; await `probe` first to hear them.
        """
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._writer.inbox.put(None)
            self._thread.join(CLOSE_S)
            if self._thread.is_alive():
                log.error("the disk did not answer within %.0f s; the journal is left to recovery", CLOSE_S)
                return
            self._later(self._reject, Unavailable(Code.SHUTTING_DOWN))
        if self._failure is None:
            with contextlib.suppress(sqlite3.Error):
                recovery.say_goodbye(self._db)
        # The last connection to close tidies up the log. After a failure that must not be the writer.
        order = (self._reader, self._db) if self._failure is None else (self._db, self._reader)
        for db in order:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        self._lock.release()

    # --- writing ---------------------------------------------------------------------------------------

    @property
    def room(self) -> bool:
        """Whether `push` and `submit` would take something now."""
        return self._refusal() is None

    @property
    def commits(self) -> int:
        """Transactions committed since `start`; `checkpoints`: how often the log was copied into the file."""
        return self._writer.commits

    @property
    def checkpoints(self) -> int:
        return self._writer.checkpoints

    def push(self, facts: Sequence[Fact], replies: Sequence[tuple[str, bytes]] = ()) -> None:
        """Queue facts and the replies that go to disk with them; `on_commit` says when they are there.

        facts: follow `last_seq` without a gap, in this epoch, each record ≤ RECORD_BYTES_MAX (ValueError).
        replies: (key, exact bytes), only together with a fact; a key's later reply replaces the earlier.
        Raises Unavailable (journal_unavailable) when the journal has failed or its queue is full. Whatever
        it raises, nothing was taken.
        """
        if (refusal := self._refusal()) is not None:
            raise refusal
        epoch, seq, weight = self.epoch, self.last_seq, 0
        projected: list[Fact] = []
        for fact in facts:
            seq += 1
            size = len(fact.record)
            if fact.seq != seq or fact.epoch != epoch or size > RECORD_BYTES_MAX:
                raise ValueError(
                    f"fact {fact.seq} of epoch {fact.epoch} ({size} B) does not follow {seq - 1} of {epoch}"
                )
            weight += size + OP_BYTES
            if fact.kind in _PROJECTED or (fact.kind == METER_KIND and getattr(fact.body, "late", False)):
                projected.append(fact)
        if not facts:
            if replies:
                raise ValueError("a stored reply goes with the fact that it answers")
            return
        sessions, commands = self.rows_after(projected) if projected else ((), ())
        for session, _ in sessions:
            self._pending.put_session(seq, session)
        for command, _ in commands:
            self._pending.put_command(seq, command)
        for key, body in replies:
            weight += len(body) + OP_BYTES
            self._pending.put_reply(seq, key, body)
        self.last_seq = seq
        self._weight += weight
        self._hand(Push(tuple(facts), tuple(replies), sessions, commands, weight))

    @contextlib.contextmanager
    def one_group(self) -> Iterator[None]:
        """What is queued inside reaches the writer at the end, together.

        For work that comes in a row: woken by the first of it, the writer would commit that alone, and each
        commit costs as much processor time as several facts.
        """
        gathered: list[Push | Call] = []
        self._gathered = gathered
        try:
            yield
        finally:
            self._gathered = None
            for op in gathered:
                self._writer.inbox.put(op)

    def _hand(self, op: Push | Call) -> None:
        if self._gathered is None:
            self._writer.inbox.put(op)
        else:
            self._gathered.append(op)

    def submit(self, fn: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run `fn` on the writer's thread in order with the pushes, inside their transaction.

        The future has its value once that is on disk, or its exception (then only `fn` was undone). `fn`
        must not begin or end transactions. Raises Unavailable as `push` does; the future gets it too when
        the journal fails meanwhile. Cancelling the future does not keep `fn` from running.
        """
        return self._ask(fn)

    def write_now(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` in a transaction of its own before `start`. Blocks. Raises LocalFault."""
        assert self._thread is None, "the writer's thread has the connection now"
        try:
            with self._db:  # commits, or rolls back
                self._db.execute("BEGIN IMMEDIATE")
                return fn(self._db)
        except sqlite3.Error as failed:
            raise folders.unusable(self.path, failed) from failed

    def set(self, name: str, value: bytes) -> asyncio.Future[None]:
        """Keep `value` under `name`; `get` knows it once the future is done."""
        checked_name(name)
        return self._ask(lambda db: set_meta(db, name, value))

    def forget(self, principal: str) -> asyncio.Future[bool]:
        """Remove a person's name and tags; done when no file of the journal holds them any more.

        True if there were any. Facts keep the pseudonym; chain and sums stay as they are.
        """
        return self._ask(lambda db: people.forget(db, principal), erase=True)

    def probe(self) -> asyncio.Future[None]:
        """Done when everything queued before is on disk and the writer has answered. Never refused for want
        of room: it is how a stalled disk is noticed.
        """
        return self._ask(None)

    def put_snapshot(self, seq: int, state: bytes) -> None:
        """Keep the encoded state after fact `seq`, which is pushed already. The newest two are kept."""
        if (refusal := self._refusal(even_if_full=True)) is not None:
            raise refusal
        if seq > self.last_seq:
            raise ValueError(f"a snapshot of {seq} before that fact was pushed (last is {self.last_seq})")
        weight = len(state) + OP_BYTES
        self._weight += weight
        self._hand(Call(lambda db: recovery.add_snapshot(db, seq, state), 0, weight))

    async def prepare_rotation(self) -> rotation.Ahead:
        """Compute the chain of the next epoch in steps, while the journal is written to as ever.

        Raises Unavailable, or LocalFault (Damaged) where a fact is missing.
        """
        known = rotation.Ahead(rotation.next_epoch(self.epoch, self._ids))
        try:
            while (await self._ask(lambda db: rotation.ahead(db, known))) > rotation.STEP:
                pass
        except marks.ChainBroken as broken:
            raise folders.unusable(self.path, broken) from broken
        return known

    def rotate_epoch(self, known: rotation.Ahead | None = None) -> asyncio.Future[Head]:
        """Begin a new epoch: the retained facts keep numbers and bytes, the chain is new.

        known: what `prepare_rotation` has computed; without it the whole journal is read in one go.
        `epoch` and `begins_after` change when the future is done; until then `push` is refused (busy). The
        caller then puts a fresh snapshot, because the state names its epoch.
        """
        ahead = known or rotation.Ahead(rotation.next_epoch(self.epoch, self._ids))
        future = self._ask(lambda db: self._rotate(db, ahead))
        self._rotating = True
        future.add_done_callback(self._rotation_over)
        return future

    def _rotate(self, db: sqlite3.Connection, ahead: rotation.Ahead) -> Head:
        try:
            return rotation.rotate(db, ahead.epoch, ahead)
        except marks.ChainBroken as broken:
            raise folders.unusable(self.path, broken) from broken

    def _rotation_over(self, _: asyncio.Future[Head]) -> None:
        self._rotating = False

    # --- recovery --------------------------------------------------------------------------------------

    def recover(
        self, readable: Callable[[bytes], bool] = lambda _: True
    ) -> tuple[tuple[int, bytes] | None, Iterator[Fact]]:
        """The newest snapshot that is whole and `readable`, as (seq, state), and the facts after it in order.

        Every fact is held against its hash and the chain on the way. Raises LocalFault (folder_unusable),
        from the iterator too, when something is missing or is not what was written.
        """
        snapshot = recovery.newest_snapshot(self._reader, self.path, readable)
        after = snapshot[0] if snapshot else 0
        return snapshot, recovery.facts_after(self._reader, self.path, self.epoch, after)

    # --- between the threads ---------------------------------------------------------------------------

    def _refusal(self, *, even_if_full: bool = False, probing: bool = False) -> PlugsideError | None:
        if self._failure is not None:
            return unavailable(self._failure)
        if self._closed or self._thread is None:
            return Unavailable(Code.SHUTTING_DOWN)
        if probing:
            return None
        if self._rotating:
            return Unavailable(Code.BUSY, "a new epoch is being written")
        if self._weight >= QUEUE_BYTES_MAX and not even_if_full:
            return unavailable("the disk does not keep up")
        return None

    def _ask(self, fn: Callable[[sqlite3.Connection], T] | None, *, erase: bool = False) -> asyncio.Future[T]:
        if (refusal := self._refusal(probing=fn is None)) is not None:
            raise refusal
        assert self._loop is not None
        self._tickets += 1
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting[self._tickets] = future
        self._weight += OP_BYTES
        self._hand(Call(fn, self._tickets, OP_BYTES, erase))
        return future

    def group_done(self, done: Done) -> None:
        """From the writer: a group is on disk."""
        self._later(self._finish, done)

    def writer_failed(self, why: BaseException) -> None:
        """From the writer: it will write nothing more."""
        self._failure = why
        self._later(self._fail, why)

    def _later(self, fn: Callable[..., None], *args: object) -> None:
        # A loop that is closed has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            assert self._loop is not None
            self._loop.call_soon_threadsafe(fn, *args)

    def _finish(self, done: Done) -> None:
        self._weight -= done.weight
        try:
            if done.seq > self.committed_seq:
                self.committed_seq = done.seq
                self._pending.committed(done.seq)
                self._on_commit(done.seq)
        finally:
            for ticket, value in done.results:
                if isinstance(value, Head):
                    self.epoch, self.begins_after = value.epoch, value.begins_after
                self._resolve(self._waiting.pop(ticket), value)

    def _resolve(self, future: asyncio.Future[Any], value: object) -> None:
        if future.done():
            return
        if isinstance(value, BaseException):
            future.set_exception(value)
        else:
            future.set_result(value)

    def _fail(self, why: BaseException) -> None:
        log.critical("the journal cannot write any more: %s", why)
        self._reject(unavailable(why))
        self._on_failure(why)

    def _reject(self, why: PlugsideError) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            self._resolve(future, why)

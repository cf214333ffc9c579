"""A journal, a cloud database and a network that misbehaves, all in memory, around the real cursors.

The fakes keep the contracts of the real parts: the journal renumbers what it retains when it rotates, the
cloud applies a verdict and its mark in one step. `Safeguards` switches the cloud's and the edge's defences
off one by one, so that a test can show that each of them is needed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from common import chain, sync


@dataclass(frozen=True)
class Row:
    seq: int
    uid: str
    salt: bytes
    record: bytes | None
    inner: bytes
    chain: bytes


@dataclass
class Journal:
    """What is on the box's disk. `made` counts every fact ever made here, so that uids are never reused."""

    epoch: str = "1-a"
    rows: list[Row] = field(default_factory=list)
    epochs: int = 1
    begins_after: int = 0  #: what is older has left it

    def append(self, uid: str, record: bytes | None = None) -> Row:
        salt = uid.encode().ljust(16, b"\0")[:16]
        record = record if record is not None else b'{"of":"%s"}' % uid.encode()
        row = self._row(uid, salt, record, chain.inner_hash(salt, record))
        self.rows.append(row)
        return row

    def _row(self, uid: str, salt: bytes, record: bytes | None, inner: bytes) -> Row:
        seq = self.begins_after + len(self.rows) + 1
        return Row(seq, uid, salt, record, inner, chain.link(self.chain_at(seq - 1), seq, uid, inner))

    def chain_at(self, seq: int) -> bytes:
        place = seq - self.begins_after
        return self.rows[place - 1].chain if place else chain.seed(self.epoch)

    def known_chain(self, seq: int) -> bytes | None:
        return self.chain_at(seq) if seq <= len(self.rows) else None

    def erase(self, place: int) -> None:
        """Leave a tombstone; the chain does not change."""
        row = self.rows[place]
        self.rows[place] = Row(row.seq, row.uid, b"", None, row.inner, row.chain)

    def rotate(self, epoch: str) -> None:
        old, self.rows, self.epoch = self.rows, [], epoch
        for row in old:
            self.rows.append(self._row(row.uid, row.salt, row.record, row.inner))


@dataclass
class Safeguards:
    chain: bool = True  #: compare the chain at the mark
    mark: bool = True  #: resume from the cloud's mark, not from the edge's memory
    content: bool = True  #: recognise a record by its uid under whatever epoch
    commit_first: bool = True  #: ack after the commit
    fence: bool = True  #: take a batch only from the current link
    retain: bool = True  #: keep what was acked, so that a restored cloud can be refilled
    rotate: bool = True  #: begin a new epoch when the cloud's mark is not on this journal's chain


@dataclass
class Database:
    """The cloud's tables. `lines` is what a bill would be made from: one entry for each application."""

    marks: dict[str, sync.Mark] = field(default_factory=dict)
    current: str = ""
    link: int = 0
    facts: dict[str, bytes | None] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


class Cloud:
    def __init__(self, safeguards: Safeguards | None = None) -> None:
        self.db = Database()
        self.safeguards = safeguards or Safeguards()

    def hello(self, epoch: str) -> sync.TunnelWelcome:
        self.db.link += 1
        superseded = epoch != self.db.current and epoch in self.db.marks
        mark = self.db.marks.setdefault(epoch, sync.first_mark(epoch))
        if not superseded:
            self.db.current = epoch
        return sync.TunnelWelcome(
            version=1,
            link_epoch=self.db.link,
            epoch=epoch,
            hwm=mark.hwm,
            chain_at_hwm=mark.chain,
            superseded=superseded,
        )

    def batch(self, batch: sync.Batch, *, crash: bool = False) -> sync.Ack | sync.Nack | None:
        """Apply one batch. `crash`: the process dies at the worst moment; None: nothing was answered."""
        if self.safeguards.fence and batch.link != self.db.link:
            return None
        mark = self.db.marks[batch.epoch]
        verdict = sync.check(mark, batch)
        if isinstance(verdict, sync.Decline):
            return sync.nack(batch.link, batch.epoch, verdict)
        if crash:
            early = sync.ack(batch.link, verdict.mark)
            return None if self.safeguards.commit_first else early
        if isinstance(verdict, sync.Apply):
            for record in verdict.records:
                if self.safeguards.content and record.uid in self.db.facts:
                    continue
                self.db.facts[record.uid] = record.record
                self.db.lines.append(record.uid)
            self.db.marks[batch.epoch] = verdict.mark
        return sync.ack(batch.link, verdict.mark)

    def backup(self) -> Database:
        return copy.deepcopy(self.db)


class Edge:
    """The uplink's part that matters: cursor and journal, without sockets."""

    def __init__(self, safeguards: Safeguards | None = None) -> None:
        self.journal = Journal()
        self.cursor = sync.EdgeCursor(self.journal.epoch, 0)
        self.safeguards = safeguards or Safeguards()
        self.now_ms = 0
        self.rotations = 0

    def commit(self, uid: str, kind: str = "session_ended") -> None:
        row = self.journal.append(uid)
        self.cursor.committed(row.seq, kind, self.now_ms)

    def connect(self, cloud: Cloud) -> None:
        """Hello until the cloud's mark lies on this journal's own chain."""
        for _ in range(4):
            remembered = self.cursor.acked
            welcome = cloud.hello(self.journal.epoch)
            own = self.journal.known_chain(welcome.hwm)
            if not self.safeguards.chain and own is not None:
                own = welcome.chain_at_hwm
            step = self.cursor.on_welcome(welcome, own)
            if isinstance(step, sync.Resume):
                if not self.safeguards.mark:
                    self.cursor.acked = max(remembered, welcome.hwm)
                return
            if not self.safeguards.rotate:
                self.cursor.on_welcome(welcome, welcome.chain_at_hwm)
                return
            self.rotate()
        raise AssertionError("the edge never found an epoch of its own")

    def rotate(self) -> None:
        self.rotations += 1
        self.journal.epochs += 1
        # The counter alone repeats after a restore; that is the cloned generator of the model.
        self.journal.rotate(f"{self.journal.epochs}-a")
        self.cursor.rotated(self.journal.epoch, len(self.journal.rows))

    def next_batch(self) -> sync.Batch | None:
        want = self.cursor.wanted(self.now_ms)
        if want is None:
            return None
        return self.cursor.batch_of(
            self.journal.rows[want.from_seq - 1 : want.from_seq - 1 + want.max_records]
        )

    def answer(self, message: sync.Ack | sync.Nack) -> None:
        if isinstance(message, sync.Ack):
            self.cursor.on_ack(message, self.now_ms)
            if not self.safeguards.retain:
                for place in range(self.cursor.acked):
                    self.journal.erase(place)
        elif isinstance(self.cursor.on_nack(message, self.now_ms), sync.Rotate) and self.safeguards.rotate:
            self.rotate()

    def restored(self, rows: int) -> None:
        """The disk is the one of `rows` facts ago; the process starts again."""
        self.journal.rows = self.journal.rows[:rows]
        self.restart()

    def restart(self) -> None:
        self.cursor = sync.EdgeCursor(self.journal.epoch, len(self.journal.rows))


def drain(edge: Edge, cloud: Cloud, *, turns: int = 200) -> None:
    """A healed network: connect and send until nothing is left. Bounded, so that no progress is a failure."""
    edge.connect(cloud)
    for _ in range(turns):
        batch = edge.next_batch()
        if batch is None:
            if edge.cursor.link:
                break
            edge.connect(cloud)
            continue
        answer = cloud.batch(batch)
        assert answer is not None
        edge.answer(answer)
    assert edge.cursor.backlog == 0, "the backlog never drained"

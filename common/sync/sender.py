"""The edge's half of the cursor: what to send next, and when a new epoch is needed. Pure.

    connect ─▶ hello ─▶ on_welcome ─┬─▶ Resume ─▶ wanted() ─▶ batch_of(rows) ─▶ on_ack | on_nack ─▶ wanted() …
                  ▲                 └─▶ Rotate ─▶ (journal: new epoch) ─▶ rotated() ──┐
                  └───────────────────────────────────────────────────────────────────┘

The cursor remembers nothing across links: it resumes from the cloud's mark, never from its own memory, so a
restored cloud is refilled and a lost ack costs one batch sent twice. A new epoch is needed when the cloud's
mark does not lie on this journal's own chain: the journal was restored, cloned or forked, and numbers alone
would hide it (design §9). Times are monotonic milliseconds, given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from common.errors import Code, LocalFault, RemoteFault
from common.sync.messages import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    BATCH_UNPACKED_BYTES_MAX,
    Ack,
    Batch,
    Nack,
    Record,
    TunnelWelcome,
)

#: A record waits at most this long for company: in a full, deflated batch it takes a tenth of the bytes.
FLUSH_AFTER_MS = 60_000
#: Kinds that do not wait: what a bill or a second screen depends on. The last three are what an
#: operator did, who looks in the cloud for what came of it; people do them, so they are few.
URGENT_KINDS = frozenset(
    {
        *("session_started", "session_ended", "session_revised"),
        *("command_settled", "orphan_resolved", "authorization_changed"),
    }
)
#: What a record adds to a frame besides its bytes and its uid: numbers, salt, inner hash, headers (≤ 90 B).
_RECORD_OVERHEAD = 96
#: What a batch adds once: tags, epoch (≤ 64 characters), chain, the signature of its head (≤ 330 B).
_BATCH_OVERHEAD = 384


class Stored(Protocol):
    """A journal row. `chain`: the chain after it."""

    @property
    def seq(self) -> int: ...
    @property
    def uid(self) -> str: ...
    @property
    def salt(self) -> bytes: ...
    @property
    def record(self) -> bytes | None: ...
    @property
    def inner(self) -> bytes: ...
    @property
    def chain(self) -> bytes: ...


class Resume(msgspec.Struct, frozen=True):
    """Go on after the cloud's mark."""

    hwm: int


class Rotate(msgspec.Struct, frozen=True):
    """Begin a new epoch in the journal, tell `rotated`, and send hello again on the same link."""

    reason: str
    gap: bool = False  #: between the cloud's mark and what is retained here records are missing for good


class Want(msgspec.Struct, frozen=True):
    """Rows to read from the journal: consecutive, from `from_seq`; `batch_of` takes them."""

    from_seq: int
    max_records: int
    max_bytes: int


class EdgeCursor:
    """Where the sync of one site stands, for as long as the process lives.

    epoch, last_seq: the journal's. must_rotate: why the epoch may not be used any more (a restore, a fresh
    install over an old site), or empty.
    """

    def __init__(self, epoch: str, last_seq: int, *, must_rotate: str = "") -> None:
        self.epoch = epoch
        self.last_seq = last_seq
        self.acked = 0  #: the cloud's mark as last heard; for retention and for people
        self.link = 0  #: 0 while there is no welcome
        self.packs = False  #: whether the cloud takes packed batches
        self._must_rotate = must_rotate
        self._in_flight = 0  #: last seq of the batch that awaits its answer
        self._flush_to = 0  #: send without waiting up to here
        self._waiting_since: int | None = None  #: when the oldest record that is not due came
        self._not_before = 0  #: back-pressure
        self._nacked = 0  #: `expected` of the last nack since an ack: twice the same is no progress
        self._max_records = BATCH_RECORDS_MAX
        self._max_bytes = BATCH_BYTES_MAX

    @property
    def backlog(self) -> int:
        """Records that the cloud has not acknowledged."""
        return self.last_seq - self.acked

    def disconnected(self) -> None:
        """The link is gone; what was in flight may or may not have arrived."""
        self.link, self._in_flight, self._nacked = 0, 0, 0

    def committed(self, seq: int, kind: str, now_ms: int) -> None:
        """The journal has committed fact `seq`."""
        self.last_seq = max(self.last_seq, seq)
        if kind in URGENT_KINDS or self.last_seq - self.acked >= self._max_records:
            self._flush_to, self._waiting_since = self.last_seq, None
        elif self._waiting_since is None:
            self._waiting_since = now_ms

    def rotated(self, epoch: str, last_seq: int, begins_after: int = 0) -> None:
        """The journal has begun a new epoch over what it retains, behind `begins_after`; say hello again."""
        if epoch == self.epoch:
            raise LocalFault(Code.INTERNAL, "an epoch cannot be rotated into itself")
        self.epoch, self.last_seq, self.acked, self._must_rotate = epoch, last_seq, begins_after, ""
        self.disconnected()

    def on_welcome(self, welcome: TunnelWelcome, own_chain: bytes | None) -> Resume | Rotate:
        """Compare the cloud's mark with the journal.

        own_chain: the journal's chain after seq `welcome.hwm` (`chain.seed(epoch)` when that is 0), or None
        when the journal does not hold that row.
        """
        if welcome.epoch != self.epoch:
            raise RemoteFault(Code.PROTOCOL, "a welcome for another epoch")
        self.disconnected()
        reason = self._must_rotate or self._distrust(welcome, own_chain)
        if reason:
            behind = not welcome.superseded and welcome.hwm <= self.last_seq
            return Rotate(reason, gap=own_chain is None and behind)
        self.link = welcome.link_epoch
        self.packs = welcome.packs
        self.acked = welcome.hwm
        self._max_records = max(1, min(welcome.max_records, BATCH_RECORDS_MAX))
        self._max_bytes = min(
            welcome.max_bytes, BATCH_UNPACKED_BYTES_MAX if welcome.packs else BATCH_BYTES_MAX
        )
        self._flush_to, self._waiting_since, self._not_before = self.last_seq, None, 0
        return Resume(welcome.hwm)

    def _distrust(self, welcome: TunnelWelcome, own_chain: bytes | None) -> str:
        if welcome.superseded:
            return "the cloud knows a later epoch of this site"
        if welcome.hwm > self.last_seq:
            return "the cloud holds more than this journal"
        if own_chain is None:
            return "the cloud's mark is older than what is retained here"
        if own_chain != welcome.chain_at_hwm:
            return "the cloud holds another history"
        return ""

    def wanted(self, now_ms: int) -> Want | None:
        """The rows of the batch that is due now; None: nothing is due, or one is in flight."""
        if not self.link or self._in_flight or now_ms < self._not_before or self.acked >= self.last_seq:
            return None
        if self._waiting_since is not None and now_ms - self._waiting_since >= FLUSH_AFTER_MS:
            self._flush_to, self._waiting_since = self.last_seq, None
        if self.acked >= self._flush_to:
            return None
        return Want(self.acked + 1, self._max_records, self._max_bytes)

    def wake_at_ms(self) -> int | None:
        """When to ask `wanted` again if nothing happens before; None: only an event can make it due."""
        if not self.link or self._in_flight or self.acked >= self.last_seq:
            return None
        if self.acked < self._flush_to:
            return self._not_before
        if self._waiting_since is None:
            return None
        return max(self._not_before, self._waiting_since + FLUSH_AFTER_MS)

    def batch_of(self, rows: Sequence[Stored]) -> Batch:
        """Make the batch from the rows that `wanted` named, as many as fit; it is in flight from here on.

        At least one record goes, whatever its size: a record that is too large must not hold up the rest.
        """
        if not self.link or self._in_flight:
            raise LocalFault(Code.INTERNAL, "no batch may leave now")
        if not rows or rows[0].seq != self.acked + 1:
            raise LocalFault(Code.INTERNAL, f"the journal does not hold seq {self.acked + 1}")
        taken: list[Record] = []
        size = _BATCH_OVERHEAD
        for row in rows[: self._max_records]:
            size += len(row.record or b"") + len(row.uid) + _RECORD_OVERHEAD
            if taken and size > self._max_bytes:
                break
            if row.seq != rows[0].seq + len(taken):
                raise LocalFault(Code.INTERNAL, f"the journal has a hole before seq {row.seq}")
            taken.append(Record(row.seq, row.uid, row.salt, row.record, row.inner))
        self._in_flight = taken[-1].seq
        return Batch(
            link=self.link,
            epoch=self.epoch,
            from_seq=taken[0].seq,
            records=tuple(taken),
            chain_end=rows[len(taken) - 1].chain,
        )

    def on_ack(self, ack: Ack, now_ms: int) -> bool:
        """Take the cloud's mark. True when it moved; an answer of another link or epoch changes nothing.

        Raises RemoteFault when the mark is not one that this link can have: the shell reconnects.
        """
        if ack.link != self.link or ack.epoch != self.epoch or not self._in_flight:
            return False
        if not self.acked <= ack.hwm <= self._in_flight:
            raise RemoteFault(Code.PROTOCOL, f"ack of {ack.hwm} while {self._in_flight} was in flight")
        moved = ack.hwm > self.acked
        self.acked, self._in_flight, self._nacked = ack.hwm, 0, 0
        self._not_before = now_ms + ack.retry_after_ms if ack.retry_after_ms else 0
        return moved

    def on_nack(self, nack: Nack, now_ms: int) -> Resume | Rotate | None:
        """Nothing was applied: go on from where the cloud says. None: an answer of another link.

        Raises RemoteFault when the cloud asks twice for the same without progress: the shell reconnects.
        """
        if nack.link != self.link or nack.epoch != self.epoch or not self._in_flight:
            return None
        if nack.reason == "chain":
            self.disconnected()
            return Rotate("the cloud holds another history")
        if not 1 <= nack.expected <= self.last_seq + 1:
            raise RemoteFault(Code.PROTOCOL, f"asked for {nack.expected} of {self.last_seq}")
        if nack.reason != "busy":
            if nack.expected in (self._nacked, self.acked + 1):
                raise RemoteFault(Code.PROTOCOL, f"asked for {nack.expected} twice")
            self._nacked = nack.expected
        self.acked, self._in_flight = nack.expected - 1, 0
        self._flush_to = self.last_seq
        self._not_before = now_ms + nack.retry_after_ms if nack.retry_after_ms else 0
        return Resume(self.acked)

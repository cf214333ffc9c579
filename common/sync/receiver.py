"""The cloud's half of the cursor: what of a batch is new, and what must not be believed. Pure.

`check(mark, batch)` decides, the store performs the verdict in one SQL transaction and only then acks. The
mark is the database's, locked: (epoch, hwm, chain at hwm). Numbers stop replays, the chain stops forks, and
content keys (the record's uid, the session's, the sample's) stop re-sends under a new epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from common import chain, facts
from common.errors import Code, RemoteFault
from common.sync.messages import BATCH_RECORDS_MAX, Ack, Batch, Nack, Record


class Mark(msgspec.Struct, frozen=True):
    """What the cloud has of one epoch: everything up to `hwm`, with this chain after it."""

    epoch: str
    hwm: int
    chain: bytes


def first_mark(epoch: str, begins_after: int = 0) -> Mark:
    """The mark of an epoch that was never heard of. begins_after: as the box's hello says."""
    return Mark(epoch, begins_after, chain.seed(epoch))


#: Processes of a box that are remembered: a copy that keeps dialling is one of the last few.
PAST_BOOTS_MAX = 8


def boots_after(past: tuple[str, ...], last: str, now: str) -> tuple[str, ...]:
    """The processes of a box that came before the one that says hello. Raises RemoteFault(untrusted_peer).

    A process that returns after another one has spoken is no restart: there are two of them, and one is a
    copy, down to its keys. past: as this gave it for `last`, who spoke before.
    """
    if now and now in past:
        raise RemoteFault(
            Code.UNTRUSTED_PEER,
            "another box with the same keys has connected meanwhile: one of the two is a copy",
            hint="Switch the copy off. If you cannot tell which it is, run `plugside-edge pair` on the right"
            " one with an empty data folder and add it with --replace.",
        )
    return past if last in ("", now) else (last, *past)[:PAST_BOOTS_MAX]


class Apply(msgspec.Struct, frozen=True):
    """Write these (all after the old mark), then the new mark, in one transaction; then ack."""

    records: tuple[Record, ...]
    mark: Mark


class Known(msgspec.Struct, frozen=True):
    """Nothing new: ack the mark as it stands."""

    mark: Mark


class Decline(msgspec.Struct, frozen=True):
    """Nothing is applied; answer with a nack."""

    expected: int
    reason: str


Verdict = Apply | Known | Decline


def check(mark: Mark, batch: Batch) -> Verdict:
    """Judge a batch against the mark. Raises RemoteFault(protocol) when it is not a batch at all."""
    if batch.epoch != mark.epoch:
        raise RemoteFault(Code.PROTOCOL, "a batch of another epoch than the hello's")
    _well_formed(batch)
    last = batch.records[-1].seq
    if batch.from_seq > mark.hwm + 1:
        return Decline(mark.hwm + 1, "gap")
    if last <= mark.hwm:
        if last == mark.hwm and batch.chain_end != mark.chain:
            return Decline(mark.hwm + 1, "chain")
        return Known(mark)
    fresh = batch.records[mark.hwm + 1 - batch.from_seq :]
    end = _chain_over(mark.chain, fresh)
    if end != batch.chain_end:
        return Decline(mark.hwm + 1, "chain")
    return Apply(fresh, Mark(mark.epoch, last, end))


def _well_formed(batch: Batch) -> None:
    if not 0 < len(batch.records) <= BATCH_RECORDS_MAX:
        raise RemoteFault(Code.PROTOCOL, f"a batch holds 1 to {BATCH_RECORDS_MAX} records")
    if batch.from_seq < 1:
        raise RemoteFault(Code.PROTOCOL, "seq counts from 1")
    for place, record in enumerate(batch.records):
        if record.seq != batch.from_seq + place:
            raise RemoteFault(Code.PROTOCOL, f"record {record.seq} at the place of {batch.from_seq + place}")


def _chain_over(start: bytes, records: Sequence[Record]) -> bytes:
    reached = start
    for record in records:
        reached = chain.link(reached, record.seq, record.uid, record.inner)
    return reached


class Poison(msgspec.Struct, frozen=True):
    """A record that can never be applied, however often it is sent. Goes to quarantine with its reason."""

    record: Record
    reason: str


def open_record(epoch: str, record: Record) -> facts.Fact | Poison | None:
    """The fact inside a record; None for a tombstone. A kind from a newer edge gives an `UnknownBody`."""
    if record.record is None:
        return None
    if len(record.record) > facts.RECORD_BYTES_MAX:
        return Poison(record, f"a record is at most {facts.RECORD_BYTES_MAX} bytes")
    if chain.inner_hash(record.salt, record.record) != record.inner:
        return Poison(record, "the content does not fit its hash in the chain")
    try:
        fact = facts.read(epoch, record.seq, record.record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as unreadable:
        return Poison(record, f"unreadable: {unreadable}")
    if fact.uid != record.uid:
        return Poison(record, "the record carries another uid than its envelope")
    return fact


def ack(link: int, mark: Mark, *, quarantined: Sequence[int] = (), retry_after_ms: int = 0) -> Ack:
    """The answer to a batch that is applied."""
    return Ack(
        link=link,
        epoch=mark.epoch,
        hwm=mark.hwm,
        quarantined=tuple(quarantined),
        retry_after_ms=retry_after_ms,
    )


def nack(link: int, epoch: str, verdict: Decline) -> Nack:
    """The answer to a batch that is not."""
    return Nack(link=link, epoch=epoch, expected=verdict.expected, reason=verdict.reason)

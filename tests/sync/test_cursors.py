"""The cursors against each other: one directed test for each rule, one for each safeguard switched off."""

import zlib

import pytest

from common import chain, facts, sync
from common.errors import LocalFault, RemoteFault
from tests.sync.world import Cloud, Database, Edge, Journal, Safeguards, drain


def uids(edge: Edge) -> list[str]:
    return [row.uid for row in edge.journal.rows]


def pair(count: int, *, off: str = "") -> tuple[Edge, Cloud]:
    safeguards = Safeguards(**{off: False}) if off else Safeguards()
    edge, cloud = Edge(safeguards), Cloud(safeguards)
    for number in range(count):
        edge.commit(f"u{number}")
    return edge, cloud


def holds(edge: Edge, cloud: Cloud) -> bool:
    """Everything in the journal is in the cloud, nothing twice."""
    lines = cloud.db.lines
    return set(uids(edge)) <= set(lines) and len(lines) == len(set(lines))


def test_a_first_sync_brings_everything_once() -> None:
    edge, cloud = pair(450)
    drain(edge, cloud)
    assert cloud.db.lines == uids(edge)
    assert edge.rotations == 0


def test_the_same_batch_twice_changes_nothing() -> None:
    edge, cloud = pair(3)
    edge.connect(cloud)
    batch = edge.next_batch()
    assert batch is not None
    first, again = cloud.batch(batch), cloud.batch(batch)
    assert first == again == sync.Ack(link=1, epoch="1-a", hwm=3)
    assert cloud.db.lines == ["u0", "u1", "u2"]


def test_a_gap_is_declined_and_names_what_is_expected() -> None:
    edge, cloud = pair(3)
    edge.connect(cloud)
    rows = edge.journal.rows[1:]
    batch = sync.Batch(
        link=1,
        epoch="1-a",
        from_seq=2,
        records=tuple(sync.Record(r.seq, r.uid, r.salt, r.record, r.inner) for r in rows),
        chain_end=rows[-1].chain,
    )
    assert cloud.batch(batch) == sync.Nack(link=1, epoch="1-a", expected=1, reason="gap")
    assert cloud.db.lines == []


def test_a_repeated_batch_of_another_history_is_not_acknowledged() -> None:
    """It has nothing new by its numbers: acknowledged, it would be lost at the box for good."""
    edge, cloud = pair(3)
    drain(edge, cloud)
    fork, _ = pair(2)
    fork.commit("other")
    rows = fork.journal.rows
    records = tuple(sync.Record(r.seq, r.uid, r.salt, r.record, r.inner) for r in rows)
    batch = sync.Batch(link=cloud.db.link, epoch="1-a", from_seq=1, records=records, chain_end=rows[-1].chain)
    answer = cloud.batch(batch)
    assert isinstance(answer, sync.Nack)
    assert answer.reason == "chain"
    assert cloud.db.lines == ["u0", "u1", "u2"]


def test_an_overlapping_batch_applies_only_what_is_new() -> None:
    edge, cloud = pair(2)
    drain(edge, cloud)
    edge.commit("u2")
    rows = edge.journal.rows
    overlap = sync.Batch(
        link=cloud.db.link,
        epoch="1-a",
        from_seq=1,
        records=tuple(sync.Record(r.seq, r.uid, r.salt, r.record, r.inner) for r in rows),
        chain_end=rows[-1].chain,
    )
    assert isinstance(cloud.batch(overlap), sync.Ack)
    assert cloud.db.lines == ["u0", "u1", "u2"]


def test_a_lost_ack_costs_one_batch_sent_again() -> None:
    edge, cloud = pair(3)
    edge.connect(cloud)
    batch = edge.next_batch()
    assert batch is not None
    cloud.batch(batch)
    edge.cursor.disconnected()
    drain(edge, cloud)
    assert cloud.db.lines == uids(edge)


def test_an_answer_of_an_earlier_link_changes_nothing() -> None:
    edge, cloud = pair(3)
    edge.connect(cloud)
    batch = edge.next_batch()
    assert batch is not None
    late = cloud.batch(batch)
    assert isinstance(late, sync.Ack)
    edge.connect(cloud)
    edge.commit("u3")
    assert edge.next_batch() is not None
    assert edge.cursor.on_ack(late, 0) is False
    assert edge.cursor.on_nack(sync.Nack(link=late.link, epoch="1-a", expected=1), 0) is None
    assert edge.cursor.wanted(0) is None, "the batch of this link is still in flight"


def test_a_batch_of_an_earlier_link_is_not_taken() -> None:
    edge, cloud = pair(3)
    edge.connect(cloud)
    stale = edge.next_batch()
    assert stale is not None
    cloud.hello("1-a")
    assert cloud.batch(stale) is None
    assert cloud.db.lines == []


def test_a_box_restored_behind_the_clouds_mark_rotates_and_loses_nothing() -> None:
    edge, cloud = pair(10)
    drain(edge, cloud)
    edge.restored(4)
    drain(edge, cloud)
    assert edge.rotations == 1
    assert holds(edge, cloud)
    assert set(cloud.db.lines) == {f"u{n}" for n in range(10)}, "what only the cloud has stays there"


def test_a_restored_box_that_wrote_past_the_mark_looks_healthy_by_number_alone() -> None:
    edge, cloud = pair(10)
    drain(edge, cloud)
    edge.restored(4)
    for number in range(12):
        edge.commit(f"offline{number}")
    drain(edge, cloud)
    assert edge.rotations == 1
    assert holds(edge, cloud)


def test_a_cloned_generator_that_reissues_an_epoch_is_noticed_by_the_second_hello() -> None:
    edge, cloud = pair(6)
    drain(edge, cloud)
    edge.restored(2)
    drain(edge, cloud)  # 2-a
    edge.journal.rows, edge.journal.epoch, edge.journal.epochs = [], "1-a", 1
    edge.restart()
    for number in range(3):
        edge.commit(f"again{number}")
    drain(edge, cloud)
    assert edge.rotations == 3, "1-a is superseded, 2-a is taken, 3-a is free"
    assert holds(edge, cloud)


def test_a_box_restored_to_exactly_the_mark_of_a_superseded_epoch_rotates() -> None:
    edge, cloud = pair(5)
    drain(edge, cloud)
    disk = list(edge.journal.rows)
    edge.rotate()
    edge.commit("later")
    drain(edge, cloud)
    edge.journal.rows, edge.journal.epoch = disk, "1-a"
    edge.restart()
    before = edge.rotations
    drain(edge, cloud)
    assert edge.rotations > before
    assert cloud.db.current == edge.journal.epoch


def test_a_restored_cloud_is_refilled() -> None:
    edge, cloud = pair(4)
    drain(edge, cloud)
    backup = cloud.backup()
    for number in range(4, 9):
        edge.commit(f"u{number}")
    drain(edge, cloud)
    cloud.db = backup
    drain(edge, cloud)
    assert edge.rotations == 0, "the mark still lies on our chain"
    assert cloud.db.lines == uids(edge)


def test_only_what_is_missing_for_good_is_a_gap() -> None:
    def step(hwm: int, own: bytes | None, **more: bool) -> sync.Rotate:
        told = sync.TunnelWelcome(
            version=1, link_epoch=1, epoch="1-a", hwm=hwm, chain_at_hwm=bytes(32), **more
        )
        rotate = sync.EdgeCursor("1-a", 10).on_welcome(told, own)
        assert isinstance(rotate, sync.Rotate)
        return rotate

    assert step(3, None).gap
    assert not step(11, None).gap, "the cloud has more: nothing is missing"
    assert not step(3, b"x" * 32).gap, "another history"
    assert not step(3, None, superseded=True).gap


def test_a_mark_older_than_what_is_retained_needs_a_new_epoch() -> None:
    cursor = sync.EdgeCursor("e", 9)
    welcome = sync.TunnelWelcome(version=1, link_epoch=1, epoch="e", hwm=2, chain_at_hwm=b"x")
    assert cursor.on_welcome(welcome, None) == sync.Rotate(
        "the cloud's mark is older than what is retained here", gap=True
    )


def test_a_fork_that_shows_only_in_a_batch_is_declined_and_rotates() -> None:
    edge, cloud = pair(3)
    drain(edge, cloud)
    forked = Journal("1-a")
    for uid in ("u0", "other", "u2", "u3"):
        forked.append(uid)
    edge.journal = forked
    edge.cursor.committed(4, "session_ended", 0)
    batch = edge.next_batch()
    assert batch is not None
    answer = cloud.batch(batch)
    assert answer == sync.Nack(link=1, epoch="1-a", expected=4, reason="chain")
    edge.answer(answer)
    assert edge.rotations == 1
    drain(edge, cloud)
    assert set(uids(edge)) <= set(cloud.db.lines)


def test_a_tombstone_keeps_its_place_in_the_chain() -> None:
    edge, cloud = pair(3)
    edge.journal.erase(1)
    drain(edge, cloud)
    assert cloud.db.facts["u1"] is None
    assert cloud.db.marks["1-a"].chain == edge.journal.chain_at(3)


def red_without(off: str) -> bool:
    """Whether a history exists in which the pair, with one safeguard off, loses or doubles something."""
    edge, cloud = pair(6, off=off)
    try:
        if off == "chain":
            drain(edge, cloud)
            edge.restored(3)
            for number in range(9):
                edge.commit(f"offline{number}")
            # Without chains neither the welcome nor a batch could tell: the cloud believes by number.
            cloud.db.marks["1-a"] = sync.Mark("1-a", 6, edge.journal.chain_at(6))
            drain(edge, cloud)
        elif off == "mark":
            drain(edge, cloud)
            cloud.db = Database()
            drain(edge, cloud)
        elif off == "retain":
            drain(edge, cloud)
            cloud.db = Database()
            drain(edge, cloud)
            return None in cloud.db.facts.values()
        elif off == "rotate":
            drain(edge, cloud)
            edge.restored(3)
            for number in range(9):
                edge.commit(f"offline{number}")
            drain(edge, cloud)
        elif off == "content":
            drain(edge, cloud)
            edge.restored(3)
            drain(edge, cloud)
        elif off == "commit_first":
            edge.connect(cloud)
            batch = edge.next_batch()
            assert batch is not None
            answer = cloud.batch(batch, crash=True)
            if answer is not None:
                edge.answer(answer)
            assert edge.cursor.backlog > 0 or holds(edge, cloud)
            drain(edge, cloud)
    except (AssertionError, RemoteFault):
        return True
    return not holds(edge, cloud)


SAFEGUARDS = ["chain", "mark", "content", "commit_first", "retain", "rotate"]


@pytest.mark.parametrize("off", SAFEGUARDS)
def test_each_safeguard_is_load_bearing(off: str) -> None:
    assert red_without(off)


# --- flush policy and limits -------------------------------------------------------------------------------


def resumed(last_seq: int = 0) -> sync.EdgeCursor:
    cursor = sync.EdgeCursor("e", last_seq)
    welcome = sync.TunnelWelcome(version=1, link_epoch=7, epoch="e", hwm=0, chain_at_hwm=chain.seed("e"))
    assert cursor.on_welcome(welcome, chain.seed("e")) == sync.Resume(0)
    return cursor


@pytest.mark.parametrize("kind", sorted(sync.URGENT_KINDS))
def test_a_session_fact_goes_at_once(kind: str) -> None:
    assert kind in facts.BODIES
    cursor = resumed()
    cursor.committed(1, kind, 5)
    assert cursor.wanted(5) == sync.Want(1, sync.BATCH_RECORDS_MAX, sync.BATCH_BYTES_MAX)


def test_other_facts_wait_for_company_but_not_longer_than_a_minute() -> None:
    cursor = resumed()
    cursor.committed(1, "meter_sampled", 5)
    cursor.committed(2, "meter_sampled", 900)
    assert cursor.wanted(900) is None
    assert cursor.wake_at_ms() == 5 + sync.FLUSH_AFTER_MS
    assert cursor.wanted(5 + sync.FLUSH_AFTER_MS) is not None


def test_a_full_batch_does_not_wait() -> None:
    cursor = resumed()
    for seq in range(1, sync.BATCH_RECORDS_MAX + 1):
        assert cursor.wanted(0) is None
        cursor.committed(seq, "meter_sampled", 0)
    assert cursor.wanted(0) is not None


def test_a_backlog_goes_at_once_after_a_welcome() -> None:
    assert resumed(last_seq=3).wanted(0) is not None


def test_back_pressure_holds_the_next_batch() -> None:
    edge, cloud = pair(300)
    edge.connect(cloud)
    batch = edge.next_batch()
    assert batch is not None
    edge.cursor.on_ack(sync.Ack(link=1, epoch="1-a", hwm=200, retry_after_ms=500), 1000)
    assert edge.cursor.wanted(1499) is None
    assert edge.cursor.wake_at_ms() == 1500
    assert edge.cursor.wanted(1500) == sync.Want(201, 200, sync.BATCH_BYTES_MAX)


def test_a_durable_frame_stays_under_its_limit() -> None:
    edge, _ = pair(0)
    cloud = Cloud()
    for number in range(40):
        edge.journal.append(f"0190a2b4-1111-7000-8000-{number:012d}", b"x" * (9000 + number * 150))
    edge.restart()
    edge.connect(cloud)
    sizes = []
    while (batch := edge.next_batch()) is not None:
        sizes.append(len(sync.encode(batch)))
        answer = cloud.batch(batch)
        assert answer is not None
        edge.answer(answer)
    assert max(sizes) <= sync.BATCH_BYTES_MAX
    assert max(sizes) > sync.BATCH_BYTES_MAX * 3 // 4, "frames are filled"
    assert edge.cursor.backlog == 0


def test_a_record_too_large_for_a_frame_does_not_hold_up_the_rest() -> None:
    edge, cloud = pair(0)
    edge.journal.append("big", b"x" * (sync.BATCH_BYTES_MAX + 1))
    edge.journal.append("small")
    edge.restart()
    drain(edge, cloud)
    assert cloud.db.lines == ["big", "small"]


def test_an_ack_beyond_what_was_sent_is_a_protocol_fault() -> None:
    edge, cloud = pair(3)
    edge.connect(cloud)
    assert edge.next_batch() is not None
    with pytest.raises(RemoteFault):
        edge.cursor.on_ack(sync.Ack(link=1, epoch="1-a", hwm=4), 0)


def test_the_same_nack_twice_is_no_progress() -> None:
    edge, cloud = pair(10)
    edge.connect(cloud)
    edge.cursor.acked = 5
    assert edge.next_batch() is not None
    assert edge.cursor.on_nack(sync.Nack(link=1, epoch="1-a", expected=3), 0) == sync.Resume(2)
    assert edge.next_batch() is not None
    with pytest.raises(RemoteFault):
        edge.cursor.on_nack(sync.Nack(link=1, epoch="1-a", expected=3), 0)


def test_busy_may_be_said_again_and_again() -> None:
    edge, cloud = pair(3)
    edge.connect(cloud)
    for turn in range(5):
        assert edge.next_batch() is not None
        busy = sync.Nack(link=1, epoch="1-a", expected=1, reason="busy", retry_after_ms=10)
        assert edge.cursor.on_nack(busy, edge.now_ms) == sync.Resume(0)
        assert edge.next_batch() is None
        edge.now_ms += 10 * (turn + 1)


def test_only_one_batch_is_in_flight() -> None:
    edge, cloud = pair(300)
    edge.connect(cloud)
    assert edge.next_batch() is not None
    assert edge.next_batch() is None
    with pytest.raises(LocalFault):
        edge.cursor.batch_of(edge.journal.rows)


def test_a_journal_with_a_hole_is_not_sent() -> None:
    edge, cloud = pair(5)
    edge.connect(cloud)
    with pytest.raises(LocalFault):
        edge.cursor.batch_of([edge.journal.rows[0], edge.journal.rows[2]])


# --- what a batch may not be -------------------------------------------------------------------------------


def record(seq: int, uid: str = "u", raw: bytes = b"{}") -> sync.Record:
    return sync.Record(seq, uid, b"s" * 16, raw, chain.inner_hash(b"s" * 16, raw))


@pytest.mark.parametrize(
    "records",
    [
        (),
        (record(2), record(1)),
        (record(1), record(3)),
        tuple(record(seq) for seq in range(1, sync.BATCH_RECORDS_MAX + 2)),
    ],
)
def test_what_is_no_batch_is_a_protocol_fault(records: tuple[sync.Record, ...]) -> None:
    batch = sync.Batch(link=1, epoch="e", from_seq=1, records=records, chain_end=b"")
    with pytest.raises(RemoteFault):
        sync.check(sync.first_mark("e"), batch)


def test_a_batch_of_another_epoch_is_a_protocol_fault() -> None:
    batch = sync.Batch(link=1, epoch="f", from_seq=1, records=(record(1),), chain_end=b"")
    with pytest.raises(RemoteFault):
        sync.check(sync.first_mark("e"), batch)


def fact(uid: str = "u", **body: object) -> facts.Fact:
    return facts.make(
        epoch="e",
        seq=1,
        uid=uid,
        at="2026-01-01T00:00:00.000Z",
        clock="synced",
        body=facts.ChargerLost(charger="CP1", reason="gone"),
    )


def test_a_record_opens_as_the_fact_it_was() -> None:
    made = fact()
    assert sync.open_record("e", record(1, raw=made.record)) == made


def test_a_tombstone_has_nothing_inside() -> None:
    assert sync.open_record("e", sync.Record(1, "u", b"", None, b"i" * 32)) is None


def test_a_kind_from_a_newer_edge_is_kept_not_quarantined() -> None:
    raw = b'{"uid":"u","kind":"tomorrow","v":9,"at":"","clock":"","body":{"x":1}}'
    opened = sync.open_record("e", record(1, raw=raw))
    assert isinstance(opened, facts.Fact)
    assert opened.body == facts.UnknownBody(raw=b'{"x":1}')


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (record(1, raw=b"\xff\x00 no json"), "unreadable"),
        (
            record(1, raw=b'{"uid":"u","kind":"charger_lost","v":1,"at":"","clock":"","body":{}}'),
            "unreadable",
        ),
        (record(1, raw=b"[" * 10_000), "unreadable"),
        (record(1, uid="other", raw=fact().record), "uid"),
        (sync.Record(1, "u", b"s" * 16, fact().record, b"\0" * 32), "hash"),
        (record(1, raw=b"x" * (facts.RECORD_BYTES_MAX + 1)), "at most"),
    ],
)
def test_poison_is_named(bad: sync.Record, word: str) -> None:
    opened = sync.open_record("e", bad)
    assert isinstance(opened, sync.Poison)
    assert word in opened.reason


# --- messages ----------------------------------------------------------------------------------------------


def test_a_record_arrives_as_the_bytes_that_were_hashed() -> None:
    raw = bytes(range(256))
    batch = sync.Batch(link=1, epoch="e", from_seq=1, records=(record(1, raw=raw),), chain_end=b"c" * 32)
    assert sync.decode_edge(sync.encode(batch)) == batch


@pytest.mark.parametrize("frame", ["text", b"", b"\xc1", b"\x81\xa4kind\xa5hello", b"\x91" * 5000])
def test_an_unreadable_frame_is_a_protocol_fault(frame: bytes | str) -> None:
    for decode in (sync.decode_edge, sync.decode_cloud):
        with pytest.raises(RemoteFault):
            decode(frame)


def test_a_packed_batch_is_the_batch_and_takes_fewer_bytes() -> None:
    records = tuple(
        sync.Record(seq, f"uid-{seq}", bytes(16), b'{"kind":"meter_sampled","at":"2026"}' * 4, bytes(32))
        for seq in range(1, 101)
    )
    batch = sync.Batch(link=1, epoch="1-a", from_seq=1, records=records, chain_end=bytes(32))
    packed = sync.pack(batch)
    assert sync.decode_edge(packed) == batch
    assert len(packed) * 3 < len(sync.encode(batch))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zlib",
        zlib.compress(sync.encode(sync.Challenge(nonce="x"))),
        zlib.compress(sync.encode(sync.LiveFact(epoch="1-a", seq=1, record=b"{}"))),
        zlib.compress(bytes(1024 * 1024)),
        zlib.compress(b"x" * 100)[:-5],
    ],
)
def test_what_unpacks_to_no_batch_is_a_protocol_fault(data: bytes) -> None:
    with pytest.raises(RemoteFault):
        sync.decode_edge(sync.encode(sync.Packed(data=data)))


def test_versions_are_negotiated_or_refused() -> None:
    assert sync.choose_version((9, 1)) == 1
    with pytest.raises(RemoteFault):
        sync.choose_version((9,))

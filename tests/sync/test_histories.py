"""Random histories of box, cloud and network: whatever happens, every record arrives once.

The laws (design §9): an ack covers only what is applied; a mark never falls while
cloud and epoch stay the same; after healing the cloud holds everything in the journal; nothing is applied
twice; and nothing appears that no box ever wrote.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common import sync
from common.errors import RemoteFault
from tests.sync.world import Cloud, Database, Edge, Journal, drain


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.edge, self.cloud = Edge(), Cloud()
        self.made = 0
        self.on_the_way: list[sync.Batch] = []
        self.answers: list[sync.Ack | sync.Nack] = []
        self.disk_backup: tuple[list, str, int] | None = None
        self.cloud_backup: Database | None = None
        self.highest: dict[str, int] = {}

    @rule(count=st.integers(1, 5), urgent=st.booleans())
    def write(self, count: int, urgent: bool) -> None:
        for _ in range(count):
            self.made += 1
            self.edge.commit(f"u{self.made}", "session_ended" if urgent else "meter_sampled")

    @rule(ms=st.sampled_from([10, 1000, sync.FLUSH_AFTER_MS]))
    def time_passes(self, ms: int) -> None:
        self.edge.now_ms += ms

    @rule()
    def connect(self) -> None:
        self.edge.connect(self.cloud)

    @rule(cut=st.integers(1, 4))
    def send(self, cut: int) -> None:
        """Put the next batch on the way; `cut` makes it shorter than the cursor would like."""
        want = self.edge.cursor.wanted(self.edge.now_ms)
        if want is None:
            return
        rows = self.edge.journal.rows[want.from_seq - 1 :][:cut]
        self.on_the_way.append(self.edge.cursor.batch_of(rows))

    @precondition(lambda self: self.on_the_way)
    @rule(which=st.integers(0, 9), keep=st.booleans(), crash=st.booleans())
    def arrive(self, which: int, keep: bool, crash: bool) -> None:
        """Any batch arrives, in any order, and may arrive again; the cloud may die before its commit."""
        batch = self.on_the_way[which % len(self.on_the_way)]
        if not keep:
            self.on_the_way.remove(batch)
        if batch.epoch not in self.cloud.db.marks:
            return  # a restored cloud that never heard of this epoch has no such link either
        answer = self.cloud.batch(batch, crash=crash)
        if answer is not None:
            self.answers.append(answer)

    @precondition(lambda self: self.answers)
    @rule(which=st.integers(0, 9), keep=st.booleans())
    def answer_arrives(self, which: int, keep: bool) -> None:
        answer = self.answers[which % len(self.answers)]
        if not keep:
            self.answers.remove(answer)
        try:
            self.edge.answer(answer)
        except RemoteFault:
            self.edge.cursor.disconnected()

    @rule()
    def link_breaks(self) -> None:
        self.edge.cursor.disconnected()

    @rule()
    def edge_restarts(self) -> None:
        self.edge.restart()

    @rule()
    def back_up_the_disk(self) -> None:
        journal = self.edge.journal
        self.disk_backup = (list(journal.rows), journal.epoch, journal.epochs)

    @precondition(lambda self: self.disk_backup is not None)
    @rule()
    def restore_the_disk(self) -> None:
        assert self.disk_backup is not None
        rows, epoch, epochs = self.disk_backup
        self.edge.journal = Journal(epoch, list(rows), epochs)
        self.edge.restart()

    @rule()
    def back_up_the_cloud(self) -> None:
        self.cloud_backup = self.cloud.backup()

    @precondition(lambda self: self.cloud_backup is not None)
    @rule()
    def restore_the_cloud(self) -> None:
        assert self.cloud_backup is not None
        # Its links are gone with it, and link numbers start above all that were ever given.
        link = self.cloud.db.link
        self.cloud.db = self.cloud_backup
        self.cloud.db.link = link + 1
        self.cloud_backup = self.cloud.backup()
        self.edge.cursor.disconnected()
        self.highest.clear()

    @invariant()
    def nothing_is_doubled_or_invented(self) -> None:
        lines = self.cloud.db.lines
        assert len(lines) == len(set(lines))
        assert set(lines) <= {f"u{n}" for n in range(1, self.made + 1)}

    @invariant()
    def a_mark_never_falls(self) -> None:
        for epoch, mark in self.cloud.db.marks.items():
            assert mark.hwm >= self.highest.get(epoch, 0)
            self.highest[epoch] = mark.hwm

    @invariant()
    def an_ack_covers_only_what_is_applied(self) -> None:
        cursor = self.edge.cursor
        if cursor.link and cursor.link == self.cloud.db.link:
            acked = {row.uid for row in self.edge.journal.rows[: cursor.acked]}
            assert acked <= set(self.cloud.db.lines)

    def teardown(self) -> None:
        drain(self.edge, self.cloud)
        assert {row.uid for row in self.edge.journal.rows} <= set(self.cloud.db.lines)
        self.nothing_is_doubled_or_invented()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=20), repeats=st.lists(st.integers(0, 19)))
def test_any_cutting_and_repeating_gives_the_same_table(cuts: list[int], repeats: list[int]) -> None:
    edge, cloud = Edge(), Cloud()
    for number in range(30):
        edge.commit(f"u{number}")
    edge.connect(cloud)
    sent: list[sync.Batch] = []
    turn = 0
    while edge.cursor.backlog:
        want = edge.cursor.wanted(0)
        assert want is not None
        sent.append(edge.cursor.batch_of(edge.journal.rows[want.from_seq - 1 :][: cuts[turn % len(cuts)]]))
        answer = cloud.batch(sent[-1])
        assert answer is not None
        edge.answer(answer)
        turn += 1
    for place in repeats:
        cloud.batch(sent[place % len(sent)])
    assert cloud.db.lines == [row.uid for row in edge.journal.rows]
    assert cloud.db.marks["1-a"].chain == edge.journal.chain_at(30)

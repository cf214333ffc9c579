"""The safeguards of the ledger, each with how it is taken out of the product and the test that must notice.

`test_gate.py` does both in a copy of the tree. Where a safeguard moves, its line here moves with it.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """`before`, which stands once in `file`, becomes `after`; then `test` fails."""

    safeguard: str
    file: str
    before: str
    after: str
    test: str


CURSORS = "tests/sync/test_cursors.py"
LEDGER = "tests/store/test_ledger.py"

MUTANTS = (
    Mutant(
        "chain, at the box",
        "common/sync/sender.py",
        "if own_chain != welcome.chain_at_hwm:",
        "if False:",
        f"{CURSORS}::test_only_what_is_missing_for_good_is_a_gap",
    ),
    Mutant(
        "chain, at the cloud",
        "common/sync/receiver.py",
        "if end != batch.chain_end:",
        "if False:",
        f"{CURSORS}::test_a_fork_that_shows_only_in_a_batch_is_declined_and_rotates",
    ),
    Mutant(
        "chain, of a batch with nothing new",
        "common/sync/receiver.py",
        "if last == mark.hwm and batch.chain_end != mark.chain:",
        "if False:",
        f"{CURSORS}::test_a_repeated_batch_of_another_history_is_not_acknowledged",
    ),
    Mutant(
        "content key of a record",
        "cloud/store/ingest.py",
        "            if inner is None:",
        "            if True:",
        f"{LEDGER}::test_a_uid_that_comes_back_with_other_content_is_poison[sqlite]",
    ),
    Mutant(
        "content key of a session",
        "edge/recall.py",
        "journal.recall_session_by_key(",
        "(lambda _: None)(",
        "tests/box/test_recall.py::test_a_replay_of_a_session_that_left_memory_is_that_session",
    ),
    Mutant(
        "resume from the cloud's mark",
        "common/sync/sender.py",
        "        self.acked = welcome.hwm\n",
        "        self.acked = max(self.acked, welcome.hwm)\n",
        f"{CURSORS}::test_a_restored_cloud_is_refilled",
    ),
    Mutant(
        "ack after commit",
        "cloud/tunnel.py",
        "                self.say(await self._apply(batch))",
        "                self.say(sync.ack(batch.link, sync.Mark(batch.epoch, batch.records[-1].seq, b'')))\n"
        "                await self._apply(batch)",
        "tests/cloud/test_tunnel.py::test_a_batch_that_cannot_be_written_now_is_asked_for_again",
    ),
    Mutant(
        "retained acknowledged facts",
        "edge/keeping.py",
        "FACTS_MS = 2 * 365 * DAY_MS",
        "FACTS_MS = 0",
        "tests/journal/test_keeping.py::test_retention_by_age",
    ),
    Mutant(
        "epoch rotation",
        "common/sync/sender.py",
        "reason = self._must_rotate or self._distrust(welcome, own_chain)",
        'reason = ""',
        f"{CURSORS}::test_a_box_restored_behind_the_clouds_mark_rotates_and_loses_nothing",
    ),
    Mutant(
        "stored replies",
        "edge/recall.py",
        "stored = journal.recall_reply(key)",
        "stored = None",
        "tests/box/test_gateway.py",
    ),
    Mutant(
        "at most once",
        "edge/core/calls.py",
        "return CLASSES[Name(order.name)].repeat is Repeat.AT_MOST_ONCE",
        "return False",
        "tests/box/test_crash_points.py::test_a_start_that_was_or_may_have_been_called_is_never_called_again",
    ),
    Mutant(
        "the output gate",
        "edge/gate.py",
        "if not self._held and seq <= committed_seq:",
        "if True:",
        "tests/box/test_gateway.py",
    ),
    Mutant(
        "the fence of links",
        "cloud/store/ingest.py",
        "if (await self._tx.scalar(fence)) != link:",
        "if False:",
        f"{LEDGER}::test_an_overtaken_link_can_write_nothing[sqlite]",
    ),
    Mutant(
        "only values are poison",
        "cloud/store/engine.py",
        "    if not isinstance(fault, DBAPIError):\n        return isinstance(fault, StatementError)",
        "    if isinstance(fault, StatementError):\n        return isinstance(fault, StatementError)",
        f"{LEDGER}::test_trouble_of_the_database_is_no_fault_of_the_records[sqlite]",
    ),
    Mutant(
        "a stored record is held against its hash",
        "cloud/store/epochs.py",
        "return row.record is None or chain.inner_hash(row.salt, row.record) == row.inner",
        "return True",
        f"{LEDGER}::test_content_that_was_changed_beside_its_hash_breaks_the_chain[sqlite]",
    ),
    Mutant(
        "a log goes with its file",
        "edge/opening.py",
        "    salvage.take_back(folder)\n",
        "",
        "tests/journal/test_salvage.py::test_a_kill_between_the_log_and_its_file_loses_nothing_of_the_log",
    ),
    Mutant(
        "what a failed sync left in the cache is not read",
        "edge/journal/folder.py",
        "            _forget_cached(path)\n",
        "",
        "tests/journal/test_folder.py::test_after_an_end_without_a_goodbye_the_files_are_read_from_the_disk_itself",
    ),
    Mutant(
        "nothing goes that a restart replays",
        "edge/journal/thinning.py",
        " or made.rows[-1][0] > horizon(db)",
        "",
        "tests/journal/test_thinning.py::test_a_plan_that_reaches_what_a_restart_replays_does_nothing",
    ),
    Mutant(
        "a salvaged record proves itself",
        "edge/journal/salvage.py",
        "return chain.inner_hash(row.salt, row.record) == row.inner",
        "return True",
        "tests/journal/test_salvage.py::test_a_bit_that_flipped_within_a_number_is_no_number",
    ),
    Mutant(
        "an end that is cut off is missing",
        "edge/journal/verifying.py",
        "if chain.last_seq < self._committed:",
        "if False:",
        "tests/journal/test_verifying.py::test_an_end_that_was_cut_off_is_missing",
    ),
    Mutant(
        "a closed month is sealed",
        "cloud/store/charges.py",
        "if seal and seal != await _seal(",
        "if False and seal != await _seal(",
        "tests/cloud/test_reconciliation.py::test_a_month_whose_lines_were_moved_or_taken_away_is_found",
    ),
    Mutant(
        "a clock that only a queue told makes no session ours",
        "edge/core/opening.py",
        "clocks.proven_offset_ms(station)",
        "clocks.offset_ms(station)",
        "tests/core/test_integrity.py",
    ),
    Mutant(
        "a copy of the box is turned away",
        "common/sync/receiver.py",
        "if now and now in past:",
        "if False:",
        f"{LEDGER}::test_a_copy_with_the_same_keys_and_folder_shows_when_the_first_returns[sqlite]",
    ),
    Mutant(
        "a new epoch asks for its estate, on disk",
        "edge/uplink.py",
        "        await self._inheritance.ask()\n",
        "        self._inheritance.wanted = True\n",
        "tests/box/test_uplink.py::"
        "test_a_box_that_ends_between_its_new_epoch_and_the_estate_asks_for_it_all_the_same",
    ),
    Mutant(
        "what was had counts at a start",
        "edge/core/allowance.py",
        "    may_begin(caps, given.target.charger,",
        "    (lambda *_: None)(caps, given.target.charger,",
        "tests/core/test_allowance.py",
    ),
    Mutant(
        "a charge is held to what was agreed last",
        "edge/core/allowance.py",
        "energy_of(session) >= session.cap_wh or _used_up(state, session)",
        "energy_of(session) >= session.cap_wh",
        "tests/core/test_allowance.py",
    ),
    Mutant(
        "a rotation is the old key's word",
        "common/trust/rotation.py",
        "        verify_identity(told.old, told.by_old, Purpose.ROTATION, message)\n",
        "",
        "tests/trust/test_rotation.py",
    ),
    Mutant(
        "a phone follows from the key that it pinned",
        "common/trust/rotation.py",
        "if one.former == pinned), None)",
        "), None)",
        "tests/trust/test_rotation.py",
    ),
    Mutant(
        "the first successor of a key wins",
        "cloud/store/accounts.py",
        "where = (table.c.id == site) & (table.c.public == held)",
        "where = table.c.id == site",
        "tests/cloud/test_boxkeys.py::test_two_tunnels_with_two_successors_at_once_are_one",
    ),
)

#: What must be among them whatever else is (`tests/sync`, `tests/sim` show for each of these nine what goes
#: wrong without it).
NINE = (
    "chain",
    "content key",
    "resume from the cloud's mark",
    "ack after commit",
    "retained acknowledged facts",
    "epoch rotation",
    "stored replies",
    "at most once",
    "the output gate",
)

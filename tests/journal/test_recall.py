"""Look-ups: the same answer before the commit and after it, and after a restart."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager

import pytest

from common.domain import EnergyMethod
from common.facts import AuthorizationChanged
from edge.core.inputs import Known, RecalledCommand
from edge.journal.pending import RECENT_MAX
from tests.journal.support import (
    Disk,
    accepted,
    confirmed,
    ended,
    lost,
    revised,
    running,
    sampled,
    sent,
    settled,
    started,
    table,
)


@asynccontextmanager
async def three_moments(tmp_path, *bodies, replies=()):
    """A function that runs a check while the facts wait for the disk, when they are on it, and later."""
    checks = []
    disk = Disk()

    def check(fn):
        checks.append(fn)
        return fn

    yield check
    async with running(tmp_path, connection=disk.connection) as run:
        disk.stall()
        for body in bodies:
            run.push(body)
        if replies:
            run.push(lost(), replies=replies)
        for fn in checks:
            fn(run.journal)
        disk.go.set()
        await run.journal.probe()
        for fn in checks:
            fn(run.journal)
    async with running(tmp_path) as run:
        for fn in checks:
            fn(run.journal)


async def test_a_session_is_found_by_uid_key_and_transaction(tmp_path):
    body = started("s1", principal="p1", tag_ref="ref", command="c1", boot=3, flags=("needs_review",))
    async with three_moments(tmp_path, body) as check:

        @check
        def _(journal):
            row = journal.recall_session("s1")
            assert isinstance(row, Known)
            assert (row.session, row.charger, row.transaction, row.key) == ("s1", "CP1", "t-s1", "k-s1")
            assert (row.principal, row.tag_ref, row.command, row.boot) == ("p1", "ref", "c1", 3)
            assert (row.state, row.ended, row.provisional, row.weak) == ("open", False, False, False)
            assert (row.started_seq, row.ended_seq, row.last_seq, row.flags) == (1, 0, 1, ("needs_review",))
            assert journal.recall_session_by_key("k-s1") == row
            assert journal.recall_session_by_transaction("CP1", "t-s1") == row
            assert journal.transaction_taken("CP1", "t-s1")
            assert not journal.transaction_taken("CP2", "t-s1")
            assert not journal.transaction_taken("CP1", "t-s2")
            assert journal.recall_session("s2") is None
            assert journal.recall_session_by_key("k-s2") is None
            assert journal.recall_session_by_key("") is None


async def test_a_session_follows_its_facts(tmp_path):
    bodies = (
        started("s1", flags=("a",)),
        ended("s1", provisional=True, method=EnergyMethod.SAMPLES, energy_wh=5.0, flags=("b", "a")),
        sampled("s1"),
        sampled("s1", late=True),
        revised("s1", 1, energy_wh=6.0, method=EnergyMethod.REGISTER, flags=("c",)),
        revised(
            "s1", 2, energy_wh=7.0, ended_at="2026-11-20T12:00:00Z", meter_stop_wh=9.0, reason="operator"
        ),
    )
    states = []
    async with running(tmp_path) as run:
        for body in bodies:
            await run.write(body)
            row = run.journal.recall_session("s1")
            states.append((row.state, row.energy_wh, row.revision, row.last_seq, row.ended_seq))
        assert states == [
            ("open", None, 0, 1, 0),
            ("provisional", 5.0, 0, 2, 2),
            ("provisional", 5.0, 0, 2, 2),
            ("provisional", 5.0, 0, 4, 2),
            ("revised", 6.0, 1, 5, 5),
            ("revised", 7.0, 2, 6, 6),
        ]
        assert row.flags == ("a", "b", "c")
        assert (row.ended_at, row.meter_stop_wh, row.reason) == ("2026-11-20T12:00:00Z", 9.0, "operator")
        assert row.meter_start_wh == 1000.0


async def test_a_session_that_ends_before_its_start_is_on_disk(tmp_path):
    async with three_moments(tmp_path, started("s1"), ended("s1")) as check:

        @check
        def _(journal):
            row = journal.recall_session_by_key("k-s1")
            assert (row.state, row.started_seq, row.ended_seq) == ("ended", 1, 2)
            assert (row.energy_wh, row.method) == (7000.0, EnergyMethod.REGISTER)


async def test_a_weak_key_that_came_twice_means_the_later_session(tmp_path):
    bodies = (
        started("s1", key="same", weak=True),
        ended("s1"),
        started("s2", key="same", weak=True),
        revised("s1", 1, energy_wh=1.0),
    )
    async with three_moments(tmp_path, *bodies) as check:

        @check
        def _(journal):
            assert journal.recall_session_by_key("same").session == "s2"
            assert journal.recall_session("s1").revision == 1


async def test_an_old_weak_session_that_changes_does_not_hide_the_later_one(tmp_path):
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        await run.write(started("s1", key="same", weak=True), started("s2", key="same", weak=True))
        disk.stall()
        run.push(ended("s1"))
        assert run.journal.recall_session_by_key("same").session == "s2"
        run.push(ended("s2"))
        assert run.journal.recall_session_by_key("same").state == "ended"
        disk.go.set()


@pytest.mark.parametrize(
    "second",
    [
        started("s2", transaction="t-s1"),
        started("s2", key="k-s1"),
        started("s1", transaction="other", key="other"),
    ],
    ids=["transaction", "strong key", "uid"],
)
async def test_no_two_sessions_share_what_makes_one_unique(tmp_path, second):
    """Whatever anybody decides: the tables refuse, and with them the whole group."""
    async with running(tmp_path) as run:
        await run.write(started("s1"))
        run.push(second)
        await run.watch.failed.wait()
        assert isinstance(run.watch.failures[0], sqlite3.IntegrityError)
    async with running(tmp_path) as run:
        assert run.journal.last_seq == 1
        assert run.journal.recall_session_by_transaction("CP1", "t-s1").session == "s1"


async def test_sessions_of_two_chargers_may_share_a_transaction_id(tmp_path):
    async with running(tmp_path) as run:
        await run.write(started("s1", transaction="7"), started("s2", transaction="7", charger="CP2"))
        assert run.journal.recall_session_by_transaction("CP1", "7").session == "s1"
        assert run.journal.recall_session_by_transaction("CP2", "7").session == "s2"


async def test_sessions_without_a_transaction_id_do_not_collide(tmp_path):
    async with running(tmp_path) as run:
        await run.write(started("s1", transaction=""), started("s2", transaction=""))
        assert run.journal.recall_session_by_transaction("CP1", "") is None
        assert run.journal.recall_session("s2").session == "s2"


async def test_what_is_said_of_an_unknown_session_makes_no_row(tmp_path):
    async with running(tmp_path) as run:
        await run.write(ended("s9"), revised("s9", 1), sampled("s9", late=True))
        assert run.journal.recall_session("s9") is None
        assert run.watch.failures == []


async def test_a_command_follows_its_facts(tmp_path):
    states = []
    async with running(tmp_path) as run:
        for body in (accepted("c1"), sent("c1"), confirmed("c1"), settled("c1", session="s1")):
            await run.write(body)
            row = run.journal.recall_command("c1")
            states.append((row.state, row.answer, row.outcome, row.session, row.result))
        assert states == [
            ("accepted", "", "", None, {}),
            ("sent", "", "", None, {}),
            ("confirmed", "accepted", "", None, {"status": "accepted"}),
            ("settled", "accepted", "succeeded", "s1", {"status": "accepted"}),
        ]
        assert isinstance(row, RecalledCommand)
        assert (row.fingerprint, row.name, row.role, row.path) == ("f-c1", "start", "driver", "lan")
        assert (row.accepted_seq, row.sent_seq, row.confirmed_seq, row.settled_seq) == (1, 2, 3, 4)
        fact = run.journal.recall_fact(row.settled_seq)
        assert fact.body == settled("c1", session="s1")
        assert run.journal.recall_fact(99) is None


async def test_commands_are_found_before_and_after_the_commit(tmp_path):
    refusal = settled("c2", "refused", code="not_permitted", fingerprint="f-c2", principal="p2")
    async with three_moments(tmp_path, accepted("c1"), sent("c1"), refusal) as check:

        @check
        def _(journal):
            assert journal.recall_command("c1").state == "sent"
            refused = journal.recall_command("c2")
            assert (refused.state, refused.outcome, refused.code) == ("settled", "refused", "not_permitted")
            assert (refused.fingerprint, refused.principal) == ("f-c2", "p2")
            assert journal.recall_command("c3") is None


async def test_a_settled_command_stays_as_it_was_settled(tmp_path):
    async with running(tmp_path) as run:
        await run.write(accepted("c1"), settled("c1", "failed", code="charger_rejected"))
        await run.write(confirmed("c1"), settled("c1", "succeeded"))
        row = run.journal.recall_command("c1")
        assert (row.state, row.outcome, row.code, row.answer) == ("settled", "failed", "charger_rejected", "")


async def test_a_reply_comes_back_byte_for_byte(tmp_path):
    exact = b'{ "transactionId":12 ,"idTagInfo":{"status":"Accepted"}}'
    async with three_moments(tmp_path, replies=[("k1", exact), ("k2", b"")]) as check:

        @check
        def _(journal):
            assert journal.recall_reply("k1") == exact
            assert journal.recall_reply("k2") == b""
            assert journal.recall_reply("k3") is None


async def test_the_later_reply_of_a_key_counts(tmp_path):
    async with running(tmp_path) as run:
        await run.write(lost(), replies=[("k", b"first")])
        run.push(lost(), replies=[("k", b"second")])
        assert run.journal.recall_reply("k") == b"second"
        await run.journal.probe()
        assert run.journal.recall_reply("k") == b"second"


async def test_pending_rows_leave_with_their_commit_and_not_before(tmp_path):
    """A row that changed again while its first change went to disk must still be the newest one."""
    disk = Disk()
    async with running(tmp_path, connection=disk.connection) as run:
        disk.stall()
        run.push(started("s1"))
        await asyncio.to_thread(disk.stalled.wait)
        run.push(ended("s1"))
        first_commit = []
        run.watch.also = lambda seq: first_commit.append((seq, run.journal.recall_session("s1").state))
        disk.go.set()
        await run.journal.probe()
        assert first_commit == [(1, "ended"), (2, "ended")]


async def test_settings_are_kept_by_name(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.set("site", b"one")
        await run.journal.set("site", b"two")
        assert run.journal.get("site") == b"two"
        assert run.journal.get("other") is None
        for own in (lambda: run.journal.get("journal.epoch"), lambda: run.journal.set("journal.epoch", b"")):
            with pytest.raises(ValueError, match=r"journal\.epoch"):
                own()
    async with running(tmp_path) as run:
        assert run.journal.get("site") == b"two"


async def test_a_fact_without_a_subject_is_stored_like_any_other(tmp_path):
    async with running(tmp_path) as run:
        (fact,) = await run.write(AuthorizationChanged(principal="p", change="granted"))
        assert run.journal.recall_fact(1) == fact


async def test_every_look_up_goes_by_an_index(tmp_path):
    """They run on the loop's thread: a look-up that reads a whole table would stop the site."""
    async with running(tmp_path) as run:
        await run.write(started("s1"), accepted("c1"), replies=[("k", b"r")])
        statements = []
        run.journal._reader.set_trace_callback(statements.append)
        run.journal.recall_session("s1")
        run.journal.recall_session_by_key("k-s1")
        run.journal.recall_session_by_transaction("CP1", "t-s1")
        run.journal.recall_command("c1")
        run.journal.recall_reply("k")
        run.journal.recall_fact(1)
        run.journal.recall_name("p1")
        run.journal.recall_tag("r1")
        run.journal.get("name")
        run.journal.chain_at(1)
        run.journal.records(1, max_records=5, max_bytes=1000)
        run.journal._reader.set_trace_callback(None)
        assert len(statements) >= 11
        for statement in statements:
            plan = [row[3] for row in table(run.journal.path, f"EXPLAIN QUERY PLAN {statement}")]
            tables = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
            assert tables
            assert not [step for step in tables if step.startswith("SCAN") and "subquery" not in step], plan


async def test_rows_that_stay_after_their_commit_are_those_on_disk(tmp_path):
    """What memory tells at once, the disk tells later, when many others have come and after a restart."""
    async with running(tmp_path) as run:
        assert run.journal.recall_command("c0") is None  # remembered as absent, until it is pushed
        await run.write(accepted("c0"), sent("c0"), started("s0"), sampled("s0"))
        stayed = run.journal.recall_command("c0"), run.journal.recall_session("s0")
        for number in range(1, RECENT_MAX + 2):
            run.push(accepted(f"c{number}"))
            run.push(started(f"s{number}"))
        await run.journal.probe()
        assert (run.journal.recall_command("c0"), run.journal.recall_session("s0")) == stayed
    async with running(tmp_path) as run:
        assert (run.journal.recall_command("c0"), run.journal.recall_session("s0")) == stayed

"""The journal looked through: clean when all is well, and whatever is planted is found and named first."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from common import facts
from common.domain import EnergyMethod, MeterSample, iso
from common.facts import Body
from common.thinning import Thinned
from edge.journal import pruning, thinning
from edge.journal.history import ORDERS, History
from edge.journal.verifying import Verified, verify
from tests.journal.support import Started, ended, lost, revised, running, started

T0_MS = 1_795_219_200_000  # 2026-11-21T00:00:00Z
HOUR_MS = 3_600_000


def charge(number: int, *, place: str = "CP1/1", samples: int = 3) -> list[Body]:
    """One session of an hour, each beginning where the one before on its connector ended."""
    charger, _, evse = place.partition("/")
    name, at_ms = f"{place}-{number}", T0_MS + number * HOUR_MS
    start_wh, stop_wh = number * 5000.0, (number + 1) * 5000.0
    told: list[Body] = [
        started(
            name,
            charger=charger,
            evse=int(evse),
            started_at=iso(at_ms)[:19] + "Z",
            meter_start_wh=start_wh,
        )
    ]
    step = (stop_wh - start_wh) / (samples + 1)
    told += [
        facts.MeterSampled(
            charger=charger,
            evse=int(evse),
            session=name,
            samples=(MeterSample(at=iso(at_ms + n * 60_000), energy_wh=start_wh + step * n),),
        )
        for n in range(1, samples + 1)
    ]
    told.append(
        ended(
            name,
            charger=charger,
            evse=int(evse),
            ended_at=iso(at_ms + HOUR_MS - 60_000)[:19] + "Z",
            meter_stop_wh=stop_wh,
            energy_wh=stop_wh - start_wh,
        )
    )
    return told


async def three(box: Started) -> None:
    for number in range(3):
        await box.write(*charge(number), lost())


def looked(path: Path) -> Verified:
    return verify(path, breathe=lambda _: None)


def meddle(path: Path, *statements: str) -> None:
    """Somebody edits the file behind the box's back."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            assert db.execute(statement).rowcount, statement
        db.commit()


async def test_a_journal_in_order_is_told_with_what_was_compared(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await three(box)
        told = looked(box.journal.path)
    assert told.ok
    assert told.first_difference == ""
    assert (told.sessions, told.not_compared) == (3, 0)
    assert told.sessions_energy_wh == told.facts_energy_wh == 15_000
    assert (told.chain.facts, told.chain.last_seq, told.chain.tombstones) == (18, 18, 0)


@pytest.mark.parametrize(
    "body",
    [
        # over midnight, of no length, still open, closed by us, put right later, decided, superseded
        [started("s", started_at="2026-11-20T23:30:00Z"), ended("s", ended_at="2026-11-21T00:30:00Z")],
        [started("s"), ended("s", ended_at="2026-11-20T09:59:58Z", meter_stop_wh=1000.0, energy_wh=0.0)],
        [started("s")],
        [started("s"), ended("s", provisional=True, flags=("missing_stop",), method=EnergyMethod.SAMPLES)],
        [
            started("s"),
            ended("s", provisional=True, energy_wh=None, meter_stop_wh=None, method=EnergyMethod.UNKNOWN),
            revised("s", 1, meter_stop_wh=3000.0, energy_wh=2000.0, method=EnergyMethod.REGISTER),
        ],
        [
            started("s"),
            ended("s"),
            revised("s", 1, energy_wh=9.0, method=EnergyMethod.STATED, obtained="operator"),
        ],
        [
            started("s"),
            ended("s", meter_stop_wh=1000.0, energy_wh=0.0, reason="superseded", flags=("superseded",)),
        ],
        [
            started("s", weak=True, started_at="1970-01-01T00:00:10Z"),
            ended("s", ended_at="1970-01-01T01:00:00Z"),
        ],
        [started("s", started_at="gestern", flags=("clock_invalid",)), ended("s", ended_at="heute")],
        [started("s", meter_start_wh=None), ended("s", method=EnergyMethod.SAMPLES)],
        # two outlets of one charger at one time, with registers of their own
        [*charge(0, place="CP1/1"), *charge(0, place="CP1/2")],
        [*charge(1, place="CP2/1"), *charge(0, place="CP1/1")],
        # told late, in another order than they were
        [*charge(1), *charge(0)],
    ],
)
async def test_what_happens_on_ordinary_days_is_no_finding(tmp_path: Path, body: list[Body]) -> None:
    async with running(tmp_path) as box:
        await box.write(*body)
        told = looked(box.journal.path)
    assert told.ok, told
    assert told.not_compared == 0


_CP = "'CP1/1-1'"
#: The same session again, under another name.
_TWICE = (
    "INSERT INTO session SELECT 'twice', charger, evse, connector, 't', principal, 'k', weak, boot, ended,"
    " provisional, revision, meter_start_wh, meter_stop_wh, ended_at, command, tag_ref, authorization,"
    " started_at, energy_wh, method, reason, flags, started_seq, ended_seq, last_seq FROM session"
    f" WHERE session = {_CP}"
)


@pytest.mark.parametrize(
    ("statements", "counts", "says"),
    [
        # the sessions against their facts
        ([f"DELETE FROM session WHERE session = {_CP}"], (2, 0, 0), "in the facts, not in the sessions"),
        (
            [f"UPDATE session SET energy_wh = 1 WHERE session = {_CP}"],
            (0, 0, 1),
            "energy_wh: 1.0 in the sessions",
        ),
        ([f"UPDATE session SET meter_stop_wh = 1 WHERE session = {_CP}"], (1, 0, 1), "meter_stop_wh"),
        ([f"UPDATE session SET revision = 3 WHERE session = {_CP}"], (0, 0, 1), "revision"),
        (
            [f"UPDATE session SET ended_at = '2026-11-21T02:30:00Z' WHERE session = {_CP}"],
            (0, 1, 1),
            "ended_at",
        ),
        (
            [_TWICE],
            (1, 1, 0),
            "",
        ),
        # whose it is, and what a person has to look at
        ([f"UPDATE session SET principal = 'p-x' WHERE session = {_CP}"], (0, 0, 1), "principal: p-x in the"),
        ([f"UPDATE session SET flags = 'imported' WHERE session = {_CP}"], (0, 0, 1), "flags: "),
        ([f"UPDATE session SET authorization = 'x' WHERE session = {_CP}"], (0, 0, 1), "authorization: x"),
        ([f"UPDATE session SET transaction_id = '7' WHERE session = {_CP}"], (0, 0, 1), "transaction: 7"),
        # rows of facts that are not there
        ([f"UPDATE session SET last_seq = 999 WHERE session = {_CP}"], (1, 0, 0), "goes on to fact 999"),
        ([f"UPDATE session SET started_seq = 999 WHERE session = {_CP}"], (1, 0, 0), "goes on to fact 999"),
    ],
)
async def test_what_is_planted_in_the_sessions_is_found(
    tmp_path: Path, statements: list[str], counts: tuple[int, int, int], says: str
) -> None:
    async with running(tmp_path) as box:
        await three(box)
        path = box.journal.path
        meddle(path, *statements)
        told = looked(path)
    assert not told.ok
    assert (told.lost, told.doubled, told.differing) == counts
    assert told.chain.intact
    assert says in told.first_difference


@pytest.mark.parametrize(
    ("statement", "at", "says"),
    [
        ("DELETE FROM fact WHERE seq = 8", 8, "is missing"),
        (
            "UPDATE fact SET record = cast(replace(record, 'CP1', 'CP2') AS BLOB) WHERE seq = 9",
            9,
            "does not match",
        ),
        ("UPDATE fact SET inner = zeroblob(32) WHERE seq = 9", 9, "does not match"),
        ("UPDATE fact SET salt = zeroblob(16) WHERE seq = 9", 9, "does not match"),
        ("UPDATE fact SET uid = 'x' WHERE seq = 9", 9, "another uid"),
        ("UPDATE fact SET record = NULL, salt = NULL WHERE seq = 9", 9, "no declaration"),
    ],
)
async def test_what_is_planted_in_the_facts_breaks_the_chain_at_its_place(
    tmp_path: Path, statement: str, at: int, says: str
) -> None:
    async with running(tmp_path) as box:
        await three(box)
        path = box.journal.path
        meddle(path, statement)
        told = looked(path)
    assert not told.ok
    assert (told.chain.intact, told.chain.first_break) == (False, at)
    assert says in told.chain.why
    assert told.first_difference.startswith(f"fact {at} ")


async def test_an_end_that_was_cut_off_is_missing(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await three(box)
        path, committed = box.journal.path, box.journal.committed_seq
        meddle(path, f"DELETE FROM fact WHERE seq > {committed - 1}")  # nothing about a session
        told = verify(path, committed=committed, breathe=lambda _: None)
    assert (told.ok, told.chain.first_break) == (False, committed)
    assert told.first_difference == f"fact {committed} is missing, and so is what followed, up to {committed}"


async def test_a_mark_that_does_not_fit_is_a_break(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await box.write(*(lost() for _ in range(600)))
        path = box.journal.path
        meddle(path, "UPDATE mark SET chain = zeroblob(32) WHERE seq = 512")
        told = looked(path)
    assert told.chain.first_break == 512


@pytest.mark.parametrize(
    ("bodies", "counts", "says"),
    [
        # a session of which nobody here has heard: the register moved between two others
        ([*charge(0), *charge(2)], (1, 0, 0), "moved by 5000 Wh"),
        # the same hour told twice, under two names, as a faulty rule would have let it in
        (
            [
                *charge(0, samples=0),
                started("again", started_at="2026-11-21T00:00:00Z", meter_start_wh=0.0),
                ended("again", ended_at="2026-11-21T00:59:00Z", meter_stop_wh=5000.0, energy_wh=5000.0),
            ],
            (0, 1, 0),
            "overlap in time",
        ),
        (
            [started("s", meter_start_wh=0.0), ended("s", meter_stop_wh=8000.0, energy_wh=7000.0)],
            (0, 0, 1),
            "claims 7000",
        ),
        (
            [
                started("s"),
                facts.MeterSampled(
                    charger="CP1", evse=1, session="s", samples=(MeterSample(energy_wh=9999.0),)
                ),
                ended("s"),
            ],
            (0, 0, 1),
            "a sample told 9999 Wh, the end 8000 Wh",
        ),
        (
            [
                started("s"),
                facts.MeterSampled(
                    charger="CP1", evse=1, session="s", samples=(MeterSample(energy_wh=10.0),)
                ),
                ended("s"),
            ],
            (0, 0, 1),
            "a sample told 10 Wh, the start 1000 Wh",
        ),
    ],
)
async def test_sessions_that_do_not_fit_their_meters_are_found(
    tmp_path: Path, bodies: list[Body], counts: tuple[int, int, int], says: str
) -> None:
    async with running(tmp_path) as box:
        await box.write(*bodies)
        told = looked(box.journal.path)
    assert (told.lost, told.doubled, told.differing) == counts
    assert says in told.first_difference


async def test_an_end_whose_start_was_lost_with_a_damaged_page_is_found(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        # As a salvage leaves it: what proved itself went on, the start did not.
        await box.write(*charge(0), ended("halved"), ended("halved", provisional=True))
        told = looked(box.journal.path)
    assert (told.ok, told.lost) == (False, 1)
    assert told.findings[0].sessions == ("halved",)
    assert "its end is here, its start is not" in told.first_difference


# --- what is not all there any more ------------------------------------------------------------------------


async def snapshots(box: Started) -> None:
    for state in (b"a", b"b"):
        box.journal.put_snapshot(box.journal.last_seq, state)
    await box.journal.probe()


async def test_thinned_samples_are_declared_and_so_in_order(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        for number in range(4):
            await box.write(*charge(number, samples=30))
        await snapshots(box)
        plan = await box.journal.submit(lambda db: thinning.plan(db, thinning.Stage.HALVE, 0, 200))
        assert plan is not None
        await box.write(plan.declaration(acked=True))
        await box.journal.submit(lambda db: thinning.carry_out(db, plan))
        told = looked(box.journal.path)
        assert told.ok, told
        assert (told.chain.tombstones, told.chain.declarations) == (len(plan.rows), 1)
        await box.journal.rotate_epoch()
        again = looked(box.journal.path)
    assert again.ok, again
    assert again.chain.epoch.startswith("2-")


async def test_a_tombstone_beside_its_declaration_is_a_loss(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await box.write(*charge(0, samples=9))
        declared = Thinned(reason="halved", first_seq=3, last_seq=5, first_uid="u3", last_uid="u5", count=2)
        await box.write(declared)
        path = box.journal.path
        meddle(path, "UPDATE fact SET record = NULL, salt = NULL WHERE seq IN (3, 5)")
        assert looked(path).ok
        meddle(path, "UPDATE fact SET record = NULL, salt = NULL WHERE seq = 7")
        told = looked(path)
    assert (told.chain.first_break, told.ok) == (7, False)


@pytest.mark.parametrize("rotated", [False, True])
async def test_a_journal_that_was_cut_is_in_order_as_far_as_it_is_kept(tmp_path: Path, rotated: bool) -> None:
    async with running(tmp_path) as box:
        # The first session's start is cut off, its end is kept; the second is all there.
        await box.write(
            started("long"), *(lost() for _ in range(300)), ended("long"), *charge(2, place="CP2/1")
        )
        await snapshots(box)
        assert await box.journal.submit(lambda db: pruning.cut(db, 300)) == 256
        if rotated:
            await box.journal.rotate_epoch()
        told = looked(box.journal.path)
    assert told.ok, told
    assert (told.sessions, told.not_compared) == (1, 1)
    assert told.chain.first_seq == 257


async def test_a_journal_that_goes_on_meanwhile_is_looked_at_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await three(box)
        await box.write(*(lost() for _ in range(600)))
        turns: list[Callable[[], None]] = [
            lambda: meddle(box.journal.path, "UPDATE meta SET value = '9-x' WHERE name = 'journal.epoch'")
        ]

        def breathe(_: float) -> None:
            if turns:
                turns.pop()()

        # The epoch changes under its eyes: it begins anew; now nothing moves, and the chain is another's.
        told = verify(box.journal.path, breathe=breathe)
    assert told.chain.epoch == "9-x"
    assert not told.chain.intact


async def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        peaks = []
        number = 0
        for size in (240, 960):  # more than a page each
            while number < size:
                await box.write(*[body for n in range(number, number + 40) for body in charge(n, samples=2)])
                number += 40
            tracemalloc.start()
            assert looked(box.journal.path).ok
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 720 * 512, "four times the journal, and at most 512 B for each session more"


# --- the ledger in pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
async def test_the_ledger_comes_in_pages_each_session_once(tmp_path: Path, order: str) -> None:
    async with running(tmp_path) as box:
        for number in range(7):
            await box.write(*charge(number, place=f"CP{number % 2}/{number % 3 + 1}", samples=0))
        await box.write(started("odd", charger="CP0", started_at="a|b|c", evse=1))
        async with History(box.journal.path) as history:
            seen = []
            after = ""
            while True:
                page = await history.ledger(order, after=after, limit=2)
                seen += list(page.rows)
                after = page.next
                if not after:
                    break
    assert len({row.session for row in seen}) == len(seen) == 8
    keys = [tuple(getattr(row, name) for name in ORDERS[order]) for row in seen]
    assert keys == sorted(keys)

"""Reconciliation over the tunnel: clean when all is well; it finds whatever is planted on either side."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from cloud.reconciliation import reconcile
from cloud.service import Cloud
from cloud.store.sql import SqlStore
from common import chain, facts, sync
from common.client.local import local
from common.domain import EnergyMethod
from common.keystore import generate_identity
from common.reconcile import LedgerRow, ledger_page
from tests.cloud.parts import FakeBox, running, until


async def judged(cloud: Cloud, site: str = "Home") -> dict[str, Any]:
    async with local(cloud._settings.socket_path) as operator:
        return await operator.manage("reconcile", {"site": site})


async def meddle(cloud: Cloud, statement: str) -> None:
    """Somebody changes the database behind our back."""
    assert cloud._store is not None
    async with cloud._store._db.write() as tx:
        await tx.execute(text(statement))


def counts(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["lost"], report["doubled"], report["differing"]


async def filled(box: FakeBox) -> None:
    for number in range(3):
        box.ledger.charge(f"s{number}", 1000 + number * 100, 1100 + number * 100)
    await box._send_due()
    await until(lambda: box.drained)


async def test_a_site_in_order_is_told_with_what_was_compared(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        report = await judged(cloud)
        assert report["ok"]
        assert (report["sessions"], *counts(report)) == (3, 0, 0, 0)
        assert report["first_difference"] is None
        assert report["compared"]["with"] == "the box"
        assert report["compared"]["box_sessions"] == 3
    await until(lambda: cloud.hub.online == 0)
    away = await judged(cloud)
    assert away["ok"]
    assert away["compared"]["with"] == "the cloud's facts"
    assert away["compared"]["box_sessions"] is None
    assert "not with the box itself" in away["compared"]["statement"]


async def test_a_session_that_never_arrived_is_lost(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        extra = LedgerRow(session="s9", charger="CP9", evse=1, started_at="2026-03-01T09:00:00Z")
        box.rows = lambda: [*box.honest_rows(), extra]
        report = await judged(cloud)
        assert counts(report) == (1, 0, 0)
        assert report["first_difference"]["sessions"] == ["s9"]
        assert report["first_difference"]["side"] == "the cloud"


async def test_a_session_that_the_box_does_not_have_is_lost_there(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        box.rows = lambda: [row for row in box.honest_rows() if row.session != "s2"]
        report = await judged(cloud)
        assert counts(report) == (1, 0, 0)
        assert report["first_difference"]["side"] == "the box"


async def test_a_session_with_other_values_differs(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        changed = [
            msgspec.structs.replace(r, energy_wh=99.0) if r.session == "s1" else r for r in box.honest_rows()
        ]
        box.rows = lambda: changed
        report = await judged(cloud)
        assert counts(report) == (0, 0, 1)
        assert "energy_wh: 100" in report["first_difference"]["message"]


async def test_a_doubled_session_that_both_sides_have_is_found_once(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        box.ledger.charge("s1-again", 1100, 1200)
        await box._send_due()
        await until(lambda: box.drained)
        report = await judged(cloud)
        assert counts(report) == (0, 1, 0)
        assert set(report["first_difference"]["sessions"]) == {"s1", "s1-again"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM session WHERE session = 's1'", (1, 0, 0)),
        ("UPDATE session SET energy_wh = 1 WHERE session = 's1'", (0, 0, 1)),
        ("UPDATE session SET ended_at = '' WHERE session = 's1'", (0, 1, 1)),
        ("UPDATE session SET principal = 'bob' WHERE session = 's1'", (0, 0, 1)),
    ],
)
async def test_what_was_changed_here_is_found_with_the_box_away(
    cloud: Cloud, box: FakeBox, statement: str, expected: tuple[int, int, int]
) -> None:
    async with box.connected():
        await filled(box)
    await until(lambda: cloud.hub.online == 0)
    await meddle(cloud, statement)
    report = await judged(cloud)
    assert not report["ok"]
    assert counts(report) == expected


async def test_a_fact_that_is_missing_here_breaks_the_chain(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
    await meddle(cloud, "DELETE FROM fact WHERE kind = 'meter_sampled' AND seq = 5")
    report = await judged(cloud)
    assert (report["ok"], report["chain_intact"], report["compared"]["chain"]["first_break"]) == (
        False,
        False,
        5,
    )


async def test_a_record_in_quarantine_is_not_in_order(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        box.ledger.write_record("bad", b"{")
        await box._send_due()
        await until(lambda: box.drained)
        report = await judged(cloud)
        assert (report["ok"], report["quarantined"], report["chain_intact"]) == (False, 1, True)


async def test_what_is_on_its_way_is_not_lost(cloud: Cloud, box: FakeBox) -> None:
    """The box tells of a session whose facts arrive a moment later."""
    async with box.connected():
        await filled(box)
        box.ledger.charge("s3", 1300, 1400)
        store = cloud._store
        assert store is not None
        asked = 0

        async def ask(site: str, what: str, **args: Any) -> AsyncIterator[Sequence[Any]]:
            nonlocal asked
            asked += args["order"] == "session"
            if asked == 2:
                await box._send_due()
                await until(lambda: box.drained)
            async for page in cloud.edges.pages(site, what, **args):
                yield page

        site = await store.site("Home")
        assert site is not None
        report = await reconcile(store, site, ask, pause_s=0)
        assert report.ok
        assert asked == 2


async def test_a_box_that_answers_nonsense_was_not_compared(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        store = cloud._store
        assert store is not None
        site = await store.site("Home")
        assert site is not None

        async def ask(_site: str, _what: str, **_args: Any) -> AsyncIterator[Sequence[Any]]:
            yield [{"session": 7}]

        report = await reconcile(store, site, ask, pause_s=0)
        assert report.compared["box_sessions"] is None
        assert "ledger" in report.compared["statement"]


async def test_a_box_whose_ledger_is_in_no_order_was_not_compared(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        store = cloud._store
        assert store is not None
        site = await store.site("Home")
        assert site is not None

        async def ask(_site: str, _what: str, **_args: Any) -> AsyncIterator[Sequence[Any]]:
            yield ledger_page(reversed(box.honest_rows()))

        report = await reconcile(store, site, ask, pause_s=0)
        assert report.compared["box_sessions"] is None
        assert "order" in report.compared["statement"]


# --- what was billed ---------------------------------------------------------------------------------------


async def billed(cloud: Cloud) -> None:
    async with local(cloud._settings.socket_path) as operator:
        await operator.manage("export", {"site": "Home", "month": "2026-03"})


_LINE_TWICE = (
    "INSERT INTO charge_line SELECT site, 'twice', session, 1, 'correction', id, charger, evse, connector,"
    " principal, started_at, ended_at, at_ms, energy_milliwh, total_milliwh, obtained, month, made_ms"
    " FROM charge_line WHERE session = 's1'"
)


_S1 = "WHERE session = 's1'"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (f"UPDATE charge_line SET energy_milliwh = 1 {_S1}", "energy_milliwh: 1 on line"),
        (f"UPDATE charge_line SET total_milliwh = 1 {_S1}", "total_milliwh: 1 on line"),
        (f"UPDATE charge_line SET session = 's2', revision = 7 {_S1}", "of revision 7"),
        (_LINE_TWICE, "of revision 1"),
        (f"UPDATE charge_line SET principal = 'bob' {_S1}", "principal: bob on line"),
        (f"UPDATE charge_line SET charger = 'CP7' {_S1}", "charger: CP7 on line"),
        (f"UPDATE charge_line SET ended_at = '2026-03-09T00:00:00Z' {_S1}", "ended_at: 2026-03-09"),
        (f"UPDATE charge_line SET id = 'x' {_S1}", "id: x on line"),
        (f"UPDATE charge_line SET session = 'ghost' {_S1}", "of a session ghost that is not here"),
    ],
)
async def test_what_was_billed_otherwise_than_it_was_charged_is_found(
    cloud: Cloud, box: FakeBox, statement: str, says: str
) -> None:
    async with box.connected():
        await filled(box)
        await billed(cloud)
        clean = await judged(cloud)
        assert (clean["ok"], clean["compared"]["billed_sessions"]) == (True, 3)
        assert (clean["compared"]["closed_months"], clean["compared"]["without_seal"]) == (1, 0)
        await meddle(cloud, statement)
        report = await judged(cloud)
        assert counts(report) == (0, 0, 2), "the line, and the month that was exported"
        session, month = sorted(report["findings"], key=lambda found: "2026-03 are not" in found["message"])
        assert says in session["message"]
        assert session["side"] == "the charge lines"
        assert month["message"].startswith("the lines of 2026-03 are not those that were exported")
        if session["sessions"]:
            assert report["first_difference"] == session


@pytest.mark.parametrize(
    ("statement", "month"),
    [
        (f"DELETE FROM charge_line {_S1}", "2026-03"),
        (f"UPDATE charge_line SET month = '2026-02' {_S1}", "2026-03"),
        (f"UPDATE charge_line SET month = '' {_S1}", "2026-03"),
        (f"UPDATE charge_line SET month = '2026-04' {_S1}", "2026-04"),
        ("DELETE FROM closing", "2026-03"),
    ],
)
async def test_a_month_whose_lines_were_moved_or_taken_away_is_found(
    cloud: Cloud, box: FakeBox, statement: str, month: str
) -> None:
    """No session shows it: a line may still come, and a late one is of a later month."""
    async with box.connected():
        await filled(box)
        await billed(cloud)
        await meddle(cloud, statement)
        report = await judged(cloud)
    assert not report["ok"]
    assert any(f"lines of {month} are not" in found["message"] for found in report["findings"])
    assert all(found["kind"] == "differing" for found in report["findings"])


async def test_a_month_that_was_closed_before_there_were_seals_is_counted_as_such(
    cloud: Cloud, box: FakeBox
) -> None:
    async with box.connected():
        await filled(box)
        await billed(cloud)
        await meddle(cloud, "UPDATE closing SET seal = ''")
        report = await judged(cloud)
    assert report["ok"]
    assert (report["compared"]["closed_months"], report["compared"]["without_seal"]) == (1, 1)


async def test_what_was_learned_of_a_session_counts_though_the_clock_was_set_back_before(
    cloud: Cloud, box: FakeBox
) -> None:
    async with box.connected():
        await filled(box)
        session = "s-learned"
        box.ledger.start(session, 1290, principal=None)
        box.ledger.minutes -= 60
        box.ledger.write(
            facts.SessionLearned(
                session=session,
                charger="CP1",
                principal="ann",
                authorization="accepted",
                meter_start_wh=1300.0,
            )
        )
        box.ledger.minutes += 60
        box.ledger.end(session, 1300, 1500)
        await box._send_due()
        await until(lambda: box.drained)
        await billed(cloud)
        report = await judged(cloud)
    assert report["ok"], report["findings"]
    assert report["compared"]["billed_sessions"] == 4


async def test_a_revision_that_is_not_billed_yet_is_no_difference(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await filled(box)
        await billed(cloud)
        word = facts.SessionRevised(
            session="s1",
            charger="CP1",
            revision=1,
            energy_wh=50.0,
            method=EnergyMethod.STATED,
            obtained="operator",
        )
        box.ledger.write(word)
        await box._send_due()
        await until(lambda: box.drained)
        assert (await judged(cloud))["ok"]


# --- what the box has signed -------------------------------------------------------------------------------


async def test_heads_are_kept_and_history_that_was_rewritten_with_its_chain_is_found(
    cloud: Cloud, box: FakeBox
) -> None:
    async with box.connected():
        await filled(box)
    await until(lambda: cloud.hub.online == 0)
    clean = await judged(cloud)
    assert clean["ok"]
    assert clean["compared"]["chain"]["heads"] >= 1
    # Whoever holds this database rewrites a fact and the whole chain behind it, so that it fits itself.
    store = cloud._store
    assert store is not None
    await rewritten(store, box.site)
    report = await judged(cloud)
    assert not report["ok"]
    assert not report["chain_intact"]


async def rewritten(store: SqlStore, site: str) -> None:
    """Another record at seq 2, and a chain that knows no other."""
    async with store._db.write() as tx:
        rows = (await tx.execute(text("SELECT seq, uid, inner, epoch FROM fact ORDER BY seq"))).all()
        reached = chain.seed(rows[0].epoch)
        for row in rows:
            inner = b"x" * 32 if row.seq == 2 else bytes(row.inner)
            reached = chain.link(reached, row.seq, row.uid, inner)
        await tx.execute(text("UPDATE fact SET inner = :inner WHERE seq = 2"), {"inner": b"x" * 32})
        await tx.execute(
            text("UPDATE sync_state SET chain = :chain WHERE site = :site"), {"chain": reached, "site": site}
        )


async def test_a_batch_whose_head_another_key_signed_is_turned_away(cloud: Cloud, box: FakeBox) -> None:
    box.signer = generate_identity()
    box.ledger.charge("s0", 0, 10)
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with box.connected():
            await box._send_due()
            await until(lambda: any(isinstance(said, sync.TunnelBye) for said in box.said))
    assert cloud._store is not None
    assert await cloud._store.ledger(box.site) == {}


async def test_the_cloud_remembers_how_far_the_box_was_at_its_last_hello(folder: Path) -> None:
    async with running(folder) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        box.ledger.charge("s0", 0, 10)
        async with box.dial() as (socket, challenge):
            await box._agree(socket, challenge)
        report = await judged(cloud)
        assert report["compared"]["chain"]["behind"] == 3
        assert "3 facts more than are here" in report["compared"]["statement"]


# --- no alarm where there is nothing wrong -----------------------------------------------------------------


def session(name: str, begun: str, over: str, *registers: float, **more: Any) -> list[facts.Body]:
    start_wh, stop_wh = registers
    fields = {"charger": "CP1", "evse": 1} | more
    return [
        facts.SessionStarted(
            session=name,
            transaction=name,
            principal="ann",
            started_at=begun,
            received_at=begun,
            meter_start_wh=start_wh,
            **fields,
        ),
        facts.SessionEnded(
            session=name,
            ended_at=over,
            received_at=over,
            meter_stop_wh=stop_wh,
            energy_wh=stop_wh - start_wh,
            method=EnergyMethod.REGISTER,
            **fields,
        ),
    ]


def ordinary_days() -> list[facts.Body]:
    """Over midnight, of no length, closed by the box and put right, decided on, on two outlets at once."""
    provisional = session("s3", "2026-03-03T08:00:00Z", "2026-03-03T08:30:00Z", 3000, 3100)
    guess = msgspec.structs.replace(provisional[1], provisional=True, flags=("missing_stop",))  # type: ignore[type-var]
    return [
        *session("s1", "2026-03-01T23:30:00Z", "2026-03-02T06:00:00Z", 1000, 3000),
        *session("s2", "2026-03-02T07:00:00Z", "2026-03-02T07:00:00Z", 3000, 3000),
        provisional[0],
        guess,
        facts.SessionRevised(
            session="s3",
            charger="CP1",
            revision=1,
            ended_at="2026-03-03T09:00:00Z",
            meter_stop_wh=3500.0,
            energy_wh=500.0,
            method=EnergyMethod.REGISTER,
        ),
        *session("s4", "2026-03-04T08:00:00Z", "2026-03-04T09:00:00Z", 3500, 4000),
        facts.SessionRevised(
            session="s4",
            charger="CP1",
            revision=1,
            energy_wh=450.0,
            method=EnergyMethod.STATED,
            obtained="operator",
        ),
        *session("t1", "2026-03-04T08:00:00Z", "2026-03-04T09:00:00Z", 10, 20, evse=2),
        *session("t2", "2026-03-04T08:30:00Z", "2026-03-04T09:30:00Z", 10, 20, charger="CP2"),
        *session("u1", "2026-03-05T08:00:00Z", "2026-03-05T09:00:00Z", 4000, 4500)[:1],
    ]


async def test_ordinary_days_are_in_order(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await box.tell(*ordinary_days())
        await until(lambda: box.drained)
        report = await judged(cloud)
        assert report["ok"], report["findings"]
        await billed(cloud)
        report = await judged(cloud)
        assert report["ok"], report["findings"]
        assert report["compared"]["billed_sessions"] == 6


async def test_tombstones_and_a_new_epoch_are_in_order(cloud: Cloud, box: FakeBox) -> None:
    """A sample that the box thinned before it was sent; then everything again under another epoch."""
    box.ledger.charge("s1", 1000, 5000)
    rows = box.ledger.journal.rows
    rows[1] = dataclasses.replace(rows[1], record=None, salt=b"")
    async with box.connected():
        await until(lambda: box.drained)
        assert (await judged(cloud))["ok"]
    box.ledger.rotate()
    async with box.connected():
        await until(lambda: box.drained)
        report = await judged(cloud)
        assert report["ok"], report
        assert report["compared"]["chain"]["epoch"].startswith("2-")


async def test_what_a_box_lost_with_its_card_is_held_against_its_hashes(cloud: Cloud, box: FakeBox) -> None:
    """It is in no epoch but an earlier one: no box tells it again, and no chain of today would miss it."""
    box.ledger.charge("s1", 1000, 5000)
    box.ledger.charge("s2", 5000, 6000)
    async with box.connected():
        await until(lambda: box.drained)
    del box.ledger.journal.rows[3:]
    box.ledger.rotate()
    async with box.connected():
        await until(lambda: box.drained)
        report = await judged(cloud)
        assert report["ok"], report
        earlier = {"epochs": 1, "records": 6, "without_chain": 0, "first_break": 0, "break_epoch": ""}
        assert report["compared"]["earlier"] == earlier
        await meddle(cloud, "UPDATE fact SET inner = salt WHERE epoch LIKE '1-%' AND seq = 5")
        report = await judged(cloud)
        assert (report["ok"], report["chain_intact"]) == (False, False)
        assert report["compared"]["chain"]["intact"]
        told = report["compared"]["earlier"]
        assert (told["first_break"], told["break_epoch"]) == (5, "1-a")


def kept(folder: Path) -> dict[str, bytes]:
    """The database's files as they are."""
    return {file.name: file.read_bytes() for file in folder.glob("cloud.db*")}


def put_back(folder: Path, saved: dict[str, bytes]) -> None:
    """The database as it was then, and nothing of what came since."""
    for name in kept(folder):
        (folder / name).unlink()
    for name, content in saved.items():
        (folder / name).write_bytes(content)


async def test_a_restored_cloud_is_in_order_once_it_is_filled_again(folder: Path) -> None:
    async with running(folder) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        async with box.connected():
            box.ledger.charge("s1", 1000, 5000)
            await box._send_due()
            await until(lambda: box.drained)
    saved = kept(folder)
    async with running(folder) as cloud:
        box.url = cloud.url
        async with box.connected():
            box.ledger.charge("s2", 5000, 6000)
            await box._send_due()
            await until(lambda: box.drained)
            await billed(cloud)
            assert (await judged(cloud))["ok"]
    put_back(folder, saved)
    async with running(folder) as cloud:
        box.url = cloud.url
        box.ledger.cursor.acked = 0
        async with box.connected():
            report = await judged(cloud)
            assert report["ok"], report
            assert report["sessions"] == 2
            await billed(cloud)
            assert (await judged(cloud))["compared"]["billed_sessions"] == 2

"""Batches into tables: once, whole, in any shape; and what may be read of them by whom."""

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.store.ports import Store
from cloud.store.rows import HelloNote, Opened, SessionRow, ViewCopy
from cloud.store.sql import open_store
from common import facts, sync
from common.clock import SystemIds
from common.domain import EnergyMethod, Role, iso
from common.errors import Code, Refused, RemoteFault, Unavailable
from common.reconcile import fold_all
from tests.store.box import T0_MS, Box, driver, staff


async def tables(store: Store, box: Box) -> object:
    """Everything that people could read of a site."""
    all_ = staff(box.site)
    sessions = (await store.sessions(all_, limit=500)).rows
    return {
        "sessions": sessions,
        "samples": [(await store.samples(all_, row.session, limit=500)).rows for row in sessions],
        "audit": [(row.uid, bytes(row.record)) for row in (await store.audit(all_, limit=500)).rows],
        "ledger": await store.ledger(box.site),
    }


async def test_a_session_arrives_whole(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    (row,) = (await store.sessions(staff(box.site))).rows
    assert row == SessionRow(
        session="s1",
        charger="CP1",
        evse=1,
        first_at="2026-03-01T08:01:00.000Z",
        transaction="7",
        principal="ann",
        tag_ref="tag-1",
        started_at="2026-03-01T08:01:00.000Z",
        received_at="2026-03-01T08:01:00.000Z",
        ended_at="2026-03-01T08:03:00.000Z",
        meter_start_wh=1000,
        meter_stop_wh=5000,
        energy_wh=4000,
        method=EnergyMethod.REGISTER,
        reason="Local",
    )
    (sample,) = (await store.samples(staff(box.site), "s1")).rows
    assert sample.sample.energy_wh == 3000
    assert sample.at == "2026-03-01T08:02:00.000Z", "a sample without a time has its fact's"


async def test_the_same_batch_again_changes_nothing(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    batch = box.next_batch()
    assert batch is not None
    first = await store.ingest(box.site, box.cursor.link, batch, None, T0_MS)
    before = await tables(store, box)
    assert await store.ingest(box.site, box.cursor.link, batch, None, T0_MS) == first
    assert await tables(store, box) == before


async def test_a_gap_applies_nothing(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    box.cursor.acked = 1
    batch = box.next_batch()
    assert batch is not None
    answer = await store.ingest(box.site, box.cursor.link, batch, None, T0_MS)
    assert answer == sync.Nack(link=box.cursor.link, epoch="1-a", expected=1, reason="gap")
    assert (await store.sessions(staff(box.site))).rows == ()


async def test_a_new_epoch_sends_everything_again_and_doubles_nothing(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    box.charge("s2", 5000, 6000)
    await box.drain(store)
    before = await tables(store, box)
    box.rotate()
    await box.connect(store)
    box.charge("s3", 6000, 6500)
    await box.drain(store)
    after = await tables(store, box)
    assert len(after["sessions"]) == 3  # type: ignore[index]
    assert after["sessions"][1:] == before["sessions"]  # type: ignore[index]
    state = await store.chain_state(box.site)
    assert (state.epoch, state.hwm, state.intact) == ("2-a", 9, True)


async def test_an_epoch_may_begin_behind_what_the_box_no_longer_keeps(
    store: Store, box: Box, database: str
) -> None:
    """A box of years begins a new epoch: its records keep their numbers, the cloud takes them from there."""
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    box.journal.rows, box.journal.begins_after = [], 2048
    box.journal.rotate("2-a")
    box.cursor.rotated("2-a", 2048, 2048)
    assert box.cursor.backlog == 0
    note = HelloNote(last_seq=2048, begins_after=2048)
    opened = await store.open_link(box.site, "2-a", box.instance, note, T0_MS)
    assert opened.mark == sync.Mark("2-a", 2048, box.journal.chain_at(2048))
    state = await store.chain_state(box.site)
    assert (state.epoch, state.hwm, state.intact) == ("2-a", 2048, True)
    for number in range(3):
        box.journal.append(f"r{number}", a_record(f"r{number}"))
    rows = box.journal.rows
    batch = sync.Batch(
        link=opened.link,
        epoch="2-a",
        from_seq=2049,
        records=tuple(sync.Record(row.seq, row.uid, row.salt, row.record, row.inner) for row in rows),
        chain_end=rows[-1].chain,
    )
    answer = await store.ingest(box.site, opened.link, batch, None, T0_MS)
    assert isinstance(answer, sync.Ack)
    assert (answer.hwm, answer.quarantined) == (2051, ())
    # An older epoch that says hello meanwhile moves nothing of that.
    await store.open_link(box.site, "1-a", box.instance, HelloNote(), T0_MS)
    assert (await store.chain_state(box.site)).intact
    await meddle(database, "DELETE FROM fact WHERE seq = 2049")
    state = await store.chain_state(box.site)
    assert (state.intact, state.first_break) == (False, 2049)


def a_record(uid: str) -> bytes:
    body = facts.ChargerLost(charger="CP1", reason="x")
    return facts.make(epoch="2-a", seq=1, uid=uid, at=iso(T0_MS), clock="synced", body=body).record


async def test_what_a_restored_box_no_longer_has_stays_in_the_cloud(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    box.charge("s2", 5000, 6000)
    await box.drain(store)
    box.journal.rows = box.journal.rows[:3]
    box.cursor = sync.EdgeCursor("1-a", 3)
    await box.connect(store)
    box.charge("s3", 5000, 5400)
    await box.drain(store)
    assert box.journal.epoch == "2-a"
    assert {row.session for row in (await store.sessions(staff(box.site))).rows} == {"s1", "s2", "s3"}


async def test_an_overtaken_link_can_write_nothing(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    stale, link = box.next_batch(), box.cursor.link
    assert stale is not None
    await store.open_link(box.site, "1-a", box.instance, HelloNote(), T0_MS)
    with pytest.raises(Refused):
        await store.ingest(box.site, link, stale, None, T0_MS)
    assert (await store.sessions(staff(box.site))).rows == ()


async def test_a_copied_box_is_turned_away(store: Store, box: Box) -> None:
    with pytest.raises(RemoteFault) as turned_away:
        await store.open_link(box.site, "1-a", "another-folder", HelloNote(), T0_MS)
    assert turned_away.value.code is Code.UNTRUSTED_PEER
    assert "pair" in turned_away.value.hint


async def hello(store: Store, box: Box, **note: Any) -> Opened:
    return await store.open_link(box.site, box.journal.epoch, box.instance, HelloNote(**note), T0_MS)


async def test_a_copy_with_the_same_keys_and_folder_shows_when_the_first_returns(
    store: Store, box: Box
) -> None:
    await hello(store, box, boot_id="the box")
    await hello(store, box, boot_id="the box")  # a broken line
    await hello(store, box, boot_id="its copy")
    with pytest.raises(RemoteFault) as turned_away:
        await hello(store, box, boot_id="the box")
    assert "copy" in turned_away.value.message
    assert "pair" in turned_away.value.hint
    await hello(store, box, boot_id="restarted")


async def test_a_database_that_went_back_in_time_fences_all_earlier_links_and_is_refilled(
    store: Store, box: Box
) -> None:
    before = store.incarnation
    box.charge("s1", 0, 10)
    await box.drain(store)
    opened = await hello(store, box, last_link=40)  # the box was welcomed 40 times: 38 are forgotten here
    assert (opened.link, opened.restored) == (41, True)
    assert store.incarnation != before
    again = await hello(store, box, last_link=41)
    assert (again.link, again.restored) == (42, False)


async def test_a_hello_for_an_unknown_site_is_refused(store: Store) -> None:
    with pytest.raises(Refused):
        await store.open_link("nowhere", "1-a", "x", HelloNote(), T0_MS)


async def test_a_superseded_epoch_is_named_as_such(store: Store, box: Box) -> None:
    box.rotate()
    await box.connect(store)
    opened = await store.open_link(box.site, "1-a", box.instance, HelloNote(), T0_MS)
    assert opened.superseded
    site = await store.site(box.site)
    assert site is not None
    assert site.epoch == "2-a"


# --- poison, unknown kinds, tombstones ---------------------------------------------------------------------


async def test_poison_is_put_aside_and_holds_up_nothing(store: Store, box: Box) -> None:
    box.start("s1", 1000)
    box.write_record("bad", b"\xff not json")
    box.end("s1", 1000, 5000)
    (ack,) = await box.drain(store)
    assert (ack.hwm, ack.quarantined) == (3, (2,))
    assert (await store.ledger(box.site))["s1"].energy_wh == 4000
    state = await store.chain_state(box.site)
    assert (state.intact, state.quarantined) == (True, 1)
    ((epoch, seq, reason),) = (one.values() for one in state.aside)
    assert (epoch, seq) == ("1-a", 2)
    assert reason.startswith("unreadable")


async def test_a_record_that_the_database_cannot_hold_is_poison_too(store: Store, box: Box) -> None:
    box.start("s1", 1000)
    huge = facts.SessionStarted(
        session="s2",
        charger="CP1",
        evse=2**70,
        transaction="1",
        started_at="2026-03-01T08:00:00Z",
        received_at="2026-03-01T08:00:00Z",
    )
    box.write(huge)
    box.end("s1", 1000, 5000)
    (ack,) = await box.drain(store)
    assert ack.quarantined == (2,)
    assert set(await store.ledger(box.site)) == {"s1"}
    assert (await store.ledger(box.site))["s1"].ended_at, "its neighbours in the batch are in"
    assert (await store.chain_state(box.site)).intact


DEADLOCK = """CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'come back later' USING ERRCODE = '40P01'; END $$"""
TROUBLE = {
    "sqlite": ("CREATE TRIGGER trouble BEFORE INSERT ON session BEGIN SELECT come_back_later(); END",),
    "postgresql": (
        DEADLOCK,
        "CREATE TRIGGER trouble BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION trouble()",
    ),
}
NO_TROUBLE = {"sqlite": "DROP TRIGGER trouble", "postgresql": "DROP TRIGGER trouble ON session"}


async def test_trouble_of_the_database_is_no_fault_of_the_records(
    store: Store, box: Box, database: str
) -> None:
    """A deadlock, a timeout: nothing is put aside, nothing is acknowledged; the box sends it again."""
    box.charge("s1", 1000, 5000)
    batch = box.next_batch()
    assert batch is not None
    kind = database.partition("+")[0]
    for statement in TROUBLE[kind]:
        await meddle(database, statement)
    with pytest.raises(Unavailable) as waits:
        await store.ingest(box.site, box.cursor.link, batch, None, T0_MS)
    assert waits.value.code is Code.BUSY
    state = await store.chain_state(box.site)
    assert (state.hwm, state.quarantined) == (0, 0)
    await meddle(database, NO_TROUBLE[kind])
    answer = await store.ingest(box.site, box.cursor.link, batch, None, T0_MS)
    assert isinstance(answer, sync.Ack)
    assert (answer.hwm, answer.quarantined) == (3, ())
    assert (await store.ledger(box.site))["s1"].energy_wh == 4000


async def test_a_uid_that_comes_back_with_other_content_is_poison(store: Store, box: Box) -> None:
    box.write(facts.ChargerLost(charger="CP1", reason="a"), uid="same")
    await box.drain(store)
    box.write(facts.ChargerLost(charger="CP1", reason="b"), uid="same")
    (ack,) = await box.drain(store)
    assert ack.quarantined == (2,)
    assert (await store.chain_state(box.site)).intact


async def test_a_kind_of_a_newer_box_is_kept_as_it_came(store: Store, box: Box) -> None:
    raw = b'{"uid":"new","kind":"tomorrow","v":3,"at":"2026-03-01T08:00:00.000Z","clock":"","body":{"x":1}}'
    box.write_record("new", raw)
    (ack,) = await box.drain(store)
    assert ack.quarantined == ()
    assert (await store.chain_state(box.site)).intact


async def test_a_tombstone_keeps_its_place_and_takes_nothing_away(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    before = await tables(store, box)
    for place in range(3):
        box.journal.erase(place)
    box.rotate()
    await box.connect(store)
    box.write(facts.ChargerLost(charger="CP1", reason="x"))
    box.journal.erase(3)
    await box.drain(store)
    assert await tables(store, box) == before
    state = await store.chain_state(box.site)
    assert (state.epoch, state.hwm, state.intact) == ("2-a", 4, True)


# --- the law -----------------------------------------------------------------------------------------------

TWICE = "2026-03-01T09:00:00Z"


def a_day(box: Box) -> None:
    box.write(facts.ChargerSeen(charger="CP1", protocol="ocpp1.6"))
    box.charge("s1", 1000, 5000)
    box.start("s2", 5000, principal="bob")
    box.sample("s2", 5500, at=TWICE)
    box.sample("s2", 5500, at=TWICE, power_w=7000.0)
    box.write_record("bad", b"{")
    box.end("s2", 5000, 9000, principal="bob")
    box.write(
        facts.SessionRevised(session="s2", charger="CP1", revision=1, energy_wh=3990.0, reason="checked")
    )
    box.write(facts.SecurityNoted(what="clone", charger="CP1"))


async def history(store: Store, site: str, cuts: list[int], repeats: list[int], rotate_after: int) -> object:
    """The day, told in batches of these sizes, with repetitions and one new epoch; then whatever is left."""
    box = Box(site)
    await box.settle_in(store)
    a_day(box)
    sent: list[sync.Batch] = []
    for turn, most in enumerate(cuts):
        if (batch := box.next_batch(most=most)) is None:
            break
        sent.append(batch)
        answer = await store.ingest(box.site, box.cursor.link, batch, None, T0_MS)
        assert isinstance(answer, sync.Ack)
        box.cursor.on_ack(answer, 0)
        for again in (sent[place % len(sent)] for place in repeats):
            if again.link == box.cursor.link:
                await store.ingest(box.site, box.cursor.link, again, None, T0_MS)
        if turn == rotate_after:
            box.rotate()
            await box.connect(store)
    await box.drain(store, most=5)
    assert (await store.chain_state(box.site)).intact
    return await tables(store, box)


def test_any_cutting_repeating_and_rotating_gives_the_same_tables(database: str) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(open_store(database, SystemIds()))
        expected = runner.run(history(store, "plain", [1000], [], 99))

        @settings(max_examples=30)
        @given(
            cuts=st.lists(st.integers(1, 6), min_size=1, max_size=12),
            repeats=st.lists(st.integers(0, 11), max_size=4),
            rotate_after=st.integers(0, 12),
        )
        def any_history_comes_to_the_same(cuts: list[int], repeats: list[int], rotate_after: int) -> None:
            site = SystemIds().uid()  # its own tables within one database
            assert runner.run(history(store, site, cuts, repeats, rotate_after)) == expected

        try:
            any_history_comes_to_the_same()
        finally:
            runner.run(store.close())


async def test_repeated_samples_add_no_row_and_lose_no_measurand(store: Store, box: Box) -> None:
    box.start("s1", 1000)
    box.sample("s1", 2000, at=TWICE)
    box.sample("s1", 2000, at=TWICE)
    await box.drain(store)
    box.sample("s1", 9999, at=TWICE, power_w=7000.0)
    await box.drain(store)
    (row,) = (await store.samples(staff(box.site), "s1")).rows
    assert (row.sample.energy_wh, row.sample.power_w) == (2000, 7000.0), "what was known stands"


async def test_a_second_value_for_one_moment_is_kept_beside_the_first(store: Store, box: Box) -> None:
    box.start("s1", 1000)
    box.sample("s1", 2000, at=TWICE)
    box.sample("s1", 9999, at=TWICE, soc_percent=50.0)
    box.sample("s1", 2000, at=TWICE, location="inlet")
    await box.drain(store)
    outlet, inlet = sorted(
        (await store.samples(staff(box.site), "s1")).rows, key=lambda r: r.sample.location
    )[::-1]
    assert (outlet.sample.energy_wh, outlet.sample.soc_percent) == (2000, 50.0)
    assert inlet.sample.energy_wh == 2000, "another place of the charger is another meter"
    (kept,) = await store.conflicts(box.site)
    assert (kept.row.sample.energy_wh, kept.row.at, kept.fact) == (9999, TWICE, "uid-000003")
    box.rotate()
    await box.connect(store)
    await box.drain(store)
    assert await store.conflicts(box.site) == [kept]
    assert len((await store.samples(staff(box.site), "s1")).rows) == 2


async def test_pieces_of_signed_data_are_rows_of_their_own(store: Store, box: Box) -> None:
    box.start("s1", 1000)
    for part in ("1/2", "2/2"):
        box.sample("s1", 2000, at=TWICE, signed=(f"piece {part}",), part=part)
    await box.drain(store)
    rows = (await store.samples(staff(box.site), "s1")).rows
    assert [row.sample.signed for row in rows] == [("piece 1/2",), ("piece 2/2",)]


async def test_the_tables_are_what_the_facts_come_to(store: Store, box: Box) -> None:
    a_day(box)
    await box.drain(store, most=2)
    told = [fact.body async for fact in store.session_facts(box.site)]
    assert fold_all(told) == await store.ledger(box.site)


async def test_a_caller_that_is_cancelled_tears_no_transaction(store: Store, box: Box) -> None:
    """Whoever asked may go; what was asked for ends as it would have, and the next one need not wait."""
    for number in range(20):
        box.charge(f"s{number}", number, number + 1)
        batch = box.next_batch(most=3)
        assert batch is not None
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(store.ingest(box.site, box.cursor.link, batch, None, T0_MS))
            for _ in range(number):
                await asyncio.sleep(0)  # further in each time
            asked.cancel()
        await box.connect(store)
    await box.drain(store)
    assert len(await store.ledger(box.site)) == 20
    assert (await store.chain_state(box.site)).intact


async def test_a_batch_cut_off_on_its_way_is_there_whole_or_not_at_all(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    batch = box.next_batch()
    assert batch is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await store.ingest(box.site, box.cursor.link, batch, None, T0_MS)
    opened = await store.open_link(box.site, "1-a", box.instance, HelloNote(), T0_MS)
    assert opened.mark.hwm in (0, 3), "all of it or nothing"
    assert len(await store.ledger(box.site)) == (1 if opened.mark.hwm else 0)


# --- who may read what -------------------------------------------------------------------------------------


async def test_a_driver_reads_their_own_sessions_only(store: Store, box: Box) -> None:
    a_day(box)
    await box.drain(store)
    ann, bob = driver(box.site, "ann"), driver(box.site, "bob")
    assert [row.session for row in (await store.sessions(ann)).rows] == ["s1"]
    assert [row.session for row in (await store.sessions(bob)).rows] == ["s2"]
    assert await store.session(ann, "s2") is None
    assert (await store.samples(ann, "s2")).rows == ()
    assert (await store.audit(ann)).rows == ()
    assert len((await store.samples(bob, "s2")).rows) == 1


async def test_sites_do_not_see_each_other(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    other = Box("site-2")
    await other.settle_in(store)
    assert (await store.sessions(staff("site-2"))).rows == ()
    assert await store.session(staff("site-2"), "s1") is None
    other.charge("s1", 0, 10)
    await other.drain(store)
    assert (await store.ledger(box.site))["s1"].energy_wh == 4000


async def test_sessions_come_in_pages_newest_first(store: Store, box: Box) -> None:
    for number in range(7):
        box.charge(f"s{number}", number * 100, number * 100 + 50)
    await box.drain(store)
    seen: list[str] = []
    after = ""
    for _ in range(4):
        page = await store.sessions(staff(box.site), after=after, limit=3)
        seen += [row.session for row in page.rows]
        after = page.next
        if not after:
            break
    assert seen == [f"s{number}" for number in reversed(range(7))]


async def test_samples_and_audit_come_in_pages(store: Store, box: Box) -> None:
    box.start("s1", 0)
    for number in range(5):
        box.sample("s1", number, at=f"2026-03-01T09:0{number}:00Z")
        box.write(facts.SecurityNoted(what=f"w{number}"))
    await box.drain(store)
    first = await store.samples(staff(box.site), "s1", limit=3)
    rest = await store.samples(staff(box.site), "s1", after=first.next, limit=3)
    assert [row.sample.energy_wh for row in (*first.rows, *rest.rows)] == [0, 1, 2, 3, 4]
    assert rest.next == ""
    newest = await store.audit(staff(box.site), limit=2)
    older = await store.audit(staff(box.site), after=newest.next, limit=9)
    told = [msgspec.json.decode(row.record)["body"]["what"] for row in (*newest.rows, *older.rows)]
    assert told == ["w4", "w3", "w2", "w1", "w0"]


@pytest.mark.parametrize("after", ["x", "a|b|c"])
async def test_a_made_up_cursor_is_refused(store: Store, box: Box, after: str) -> None:
    with pytest.raises(Refused):
        await store.sessions(staff(box.site), after=after)


# --- views, takeover, chain --------------------------------------------------------------------------------


async def test_the_last_view_is_kept_with_a_batch_and_never_goes_back(store: Store, box: Box) -> None:
    box.charge("s1", 1000, 5000)
    batch = box.next_batch()
    assert batch is not None
    copy = ViewCopy(epoch="1-a", seq=3, at_ms=50, view=b"new")
    await store.ingest(box.site, box.cursor.link, batch, copy, T0_MS)
    assert await store.last_view(box.site) == copy
    await store.keep_view(box.site, ViewCopy(epoch="1-a", seq=2, at_ms=49, view=b"old"))
    assert await store.last_view(box.site) == copy
    assert await store.last_view("nowhere") is None


async def test_a_driver_who_joined_at_the_box_is_taken_over_and_an_operator_waits_for_the_owner(
    store: Store, box: Box
) -> None:
    for role, key in ((Role.DRIVER, "key-d"), (Role.OPERATOR, "key-o")):
        box.write(
            facts.AuthorizationChanged(
                principal=f"p-{role}", change="granted", role=role, key=key, chargers=("CP1",)
            )
        )
    await box.drain(store)
    known = {device.key: device for device in await store.devices(box.site)}
    driver, operator = known.pop("key-d"), known.pop("key-o")
    assert known == {}
    assert (driver.principal, driver.source, driver.chargers) == ("p-driver", "edge", ("CP1",))
    assert (driver.pending, operator.pending) == (False, True)
    assert await store.confirm(box.site, "p-operator") == 1
    assert not any(device.pending for device in await store.devices(box.site))
    assert await store.confirm(box.site, "p-operator") == 0


async def test_a_fact_that_went_missing_breaks_the_chain(store: Store, box: Box, database: str) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    await meddle(database, "DELETE FROM fact WHERE seq = 2")
    state = await store.chain_state(box.site)
    assert (state.intact, state.first_break) == (False, 2)


async def test_a_fact_that_was_changed_breaks_the_chain(store: Store, box: Box, database: str) -> None:
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    await meddle(database, 'UPDATE fact SET "inner" = salt WHERE seq = 2')
    assert not (await store.chain_state(box.site)).intact


async def test_content_that_was_changed_beside_its_hash_breaks_the_chain(
    store: Store, box: Box, database: str
) -> None:
    """Whoever changes what a fact says, and leaves its place in the chain, is found without the box."""
    box.charge("s1", 1000, 5000)
    await box.drain(store)
    row = box.journal.rows[1]
    assert row.record is not None
    text = row.record.decode().replace("3000", "2000").replace("'", "''")
    value = "CAST('%s' AS BLOB)" if database.startswith("sqlite") else "convert_to('%s', 'UTF8')"
    await meddle(
        database, f"UPDATE fact SET record = {value % text.replace(':', chr(92) + ':')} WHERE seq = 2"
    )
    state = await store.chain_state(box.site)
    assert (state.intact, state.first_break) == (False, 2)


async def meddle(database: str, statement: str) -> None:
    """Somebody changes the database behind our back."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(database)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()

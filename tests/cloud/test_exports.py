"""The month's export as an operator, a program and an accountant get it; and the sums over all of them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.charge_lines import billable_milliwh, otherwise
from cloud.cli.billing import COLUMNS
from cloud.exports import Exports, end_of, month_at, read_month, read_zone
from cloud.service import Cloud
from cloud.store.ports import Store
from cloud.store.rows import SiteRow
from cloud.store.sql import open_store, sqlite_url
from common import facts
from common.clock import SystemIds
from common.domain import EnergyMethod, from_iso, iso
from common.errors import Refused
from common.facts import Body, Fact
from tests.cloud.parts import FakeBox, until
from tests.cloud.test_cli import Shell
from tests.store.box import Box, staff


@pytest.fixture
def shell(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(cloud, capsys)


async def march(box: FakeBox) -> None:
    """Two sessions of March, and one that nobody pays for."""
    async with box.connected():
        box.ledger.charge("s1", 1000, 5000)
        box.ledger.charge("s2", 5000, 5500.5, principal="bob")
        box.ledger.charge("s3", 5500.5, 6000, principal=None)
        await box._send_due()
        await until(lambda: box.drained)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# --- the command line --------------------------------------------------------------------------------------


async def test_a_month_exported_twice_is_the_same(shell: Shell, box: FakeBox, tmp_path: Path) -> None:
    await march(box)
    code, out, err = await shell("export", "--site", "Home", "--month", "2026-03", "--csv")
    assert code == 0
    table = rows(out)
    assert tuple(table[0]) == COLUMNS
    assert [(row["session"], row["energy_kwh"], row["principal"]) for row in table] == [
        ("s1", "4.000", "ann"),
        ("s2", "0.5005", "bob"),
    ]
    assert "2 lines, 4.500 kWh; closed now" in err
    assert "1 session up to then waits for an operator" in err
    assert "nobody_pays" in err
    assert (await shell("export", "--site", "Home", "--month", "2026-03", "--csv"))[1] == out

    file = tmp_path / "march.csv"
    code, out_again, err = await shell(
        "export", "--site", box.site, "--month", "2026-03", "--csv", "--out", str(file)
    )
    assert (code, out_again, file.read_text()) == (0, "", out)
    assert "closed before" in err

    told = await shell.json("export", "--site", "Home", "--month", "2026-03")
    assert [line["id"] for line in told["lines"]] == [row["id"] for row in table]
    assert told["waiting"][0]["session"] == "s3"
    written = tmp_path / "march.json"
    await shell("export", "--site", "Home", "--month", "2026-03", "--json", "--out", str(written))
    assert json.loads(written.read_text())["lines"] == told["lines"]


async def test_what_an_operator_resolves_is_in_the_next_export(shell: Shell, box: FakeBox) -> None:
    await march(box)
    first = await shell.json("export", "--site", "Home", "--month", "2026-03")
    async with box.connected():
        box.ledger.write(
            facts.SessionRevised(
                session="s3",
                charger="CP1",
                revision=1,
                energy_wh=499.5,
                principal="eve",
                obtained="operator",
                method=EnergyMethod.STATED,
            )
        )
        await box._send_due()
        await until(lambda: box.drained)
    assert (await shell.json("export", "--site", "Home", "--month", "2026-03"))["lines"] == first["lines"]
    (line,) = (await shell.json("export", "--site", "Home", "--month", "2026-04"))["lines"]
    assert (line["session"], line["principal"], line["energy_wh"], line["month"]) == (
        "s3",
        "eve",
        499.5,
        "2026-04",
    )
    assert line["ended_at"].startswith("2026-03-01")


async def test_a_month_that_is_not_over_and_one_that_is_none_are_refused(shell: Shell, box: FakeBox) -> None:
    for month, says in (("2099-01", "not closed"), ("2026-13", "is no month"), ("march", "is no month")):
        code, out, err = await shell("export", "--site", "Home", "--month", month)
        assert (code, out) == (2, "")
        assert says in err
    assert (await shell("export", "--site", "Nowhere", "--month", "2026-03"))[0] == 2


async def test_the_zone_of_a_site_decides_its_months(shell: Shell, box: FakeBox) -> None:
    code, out, _ = await shell("site", "zone", "Home", "Europe/Berlin")
    assert (code, "Europe/Berlin" in out) == (0, True)
    assert (await shell.json("site", "list"))[0]["zone"] == "Europe/Berlin"
    async with box.connected():
        # 22:30Z on 31 March is half past midnight on 1 April in Berlin.
        box.ledger.minutes = (from_iso("2026-03-31T22:27:00Z") - from_iso("2026-03-01T08:00:00Z")) // 60_000
        box.ledger.charge("s1", 0, 10)
        await box._send_due()
        await until(lambda: box.drained)
    assert (await shell.json("export", "--site", "Home", "--month", "2026-03"))["lines"] == []
    (line,) = (await shell.json("export", "--site", "Home", "--month", "2026-04"))["lines"]
    assert line["session"] == "s1"
    for wrong in ("Mars/Olympus", "../../etc/passwd", "Europe", ""):
        assert (await shell("site", "zone", "Home", wrong))[0] == 2
    assert (await shell.json("site", "list"))[0]["zone"] == "Europe/Berlin"


async def test_a_table_holds_no_formula(shell: Shell, box: FakeBox) -> None:
    async with box.connected():
        box.ledger.charge("s1", 0, 100, charger="=HYPERLINK", principal="@sum")
        await box._send_due()
        await until(lambda: box.drained)
    _, out, _ = await shell("export", "--site", "Home", "--month", "2026-03", "--csv")
    (row,) = rows(out)
    assert (row["charger"], row["principal"]) == ("'=HYPERLINK", "'@sum")


async def test_a_file_that_cannot_be_written_is_said(shell: Shell, box: FakeBox, tmp_path: Path) -> None:
    await march(box)
    code, _, err = await shell(
        "export", "--site", "Home", "--month", "2026-03", "--csv", "--out", str(tmp_path / "no" / "file")
    )
    assert code == 2
    assert "can be repeated" in err


@pytest.mark.parametrize("form", ["--csv", "--json"])
async def test_an_export_that_finds_no_room_says_so(shell: Shell, box: FakeBox, form: str) -> None:
    await march(box)
    code, _, err = await shell("export", "--site", "Home", "--month", "2026-03", form, "--out", "/dev/full")
    assert code == 2
    assert "No space left" in err
    assert "can be repeated" in err


# --- the REST API ------------------------------------------------------------------------------------------


async def test_a_program_reads_closed_months_by_pages(cloud: Cloud, shell: Shell, box: FakeBox) -> None:
    await march(box)
    token = (await shell.json("token", "Home"))["token"]
    path = f"{cloud.url}/v1/sites/{box.site}/charge-lines"
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers) as client:
        early = await client.get(path, params={"month": "2026-03"})
        assert (early.status_code, early.json()["code"]) == (409, "month_open")
        exported = (await shell.json("export", "--site", "Home", "--month", "2026-03"))["lines"]
        first = (await client.get(path, params={"month": "2026-03", "limit": 1})).json()
        rest = (await client.get(path, params={"month": "2026-03", "after": first["next"]})).json()
        assert [*first["lines"], *rest["lines"]] == exported
        assert rest["next"] == ""
        for wrong in (
            {},
            {"month": "x"},
            {"month": "2026-03", "after": "x"},
            {"month": "2026-03", "limit": 0},
        ):
            assert (await client.get(path, params=wrong)).status_code == 400
        assert (
            await client.get(path, params={"month": "2026-03"}, headers={"authorization": ""})
        ).status_code == 401


# --- months ------------------------------------------------------------------------------------------------


def test_months_end_where_the_site_is() -> None:
    berlin = read_zone("Europe/Berlin")
    assert end_of("2026-03", berlin).isoformat() == "2026-04-01T00:00:00+02:00"
    assert end_of("2026-12", berlin).isoformat() == "2027-01-01T00:00:00+01:00"
    last_ms = round(end_of("2026-10", berlin).timestamp() * 1000) - 1
    assert (month_at(last_ms, berlin), month_at(last_ms + 1, berlin)) == ("2026-10", "2026-11")
    for text in ("2026-00", "2026-1", "1970-01", "2026-03-01", "２０２６-03"):
        with pytest.raises(Refused):
            read_month(text)


# --- the law -----------------------------------------------------------------------------------------------


class Hand:
    """A clock that is set by hand."""

    quality = "synced"

    def __init__(self) -> None:
        self.at_ms = from_iso("2026-01-01T00:00:00Z")

    def now_ms(self) -> int:
        return self.at_ms

    def mono_ms(self) -> int:
        return self.at_ms


class Past:
    """A few sessions over some months, and what becomes known of them when."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.known: dict[str, list[Fact]] = {}

    def next(self, box: Box) -> None:
        """One more fact: a session, or a later truth about one."""
        draw = self.data.draw
        if self.known and draw(st.booleans()):
            session = draw(st.sampled_from(sorted(self.known)))
            self._write(box, session, self._revision(session))
            return
        session = f"s{len(self.known)}"
        at_ms = from_iso("2026-01-01T00:00:00Z") + draw(st.integers(0, 120 * 24 * 60)) * 60_000
        start_wh = draw(st.integers(0, 10_000)) / 8
        principal = draw(st.sampled_from(["ann", "bob", None]))
        begun = iso(at_ms - 600_000)
        self._write(
            box,
            session,
            facts.SessionStarted(
                session=session,
                charger="CP1",
                evse=1,
                transaction=session,
                principal=principal,
                started_at=begun,
                received_at=begun,
                meter_start_wh=start_wh,
            ),
        )
        energy_wh = draw(st.integers(0, 80_000)) / 8
        self._write(
            box,
            session,
            facts.SessionEnded(
                session=session,
                charger="CP1",
                evse=1,
                principal=principal,
                ended_at=iso(at_ms),
                received_at=iso(at_ms),
                meter_stop_wh=start_wh + energy_wh,
                energy_wh=energy_wh,
                method=EnergyMethod.REGISTER,
                provisional=draw(st.booleans()),
            ),
        )

    def _revision(self, session: str) -> Body:
        draw = self.data.draw
        return facts.SessionRevised(
            session=session,
            charger="CP1",
            principal=draw(st.sampled_from(["ann", "eve", None])),
            revision=sum(isinstance(fact.body, facts.SessionRevised) for fact in self.known[session]) + 1,
            energy_wh=draw(st.one_of(st.none(), st.integers(0, 80_000).map(lambda n: n / 8))),
            method=EnergyMethod.REGISTER,
            obtained=draw(st.sampled_from(["measured", "operator"])),
        )

    def _write(self, box: Box, session: str, body: Body) -> None:
        self.known.setdefault(session, []).append(box.write(body))


async def everything(exports: Exports, site: SiteRow, months: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for month in months:
        after = ""
        while True:
            page = await exports.lines(staff(site.id), month, after=after, limit=3)
            found += page.rows
            after = page.next
            if not after:
                break
    return found


async def all_that_happens(data: st.DataObject, store: Store, number: int) -> None:
    clock = Hand()
    box, past, exports = Box(f"site-{number}"), Past(data), Exports(store, clock)
    await box.settle_in(store)
    site = await store.site(box.site)
    assert site is not None
    told: dict[str, list[dict[str, Any]]] = {}
    months = [f"2026-{month:02}" for month in range(1, 8)]
    happens = st.lists(st.sampled_from(["fact", "fact", "sync", "rotate", "export"]), max_size=16)
    for step in data.draw(happens):
        clock.at_ms += 9 * 24 * 3_600_000
        if step == "fact":
            past.next(box)
        elif step == "sync":
            await box.drain(store, most=data.draw(st.integers(1, 5)))
        elif step == "rotate":
            box.rotate()
            await box.connect(store)
        else:
            month = data.draw(st.sampled_from(months))
            if clock.at_ms < end_of(month, read_zone("UTC")).timestamp() * 1000:
                with pytest.raises(Refused, match="not closed"):
                    await exports.export(site, month)
                continue
            await exports.export(site, month)
            lines = await everything(exports, site, [month])
            assert told.setdefault(month, lines) == lines, "a month exported again has the same rows"
    clock.at_ms = from_iso("2027-06-01T00:00:00Z")
    await box.drain(store)
    closed = [*months, *(f"2026-{month:02}" for month in range(8, 13)), "2027-01"]
    for month in closed:
        await exports.export(site, month)
    for month, lines in told.items():
        assert await everything(exports, site, [month]) == lines
    total = await everything(exports, site, closed)
    revisions = {(line["session"], line["revision"]) for line in total}
    assert len({line["id"] for line in total}) == len(revisions) == len(total)
    assert (await store.closed_months(site.id)).changed == ()
    sessions = sorted({line["session"] for line in total})
    facts_of, lines_of = await store.told(site.id, sessions), await store.lines_of(site.id, sessions)
    assert [why for name in sessions if (why := otherwise(site.id, facts_of[name], lines_of[name]))] == []
    energy_wh = sum(billable_milliwh(told) for told in past.known.values()) / 1000
    assert sum(line["energy_wh"] for line in total) == energy_wh, "eighths of a Wh add up exactly"


def test_all_exports_together_are_all_billable_energy(tmp_path: Path) -> None:
    """Σ over all months and corrections = Σ of billable energies, in whatever order things come."""
    sites = count()
    with asyncio.Runner() as runner:
        store = runner.run(open_store(sqlite_url(tmp_path / "cloud.db"), SystemIds()))

        # About 0.2 s an example, all of it commits: few here, many for the pure law (test_charge_lines).
        @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(data=st.data())
        def law(data: st.DataObject) -> None:
            runner.run(all_that_happens(data, store, next(sites)))

        try:
            law()
        finally:
            runner.run(store.close())

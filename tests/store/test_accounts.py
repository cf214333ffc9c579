"""Sites, invites, devices, names, commands, tokens: what the store promises about each."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from cloud.store import schema
from cloud.store.engine import Database
from cloud.store.ports import Store
from cloud.store.rows import ActRow, CommandRow, PairingRow, SiteRow, TokenRow
from cloud.store.sql import open_store, sqlite_url
from common.clock import SystemIds
from common.domain import Role
from common.errors import Code, LocalFault, Refused
from common.trust import InviteRecord, redeem, revoked_principal, spend
from common.trust.invites import DEVICES_OF_ONE_MAX, OF_ONE_MAX
from tests.store.box import T0_MS, Box, staff


def invite(hash_: str = "h", **more: object) -> InviteRecord:
    fields = {
        "hash": hash_,
        "site": "site-1",
        "role": Role.DRIVER,
        "principal": "p1",
        "expires_ms": T0_MS,
        "chargers": ("CP1", "CP2"),
    }
    return InviteRecord(**{**fields, **more})


def taken_by(key: str) -> object:
    return lambda record: msgspec.structs.replace(record, redeemed_by=key)


# --- sites -------------------------------------------------------------------------------------------------


async def test_a_site_is_found_by_id_and_by_name(store: Store, box: Box) -> None:
    by_id, by_name = await store.site("site-1"), await store.site("Home site-1")
    assert by_id == by_name
    assert by_id is not None
    assert by_id.hello.addresses == ("192.0.2.1:9443",)
    assert await store.site("elsewhere") is None
    assert [row.id for row in await store.sites()] == ["site-1"]


async def test_a_name_stands_for_one_site(store: Store, box: Box) -> None:
    with pytest.raises(Refused) as taken:
        await store.put_site(SiteRow(id="site-2", name="Home site-1", box="b", public="p", issuer="i"))
    assert taken.value.code is Code.BAD_REQUEST


@pytest.mark.parametrize("held", ["", "given up"])
async def test_nobody_takes_a_place_by_a_key_that_does_not_have_it(store: Store, box: Box, held: str) -> None:
    before = await store.site("site-1")
    new = SiteRow(id="site-1", name="Home", box="new", public="p2", issuer="i2")
    assert not await store.put_site(new, held=held)
    assert await store.site("site-1") == before


async def test_another_box_takes_up_where_the_ledger_is(store: Store, box: Box) -> None:
    box.charge("s1", 0, 10)
    await box.drain(store)
    new = SiteRow(id="site-1", name="Home", box="new", public="p2", issuer="i2")
    assert await store.put_site(new, held="p")
    site = await store.site("site-1")
    assert site is not None
    assert (site.box, site.name, site.instance, site.epoch) == ("new", "Home", "", "1-a")
    assert set(await store.ledger("site-1")) == {"s1"}
    box.instance = "new folder"
    await box.connect(store)


async def test_a_box_goes_on_with_another_key_once_from_the_key_that_the_site_has(
    store: Store, box: Box
) -> None:
    known = await store.site("site-1")
    assert known is not None
    changed = msgspec.structs.replace(
        known,
        box="new",
        public="p2",
        rotations=("a-statement", "another"),
        former=known.public,
        former_until_ms=2**53,
        retired=("old",),
        succession="signed",
        name="not by this",
    )
    assert await store.rotate_box(changed, held=known.public)
    assert await store.site("site-1") == msgspec.structs.replace(changed, name=known.name)
    second = msgspec.structs.replace(changed, public="p3")
    assert not await store.rotate_box(second, held=known.public), "another one was first"
    (row,) = await store.sites()
    assert row.public == "p2"
    assert not await store.rotate_box(msgspec.structs.replace(changed, id="elsewhere"), held="p2")


async def test_a_pairing_code_waits_until_its_end(store: Store) -> None:
    row = PairingRow(pair="x", code="plugsidebox1_…", name="Home", expires_ms=T0_MS)
    await store.add_pairing(row, 1)
    assert await store.pairing("x", T0_MS - 1) == row
    assert await store.pairing("x", T0_MS) is None


async def test_one_code_spends_the_others_of_its_site(store: Store) -> None:
    rows = [
        PairingRow(pair=pair, code="plugsidebox1_…", name=name, expires_ms=T0_MS)
        for pair, name in (("old", "Home"), ("new", "Home"), ("elsewhere", "Work"))
    ]
    for row in rows:
        await store.add_pairing(row, 1)
    await store.spend_pairings(rows[1])
    assert [await store.pairing(row.pair, 1) for row in rows] == [None, rows[1], rows[2]]


# --- invites, devices, names -------------------------------------------------------------------------------


async def test_an_invite_brings_a_device_in(store: Store, box: Box) -> None:
    await store.add_invite(invite(), "Ann")
    assert await store.names({"p1", "p2"}) == {"p1": "Ann"}
    record = await store.redeem("h", taken_by("key-1"), T0_MS)
    assert record.redeemed_by == "key-1"
    device = await store.device("site-1", "key-1")
    assert device is not None
    assert (device.principal, device.role, device.chargers, device.source) == (
        "p1",
        Role.DRIVER,
        ("CP1", "CP2"),
        "cloud",
    )


async def test_one_person_has_some_invites_and_devices_and_no_more(store: Store, box: Box) -> None:
    await store.add_invite(msgspec.structs.replace(invite("other"), principal="p2"), "")
    for number in range(DEVICES_OF_ONE_MAX + 3):
        await store.add_invite(msgspec.structs.replace(invite(f"h{number}"), expires_ms=T0_MS + number), "")
        await store.redeem(f"h{number}", taken_by(f"key-{number}"), T0_MS + number)
    kept = {device.key for device in await store.devices("site-1")}
    assert kept == {f"key-{number}" for number in range(3, DEVICES_OF_ONE_MAX + 3)}
    for number in range(OF_ONE_MAX):
        await store.redeem(f"h{DEVICES_OF_ONE_MAX + 2 - number}", lambda record: record, T0_MS)
    with pytest.raises(Refused):
        await store.redeem(f"h{DEVICES_OF_ONE_MAX + 2 - OF_ONE_MAX}", lambda record: record, T0_MS)
    await store.redeem("other", taken_by("key-of-p2"), T0_MS)


async def test_a_refused_redemption_changes_nothing(store: Store, box: Box) -> None:
    await store.add_invite(invite(), "Ann")

    def refuse(record: InviteRecord) -> InviteRecord:
        return redeem(record, "not the secret", "key", T0_MS - 1)

    with pytest.raises(Refused):
        await store.redeem("h", refuse, T0_MS)
    with pytest.raises(Refused):
        await store.redeem("unknown", taken_by("key"), T0_MS)
    assert await store.devices("site-1") == []


async def test_an_invite_is_spent_once_its_key_has_used_its_grant(store: Store, box: Box) -> None:
    await store.add_invite(invite(), "")
    await store.redeem("h", taken_by("key-1"), T0_MS)
    seen: list[bool] = []

    def look(record: InviteRecord) -> InviteRecord:
        seen.append(record.spent)
        return record

    await store.redeem("h", look, T0_MS)
    await store.spend_invites("site-1", "another key")
    await store.redeem("h", look, T0_MS)
    await store.spend_invites("site-1", "key-1")
    await store.redeem("h", look, T0_MS)
    assert seen == [False, False, True]
    assert spend(invite()).spent


async def test_forgetting_leaves_ledger_and_chain_as_they_are(store: Store, box: Box) -> None:
    box.charge("s1", 0, 10, principal="p1")
    await box.drain(store)
    await store.add_invite(invite(), "Ann")
    await store.redeem("h", taken_by("key-1"), T0_MS)
    before = await store.ledger("site-1")
    await store.withdraw("site-1", {revoked_principal("p1")}, T0_MS, T0_MS + 1)
    assert await store.device("site-1", "key-1") is None
    assert await store.forget("p1") == 1
    assert await store.names({"p1"}) == {}
    assert await store.device("site-1", "key-1") is None
    assert await store.revoked() == {"site-1": {revoked_principal("p1")}}
    assert await store.withdrawn("site-1", T0_MS) == {revoked_principal("p1"): T0_MS + 1}
    assert await store.withdrawn("site-1", T0_MS + 1) == await store.withdrawn("site-2", T0_MS) == {}
    assert await store.ledger("site-1") == before
    assert (await store.chain_state("site-1")).intact
    assert (await store.sessions(staff("site-1"))).rows[0].principal == "p1"


# --- commands, tokens, acts --------------------------------------------------------------------------------


def command(**more: object) -> CommandRow:
    fields = {
        "site": "site-1",
        "id": "c1",
        "fingerprint": "f",
        "principal": "p1",
        "name": "start",
        "asked_ms": 1,
        "expires_ms": 2,
    }
    return CommandRow(**{**fields, **more})


async def test_the_first_content_of_a_command_id_stands(store: Store, box: Box) -> None:
    assert await store.ask_command(command()) == command()
    assert await store.ask_command(command(fingerprint="other")) == command()


async def test_a_command_goes_forward_only(store: Store, box: Box) -> None:
    await store.ask_command(command())
    for state, expected in (
        ("relayed", "relayed"),
        ("confirmed", "confirmed"),
        ("accepted", "confirmed"),
        ("settled", "settled"),
        ("relayed", "settled"),
    ):
        await store.step_command(command(), state, f"told {state}")
        row = await store.ask_command(command())
        assert (row.state, row.answer) == (expected, f"told {expected}")
    await store.step_command(command(fingerprint="other"), "refused", "")
    assert (await store.ask_command(command())).state == "settled"


async def test_a_token_ends(store: Store, box: Box) -> None:
    row = TokenRow(hash="t", site="site-1", principal="p", role=Role.DRIVER, chargers=None, expires_ms=100)
    await store.add_token(row, 1)
    assert await store.token("t", 99) == row
    assert await store.token("t", 100) is None
    assert await store.token("other", 99) is None


async def test_acts_come_in_pages_newest_first(store: Store) -> None:
    for number in range(5):
        await store.note(ActRow(id=f"a{number}", at_ms=number, site="", actor="local", what="looked"))
    first = await store.acts(limit=3)
    rest = await store.acts(after=first.next, limit=3)
    assert [row.id for row in (*first.rows, *rest.rows)] == ["a4", "a3", "a2", "a1", "a0"]
    with pytest.raises(Refused):
        await store.acts(after="nonsense")


# --- the database itself -----------------------------------------------------------------------------------


async def test_the_migrations_make_exactly_the_schema(store: Store, database: str) -> None:
    opened = Database(database)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))

    async with opened.reader.connect() as connection:
        assert await connection.run_sync(differences) == []
    await opened.close()


async def test_a_database_is_opened_again_as_it_was(database: str) -> None:
    first = await open_store(database, SystemIds())
    await first.note(ActRow(id="a", at_ms=1, site="", actor="local", what="looked"))
    await first.close()
    again = await open_store(database, SystemIds())
    assert again.incarnation == first.incarnation
    assert len((await again.acts()).rows) == 1
    await again.alive()
    await again.close()


async def test_a_database_of_a_newer_build_is_left_alone(database: str) -> None:
    await (await open_store(database, SystemIds())).close()
    opened = Database(database)
    async with opened.writer.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await opened.close()
    with pytest.raises(LocalFault) as newer:
        await open_store(database, SystemIds())
    assert "9999" in newer.value.message


async def test_readers_of_sqlite_cannot_write(tmp_path: Path) -> None:
    opened = Database(sqlite_url(tmp_path / "cloud.db"))
    await opened.open()
    async with opened.reader.connect() as connection:
        with pytest.raises(Exception, match="readonly"):
            await connection.execute(text("DELETE FROM site"))
    await opened.close()


async def test_what_sqlite_promises_is_synced(tmp_path: Path) -> None:
    opened = Database(sqlite_url(tmp_path / "cloud.db"))
    await opened.open()
    async with opened.writer.connect() as connection:
        assert await connection.scalar(text("PRAGMA synchronous")) == 2
        assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
    await opened.close()

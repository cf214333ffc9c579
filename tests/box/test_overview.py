"""What an operator's app asks of a box without a cloud: the same names and shapes as the cloud's."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from common import facts
from common.domain import ConnectorState, Role
from common.domain import Path as Way
from common.errors import Code
from tests.box.test_people import box, code_of, manage, query

ANSWERS_OF_THE_CLOUD = {
    *("site", "name", "box", "online", "seen_at", "addresses", "software", "zone", "epoch", "last_seq"),
    *("clock", "skew_ms", "backlog", "needs", "chargers"),
}


async def test_the_site_at_a_glance(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        (row,) = await query(site, Role.OPERATOR, "sites")
        assert set(row) == ANSWERS_OF_THE_CLOUD
        assert (row["site"], row["online"], row["backlog"]) == (site.authority.site, True, 0)
        assert row["chargers"]["all"] == 1
        assert row["software"] == f"plugside-edge {version('plugside')}"
        await site.gateway.written(facts.ChargerSeen(charger="NEW", adopted=False))
        await site.gateway.written(
            facts.ConnectorChanged(charger="CP1", evse=1, state=ConnectorState.FAULTED)
        )
        (row,) = await query(site, Role.OPERATOR, "sites")
        assert (row["needs"]["faulted"], row["needs"]["waiting"]) == (1, 1)
        assert await query(site, Role.OPERATOR, "fleet") == [{"sites": 1, "online": 1, "needing": 1}]


async def test_people_invites_and_tags(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        made = await manage(site, "invite", {"name": "Ann", "chargers": ["CP1"]}, Role.OPERATOR)
        rows = {row["principal"]: row for row in await query(site, Role.OPERATOR, "people")}
        invited = rows[made["principal"]]
        assert (invited["name"], invited["state"], invited["chargers"]) == ("Ann", "invited", ["CP1"])
        assert len(rows["p-ada"]["tags"]) == 1
        await site.gateway.written(
            facts.AuthorizationChanged(principal="p-eve", change="granted", role=Role.DRIVER, key="k")
        )
        await manage(site, "invite_withdraw", {"principal": made["principal"]}, Role.OPERATOR)
        await manage(site, "forget", {"principal": "p-bob"}, Role.OPERATOR)
        people = await query(site, Role.OPERATOR, "people")
        assert {row["principal"]: row["devices"] for row in people} == {"p-ada": 0, "p-eve": 1}
        again = manage(site, "invite_withdraw", {"principal": made["principal"]}, Role.OPERATOR)
        assert await code_of(again) == Code.BAD_INVITE


async def test_sessions_are_filtered_and_have_names_for_staff(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        made = await manage(site, "invite", {"name": "Ann"})
        assert made["principal"]
        rows = await query(site, Role.OPERATOR, "sessions", principal="p-ada")
        assert [row["principal"] for row in rows] == ["p-ada"]
        assert await query(site, Role.OPERATOR, "sessions", since="2099-01-01T00:00:00Z") == []
        assert len(await query(site, Role.OPERATOR, "sessions", until="2099-01-01T00:00:00Z")) == 2
        assert [
            row["principal"] for row in await query(site, Role.DRIVER, "sessions", principal="p-bob")
        ] == ["p-ada"], "a filter shows nobody what is not theirs"
        own = await query(site, Role.OPERATOR, "sessions", own=True)
        assert [row["principal"] for row in own] == ["p-ada"], "staff has charges of its own"
        bad = query(site, Role.OPERATOR, "sessions", since="yesterday")
        assert await code_of(bad) == Code.BAD_REQUEST


async def test_commands_and_the_audit_come_latest_first(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        for number in range(3):
            await site.gateway.written(
                facts.CommandAccepted(
                    command=f"c{number}",
                    principal="p-ada",
                    role=Role.DRIVER,
                    path=Way.LAN,
                    name="start",
                    charger="CP1",
                    fingerprint="f",
                    expires_at="2099-11-30T10:00:00Z",
                )
            )
        await site.gateway.written(
            facts.CommandSettled(command="c1", charger="CP1", outcome="failed", code="charger_rejected")
        )
        rows = await query(site, Role.OPERATOR, "commands")
        assert [(row["command"], row["outcome"]) for row in rows] == [
            ("c2", ""),
            ("c1", "failed"),
            ("c0", ""),
        ]
        (last, *_) = await query(site, Role.OPERATOR, "audit", latest=True, limit=1)
        assert (last["kind"], last["body"]["command"]) == ("command_settled", "c1")
        kinds = {row["kind"] for row in await query(site, Role.OPERATOR, "audit", latest=True)}
        assert "meter_sampled" not in kinds
        bad = query(site, Role.OPERATOR, "audit", kinds=["x"] * 65)
        assert await code_of(bad) == Code.BAD_REQUEST


async def test_the_box_is_reconciled_with_its_own_facts(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        report = await manage(site, "reconcile", {}, Role.OPERATOR)
        # The two charges of this box lie over each other on one connector: that is found, and nothing else.
        assert (report["sessions"], report["lost"], report["doubled"], report["differing"]) == (2, 0, 1, 0)
        assert (report["ok"], report["chain_intact"]) == (False, True)
        assert report["first_difference"]["kind"] == "doubled"
        # Somebody's edit, behind the box's back.
        await site.journal.submit(
            lambda db: db.execute("UPDATE session SET energy_wh = 1.0 WHERE principal = 'p-ada'")
        )
        report = await manage(site, "reconcile", {}, Role.OPERATOR)
        assert report["differing"] == 1


async def test_a_driver_sees_none_of_it(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        for what in ("sites", "fleet", "people", "commands"):
            assert await code_of(query(site, Role.DRIVER, what)) == Code.NOT_PERMITTED, what
        for name, args in (("reconcile", {}), ("invite_withdraw", {"principal": "p"})):
            assert await code_of(manage(site, name, args, Role.DRIVER)) == Code.NOT_PERMITTED, name

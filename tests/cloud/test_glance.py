"""What an operator's app asks of the cloud: many sites, worst first; their people, commands, filters."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from cloud.service import Cloud
from cloud.store import codec, schema
from cloud.store.rows import SiteRow
from common import facts
from common.client.local import local
from common.domain import ConnectorState, Path, Role
from common.errors import Code, PlugsideError
from tests.cloud.parts import CLOCK, Device, FakeBox, invite, join, until


async def code_of(asked: Any) -> str:
    try:
        await asked
    except PlugsideError as refused:
        return refused.code.value
    return "ok"


async def estate(cloud: Cloud, *names: str) -> dict[str, FakeBox]:
    boxes = {}
    for name in names:
        boxes[name] = FakeBox(cloud.url)
        await boxes[name].join(cloud, name)
    return boxes


async def entrusted(cloud: Cloud, *sites: str) -> Device:
    """An operator of the first site to whom the others are entrusted."""
    boss = await join(cloud, sites[0], Role.OPERATOR)
    assert boss.granted is not None
    async with local(cloud._settings.socket_path) as root:
        done = await root.manage("entrust", {"principal": boss.granted.site.principal, "sites": sites})
    assert done["added"] == len(sites) - 1
    return boss


async def test_an_operator_sees_their_sites_worst_first_and_no_others(cloud: Cloud) -> None:
    boxes = await estate(cloud, "Ahorn", "Birke", "Cedar", "Distel")
    boss = await entrusted(cloud, "Ahorn", "Birke", "Cedar")
    async with boxes["Ahorn"].connected() as ahorn, boxes["Cedar"].connected() as cedar, boss.link() as link:
        await cedar.tell(
            facts.ChargerAdopted(charger="CP1"),
            facts.ChargerSeen(charger="CP1"),
            facts.ConnectorChanged(charger="CP1", evse=1, state=ConnectorState.FAULTED),
        )
        await ahorn.tell(facts.ChargerSeen(charger="NEW", adopted=False))
        await until(lambda: ahorn.drained and cedar.drained)
        rows = await link.query("sites")
        assert [(row["name"], row["online"], row["needs"]) for row in rows] == [
            ("Birke", False, {"offline": 1}),
            ("Cedar", True, {"faulted": 1}),
            ("Ahorn", True, {"waiting": 1}),
        ]
        assert rows[1]["chargers"] == {"all": 1, "online": 1, "charging": 0}
        assert (rows[1]["backlog"], rows[1]["zone"]) == (0, "UTC")
        assert abs(rows[1]["skew_ms"]) < 10_000
        assert await link.query("fleet") == [{"sites": 3, "online": 2, "needing": 3}]
        assert [row["name"] for row in await link.query("sites", {"search": "IRK"})] == ["Birke"]
        page = await link.page("sites", limit=2)
        assert [row["name"] for row in page.rows] == ["Birke", "Cedar"]
        (last,) = (await link.page("sites", after=page.next, limit=2)).rows
        assert last["name"] == "Ahorn"
        for args in ({"search": 5}, {"search": "x" * 81}):
            assert await code_of(link.query("sites", args)) == Code.BAD_REQUEST


async def test_the_grant_for_another_site_is_asked_for_when_it_is_opened(cloud: Cloud) -> None:
    boxes = await estate(cloud, "Ahorn", "Birke", "Cedar")
    boss = await entrusted(cloud, "Ahorn", "Birke")
    async with boss.link() as link:
        told = await link.manage("access", {"site": boxes["Birke"].site})
        claims = cloud.accounts.verifier.claims(told["grant"], CLOCK.now_ms(), boxes["Birke"].site)
        assert (claims.role, claims.key) == (Role.OPERATOR, boss.key.thumbprint)
        for other in (boxes["Cedar"].site, "Cedar", "nowhere"):
            assert await code_of(link.manage("access", {"site": other})) == Code.UNKNOWN_SITE
    boss.grants = (*boss.grants, told["grant"])
    async with boss.link() as link:
        assert await link.query("people", site=boxes["Birke"].site)
    driver = await join(cloud, "Birke")
    async with driver.link() as link:
        assert await code_of(link.manage("access", {"site": "Birke"})) == Code.NOT_PERMITTED
        assert await code_of(link.manage("entrust", {"principal": "x"})) == Code.NOT_PERMITTED
    async with local(cloud._settings.socket_path) as root:
        assert await code_of(root.manage("entrust", {"principal": "p-none"})) == Code.BAD_REQUEST
        assert await code_of(root.manage("entrust", {"principal": "p", "sites": ["x"]})) == Code.UNKNOWN_SITE


async def test_people_with_their_chargers_tags_and_open_invites(cloud: Cloud, box: FakeBox) -> None:
    boss = await join(cloud, "Home", Role.OPERATOR, name="Olga")
    await join(cloud, "Home", name="Ann", chargers=["CP1"])
    waiting = await invite(cloud, "Home", name="Bob")
    async with box.connected(), boss.link() as link:
        ann = next(row for row in await link.query("people") if row["name"] == "Ann")
        told = facts.AuthorizationChanged(principal=ann["principal"], change="tag_assigned", tag_ref="t1")
        await box.tell(told)
        await until(lambda: box.drained)
        rows = await link.query("people")
        assert [(row["name"], row["role"], row["state"], row["devices"]) for row in rows] == [
            ("Ann", "driver", "active", 1),
            ("Bob", "driver", "invited", 0),
            ("Olga", "operator", "active", 1),
        ]
        assert (rows[0]["chargers"], rows[0]["tags"]) == (["CP1"], ["t1"])
        assert rows[1]["expires_at"] == waiting["expires_at"]
        await link.manage("invite_withdraw", {"principal": rows[1]["principal"]})
        assert len(await link.query("people")) == 2
        again = link.manage("invite_withdraw", {"principal": rows[1]["principal"]})
        assert await code_of(again) == Code.BAD_INVITE
        acts = [act["what"] for act in await link.query("acts")]
        assert acts[0] == "invite_withdrawn"
    assert await code_of(Device(cloud).join(waiting["invite"])) == Code.BAD_INVITE


async def test_an_operator_whom_a_box_made_runs_nothing_here_before_the_owner_says_so(cloud: Cloud) -> None:
    boxes = await estate(cloud, "Ahorn", "Birke")
    boss = await join(cloud, "Birke", Role.OPERATOR)
    assert boss.granted is not None
    made_there = facts.AuthorizationChanged(
        principal="p-box", change="granted", role=Role.OPERATOR, key=boss.key.thumbprint
    )
    async with boxes["Ahorn"].connected() as ahorn, boss.link() as link:
        await ahorn.tell(made_there)
        await until(lambda: ahorn.drained)
        assert [row["name"] for row in await link.query("sites")] == ["Birke"]
        assert await code_of(link.manage("access", {"site": ahorn.site})) == Code.NOT_PERMITTED
    async with local(cloud._settings.socket_path) as root:
        assert await code_of(root.manage("entrust", {"principal": "p-box"})) == Code.BAD_REQUEST
        (row,) = await root.query("people", site="Ahorn")
        assert (row["principal"], row["state"]) == ("p-box", "waiting")
        await root.manage("confirm", {"principal": "p-box", "site": "Ahorn"})
    async with boss.link() as link:
        assert len(await link.query("sites")) == 2


async def test_commands_are_told_with_their_outcome_and_the_audit_by_kind(cloud: Cloud, box: FakeBox) -> None:
    boss = await join(cloud, "Home", Role.OPERATOR, name="Olga")
    assert boss.granted is not None
    who = boss.granted.site.principal
    async with box.connected(), boss.link() as link:
        for number in range(3):
            await box.tell(
                facts.CommandAccepted(
                    command=f"c{number}",
                    principal=who,
                    role=Role.OPERATOR,
                    path=Path.CLOUD,
                    name="reset",
                    charger="CP1",
                    fingerprint="f",
                    expires_at="2026-11-30T10:00:00Z",
                )
            )
        await box.tell(facts.CommandSettled(command="c1", charger="CP1", outcome="unknown", code="unproven"))
        await until(lambda: box.drained)
        rows = await link.query("commands")
        assert [(row["command"], row["state"], row["outcome"], row["person"]) for row in rows] == [
            ("c2", "accepted", "", "Olga"),
            ("c1", "settled", "unknown", "Olga"),
            ("c0", "accepted", "", "Olga"),
        ]
        page = await link.page("commands", limit=1)
        assert [row["command"] for row in page.rows] == ["c2"]
        assert [row["command"] for row in (await link.page("commands", after=page.next)).rows] == ["c1", "c0"]
        told = await link.query("audit", {"kinds": ["command_settled"]})
        assert [row["kind"] for row in told] == ["command_settled"]
        assert await code_of(link.query("audit", {"kinds": ["meter_sampled"]})) == Code.BAD_REQUEST
        assert await code_of(link.query("audit", {"kinds": [["x"]]})) == Code.BAD_REQUEST


async def test_sessions_are_filtered_and_ones_own_can_be_told_from_all(cloud: Cloud, box: FakeBox) -> None:
    boss = await join(cloud, "Home", Role.OPERATOR)
    assert boss.granted is not None
    box.ledger.charge("s1", 0, 10)
    box.ledger.charge("s2", 10, 20, principal=boss.granted.site.principal, charger="CP2")
    async with box.connected(), boss.link() as link:
        await until(lambda: box.drained)

        async def found(**wanted: Any) -> list[str]:
            return [row["session"] for row in await link.query("sessions", wanted)]

        assert await found() == ["s2", "s1"]
        assert await found(charger="CP1") == ["s1"]
        assert await found(own=True) == ["s2"]
        assert await code_of(link.query("sessions", {"since": "yesterday"})) == Code.BAD_REQUEST


async def test_a_driver_sees_none_of_it(cloud: Cloud, box: FakeBox) -> None:
    driver = await join(cloud, "Home")
    async with driver.link() as link:
        questions = ("sites", "fleet", "people", "commands", "chargers", "dials", "acts", "orphans", "audit")
        for what in (*questions, "devices", "health"):
            assert await code_of(link.query(what)) == Code.NOT_PERMITTED, what
        for name in ("reconcile", "invite_withdraw", "access", "entrust"):
            assert await code_of(link.manage(name, {})) == Code.NOT_PERMITTED, name


@pytest.mark.parametrize("what", ["chargers", "dials"])
async def test_what_only_the_box_knows_is_asked_of_it(cloud: Cloud, box: FakeBox, what: str) -> None:
    boss = await join(cloud, "Home", Role.OPERATOR)
    async with boss.link() as link:
        assert await code_of(link.query(what)) == Code.SITE_OFFLINE


async def test_four_hundred_sites_come_in_pages_and_by_name(cloud: Cloud, box: FakeBox) -> None:
    boss = await join(cloud, "Home", Role.OPERATOR)
    assert boss.granted is not None
    assert cloud._store is not None
    async with cloud._store._db.write() as tx:
        rows = [
            codec.site_values(
                SiteRow(id=f"s-{number:03}", name=f"Garage {number:03}", box="b", public="p", issuer="i")
            )
            for number in range(400)
        ]
        await tx.execute(insert(schema.site), rows)
    async with local(cloud._settings.socket_path) as root:
        done = await root.manage("entrust", {"principal": boss.granted.site.principal})
    assert done["added"] == 400
    async with box.connected(), boss.link() as link:
        await until(lambda: cloud.hub.present(box.site) is not None)
        assert await link.query("fleet") == [{"sites": 401, "online": 1, "needing": 400}]
        names, after, pages = [], "", 0
        while True:
            page = await link.page("sites", after=after, limit=50)
            assert len(page.rows) <= 50
            names += [row["name"] for row in page.rows]
            pages, after = pages + 1, page.next
            if not after:
                break
        assert pages == 9
        assert names == [f"Garage {number:03}" for number in range(400)] + ["Home"], (
            "the one that is well last"
        )
        assert [row["name"] for row in await link.query("sites", {"search": "age 39"})] == [
            f"Garage {number}" for number in range(390, 400)
        ]
        needing = await link.query("sites", {"needing": True})
        assert len(needing) == 400

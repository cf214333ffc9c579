"""A driver whose right has run out while no cloud can be reached: let in for a while, shown, written down."""

from __future__ import annotations

from pathlib import Path

from common.client.local import local
from common.domain import Role, iso
from common.errors import Code
from common.trust.grants import LIFETIMES_MS
from edge.authority import OFFLINE_GRACE_MS
from tests.box.phones import CLOCK, Phone, place, refused
from tests.box.support import eventually

DAY_MS = 24 * 3_600_000


async def test_grace_is_shown_on_the_link_and_written_into_the_chain_once(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud), local(tmp_path / "edge.sock") as installer:
        driver = Phone(site).granted_by(cloud, ago_ms=8 * DAY_MS)
        ends_ms = driver.claims.expires_ms
        assert abs(ends_ms - (CLOCK.now_ms() - DAY_MS + OFFLINE_GRACE_MS)) < 60_000
        for _ in range(2):
            async with driver.link() as link:
                access = link.sites[site.authority.site]
                assert (access.grace, access.expires_at) == (True, iso(ends_ms))
        await site.journal.probe()  # a note waits for nobody
        rows = await installer.query("audit", {"kinds": ["security_noted"]})
        noted = [row["body"] for row in rows if row["body"]["what"] == "offline_grace"]
        assert [body["detail"] for body in noted] == [driver.claims.principal], "once for a grant"
        (verdict,) = await installer.query("verify")
        assert (verdict["ok"], verdict["chain"]["intact"]) == (True, True)


async def test_no_grace_for_staff_nor_behind_its_end_nor_while_the_cloud_is_there(tmp_path: Path) -> None:
    longest = LIFETIMES_MS[Role.DRIVER] + OFFLINE_GRACE_MS
    async with place(tmp_path) as (site, cloud):
        await refused(Phone(site).granted_by(cloud, ago_ms=longest + 1000), Code.GRANT_EXPIRED)
        for role in (Role.OPERATOR, Role.INSTALLER):
            late = Phone(site).granted_by(cloud, role, ago_ms=LIFETIMES_MS[role] + 1000)
            await refused(late, Code.GRANT_EXPIRED)
    (tmp_path / "2").mkdir()
    async with place(tmp_path / "2", dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        await refused(Phone(site).granted_by(cloud, ago_ms=8 * DAY_MS), Code.GRANT_EXPIRED)

"""What a box allows by a clock that it cannot believe, and how it comes back from a wrong one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.client.local import local
from common.domain import Role, iso
from common.errors import Code, PlugsideError, RemoteFault
from common.policy import Claims
from edge.site import Site
from tests.box.cloud import FakeCloud
from tests.box.phones import CLOCK, Phone, place, refused
from tests.box.support import eventually

DAY_MS = 24 * 3_600_000
YEAR_MS = 366 * DAY_MS


def wrong_by(site: Site, ms: int) -> None:
    """The machine's own clock is set, by a time server that errs."""
    real = site.clock._wall_ns
    site.clock._wall_ns = lambda: real() + ms * 1_000_000


async def certified(site: Site) -> None:
    """Once the box serves a certificate of this time, and will not change it under a handshake."""
    await eventually(lambda: site.lan._certificates.serves(site.clock.now_ms()), "a certificate of this time")


async def let_in(phone: Phone) -> None:
    """Once the box serves the certificate of this time again."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with phone.link():
                    return
            except RemoteFault:
                await asyncio.sleep(0.05)


async def reasons(site: Site, folder: Path) -> list[str]:
    await site.journal.probe()
    async with local(folder / "edge.sock") as installer:
        rows = await installer.query("audit", {"kinds": ["clock_stepped"]})
    return [row["body"]["reason"] for row in rows]


async def test_a_clock_that_runs_ten_years_ahead_locks_out_until_the_tunnel_proves_it_wrong(
    tmp_path: Path,
) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        driver = Phone(site).granted_by(cloud)
        now_ms = site.clock.now_ms()
        wrong_by(site, 10 * YEAR_MS)
        site.watch.look()
        await refused(driver, Code.GRANT_EXPIRED)
        cloud.time = iso(now_ms)
        await cloud.hang_up()
        await eventually(lambda: site.clock.now_ms() < now_ms + DAY_MS, "time to be right again")
        await let_in(driver)
        assert await reasons(site, tmp_path) == ["stepped_forward", "proven_by_tunnel"]


async def test_without_internet_somebody_in_front_of_the_box_puts_it_right(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud), local(tmp_path / "edge.sock") as installer:
        driver, of_the_box = Phone(site).granted_by(cloud), await Phone(site).join()
        wrong_by(site, YEAR_MS)
        await refused(driver, Code.GRANT_EXPIRED)
        await certified(site)
        async with of_the_box.link() as link:
            (renewed,) = link.granted
            of_the_box.grant = renewed.grant  # of a time that will not come for a year
        for wrong in ("tomorrow", "2026"):
            with pytest.raises(PlugsideError) as no:
                await installer.manage("clock", {"set": wrong})
            assert no.value.code is Code.BAD_REQUEST
        told = await installer.manage("clock", {"set": iso(CLOCK.now_ms())})
        assert (told["stepped"], told["sure"]) == (True, True)
        await certified(site)
        async with of_the_box.link() as link:
            assert link.granted, "renewed again"
        async with driver.link() as link:
            with pytest.raises(PlugsideError) as no:
                await link.manage("clock", {"set": "system"})
            assert no.value.code is Code.NOT_PERMITTED
        assert (await reasons(site, tmp_path))[-1] == "proven_by_hand"
    again = Site(site._settings)
    try:
        assert again.clock.now_ms() < CLOCK.now_ms() + DAY_MS, "no later start goes back to the wrong time"
    finally:
        await again.close()


async def test_a_floor_takes_drivers_and_says_so_and_refuses_staff(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        driver, operator = await Phone(site).join(), await Phone(site).join(Role.OPERATOR)
        installer = Phone(site).granted_by(cloud, Role.INSTALLER)
        site.clock.now_ms()
        wrong_by(site, -30 * DAY_MS)
        await certified(site)
        async with driver.link():
            pass
        await refused(operator, Code.CLOCK_UNPROVEN)
        await refused(installer, Code.CLOCK_UNPROVEN)
        async with local(tmp_path / "edge.sock") as local_presence:
            (health,) = await local_presence.query("health")
            assert health["clock"] == "floor"
            await local_presence.manage("clock", {"set": iso(CLOCK.now_ms())})
        async with operator.link():
            pass


async def test_what_a_known_issuer_signs_tells_a_box_of_the_drawer_the_time(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        wrong_by(site, -20_000 * DAY_MS)  # 1970
        site.clock._told_ns -= 40 * DAY_MS * 1_000_000
        asleep_ms = site.clock.now_ms()
        late, later = Phone(site).granted_by(cloud), Phone(site)
        async with late.link():
            pass
        assert site.clock.now_ms() >= asleep_ms + 39 * DAY_MS
        later.grant = signed_at(cloud, site, later, CLOCK.now_ms() + 2 * YEAR_MS)
        await refused(later, Code.GRANT_EXPIRED)
        assert site.clock.now_ms() < asleep_ms + 50 * DAY_MS, "beyond a year it needs the tunnel"
        assert "signed_later" in await reasons(site, tmp_path)


def signed_at(cloud: FakeCloud, site: Site, phone: Phone, at_ms: int) -> str:
    rights = Claims(site=site.authority.site, principal="p-late", role=Role.DRIVER, key=phone.key.thumbprint)
    return cloud.grant(rights, at_ms, "late")

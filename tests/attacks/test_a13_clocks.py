"""Group 13: a grant that has ended by a second, clocks an hour, thirty days and fifty years back, ten years
ahead, and a floor that a far-future signature would poison."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.clock import HEARD_MAX_MS
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims
from edge.authority import OFFLINE_GRACE_MS
from edge.site import Site
from tests.box.cloud import FakeCloud
from tests.box.phones import CLOCK, Phone, place, refused
from tests.box.support import eventually
from tests.box.test_clock_states import certified, let_in, wrong_by
from tests.trust.cast import DAY_MS, NOW_MS, SITE, grant, verifier

HOUR_MS = 3_600_000
LIFE_MS = 7 * DAY_MS


def given(cloud: FakeCloud, phone: Phone, issued_ms: int, role: Role = Role.DRIVER) -> Phone:
    """The phone with a grant of the cloud's from that time."""
    claims = Claims(site=phone.site.authority.site, principal="p", role=role, key=phone.key.thumbprint)
    phone.grant = cloud.grant(claims, issued_ms, f"g-{issued_ms}")
    return phone


def test_a13_an_end_is_an_end_to_the_millisecond() -> None:
    judge = verifier()
    assert judge.claims(grant(), NOW_MS + LIFE_MS - 1, SITE)
    for late_ms in (0, 1, 1000, 5 * 60_000, 365 * DAY_MS):
        with pytest.raises(Refused) as no:
            judge.claims(grant(), NOW_MS + LIFE_MS + late_ms, SITE)
        assert no.value.code is Code.GRANT_EXPIRED, late_ms


async def test_a13_a_clock_that_is_set_back_brings_no_grant_back(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        ended = given(cloud, Phone(site), site.clock.now_ms() - LIFE_MS - OFFLINE_GRACE_MS - 1000)
        honest = Phone(site).granted_by(cloud)
        await refused(ended, Code.GRANT_EXPIRED)
        for back_ms in (HOUR_MS, 30 * DAY_MS, 20_000 * DAY_MS):
            wrong_by(site, -back_ms)
            await refused(ended, Code.GRANT_EXPIRED)
            async with honest.link():
                pass
        # Not by a new start either: what was written down has happened.
        await site.journal.probe()
    again = Site(site._settings)
    try:
        assert again.clock.now_ms() >= site.clock.now_ms() - HOUR_MS
    finally:
        await again.close()


async def test_a13_ten_years_ahead_ends_when_the_tunnel_says_so(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        honest = Phone(site).granted_by(cloud)
        true_ms = site.clock.now_ms()
        wrong_by(site, 3650 * DAY_MS)
        await refused(honest, Code.GRANT_EXPIRED)
        cloud.time = iso(true_ms)
        await cloud.hang_up()
        await eventually(lambda: site.clock.now_ms() < true_ms + DAY_MS, "the right time")
        await let_in(honest)


async def test_a13_a_floor_is_not_poisoned_beyond_a_year_and_a_year_is_mended_by_hand(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        honest = Phone(site).granted_by(cloud)
        now_ms = site.clock.now_ms()
        await refused(given(cloud, Phone(site), now_ms + HEARD_MAX_MS + DAY_MS), Code.GRANT_EXPIRED)
        async with honest.link():
            pass
        assert site.clock.now_ms() < now_ms + DAY_MS
        await certified(site)
        # A stolen signing key can push it by less; whoever stands at the box puts it right.
        async with given(cloud, Phone(site), now_ms + 300 * DAY_MS).link():
            pass
        await refused(honest, Code.GRANT_EXPIRED)
        assert site.watch.proved(CLOCK.now_ms(), "hand")
        await certified(site)
        async with honest.link():
            pass


async def test_a13_a_floor_takes_no_staff(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        site.clock.now_ms()
        wrong_by(site, -2 * DAY_MS)
        for role in (Role.OPERATOR, Role.INSTALLER):
            await refused(Phone(site).granted_by(cloud, role), Code.CLOCK_UNPROVEN)
        async with Phone(site).granted_by(cloud).link():
            pass

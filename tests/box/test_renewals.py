"""Renewal at the box: its own, the cloud's by way of the tunnel, and nobody's in the cloud's stead."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from common import sync, trust, wire
from common.caps import Caps
from common.client.connection import Connection
from common.domain import Role
from common.errors import Code, PlugsideError, error
from common.policy import Claims
from common.trust.grants import LIFETIMES_MS
from edge.authority import OFFLINE_GRACE_MS
from edge.site import Site
from tests.box.cloud import FakeCloud
from tests.box.phones import CLOCK, IDS, Phone, place, refused
from tests.box.support import eventually

DAY_MS = 24 * 3_600_000
CAPS = Caps(sessions=3)


def anew(cloud: FakeCloud, claims: Claims, **other: object) -> None:
    """The cloud renews, for whom it says."""
    told = msgspec.structs.replace(claims, **other)
    cloud.renewal = lambda _: sync.Renewed(ref="", grant=cloud.grant(told, CLOCK.now_ms(), IDS.uid()))


def rights(site: Site, grant: str) -> Claims:
    return site.authority.verifier.renewable(grant, site.authority.site)


async def declined(link: Connection, grant: str) -> Code:
    with pytest.raises(PlugsideError) as no:
        await link.renew(grant)
    return no.value.code


@pytest.mark.parametrize("role", [Role.DRIVER, Role.OPERATOR, Role.INSTALLER])
async def test_what_has_run_out_is_renewed_by_the_cloud_through_the_box(tmp_path: Path, role: Role) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        phone = Phone(site).granted_by(cloud, role, ago_ms=LIFETIMES_MS[role] + DAY_MS)
        old = rights(site, phone.grant)
        anew(cloud, old)
        async with phone.link() as link:
            (granted,) = link.granted
            fresh = rights(site, granted.grant)
            assert granted.cloud == cloud.url
            assert link.sites[site.authority.site].role == role.value
        assert fresh.issuer == old.issuer != site.authority.issuer_id, "the box signs nothing in its stead"
        assert [asked.grant for asked in cloud.asked_renewals] == [phone.grant]
        assert (fresh.role, fresh.principal, fresh.key) == (role, old.principal, old.key)


async def test_nothing_but_what_the_cloud_says_for_this_very_key_is_handed_on(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        phone, other = Phone(site).granted_by(cloud), Phone(site).granted_by(cloud)
        async with phone.link() as link:
            anew(cloud, phone.claims, key=other.key.thumbprint)
            assert await declined(link, phone.grant) is Code.PROTOCOL
            anew(cloud, phone.claims, principal="p-other")
            assert await declined(link, phone.grant) is Code.PROTOCOL
            cloud.renewal = lambda _: sync.Renewed(ref="", grant="nonsense")
            assert await declined(link, phone.grant) is Code.BAD_GRANT
            no = error(Code.REVOKED)
            refusal = wire.Refusal(code=no.code, message=no.message, hint=no.hint)
            cloud.renewal = lambda _: sync.Renewed(ref="", refusal=refusal)
            assert await declined(link, phone.grant) is Code.REVOKED
            before = len(cloud.asked_renewals)
            assert await declined(link, other.grant) is Code.BAD_GRANT, "another's key"
            assert len(cloud.asked_renewals) == before, "nobody but who is there is asked for"


async def test_a_revoked_key_is_not_even_asked_for(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        thief = Phone(site).granted_by(cloud, ago_ms=8 * DAY_MS)
        anew(cloud, rights(site, thief.grant))
        site.authority.withdrawals.revoke([trust.revoked_key(thief.key.thumbprint)])
        await refused(thief)
        assert cloud.asked_renewals == []


async def test_nobody_signs_in_a_silent_clouds_stead(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        driver = Phone(site).granted_by(cloud, ago_ms=8 * DAY_MS)
        async with driver.link() as link:
            assert link.sites[site.authority.site].grace
            assert await declined(link, driver.grant) is Code.CLOUD_UNREACHABLE
        for role in (Role.OPERATOR, Role.INSTALLER):
            staff = Phone(site).granted_by(cloud, role)
            async with staff.link() as link:
                assert await declined(link, staff.grant) is Code.CLOUD_UNREACHABLE
            late = Phone(site).granted_by(cloud, role, ago_ms=2 * DAY_MS)
            await refused(late, Code.GRANT_EXPIRED)


async def test_a_cloud_of_before_is_not_asked_and_a_tunnel_that_ends_answers(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        phone = Phone(site).granted_by(cloud)
        async with phone.link() as link:
            told = site.supervisor.spawn("asks", declined(link, phone.grant))
            await eventually(lambda: bool(cloud.asked_renewals), "the question")
            await cloud.hang_up()
            assert await told is Code.CLOUD_UNREACHABLE
            cloud.renews = False
            links = cloud.links
            await eventually(lambda: cloud.links > links and site.tunnel_stands, "the next tunnel")
            await cloud.hang_up()
            await eventually(lambda: cloud.links > links + 1 and site.tunnel_stands, "one without")
            assert await declined(link, phone.grant) is Code.CLOUD_UNREACHABLE
        assert len(cloud.asked_renewals) == 1


# --- what the box made itself ------------------------------------------------------------------------------


async def test_the_box_renews_what_it_made_and_adds_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        for role in (Role.DRIVER, Role.OPERATOR):
            phone = await Phone(site).join(role)
            async with phone.link() as link:
                granted = await link.renew(phone.grant)
            fresh, now_ms = rights(site, granted.grant), CLOCK.now_ms()
            assert fresh.issuer == site.authority.issuer_id
            assert (fresh.role, fresh.chargers, fresh.caps) == (role, None, None)
            assert fresh.expires_ms <= now_ms + LIFETIMES_MS[role]
        assert cloud.asked_renewals == [], "the box knows them itself"


async def test_a_right_of_the_box_that_the_cloud_took_over_goes_on_while_that_is_silent(
    tmp_path: Path,
) -> None:
    async with place(tmp_path) as (site, cloud):
        phone = await Phone(site).join()
        ours = phone.claims
        phone.grant = cloud.grant(ours, CLOCK.now_ms() - 15 * DAY_MS, "taken-over")
        async with phone.link() as link:
            fresh = rights(site, link.granted[0].grant)
        assert (fresh.issuer, fresh.principal) == (site.authority.issuer_id, ours.principal)
        # Not one that says anything else than what was made here: that is the cloud's word, and newer.
        for other in ({"chargers": ("CP1",)}, {"caps": CAPS}, {"role": Role.OPERATOR}):
            changed = msgspec.structs.replace(ours, **other)
            phone.grant = cloud.grant(changed, CLOCK.now_ms() - 15 * DAY_MS, "changed")
            await refused(phone, Code.GRANT_EXPIRED)


async def test_a_right_that_is_handed_on_to_another_device_ends_with_the_clouds_word(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        phone = Phone(site).granted_by(cloud, caps=CAPS, ago_ms=6 * DAY_MS)
        ends_ms = phone.claims.expires_ms
        tablet = await other_device(site, phone)
        assert (tablet.claims.principal, tablet.claims.caps) == (phone.claims.principal, CAPS)
        assert ends_ms - 2000 < tablet.claims.expires_ms <= ends_ms
        watch = await other_device(site, tablet)
        assert watch.claims.expires_ms <= ends_ms, "nor by a third one"
        for one in (tablet, watch):
            async with one.link() as link:
                again = rights(site, (await link.renew(one.grant)).grant)
            assert again.expires_ms <= ends_ms, "a renewal here adds no day"
        # In its grace it is not handed on at all.
        late = Phone(site).granted_by(cloud, ago_ms=8 * DAY_MS)
        async with late.link() as link:
            with pytest.raises(PlugsideError) as no:
                await link.manage("device_add")
            assert no.value.code is Code.GRANT_EXPIRED
        assert OFFLINE_GRACE_MS == 7 * DAY_MS


async def test_what_was_handed_on_is_renewed_by_the_cloud_once_that_is_there(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        phone = Phone(site).granted_by(cloud)
        tablet = await other_device(site, phone)
        anew(cloud, tablet.claims)
        async with tablet.link() as link:
            fresh = rights(site, (await link.renew(tablet.grant)).grant)
        assert fresh.issuer == phone.claims.issuer
        assert len(cloud.asked_renewals) == 1


async def other_device(site: Site, first: Phone) -> Phone:
    async with first.link() as link:
        made = await link.manage("device_add")
    other = Phone(site)
    async with other.link(invite=trust.Invite.from_text(made["invite"]).secret, grants=()) as link:
        other.grant = link.granted[0].grant
    return other


async def test_by_a_floor_clock_drivers_are_renewed_and_staff_is_not(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        driver, operator = await Phone(site).join(), await Phone(site).join(Role.OPERATOR)
        async with driver.link() as link, operator.link() as staff:
            site.authority.verifier.sure = lambda: False
            now_ms = site.clock.now_ms()
            fresh = rights(site, (await link.renew(driver.grant)).grant)
            assert fresh.expires_ms <= now_ms + LIFETIMES_MS[Role.DRIVER] + 60_000
            assert await declined(staff, operator.grant) is Code.CLOCK_UNPROVEN

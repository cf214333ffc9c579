"""Owners, further devices of one person, households, and a box that is let go and taken in again."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import trust
from common.caps import Caps
from common.client.local import local
from common.desk import may_invite
from common.domain import Role
from common.errors import Code, PlugsideError
from common.keystore import generate_identity
from common.policy import Claims
from edge.site import Site
from tests.box.cloud import FakeCloud
from tests.box.phones import CLOCK, Phone, place, refused
from tests.box.support import eventually

CAPS = Caps(energy_wh=20_000, sessions=3)


def owner_of(site: Site, cloud: FakeCloud) -> Phone:
    """An owner's phone, by a grant of the cloud's."""
    phone = Phone(site)
    (issuer,) = trust.cloud_issuers(trust.open_key_set(cloud.keys(), cloud.root.public))
    phone.grant = trust.issue_grant(
        trust.Issuing(key=cloud.online, issuer=issuer),
        site=site.authority.site,
        principal="p-owner",
        role=Role.OPERATOR,
        key=phone.key.thumbprint,
        grant_id="owner",
        now_ms=CLOCK.now_ms(),
        owner=True,
    )
    return phone


async def second(first: Phone) -> Phone:
    """Another device of the same person, by the code that the first one shows."""
    async with first.link() as link:
        made = await link.manage("device_add")
    other = Phone(first.site)
    async with other.link(invite=trust.Invite.from_text(made["invite"]).secret, grants=()) as link:
        other.grant = link.granted[0].grant
    return other


async def test_a_second_device_is_the_same_person_with_the_same_caps(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _), local(tmp_path / "edge.sock") as installer:
        made = await installer.manage(
            "invite", {"role": "driver", "chargers": None, "caps": {"energy_wh": 20_000, "sessions": 3}}
        )
        phone = Phone(site)
        async with phone.link(invite=trust.Invite.from_text(made["invite"]).secret, grants=()) as link:
            phone.grant = link.granted[0].grant
        tablet = await second(phone)
        assert tablet.claims.principal == phone.claims.principal == made["principal"]
        assert tablet.key.thumbprint != phone.key.thumbprint
        for one in (phone, tablet):
            assert one.claims.caps is not None
            assert (one.claims.caps.energy_wh, one.claims.caps.sessions) == (20_000, 3)
            async with one.link() as link:
                assert link.sites[site.authority.site].caps == one.claims.caps
                (row,) = await link.query("allowance")
                assert (row["energy_wh"], row["sessions"], row["left_wh"]) == (0.0, 0, 20_000)
        # One device can go, and the person stays; or the person, and everything goes.
        await installer.manage("revoke", {"key": phone.key.thumbprint})
        await refused(phone)
        async with tablet.link():
            pass
        await installer.manage("revoke", {"principal": made["principal"]})
        await refused(tablet)


async def test_a_household_shares_a_charger_as_two_people(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        ann, ben = await Phone(site).join(), await Phone(site).join()
        assert ann.claims.principal != ben.claims.principal
        assert ann.claims.chargers == ben.claims.chargers


async def test_only_the_owner_or_somebody_at_the_box_lets_it_go(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        driver, operator = await Phone(site).join(), await Phone(site).join(Role.OPERATOR)
        by_cloud, owner = Phone(site).granted_by(cloud, Role.OPERATOR), owner_of(site, cloud)
        for phone in (driver, operator, by_cloud):
            async with phone.link() as link:
                with pytest.raises(PlugsideError) as no:
                    await link.manage("release")
                assert no.value.code is Code.NOT_PERMITTED
        async with local(tmp_path / "edge.sock") as installer:
            with pytest.raises(PlugsideError) as no:
                await installer.manage("pair")
            assert no.value.code is Code.NOT_PERMITTED, "taken already"
            async with owner.link() as link:
                assert link.sites[site.authority.site].owner
                done = await link.manage("release")
            assert done["released_from"] == cloud.url
            await eventually(lambda: not site.tunnel_stands, "the tunnel to end")
            for phone in (driver, operator):
                await refused(phone)
            for phone in (by_cloud, owner):
                await refused(phone, Code.BAD_GRANT)
            rows = await installer.query("audit", {"kinds": ["authorization_changed"]})
            assert ("released", "p-owner") in [
                (r["body"]["change"], r["body"].get("principal")) for r in rows
            ]
            assert (await installer.manage("pair"))["code"], "and may be paired anew"
        again = await Phone(site).join()
        async with again.link():
            pass


async def test_a_box_makes_no_owner_and_believes_none_but_its_clouds(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _), local(tmp_path / "edge.sock") as installer:
        with pytest.raises(PlugsideError) as no:
            await installer.manage("invite", {"role": "operator", "owner": True})
        assert no.value.code is Code.NOT_PERMITTED
        key = generate_identity()
        authority = site.authority
        with pytest.raises(PlugsideError) as no:
            trust.issue_grant(
                authority._issuing,
                site=authority.site,
                principal="p",
                role=Role.OPERATOR,
                key=key.thumbprint,
                grant_id="g",
                now_ms=CLOCK.now_ms(),
                owner=True,
            )
        assert no.value.code is Code.NOT_PERMITTED


def test_an_owner_may_do_what_an_operator_may_and_make_operators() -> None:
    owner = Claims(site="s", principal="p", role=Role.OPERATOR, owner=True)
    for role in (Role.DRIVER, Role.OPERATOR):
        may_invite(owner, role)
    for who, role in (
        (owner, Role.INSTALLER),
        (Claims(site="s", principal="p", role=Role.OPERATOR), Role.OPERATOR),
    ):
        with pytest.raises(PlugsideError):
            may_invite(who, role)
    with pytest.raises(PlugsideError):
        may_invite(owner, Role.OPERATOR, CAPS)


@pytest.mark.parametrize("place", ["CP1", "CP1/", "/1", "CP1/x"])
def test_a_connector_without_its_number_is_no_place_to_invite_to(place: str) -> None:
    operator = Claims(site="s", principal="p", role=Role.OPERATOR)
    may_invite(operator, Role.DRIVER, Caps(connectors=("CP1/2", "a/b/1")))
    with pytest.raises(PlugsideError) as no:
        may_invite(operator, Role.DRIVER, Caps(connectors=("CP1/2", place)))
    assert no.value.code is Code.BAD_REQUEST

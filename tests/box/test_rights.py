"""Rights that are taken away at a box: its own list, lists that tunnel and phones bring, what follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import sync, trust, wire
from common.client.local import local
from common.domain import Role
from common.errors import Code, LocalFault, PlugsideError
from common.facts import AuthorizationChanged
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.cloud import FakeCloud
from tests.box.phones import CLOCK, Phone, listed, place, refused
from tests.box.support import eventually


async def test_taken_away_at_the_box_ends_links_at_once_and_is_told_to_all_others(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud), local(tmp_path / "edge.sock") as installer:
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        thief, honest = await Phone(site).join(), await Phone(site).join()
        whom = thief.claims.principal
        async with thief.link() as stolen, honest.link() as other:
            assert other.sites[site.authority.site].revocations == ()
            done = await installer.manage("revoke", {"principal": whom})
            assert (await stolen.closed()).code is Code.REVOKED
            assert done["number"] == done["entries"] == done["devices"] == 1
            await eventually(lambda: bool(other.sites[site.authority.site].revocations), "the list")
            assert other.fault is None
        await refused(thief)
        async with honest.link():
            pass
        await eventually(lambda: bool(cloud.lists), "the cloud to hear of it")
        rows = await installer.query("audit", {"kinds": ["authorization_changed", "security_noted"]})
        told = [row["body"] for row in rows]
        assert ("revoked", whom) in [(body.get("change"), body.get("principal")) for body in told]
        assert any(body.get("what") == "rights_withdrawn" for body in told)


async def test_a_box_without_internet_learns_it_from_the_next_honest_phone(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        thief, honest = Phone(site).granted_by(cloud), Phone(site).granted_by(cloud)
        async with thief.link() as stolen:
            one = listed(cloud, site, 3, trust.revoked_key(thief.key.thumbprint))
            honest.lists = (one.text,)
            async with honest.link() as link:
                assert (await stolen.closed()).code is Code.REVOKED
                assert link.sites[site.authority.site].revocations == (one.text,), "handed on"
        await refused(thief)


async def test_lists_survive_a_restart_and_are_never_taken_back(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        thief, honest = Phone(site).granted_by(cloud), Phone(site).granted_by(cloud)
        entry = trust.revoked_principal(thief.claims.principal)
        three, two = listed(cloud, site, 3, entry), listed(cloud, site, 2)
        for text in (three.text, two.text, listed(FakeCloud(), site, 9).text, three.text[:-9], "nonsense"):
            honest.lists = (text,)
            async with honest.link():
                pass
        await refused(thief)
    again = Site(EdgeSettings.load({"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": tmp_path}))
    try:
        assert again.authority.withdrawals.numbers() == {three.issuer: 3}
        with pytest.raises(PlugsideError) as no:
            again.authority.claims_of(thief.grant, CLOCK.now_ms())
        assert no.value.code is Code.REVOKED
    finally:
        await again.close()
    document = tmp_path / "keys" / "revocations.json"
    document.write_text('{"lists": ["cut"]}')
    with pytest.raises(LocalFault) as damaged:
        Site(EdgeSettings.load({"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": tmp_path}))
    assert "revocations.json" in damaged.value.detail


async def test_a_box_that_ended_between_a_list_and_its_facts_goes_on_from_the_list(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        for tag_ref, principal in (("ref-1", "p-gone"), ("ref-2", "p-here")):
            body = AuthorizationChanged(change="tag_assigned", principal=principal, tag_ref=tag_ref)
            await site.gateway.written(body)
        site.authority.withdrawals.changed = lambda _: None  # killed here
        text = listed(cloud, site, 1, trust.revoked_principal("p-gone")).text
        assert site.authority.withdrawals.take((text,))
        assert set(site.gateway.state.tags) == {"ref-1", "ref-2"}
    async with place(tmp_path) as (site, cloud):
        assert set(site.gateway.state.tags) == {"ref-2"}
        last = site.gateway.state.view.seq
    async with place(tmp_path) as (site, cloud):
        assert site.gateway.state.view.seq == last, "it is told once"


async def test_a_folder_put_back_from_a_copy_gets_its_own_list_back(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        thief, other, honest = (Phone(site).granted_by(cloud) for _ in range(3))
        took = site.authority.withdrawals
        took.revoke([trust.revoked_key(thief.key.thumbprint)])
        took.revoke([trust.revoked_key("somebody")])
        async with honest.link() as link:
            honest.lists = link.sites[site.authority.site].revocations
        # What a copy from before that brings back.
        site.authority.verifier.withdrawals = trust.Withdrawn()
        async with thief.link():
            pass
        took.revoke([trust.revoked_key(other.key.thumbprint)])
        async with honest.link():
            pass
        await refused(thief)
        await refused(other)
        assert took.own is not None
        assert took.own.number == 3


async def test_the_tunnel_brings_lists_with_its_welcome_and_while_it_stands(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        first, second = Phone(site).granted_by(cloud), Phone(site).granted_by(cloud)
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        async with first.link() as one:
            lists = (listed(cloud, site, 1, trust.revoked_key(first.key.thumbprint)).text,)
            await cloud.say(sync.Statements(revocations=lists))
            assert (await one.closed()).code is Code.REVOKED
        cloud.known_lists = (listed(cloud, site, 2, trust.revoked_key(second.key.thumbprint)).text,)
        async with second.link() as two:
            await cloud.hang_up()
            assert (await two.closed()).code is Code.REVOKED
        await refused(second)


async def test_who_may_take_a_right_away(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        driver, other = await Phone(site).join(), await Phone(site).join()
        operator, second = await Phone(site).join(Role.OPERATOR), await Phone(site).join(Role.OPERATOR)
        async with operator.link() as link, driver.link() as low:
            for asks, whom in ((link, second), (low, other), (low, operator)):
                with pytest.raises(PlugsideError) as no:
                    await asks.manage("revoke", {"principal": whom.claims.principal})
                assert no.value.code is Code.NOT_PERMITTED
            for wrong in ({}, {"principal": "a", "key": "b"}, {"principal": ""}):
                with pytest.raises(PlugsideError) as no:
                    await link.manage("revoke", wrong)
                assert no.value.code is Code.BAD_REQUEST
            rows = (await link.manage("people"))["people"]
            assert {row["key"] for row in rows} == {
                phone.key.thumbprint for phone in (driver, other, operator, second)
            }
            await link.manage("revoke", {"key": other.key.thumbprint})
            assert other.key.thumbprint not in str((await link.manage("people"))["people"])
        await refused(other)
        assert isinstance(low.fault, PlugsideError)
        assert wire.VERSIONS == (1,)


async def test_a_key_that_was_taken_away_is_not_renewed_when_its_entry_is_gone(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        driver = await Phone(site).join()
        claims = driver.claims
        site.authority.withdrawals.revoke([trust.revoked_key(claims.key)])
        site.authority.verifier.withdrawals = trust.Withdrawn()  # fifteen days later
        with pytest.raises(PlugsideError) as no:
            site.apps.renewals.of_ours(claims)
        assert no.value.code is Code.REVOKED

"""`rotate-key` at a whole box: what it answers, what is written down, and what of before still counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common import sync
from common.domain import Path as LinkPath
from common.domain import Role
from common.trust.rotation import followed
from edge.devices import Made
from edge.lan import serving
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import living
from tests.box.test_people import manage, query


@asynccontextmanager
async def box(folder: Path) -> AsyncIterator[Site]:
    site = Site(EdgeSettings.load({"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": folder}))
    async with living(site):
        yield site


async def told(site: Site, what: str) -> list[str]:
    """What the facts say of it."""
    rows: list[Any] = await query(site, Role.LOCAL, "audit", kinds=["security_noted"])
    return [row["body"]["detail"] for row in rows if row["body"]["what"] == what]


def welcome(site: Site, **fields: str) -> sync.TunnelWelcome:
    return sync.TunnelWelcome(
        version=1, link_epoch=1, epoch=site.journal.epoch, hwm=0, chain_at_hwm=b"", **fields
    )


async def test_rights_go_on_and_each_rotation_is_a_fact_once(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        authority = site.authority
        before, site_id = authority.edge_id, authority.site
        granted = authority.grant("p-ann", Made(role=Role.DRIVER), "a-key")
        authority.withdrawals.revoke(["key:other"])
        done = await manage(site, "rotate_key", {})
        assert (done["edge"], done["former"], done["number"]) == (authority.edge_id, before, 1)
        assert authority.site == site_id
        (detail,) = await told(site, "key_rotated")
        assert authority.edge_id in detail
        assert before in detail
        serves = serving(authority, LinkPath.LAN)
        assert serves.identity.fingerprint == authority.edge_id
        key = serves.identity.public
        assert followed(serves.rotations, pinned=before, key=key, site=site_id)[-1].box == authority.edge_id
        # A right of before counts, as one of now does, and the list goes on under one name.
        now_ms = site.clock.now_ms()
        later = authority.grant("p-ann", Made(role=Role.DRIVER), "a-key")
        issuers = {authority.claims_of(one.grant, now_ms).issuer for one in (granted, later)}
        assert issuers == {before} == {authority.issuer_id}
        authority.withdrawals.revoke(["key:another"])
        assert authority.withdrawals.own is not None
        assert (authority.withdrawals.own.issuer, authority.withdrawals.own.number) == (before, 2)
        # The power goes between the statement and its fact.
        authority.rotate_key()
        assert len(await told(site, "key_rotated")) == 1
    for _ in range(2):
        async with box(tmp_path) as site:
            assert len(await told(site, "key_rotated")) == 2
            (health,) = await query(site, Role.LOCAL, "health")
            assert (health["key"]["number"], health["key"]["former"][-1]) == (2, before)


async def test_what_the_cloud_says_of_the_key_is_shown_and_written_down_once(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        await manage(site, "rotate_key", {})
        mine = site.authority.edge_id
        for _ in range(2):
            site.rekeying.welcomed(welcome(site, box=mine))
        for _ in range(2):
            site.rekeying.welcomed(welcome(site, box="another", former_until="2027-01-01T00:00:00.000Z"))
        await site.journal.probe()
        assert len(await told(site, "key_confirmed")) == 1
        (given_up,) = await told(site, "key_given_up")
        assert "another" in given_up
        (health,) = await query(site, Role.LOCAL, "health")
        assert (health["key"]["confirmed"], health["key"]["given_up_until"][:4]) == (True, "2027")
        site.rekeying.welcomed(welcome(site, box=mine))
        assert site.rekeying.describe()["given_up_until"] == ""

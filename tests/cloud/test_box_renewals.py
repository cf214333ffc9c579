"""Grants that a box brings to be renewed: for its own site and known keys alone, with the rights of today."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from cloud import renewals
from cloud.service import Cloud
from common import facts, sync, trust
from common.caps import Caps
from common.client.local import local
from common.domain import Role
from common.errors import Code
from common.policy import Claims
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.phones import Phone
from tests.box.support import eventually
from tests.cloud.parts import CLOCK, Device, FakeBox, join, running, until

DAY_MS = 24 * 3_600_000


def aged(cloud: Cloud, claims: Claims, days: int, **other: object) -> str:
    """A grant of this cloud's with these rights, signed so long ago."""
    told = msgspec.structs.replace(claims, **other)
    return trust.issue_grant(
        cloud.accounts.keyring.issuing,
        site=told.site,
        principal=told.principal,
        role=told.role,
        key=told.key,
        grant_id="aged",
        now_ms=CLOCK.now_ms() - days * DAY_MS,
        chargers=told.chargers,
        caps=told.caps,
    )


def of(cloud: Cloud, device: Device) -> Claims:
    return cloud.accounts.verifier.renewable(device.grants[0])


async def asked(box: FakeBox, *grants: str) -> list[sync.Renewed]:
    """What the cloud answers to these."""
    assert box.socket is not None
    for number, grant in enumerate(grants):
        await box.socket.send(sync.encode(sync.Renew(ref=f"r-{number}", grant=grant)))
    answers: dict[str, sync.Renewed] = {}

    def come() -> bool:
        answers.update({m.ref: m for m in box.said if isinstance(m, sync.Renewed)})
        return len(answers) == len(grants)

    await until(come)
    box.said.clear()
    return [answers[f"r-{number}"] for number in range(len(grants))]


def code(told: sync.Renewed) -> str:
    assert told.grant == ""
    assert told.refusal is not None
    return told.refusal.code


async def test_a_known_key_gets_the_rights_that_it_has_today(cloud: Cloud, box: FakeBox) -> None:
    driver = await join(cloud, "Home", caps={"sessions": 3}, chargers=["CP1"])
    claims = of(cloud, driver)
    # An old grant for more than today: that says nothing.
    wide = aged(cloud, claims, 60, chargers=None, caps=Caps(sessions=99), role=Role.DRIVER)
    async with box.connected():
        (told,) = await asked(box, wide)
    fresh = cloud.accounts.verifier.claims(told.grant, CLOCK.now_ms(), box.site)
    assert (fresh.key, fresh.principal, fresh.chargers) == (claims.key, claims.principal, ("CP1",))
    assert fresh.caps is not None
    assert fresh.caps.sessions == 3


async def test_nobody_else_gets_anything(cloud: Cloud, box: FakeBox) -> None:
    driver, thief = await join(cloud, "Home"), await join(cloud, "Home")
    neighbour = FakeBox(cloud.url)
    await neighbour.join(cloud, "Office")
    foreign = await join(cloud, "Office")
    stranger = aged(cloud, of(cloud, driver), 1, key=Device(cloud).key.thumbprint)
    other = aged(cloud, of(cloud, driver), 1, principal=of(cloud, thief).principal)
    await cloud.accounts.withdrawals.withdraw(box.site, {trust.revoked_key(thief.key.thumbprint)})
    async with box.connected():
        box.said.clear()
        told = await asked(box, thief.grants[0], foreign.grants[0], stranger, other, "x.y.z")
    assert [code(one) for one in told] == [
        Code.REVOKED,
        Code.WRONG_SITE,
        Code.REVOKED,
        Code.REVOKED,
        Code.BAD_GRANT,
    ]


async def test_a_right_of_the_box_is_renewed_once_the_ledger_has_told_of_it(
    cloud: Cloud, box: FakeBox
) -> None:
    issuer = trust.box_issuer(box.identity.fingerprint, box.issuer.public, box.site)
    phone = Device(cloud)
    key = phone.key.thumbprint

    def made(role: Role, key: str) -> str:
        issuing = trust.Issuing(key=box.issuer, issuer=issuer)
        return trust.issue_grant(
            issuing, site=box.site, principal="p-1", role=role, key=key, grant_id="g", now_ms=CLOCK.now_ms()
        )

    async with box.connected():
        (told,) = await asked(box, made(Role.DRIVER, key))
        assert code(told) == Code.REVOKED, "not known yet"
        for role, name in ((Role.DRIVER, key), (Role.OPERATOR, "operator-key")):
            body = facts.AuthorizationChanged(principal="p-1", change="granted", role=role, key=name)
            await box.tell(body)
        await until(lambda: box.drained)
        first, second = await asked(box, made(Role.DRIVER, key), made(Role.OPERATOR, "operator-key"))
    fresh = cloud.accounts.verifier.claims(first.grant, CLOCK.now_ms(), box.site)
    assert (fresh.role, fresh.key) == (Role.DRIVER, key)
    assert code(second) == Code.NOT_PERMITTED, "it waits for the owner's word"


async def test_more_than_may_wait_are_refused(cloud: Cloud, box: FakeBox) -> None:
    driver = await join(cloud, "Home")
    told: list[sync.TunnelMessage] = []
    waiting = renewals.BoxRenewals(cloud.accounts, told.append)
    for number in range(renewals.WAITING_MAX + 1):
        waiting.take(sync.Renew(ref=str(number), grant=driver.grants[0]))
    (busy,) = told
    assert isinstance(busy, sync.Renewed)
    assert (busy.ref, code(busy)) == (str(renewals.WAITING_MAX), Code.BUSY)


async def test_a_phone_without_internet_is_renewed_at_a_box_that_has_it(tmp_path: Path) -> None:
    """A real box and a real cloud: the phone speaks to the box alone."""
    async with running(tmp_path / "cloud") as cloud:
        given = {"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": tmp_path / "box", "cloud": cloud.url}
        site = Site(EdgeSettings.load(given))
        stop = asyncio.Event()
        try:
            await site.open()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(site.run(stop))
                code_shown = site.authority.pair().to_text()
                async with local(cloud._settings.socket_path) as operator:
                    await operator.manage("site_add", {"name": "Home", "code": code_shown})
                await eventually(lambda: site.tunnel_stands, "the tunnel")
                people = {role: await join(cloud, "Home", role) for role in (Role.DRIVER, Role.OPERATOR)}
                for role, known in people.items():
                    phone = Phone(site)
                    phone.key, phone.grant = known.key, aged(cloud, of(cloud, known), 30)
                    async with phone.link() as link:
                        (granted,) = link.granted
                        assert link.sites[site.authority.site].role == role.value
                        again = cloud.accounts.verifier.claims(granted.grant, CLOCK.now_ms())
                        assert again.issuer == cloud.accounts.keyring.issuing.issuer.id
                stop.set()
        finally:
            await site.close()

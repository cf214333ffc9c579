"""Rights taken away at the cloud: its list for each site, told to box and apps, and the lists of boxes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cloud.service import Cloud
from cloud.tokens import TokenRequest, token_message
from common import facts, sync, trust, wire
from common.appsession import ClientSession
from common.client.local import local
from common.domain import Path as LinkPath
from common.domain import Role, iso
from common.errors import Code, PlugsideError
from common.link.websocket import LINK_PATH, connect_websocket
from common.trust import RevocationList
from common.trust.revocations import KEPT_MS
from tests.cloud.parts import CLOCK, IDS, SOON_S, Device, FakeBox, join, running, until


def principal(device: Device) -> str:
    assert device.granted is not None
    return device.granted.site.principal


async def refused(device: Device, code: Code = Code.REVOKED) -> None:
    with pytest.raises(PlugsideError) as no:
        async with device.link():
            pass
    assert no.value.code is code, no.value


def told(box: FakeBox) -> list[str]:
    """Lists that the box heard of while its tunnel stood."""
    return [
        text for message in box.said if isinstance(message, sync.Statements) for text in message.revocations
    ]


def by_box(box: FakeBox, number: int, *entries: str) -> RevocationList:
    """A list of the box's own issuer."""
    issuer = trust.box_issuer(box.identity.fingerprint, box.issuer.public, box.site)
    now_ms = CLOCK.now_ms()
    kept = {trust.entry_hash(entry): now_ms + KEPT_MS for entry in entries}
    return trust.sign_list(box.issuer, issuer, site=box.site, number=number, at_ms=now_ms, entries=kept)


async def test_taken_away_at_once_everywhere_and_the_box_is_told(cloud: Cloud, box: FakeBox) -> None:
    thief, honest = await join(cloud, "Home"), await join(cloud, "Home")
    async with box.connected(), local(cloud._settings.socket_path) as operator:
        async with thief.link() as stolen, honest.link() as other:
            done = await operator.manage("revoke", {"site": "Home", "principal": principal(thief)})
            assert (await stolen.closed()).code is Code.REVOKED
            assert (done["number"], done["entries"], done["devices"], done["box_told"]) == (1, 1, 1, True)
            await until(lambda: bool(other.sites[box.site].revocations))
            await until(lambda: bool(told(box)))
            assert tuple(told(box)) == other.sites[box.site].revocations
        (device,) = (await operator.manage("people", {"site": "Home"}))["people"]
        assert device["key"] == honest.key.thumbprint
        done = await operator.manage("revoke", {"site": "Home", "key": honest.key.thumbprint})
        assert (done["number"], done["entries"]) == (2, 2)
        acts = [row["what"] for row in await operator.query("acts")]
        assert acts.count("revoked") == 2
    await refused(thief)
    await refused(honest)


async def test_a_key_that_is_taken_away_at_one_site_keeps_another(cloud: Cloud, box: FakeBox) -> None:
    other = FakeBox(cloud.url)
    await other.join(cloud, "Office")
    phone = await join(cloud, "Home")
    async with local(cloud._settings.socket_path) as operator:
        made = await operator.manage("invite", {"site": "Office"})
        await phone.join(made["invite"])
        await operator.manage("revoke", {"site": "Home", "key": phone.key.thumbprint})
    async with phone.link() as link:
        assert set(link.sites) == {other.site}


async def test_what_a_box_takes_away_ends_at_the_cloud_too_and_for_good(cloud: Cloud, box: FakeBox) -> None:
    thief, honest = await join(cloud, "Home"), await join(cloud, "Home")
    one = by_box(box, 4, trust.revoked_principal(principal(thief)))
    async with box.connected(), thief.link() as stolen:
        assert box.socket is not None
        forged = by_box(FakeBox(cloud.url, box.site), 9, trust.revoked_principal(principal(honest)))
        texts = (forged.text, "nonsense", one.text)
        await box.socket.send(sync.encode(sync.Statements(revocations=texts)))
        assert (await stolen.closed()).code is Code.REVOKED
        # A record that is sent again does not bring the key back.
        granted = facts.AuthorizationChanged(
            principal=principal(thief), change="granted", role=Role.DRIVER, key=thief.key.thumbprint
        )
        await box.tell(granted)
        await until(lambda: box.drained)
    await refused(thief)
    async with honest.link() as link:
        assert link.sites[box.site].revocations == (one.text,)
    keys = [device.key for device in await cloud._store.devices(box.site)]  # type: ignore[union-attr]
    assert keys == [honest.key.thumbprint]


async def test_a_restored_cloud_gets_its_list_back_from_an_app(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        thief, honest = await join(cloud, "Home"), await join(cloud, "Home")
        for who in ("somebody", principal(thief)):
            await cloud.accounts.withdrawals.withdraw(box.site, {trust.revoked_principal(who)})
        async with honest.link() as link:
            carried = link.sites[box.site].revocations
        assert len(carried) == 1
        # What a database from before that would know.
        cloud.accounts.verifier.revoked = frozenset()
        cloud.accounts.verifier.withdrawals = trust.Withdrawn()
        async with thief.link():
            pass
        async with honest.link(carried=carried):
            await until(lambda: cloud.accounts.withdrawals.numbers(box.site) == {_root(cloud): 3})
        await refused(thief)


async def test_a_list_with_a_number_that_no_cloud_came_to_is_not_its_own(tmp_path: Path) -> None:
    """Whoever has its key for a day cannot use its numbers up."""
    async with running(tmp_path) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        withdrawals, issuing = cloud.accounts.withdrawals, cloud.accounts.keyring.issuing
        await withdrawals.withdraw(box.site, {trust.revoked_principal("somebody")})
        forged = trust.sign_list(
            issuing.key, issuing.issuer, site=box.site, number=2**53 - 1, at_ms=1, entries={}
        )
        await withdrawals.take(box.site, [forged.text])
        assert withdrawals.numbers(box.site) == {_root(cloud): 1}
        assert (await withdrawals.withdraw(box.site, {trust.revoked_principal("another")})).number == 2


def _root(cloud: Cloud) -> str:
    return cloud.accounts.keyring.issuing.issuer.id


async def test_lists_survive_a_restart_and_what_fell_between_is_listed(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        await cloud.accounts.withdrawals.withdraw(box.site, {"key:a"})
        store = cloud._store
        assert store is not None
        # The process ends between the row and the list.
        await store.withdraw(box.site, {"key:b"}, CLOCK.now_ms(), CLOCK.now_ms() + KEPT_MS)
    async with running(tmp_path) as cloud:
        (text,) = cloud.accounts.withdrawals.texts(box.site)
        one = trust.kept_list(text)
        assert one.number == 2
        assert set(one.entries) == {trust.entry_hash("key:a"), trust.entry_hash("key:b")}
    async with running(tmp_path) as cloud:
        assert cloud.accounts.withdrawals.texts(box.site) == (text,), "no new number without a reason"


async def test_an_operator_takes_away_drivers_alone(cloud: Cloud, box: FakeBox) -> None:
    driver, operator = await join(cloud, "Home"), await join(cloud, "Home", Role.OPERATOR)
    second = await join(cloud, "Home", Role.OPERATOR)
    async with operator.link() as link, driver.link() as low:
        for asks, whom in ((link, second), (low, operator)):
            with pytest.raises(PlugsideError) as no:
                await asks.manage("revoke", {"principal": principal(whom)})
            assert no.value.code is Code.NOT_PERMITTED
        await link.manage("revoke", {"principal": principal(driver)})
    await refused(driver)
    async with second.link():
        pass


# --- owners, devices, operators of the box ---------------------------------------------------------------


async def test_an_owner_is_made_at_the_cloud_alone_and_keeps_it_on_every_device(
    cloud: Cloud, box: FakeBox
) -> None:
    owner = await join(cloud, "Home", Role.OPERATOR, owner=True)
    assert owner.granted is not None
    assert owner.granted.site.owner
    async with owner.link() as link:
        made = await link.manage("device_add")
        with pytest.raises(PlugsideError) as no:
            await link.manage("invite", {"role": "operator", "owner": True})
        assert no.value.code is Code.NOT_PERMITTED
        assert (await link.manage("invite", {"role": "operator"}))["role"] == "operator"
    tablet = Device(cloud)
    granted = await tablet.join(made["invite"])
    assert granted.site.owner
    assert principal(tablet) == principal(owner)
    async with tablet.link() as link:
        assert (await link.renew(tablet.grants[0])).site.owner, "and at every renewal"


async def test_caps_come_with_the_invite_by_the_sites_own_clock(cloud: Cloud, box: FakeBox) -> None:
    async with local(cloud._settings.socket_path) as operator:
        await operator.manage("site_zone", {"site": "Home", "zone": "Asia/Kolkata"})
    driver = await join(cloud, "Home", caps={"energy_wh": 5000, "hours": ["22:00-06:00"]})
    assert driver.granted is not None
    caps = driver.granted.site.caps
    assert caps is not None
    assert (caps.energy_wh, caps.hours, caps.offset_min) == (5000, ("22:00-06:00",), 330)
    async with driver.link() as link:
        assert (await link.renew(driver.grants[0])).site.caps == caps
    with pytest.raises(PlugsideError) as no:
        await join(cloud, "Home", Role.OPERATOR, caps={"sessions": 1})
    assert no.value.code is Code.BAD_REQUEST


async def test_operators_of_the_box_wait_for_the_owner_and_drivers_do_not(cloud: Cloud, box: FakeBox) -> None:
    issuer = trust.box_issuer(box.identity.fingerprint, box.issuer.public, box.site)
    people = {Role.DRIVER: Device(cloud), Role.OPERATOR: Device(cloud)}
    async with box.connected():
        for role, device in people.items():
            granted = facts.AuthorizationChanged(
                principal=f"p-{role}", change="granted", role=role, key=device.key.thumbprint
            )
            await box.tell(granted)
            grant = trust.issue_grant(
                trust.Issuing(key=box.issuer, issuer=issuer),
                site=box.site,
                principal=f"p-{role}",
                role=role,
                key=device.key.thumbprint,
                grant_id=f"g-{role}",
                now_ms=CLOCK.now_ms(),
            )
            device.grants = (grant,)
        await until(lambda: box.drained)
    async with people[Role.DRIVER].link() as link:
        (renewed,) = [await link.renew(people[Role.DRIVER].grants[0])]
        assert renewed.cloud == cloud.url, "taken over"
    await refused(people[Role.OPERATOR], Code.NOT_PERMITTED)
    async with local(cloud._settings.socket_path) as owner:
        rows = (await owner.manage("people", {"site": "Home"}))["people"]
        assert {row["principal"]: row["pending"] for row in rows} == {"p-driver": False, "p-operator": True}
        assert (await owner.manage("confirm", {"site": "Home", "principal": "p-operator"}))["confirmed"] == 1
    async with people[Role.OPERATOR].link() as link:
        await link.renew(people[Role.OPERATOR].grants[0])


async def test_an_operator_of_the_box_who_waits_is_served_nothing_whatever_they_say_on_the_link(
    cloud: Cloud, box: FakeBox
) -> None:
    """A client that goes on talking where an honest one leaves."""
    waiting = Device(cloud)
    key = waiting.key.thumbprint
    issuer = trust.box_issuer(box.identity.fingerprint, box.issuer.public, box.site)
    issuing = trust.Issuing(key=box.issuer, issuer=issuer)
    grant = trust.issue_grant(
        issuing, site=box.site, principal="p-op", role=Role.OPERATOR, key=key, grant_id="g",
        now_ms=CLOCK.now_ms(),
    )  # fmt: skip
    waiting.grants = (grant,)
    async with box.connected():
        for known in (False, True):  # before the ledger has told of them, and afterwards
            if known:
                body = facts.AuthorizationChanged(
                    principal="p-op", change="granted", role=Role.OPERATOR, key=key
                )
                await box.tell(body)
                await until(lambda: box.drained)
            asked: list[wire.Message] = [
                wire.Manage(id="1", site=box.site, name="device_add"),
                wire.Manage(id="2", site=box.site, name="invite", args={"role": "driver"}),
                wire.Manage(id="3", site=box.site, name="people"),
                wire.Query(id="4", site=box.site, what="sessions", args={}, limit=10),
                waiting.command(box.site, id_="5"),
            ]
            answers = await said_all_the_same(cloud, waiting, asked)
            codes = {one.id: one.code for one in answers if isinstance(one, wire.Refusal)}
            assert codes == {"": Code.NOT_PERMITTED, **dict.fromkeys("12345", Code.NOT_PERMITTED)}, answers
            assert not [one for one in answers if isinstance(one, wire.Snapshot)]
            with pytest.raises(PlugsideError) as no:
                await cloud.accounts.token(token_request(cloud, waiting, grant))
            assert no.value.code is Code.NOT_PERMITTED


def token_request(cloud: Cloud, device: Device, grant: str) -> TokenRequest:
    at = iso(CLOCK.now_ms())
    message = token_message(cloud.accounts.identity.fingerprint, at, grant)
    signature = device.key.sign(trust.Purpose.TOKEN, message)
    return TokenRequest(grant=grant, key=device.key.public, at=at, signature=signature)


async def said_all_the_same(cloud: Cloud, device: Device, asked: list[wire.Message]) -> list[wire.Message]:
    """What is answered to a client that shows its grant and then asks, whatever it was told."""
    link = await connect_websocket(cloud.url.replace("http", "ws", 1) + LINK_PATH, LinkPath.CLOUD)
    session = ClientSession(
        nonce=trust.b64(IDS.token(32)),
        path=LinkPath.CLOUD,
        server=cloud.accounts.identity.fingerprint,
        key=device.key,
        grants=device.grants,
    )
    answers: list[wire.Message] = []
    try:
        session.hello()
        for _ in range(2):  # the hello; then, behind the proof, the grant
            for frame in session.data_to_send():
                await link.send(frame)
            if _ == 0:
                received = await link.receive()
                assert received is not None
                session.receive(received)
        for one in (*asked, wire.Follow(sites=tuple({getattr(a, "site", "") for a in asked}))):
            await link.send(wire.encode(one))
        async with asyncio.timeout(SOON_S):
            while len(answers) < len(asked) + 2:  # one for the grant, one for the follow
                received = await link.receive()
                assert received is not None, answers
                answers.append(wire.server_decoder.decode(received))
    finally:
        await link.close()
    return answers

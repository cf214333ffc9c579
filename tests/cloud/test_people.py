"""People: invites, grants, renewal, forgetting, and tokens that read."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import msgspec
import pytest

from cloud.service import Cloud
from cloud.tokens import TOKEN_SKEW_MS, TokenRequest, token_message
from common import facts, trust
from common.client.local import local
from common.domain import Role, iso
from common.errors import Code, PlugsideError, Refused
from tests.cloud.parts import CLOCK, IDS, SOON_S, Device, FakeBox, invite, join, until


@contextlib.contextmanager
def refused(code: Code) -> object:
    with pytest.raises(PlugsideError) as caught:
        yield caught
    assert caught.value.code is code


# --- invites -----------------------------------------------------------------------------------------------


async def test_an_invite_makes_a_grant_that_the_box_believes(cloud: Cloud, box: FakeBox) -> None:
    made = await invite(cloud, "Home", name="Ann", chargers=["CP1"], hours=2)
    assert made["not_there_yet"] == ["CP1"]
    device = Device(cloud)
    granted = await device.join(made["invite"])
    assert (granted.site.site, granted.site.name, granted.site.key) == (
        box.site,
        "Home",
        box.identity.fingerprint,
    )
    assert (granted.cloud, granted.cloud_key) == (cloud.url, cloud.accounts.identity.fingerprint)
    # What the box was given at its enrolment is all that it takes to judge the grant offline.
    response = await box.ask_in()
    answer = msgspec.json.decode(response.content, type=trust.EnrolAnswer)
    assert box.asked is not None
    assert box.code is not None
    _, keys = trust.open_enrolment(answer, box.asked, box.code.secret)
    judge = trust.Verifier(trust.TrustSet(trust.cloud_issuers(keys)))
    claims = judge.claims(granted.grant, CLOCK.now_ms(), box.site)
    assert (claims.role, claims.chargers, claims.key) == (Role.DRIVER, ("CP1",), device.key.thumbprint)
    assert claims.principal == made["principal"]


async def test_an_invite_brings_one_key_in_and_is_spent_by_its_use(cloud: Cloud, box: FakeBox) -> None:
    made = await invite(cloud, "Home")
    device, other = Device(cloud), Device(cloud)
    await device.join(made["invite"])
    with refused(Code.BAD_INVITE):
        await other.join(made["invite"])
    again = Device(cloud)
    again.key = device.key
    with refused(Code.BAD_INVITE):
        await again.join(made["invite"])


async def test_an_invite_that_was_never_made_is_refused(cloud: Cloud, box: FakeBox) -> None:
    forged = trust.Invite(secret=trust.b64(IDS.token(16)), server="x", expires_ms=2**50)
    with refused(Code.BAD_INVITE):
        await Device(cloud).join(forged.to_text())


async def test_nobody_makes_somebody_mightier(cloud: Cloud, box: FakeBox) -> None:
    driver, boss = await join(cloud, "Home"), await join(cloud, "Home", Role.OPERATOR)
    other = FakeBox(cloud.url)
    await other.join(cloud, "Work")
    async with driver.link() as d, boss.link() as b:
        for name, args in (
            ("invite", {}),
            ("reconcile", {}),
            ("forget", {"principal": "x"}),
            ("site_add", {}),
        ):
            with refused(Code.NOT_PERMITTED):
                await d.manage(name, args)
        made = await b.manage("invite", {"role": "driver", "name": "Guest"})
        assert made["site"] == box.site
        with refused(Code.NOT_PERMITTED):
            await b.manage("invite", {"role": "operator"})
        with refused(Code.UNKNOWN_SITE):
            await b.manage("invite", {"site": "Work"})
        for name in ("site_add", "token", "forget"):
            with refused(Code.NOT_PERMITTED):
                await b.manage(name, {})
        for name, args in (("nonsense", {}), ("invite", {"role": "king"}), ("invite", {"hours": 0})):
            with refused(Code.BAD_REQUEST):
                await b.manage(name, args)
    await Device(cloud).join(made["invite"])


# --- grants ------------------------------------------------------------------------------------------------


async def test_a_grant_is_renewed_for_a_known_key(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home", chargers=["CP1"])
    async with device.link() as link:
        renewed = await link.renew(device.grants[0])
    claims = cloud.accounts.verifier.claims(renewed.grant, CLOCK.now_ms(), box.site)
    assert (claims.chargers, claims.key) == (("CP1",), device.key.thumbprint)
    assert renewed.grant != device.grants[0]


async def test_a_driver_who_joined_at_the_box_is_known_here_after_the_first_sync(
    cloud: Cloud, box: FakeBox
) -> None:
    device = Device(cloud)
    made_at_box = trust.issue_grant(
        trust.Issuing(
            key=box.issuer, issuer=trust.box_issuer(box.identity.fingerprint, box.issuer.public, box.site)
        ),
        site=box.site,
        principal="p-box",
        role=Role.DRIVER,
        key=device.key.thumbprint,
        grant_id="g1",
        now_ms=CLOCK.now_ms(),
    )
    device.grants = (made_at_box,)
    async with device.link() as link:
        with refused(Code.REVOKED):
            await link.renew(made_at_box)
    async with box.connected():
        await box.tell(
            facts.AuthorizationChanged(
                principal="p-box", change="granted", role=Role.DRIVER, key=device.key.thumbprint
            )
        )
        await until(lambda: box.drained)
    async with device.link() as link:
        renewed = await link.renew(made_at_box)
    claims = cloud.accounts.verifier.claims(renewed.grant, CLOCK.now_ms(), box.site)
    assert (claims.principal, claims.chargers) == ("p-box", None)


async def test_another_box_gives_no_rights_here(cloud: Cloud, box: FakeBox) -> None:
    other = FakeBox(cloud.url)
    await other.join(cloud, "Work")
    device = Device(cloud)
    forged = trust.issue_grant(
        trust.Issuing(
            key=other.issuer,
            issuer=trust.box_issuer(other.identity.fingerprint, other.issuer.public, box.site),
        ),
        site=box.site,
        principal="p-forged",
        role=Role.OPERATOR,
        key=device.key.thumbprint,
        grant_id="g1",
        now_ms=CLOCK.now_ms(),
    )
    with refused(Code.WRONG_SITE):
        async with device.link(grants=(forged,)):
            pass


# --- forgetting --------------------------------------------------------------------------------------------


async def test_forgetting_ends_rights_and_links_and_leaves_the_ledger(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home", name="Ann Example")
    assert device.granted is not None
    principal = device.granted.site.principal
    box.ledger.charge("s1", 0, 4000, principal=principal)
    async with box.connected(), local(cloud._settings.socket_path) as operator:
        await until(lambda: box.drained)
        (row,) = await operator.query("sessions", site="Home")
        assert row["name"] == "Ann Example"
        async with device.link() as link:
            done = await operator.manage("forget", {"principal": principal})
            assert done["removed"] == 3
            assert (await link.closed()).code is Code.REVOKED, "within the time that links are looked at"
        with refused(Code.REVOKED):
            async with device.link():
                pass
        (row,) = await operator.query("sessions", site="Home")
        assert "name" not in row
        assert row["principal"] == principal
        report = await operator.manage("reconcile", {"site": "Home"})
        assert report["ok"], report
        assert "Ann" not in str(await operator.query("acts"))


async def test_what_was_forgotten_stays_so_after_a_restart(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    assert device.granted is not None
    await cloud.accounts.forget(device.granted.site.principal, "local")
    cloud.accounts.verifier.revoked = frozenset()
    await cloud.accounts.open()
    with refused(Code.REVOKED):
        async with device.link():
            pass


# --- tokens ------------------------------------------------------------------------------------------------


def token_request(
    device: Device, cloud: Cloud, *, at_ms: int | None = None, cloud_key: str = ""
) -> TokenRequest:
    at = iso(CLOCK.now_ms() if at_ms is None else at_ms)
    pinned = cloud_key or cloud.accounts.identity.fingerprint
    signature = device.key.sign(trust.Purpose.TOKEN, token_message(pinned, at, device.grants[0]))
    return TokenRequest(grant=device.grants[0], key=device.key.public, at=at, signature=signature)


async def test_a_signed_request_makes_a_token_that_reads_what_its_holder_may(
    cloud: Cloud, box: FakeBox
) -> None:
    ann, bob = await join(cloud, "Home"), await join(cloud, "Home")
    assert ann.granted is not None
    box.ledger.charge("s1", 0, 4000, principal=ann.granted.site.principal)
    async with box.connected():
        await until(lambda: box.drained)
    async with httpx.AsyncClient(base_url=cloud.url, verify=False) as client:
        seen = []
        for device in (ann, bob):
            body = msgspec.json.encode(token_request(device, cloud))
            answer = (await client.post("/v1/token", content=body)).raise_for_status().json()
            assert (answer["site"], answer["role"]) == (box.site, "driver")
            headers = {"authorization": f"Bearer {answer['token']}"}
            page = (await client.get(f"/v1/sites/{box.site}/sessions", headers=headers)).json()
            seen.append([row["session"] for row in page["sessions"]])
            again = await client.post("/v1/token", content=body)
            assert (again.status_code, again.json()["code"]) == (409, "id_reuse")
        assert seen == [["s1"], []]


async def test_a_request_that_proves_nothing_makes_no_token(cloud: Cloud, box: FakeBox) -> None:
    device, thief = await join(cloud, "Home"), await join(cloud, "Home")
    fresh = token_request(device, cloud)
    stolen = msgspec.structs.replace(token_request(device, cloud), key=thief.key.public)
    for request, status, code in (
        (msgspec.structs.replace(fresh, signature=fresh.signature[:-2] + "AA"), 401, "bad_signature"),
        (msgspec.structs.replace(fresh, at=iso(CLOCK.now_ms() + 1)), 401, "bad_signature"),
        (stolen, 401, "bad_signature"),
        (token_request(device, cloud, cloud_key="another cloud"), 401, "bad_signature"),
        (token_request(device, cloud, at_ms=CLOCK.now_ms() - 2 * TOKEN_SKEW_MS), 400, "expired"),
        (msgspec.structs.replace(fresh, grant="x.y.z"), 401, "bad_grant"),
        (msgspec.structs.replace(fresh, key="no point"), 400, "bad_request"),
        (msgspec.structs.replace(fresh, at="yesterday"), 400, "bad_request"),
    ):
        with refused(Code(code)):
            await cloud.accounts.token(request)
        async with httpx.AsyncClient(base_url=cloud.url, verify=False) as client:
            response = await client.post("/v1/token", content=msgspec.json.encode(request))
        assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_token_of_somebody_forgotten_reads_nothing(cloud: Cloud, box: FakeBox) -> None:
    device = await join(cloud, "Home")
    assert device.granted is not None
    answer = await cloud.accounts.token(token_request(device, cloud))
    assert (await cloud.accounts.reader(answer.token)).principal == device.granted.site.principal
    await cloud.accounts.forget(device.granted.site.principal, "local")
    with pytest.raises(Refused):
        await cloud.accounts.reader(answer.token)


async def test_a_link_that_shows_nothing_is_cut(cloud: Cloud) -> None:
    """Anything but a handshake ends a link before it costs anything."""
    from websockets.asyncio.client import connect

    url = cloud.url.replace("http", "ws", 1) + "/v1/link"
    async with connect(url) as socket, asyncio.timeout(SOON_S):
        await socket.send('{"kind":"follow","sites":["Home"]}')
        assert '"kind":"bye"' in str(await socket.recv())
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (4000, "protocol")

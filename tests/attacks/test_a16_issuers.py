"""Group 16: a rolled-back key set, an online key that signs past its end, a box's grant that claims the
installer, an owner, or another site; a box that signs lists for its neighbours."""

from __future__ import annotations

from pathlib import Path

import jwt
import msgspec
import pytest

from common import trust
from common.domain import Role
from common.errors import Code, PlugsideError, Refused
from common.keystore import generate_issuer
from common.policy import Claims
from common.trust import Issuing, unb64
from edge.authority import Authority
from edge.devices import Made
from tests.box.cloud import FakeCloud
from tests.box.phones import CLOCK, Phone, place, refused
from tests.trust.cast import (
    BOX_ISSUER,
    BOX_ISSUER_KEY,
    BOX_ISSUING,
    CLOUD_ISSUER,
    CLOUD_ISSUING,
    DAY_MS,
    NOW_MS,
    ONLINE,
    SITE,
    grant,
    verifier,
)


def by_box(**changes: object) -> str:
    """What a hostile box signs with its own issuer, whatever its honest build would refuse."""
    payload = msgspec.json.decode(unb64(grant(BOX_ISSUING).split(".")[1])) | changes
    headers = {"kid": BOX_ISSUER.kid, "typ": "plugside-grant+jwt"}
    return jwt.api_jws.encode(msgspec.json.encode(payload), BOX_ISSUER_KEY.private, "EdDSA", headers)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"role": "installer"}, Code.BAD_GRANT),
        ({"role": "operator", "own": True, "exp": NOW_MS // 1000 + 3600}, Code.BAD_GRANT),
        ({"aud": "site-2"}, Code.WRONG_SITE),
        ({"iss": CLOUD_ISSUER.id}, Code.BAD_GRANT),
        ({"exp": NOW_MS // 1000 + 30 * 24 * 3600}, Code.BAD_GRANT),
    ],
    ids=["installer", "owner", "another site", "the cloud's name", "a month"],
)
def test_a16_a_box_gives_no_more_than_boxes_may(changes: dict[str, object], code: Code) -> None:
    with pytest.raises(Refused) as no:
        verifier().claims(by_box(**changes), NOW_MS)
    assert no.value.code is code
    assert verifier().claims(by_box(), NOW_MS, SITE).role is Role.DRIVER


def test_a16_an_online_key_signs_nothing_past_its_end() -> None:
    late_ms = CLOUD_ISSUER.not_after_ms + 1000
    payload = msgspec.json.decode(unb64(grant().split(".")[1]))
    payload |= {"iat": late_ms // 1000, "nbf": late_ms // 1000, "exp": late_ms // 1000 + 60}
    headers = {"kid": CLOUD_ISSUER.kid, "typ": "plugside-grant+jwt"}
    token = jwt.api_jws.encode(msgspec.json.encode(payload), ONLINE.private, "EdDSA", headers)
    with pytest.raises(Refused) as no:
        verifier().claims(token, late_ms, SITE)
    assert no.value.code is Code.BAD_GRANT
    with pytest.raises(Refused):
        trust.issue_grant(
            CLOUD_ISSUING,
            site=SITE,
            principal="p",
            role=Role.DRIVER,
            key="k",
            grant_id="g",
            now_ms=late_ms,
        )
    assert verifier().claims(grant(), NOW_MS + DAY_MS, SITE)


async def test_a16_an_older_key_set_does_not_bring_a_dropped_key_back(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        stolen, thief = cloud.online, Phone(site).granted_by(cloud)
        old = msgspec.json.encode(cloud.keys(1)).decode()
        cloud.online = generate_issuer()
        authority: Authority = site.authority
        authority.learn((msgspec.json.encode(cloud.keys(2)).decode(),))
        honest = Phone(site).granted_by(cloud)
        await refused(thief, Code.BAD_GRANT)
        forged = cloud.keys(9)
        foreign = msgspec.json.encode(FakeCloud().keys(9)).decode()
        cut = msgspec.json.encode(msgspec.structs.replace(forged, signature=forged.signature[:-4])).decode()
        authority.learn((old, foreign, cut, "{}", "nonsense"))
        await refused(thief, Code.BAD_GRANT)
        async with honest.link():
            pass
        assert stolen.public != cloud.online.public


async def test_a16_what_a_stolen_key_withdrew_ends_with_the_key(tmp_path: Path) -> None:
    """It used all the numbers up, dated it back to before its end, and its lists name whom it likes."""
    async with place(tmp_path) as (site, cloud):
        authority: Authority = site.authority
        stolen, mallory = cloud.issuing, "p-mallory"

        def listed(by: Issuing, number: int, *entries: str) -> str:
            kept = {trust.entry_hash(entry): CLOCK.now_ms() + DAY_MS for entry in entries}
            at_ms = CLOCK.now_ms()
            return trust.sign_list(
                by.key, by.issuer, site=authority.site, number=number, at_ms=at_ms, entries=kept
            ).text

        cloud.online = generate_issuer()
        driver = Phone(site)
        forged = listed(stolen, 2**53 - 1, trust.revoked_key(driver.key.thumbprint))
        assert authority.withdrawals.take([listed(stolen, 7, trust.revoked_principal(mallory)), forged])
        authority.learn((msgspec.json.encode(cloud.keys(2)).decode(),))
        driver.granted_by(cloud)
        await refused(driver)
        true = listed(cloud.issuing, 8, trust.revoked_principal(mallory))
        assert authority.withdrawals.take([true])
        async with driver.link():
            pass
        assert authority.withdrawals.take([forged, listed(cloud.issuing, 7)]) == []
        assert authority.withdrawals.texts == (true,)


async def test_a16_a_box_cannot_take_rights_away_at_its_neighbours(tmp_path: Path) -> None:
    async with place(tmp_path / "a") as (here, cloud), place(tmp_path / "b") as (there, _):
        driver = Phone(here).granted_by(cloud)
        entries = {trust.entry_hash(trust.revoked_key(driver.key.thumbprint)): CLOCK.now_ms() + DAY_MS}
        hostile: Issuing = there.authority._issuing
        for site in (here.authority.site, there.authority.site):
            one = trust.sign_list(
                hostile.key,
                hostile.issuer,
                site=site,
                number=99,
                at_ms=CLOCK.now_ms(),
                entries=entries,
            )
            assert here.authority.withdrawals.take([one.text]) == []
        async with driver.link():
            pass


async def test_a16_a_grant_of_another_box_opens_nothing(tmp_path: Path) -> None:
    async with place(tmp_path / "a") as (here, _), place(tmp_path / "b") as (there, _):
        stranger = Phone(here)
        claims = Claims(site=here.authority.site, principal="p", role=Role.OPERATOR)
        with pytest.raises(PlugsideError):
            trust.issue_grant(
                there.authority._issuing,
                site=claims.site,
                principal="p",
                role=Role.OPERATOR,
                key=stranger.key.thumbprint,
                grant_id="g",
                now_ms=CLOCK.now_ms(),
            )
        right = Made(role=Role.OPERATOR)
        stranger.grant = there.authority.grant("p", right, stranger.key.thumbprint).grant
        await refused(stranger, Code.BAD_GRANT)

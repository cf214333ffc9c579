"""Group 22: a pairing code guessed eleven times, used twice, by two at once, too late, or another box's."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.service import Cloud
from common import trust
from common.client.local import local
from common.domain import Role
from common.errors import Code, PlugsideError, Refused, RemoteFault, Unavailable
from common.keystore import generate_identity, generate_issuer
from common.threshold import FAILURES_FREE
from common.trust.enrolment import BOX_CODE_LIFE_MS, BOX_PREFIX
from common.trust.invites import PREFIX, SECRET_BYTES
from edge.authority import Authority
from tests.box.phones import Phone, place
from tests.cloud.parts import FakeBox, running, until
from tests.trust.cast import BOX, NOW_MS, SITE

GUESSES = 11


def code(box: Authority) -> trust.BoxCode:
    return trust.BoxCode.from_text(box.pair().to_text())


async def test_a22_eleven_guesses_are_eleven_refusals_and_the_true_code_still_works(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        box = FakeBox(cloud.url)
        text = box.pair()
        async with local(cloud._settings.socket_path) as operator:
            await operator.manage("site_add", {"name": "Home", "code": text})
        assert box.code is not None
        true = box.code.secret
        for number in range(GUESSES):
            # Whoever guesses has the box's name from mDNS, and not its secret.
            guess = trust.request_enrolment(
                box.identity, box.issuer.public, box.site, trust.b64(number.to_bytes(16))
            )
            assert await cloud.joining.enrol(guess) is None
        thief = generate_identity()
        named_alike = trust.request_enrolment(thief, generate_issuer().public, box.site, true)
        with pytest.raises(Refused) as no:
            await cloud.joining.enrol(named_alike)
        assert no.value.code is Code.BAD_INVITE, "the secret alone is not enough: the code names the key"
        response = await box.ask_in()
        assert response.status_code == 200


async def test_a22_a_code_brings_one_box_in_however_often_it_asks(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        assert (await box.ask_in()).status_code == 200, "its answer may have been lost"
        sites = await _sites(cloud)
        assert sites == [(box.site, box.identity.fingerprint)]
        other = FakeBox(cloud.url)
        other.code = box.code
        assert (await other.ask_in()).status_code != 200
        assert await _sites(cloud) == sites


async def _sites(cloud: Cloud) -> list[tuple[str, str]]:
    assert cloud._store is not None
    return [(site.id, site.box) for site in await cloud._store.sites()]


def test_a22_after_a_quarter_of_an_hour_it_is_nothing() -> None:
    known = trust.BoxCode(
        secret=trust.b64(bytes(16)), server=BOX.fingerprint, expires_ms=NOW_MS + BOX_CODE_LIFE_MS
    )
    asked = trust.request_enrolment(BOX, generate_issuer().public, SITE, known.secret)
    assert trust.check_enrolment(asked, known, NOW_MS + BOX_CODE_LIFE_MS - 1).box == BOX.fingerprint
    with pytest.raises(Refused) as no:
        trust.check_enrolment(asked, known, NOW_MS + BOX_CODE_LIFE_MS)
    assert no.value.code is Code.BAD_INVITE


async def test_a22_a_cloud_that_only_guesses_is_not_believed_and_a_later_code_voids_the_first(
    tmp_path: Path,
) -> None:
    async with place(tmp_path) as (site, cloud):
        authority = site.authority
        authority.release("nobody")
        first, second = code(authority), code(authority)
        request = authority.enrolment()
        assert request is not None
        assert request.pair == second.pair != first.pair
        bundle = trust.TrustBundle(
            site=authority.site,
            root=cloud.root.public,
            keys=cloud.keys(),
            url="https://evil.example",
            cloud="evil",
        )
        secrets = [trust.b64(number.to_bytes(16)) for number in range(GUESSES)] + [first.secret]
        for secret in secrets:
            with pytest.raises(RemoteFault) as no:
                authority.enrolled(trust.answer_enrolment(bundle, request, secret), request, "")
            assert no.value.code is Code.UNTRUSTED_PEER
        assert authority.cloud_url == ""
        authority.enrolled(trust.answer_enrolment(bundle, request, second.secret), request, "")
        with pytest.raises(PlugsideError):
            authority.enrolled(trust.answer_enrolment(bundle, request, second.secret), request, "")


async def test_a22_no_code_of_anybodys_is_short_enough_to_guess(tmp_path: Path) -> None:
    """Why none of them ends after wrong tries: 128 bits are in each, and a shorter one is read nowhere."""
    async with running(tmp_path / "cloud") as cloud, place(tmp_path / "box") as (site, _):
        box = FakeBox(cloud.url)
        await box.join(cloud)
        phone = await Phone(site).join()
        async with phone.link() as link:
            device = (await link.manage("device_add"))["invite"]
        async with local(cloud._settings.socket_path) as operator:
            cloud_invite = (await operator.manage("invite", {"site": "Home", "role": "driver"}))["invite"]
        invites = [site.authority.invite(Role.DRIVER, None, 3_600_000)[0], device, cloud_invite]
        secrets = [trust.Invite.from_text(text).secret for text in invites] + [code(site.authority).secret]
        assert [len(trust.unb64(secret)) for secret in secrets] == [SECRET_BYTES] * 4
        assert len(set(secrets)) == 4
    for kind, prefix in ((trust.Invite, PREFIX), (trust.BoxCode, BOX_PREFIX)):
        for size in (0, 4, SECRET_BYTES - 1, SECRET_BYTES + 1):
            short = kind(secret=trust.b64(bytes(size)), server=BOX.fingerprint, expires_ms=NOW_MS)
            with pytest.raises(Refused) as no:
                kind.from_text(short.to_text())
            assert no.value.code is Code.BAD_INVITE, (prefix, size)


async def test_a22_who_guesses_at_a_box_has_to_wait_and_voids_nobodys_code(tmp_path: Path) -> None:
    async with place(tmp_path, failures_free=FAILURES_FREE) as (site, _):
        texts = [site.authority.invite(role, None, 3_600_000)[0] for role in (Role.DRIVER, Role.OPERATOR)]
        thief, said = Phone(site), []
        for number in range(GUESSES):
            with pytest.raises(PlugsideError) as no:
                async with thief.link(invite=trust.b64(number.to_bytes(16)), grants=()):
                    pass
            said.append(no.value.code)
            if no.value.code is not Code.BAD_INVITE:
                break
        assert said.count(Code.BAD_INVITE) == FAILURES_FREE + 1, (
            "then it is not even listened to, for a while"
        )
        for text in texts:
            honest = Phone(site)

            async def joined(phone: Phone = honest, text: str = text) -> bool:
                try:
                    async with phone.link(invite=trust.Invite.from_text(text).secret, grants=()) as link:
                        phone.grant = link.granted[0].grant
                except Unavailable:  # it comes from the same address as whoever guessed, and waits with them
                    return False
                return True

            await until(joined)

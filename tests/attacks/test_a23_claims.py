"""Group 23: two who claim one box, a second claim, a name that is not of its key, a relayed challenge."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from common import sync, trust
from common.client.local import local
from common.errors import Code, PlugsideError, Refused, RemoteFault
from common.keystore import generate_identity, generate_issuer
from tests.box.cloud import FakeCloud
from tests.box.phones import place
from tests.cloud.parts import FakeBox, running
from tests.trust.cast import BOX, BOX_ISSUER_KEY, CLOUD, NOW_MS, SITE, STRANGER


async def test_a23_of_two_clouds_that_have_the_code_the_first_answer_counts(tmp_path: Path) -> None:
    """A code read over somebody's shoulder: whoever answers second is told no, and changes nothing."""
    async with place(tmp_path) as (site, _):
        authority, thief = site.authority, FakeCloud()
        authority.release("nobody")
        shown = authority.pair()
        request = authority.enrolment()
        assert request is not None
        answers = []
        for cloud in (FakeCloud(), thief):
            bundle = trust.TrustBundle(
                site=authority.site,
                root=cloud.root.public,
                keys=cloud.keys(),
                url=f"https://{cloud.root.kid}.example",
                cloud=cloud.root.kid,
            )
            answers.append((cloud, trust.answer_enrolment(bundle, request, shown.secret)))
        (first, answer), (_, late) = answers
        authority.enrolled(answer, request, "")
        with pytest.raises(RemoteFault) as no:
            authority.enrolled(late, request, "")
        assert no.value.code is Code.UNTRUSTED_PEER
        assert first.root.kid in authority.cloud_url


async def test_a23_a_claimed_box_is_not_claimed_again(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud), local(tmp_path / "edge.sock") as installer:
        for _ in range(3):
            with pytest.raises(PlugsideError) as no:
                await installer.manage("pair")
            assert no.value.code is Code.NOT_PERMITTED
            assert "release" in no.value.hint
        assert site.authority.enrolment() is None, "it asks nobody"
        assert site.authority.cloud_url == cloud.url


@pytest.mark.parametrize("first", [True, False])
async def test_a23_a_site_that_has_a_box_takes_no_other_without_being_told_to(
    tmp_path: Path, first: bool
) -> None:
    """Whatever a box claims, however its code is called, and whenever that was typed."""
    async with running(tmp_path) as cloud, local(cloud._settings.socket_path) as operator:
        box, thief = FakeBox(cloud.url), FakeBox(cloud.url)
        thief.site = box.site
        code = thief.pair()
        if first:
            await operator.manage("site_add", {"name": "Mine", "code": code})
        await box.join(cloud, "Home")
        for name in ("Home", box.site):
            with pytest.raises(Refused, match="--replace"):
                await operator.manage("site_add", {"name": name, "code": code})
        await operator.manage("site_add", {"name": "Mine", "code": code})
        response = await thief.ask_in()
        assert response.status_code == 400, response.text
        assert "--replace" in response.json()["hint"]
        async with box.connected():
            assert cloud.hub.link(box.site)


def test_a23_a_boxs_name_is_its_key() -> None:
    thief = generate_identity()
    voucher = trust.vouch(thief, generate_issuer().public, SITE)
    assert trust.check_voucher(voucher).id == thief.fingerprint != BOX.fingerprint
    forged = trust.Voucher(
        box=BOX.public, issuer=voucher.issuer, site=voucher.site, signature=voucher.signature
    )
    with pytest.raises(Refused) as no:
        trust.check_voucher(forged)
    assert no.value.code is Code.BAD_SIGNATURE


def test_a23_a_challenge_answers_for_one_host_and_one_nonce() -> None:
    signature = trust.sign_tunnel(BOX, "nonce-1", "cloud.example")
    trust.check_tunnel(BOX.public, signature, "nonce-1", "CLOUD.example")
    for public, nonce, host in (
        (BOX.public, "nonce-1", "evil.example"),
        (BOX.public, "nonce-1", "cloud.example.evil.example"),
        (BOX.public, "nonce-2", "cloud.example"),
        (STRANGER.public, "nonce-1", "cloud.example"),
    ):
        with pytest.raises(Refused):
            trust.check_tunnel(public, signature, nonce, host)
    assert NOW_MS
    assert CLOUD.fingerprint != BOX_ISSUER_KEY.kid


async def test_a23_at_a_running_cloud_a_relayed_hello_gets_no_welcome(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        box, thief = FakeBox(cloud.url), generate_identity()
        await box.join(cloud)
        nonce_of_another = trust.b64(bytes(32))
        attempts = {
            "for another host": {"host": "evil.example"},
            "over another nonce": {
                "signature": trust.sign_tunnel(box.identity, nonce_of_another, box.url.partition("://")[2])
            },
            "another key": {"key": thief.public},
        }
        for name, changed in attempts.items():
            async with box.dial() as (socket, challenge):
                await socket.send(sync.encode(box.hello(challenge.nonce, **changed)))
                with suppress(ConnectionClosed):
                    async for frame in socket:
                        assert isinstance(sync.decode_cloud(frame), sync.TunnelBye), name
        async with box.connected():
            pass

"""Group 16: a box that names somebody else's key as its issuer, to end their rights or take them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from common import sync, trust
from common.domain import Role
from tests.cloud.parts import CLOCK, FakeBox, join, running


class Naming(FakeBox):
    """A box that says of any public key that it issues with it. Its own it has kept for the honest hello."""

    named = ""

    def request(self) -> trust.EnrolRequest:
        assert self.code is not None
        issuer = self.named or self.issuer.public
        return trust.request_enrolment(self.identity, issuer, self.site, self.code.secret)

    async def say(self) -> sync.CloudMessage:
        voucher = trust.vouch(self.identity, self.named, self.site)
        async with self.dial() as (socket, challenge):
            hello = self.hello(challenge.nonce, issuer=voucher.issuer, vouching=voucher.signature)
            await socket.send(sync.encode(hello))
            return sync.decode_cloud(await socket.recv())

    def grant(self) -> str:
        issuer = trust.box_issuer(self.identity.fingerprint, self.issuer.public, self.site)
        return trust.issue_grant(
            trust.Issuing(key=self.issuer, issuer=issuer),
            site=self.site,
            principal="p-ann",
            role=Role.DRIVER,
            key="a-key",
            grant_id="g-1",
            now_ms=CLOCK.now_ms(),
        )


@pytest.mark.parametrize("when", ["hello", "enrolment"])
async def test_a_box_that_names_anothers_issuer_ends_nobodys_rights(tmp_path: Path, when: str) -> None:
    async with running(tmp_path / "cloud") as cloud:
        honest, hostile = Naming(cloud.url), Naming(cloud.url)
        await honest.join(cloud, "Home")
        phone = await join(cloud, honest.site)
        made_there = honest.grant()
        judge = cloud.accounts.verifier
        online = cloud.accounts.keyring.issuing.issuer.public
        for number, named in enumerate((online, honest.issuer.public)):
            hostile.named = named if when == "enrolment" else ""
            await hostile.join(cloud, "Other")
            hostile.named = named
            await hostile.say()
            # The cloud's grants count everywhere, the honest box's at its site; a restart changes nothing.
            await cloud.accounts.open()
            async with phone.link() as app:
                assert honest.site in app.sites, number
            assert judge.claims(made_there, CLOCK.now_ms(), honest.site).principal == "p-ann"


def test_one_issuer_key_of_two_sites_speaks_at_each_for_that_site() -> None:
    """A box that was let go and has become another site's keeps its issuer key."""
    here, there = (trust.box_issuer("b" * 32, _KEY, site) for site in ("s-one", "s-two"))
    for issuers in ((here, there), (there, here)):
        known = trust.TrustSet(issuers)
        assert known.issuer(here.kid, "s-one") == here
        assert known.issuer(here.kid, "s-two") == there
        elsewhere = known.issuer(here.kid, "s-three")
        assert elsewhere is not None
        assert elsewhere.site != "s-three"
    cloud = msgspec.structs.replace(here, id="c" * 32, site=None)
    for issuers in ((here, cloud), (cloud, here)):
        assert trust.TrustSet(issuers).issuer(here.kid, "s-one") == cloud


_KEY = trust.b64(bytes(31) + b"\x07")

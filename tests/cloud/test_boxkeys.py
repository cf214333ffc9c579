"""Whose key speaks for a site: rotations over the tunnel and in files, the first of two, a key given up."""

from __future__ import annotations

import msgspec
import pytest

from cloud.boxkeys import RETIRED_MAX, judge, taken_in
from cloud.service import Cloud
from cloud.store.rows import SiteRow
from common import sync, trust
from common.client.local import local
from common.domain import Role
from common.errors import Code, PlugsideError
from common.keystore import generate_identity
from common.trust.rotation import OLD_KEPT_MS
from tests.cloud.parts import CLOCK, FakeBox, join, until

SITE = "s-home"
ONE, TWO, THREE, THIEF = (generate_identity() for _ in range(4))


def row(key: trust.IdentityKey = ONE, **more: object) -> SiteRow:
    made = SiteRow(id=SITE, name="Home", box=key.fingerprint, public=key.public, issuer="")
    return msgspec.structs.replace(made, **more)


def step(old: trust.IdentityKey, new: trust.IdentityKey, number: int = 1, site: str = SITE) -> str:
    return trust.rotate(old, new, site=site, number=number, at_ms=0)


def refused(site: SiteRow, key: trust.IdentityKey, *told: str, now_ms: int = 0) -> Code:
    with pytest.raises(PlugsideError) as why:
        judge(site, key.public, told, now_ms)
    return why.value.code


def test_the_first_to_be_confirmed_wins() -> None:
    two = judge(row(), TWO.public, (step(ONE, TWO),), 1000)
    assert (two.box, two.public, two.origin) == (TWO.fingerprint, TWO.public, ONE.fingerprint)
    assert judge(two, TWO.public, (step(ONE, TWO),), 2000) is two
    # A copy of the old disk makes a successor of its own; so does one that goes on from there.
    assert refused(two, THIEF, step(ONE, THIEF)) is Code.KEY_REPLACED
    assert refused(two, THIEF, step(ONE, THREE), step(THREE, THIEF, 2)) is Code.KEY_REPLACED
    three = judge(two, THREE.public, (step(ONE, TWO), step(TWO, THREE, 2)), 3000)
    assert (three.former, three.origin) == (TWO.public, ONE.fingerprint)
    assert set(three.retired) == {ONE.fingerprint, TWO.fingerprint}
    assert refused(three, TWO, step(ONE, TWO), now_ms=3000 + OLD_KEPT_MS) is Code.KEY_REPLACED


def test_who_repeats_the_sites_own_statements_is_a_stranger() -> None:
    """They are public: any phone has them. Their repetition says nothing of a copied disk."""
    two = judge(row(), TWO.public, (step(ONE, TWO),), 1000)
    assert refused(two, THIEF, step(ONE, TWO)) is Code.UNTRUSTED_PEER
    assert refused(two, THIEF, step(ONE, TWO), step(THREE, THIEF, 2)) is Code.UNTRUSTED_PEER


def test_several_rotations_while_the_cloud_was_away_are_one_step() -> None:
    three = judge(row(), THREE.public, (step(ONE, TWO), step(TWO, THREE, 2)), 1000)
    assert (three.box, three.former) == (THREE.fingerprint, ONE.public)
    assert refused(three, TWO, step(ONE, TWO)) is Code.KEY_REPLACED


def test_the_old_key_is_heard_for_a_day_and_then_refused_by_name() -> None:
    two = judge(row(), TWO.public, (step(ONE, TWO),), 1000)
    assert judge(two, ONE.public, (), 1000 + OLD_KEPT_MS - 1) is two
    assert refused(two, ONE, now_ms=1000 + OLD_KEPT_MS) is Code.KEY_REPLACED


@pytest.mark.parametrize(
    "told",
    [
        (),
        (step(ONE, THIEF, site="s-other"),),
        (step(TWO, THIEF),),
        (step(ONE, TWO),),
        (step(ONE, TWO), step(TWO, ONE, 2), step(ONE, THIEF, 3)),
        ("nonsense",),
        (step(ONE, THIEF), "nonsense"),
    ],
)
def test_no_other_word_brings_another_key(told: tuple[str, ...]) -> None:
    assert refused(row(), THIEF, *told) is Code.UNTRUSTED_PEER


def test_our_own_placement_outranks_what_any_box_says() -> None:
    two = judge(row(), TWO.public, (step(ONE, TWO),), 1000)
    cloud = generate_identity()
    back = taken_in(two, row(ONE), cloud, 5000)
    told = trust.open_succession(back.succession, site=SITE, cloud=cloud.fingerprint)
    assert (told.box, back.rotations, back.retired) == (ONE.fingerprint, (), (TWO.fingerprint,))
    assert judge(back, ONE.public, (), 6000) is back
    # The key that the site left leads nowhere any more, and nothing leads to it.
    assert refused(back, TWO, step(ONE, TWO)) is Code.KEY_REPLACED
    assert refused(back, THREE, step(ONE, TWO), step(TWO, THREE, 2)) is Code.KEY_REPLACED
    assert judge(back, THREE.public, (step(ONE, THREE),), 7000).box == THREE.fingerprint
    again = taken_in(two, row(TWO, name="Renamed"), cloud, 5000)
    assert again == msgspec.structs.replace(two, name="Renamed"), "taken in again, it is the same box"


def test_what_is_remembered_is_bounded() -> None:
    known, cloud = row(), generate_identity()
    for _ in range(RETIRED_MAX + 3):
        known = taken_in(known, row(generate_identity()), cloud, 0)
    assert len(known.retired) == RETIRED_MAX


def test_a_box_that_rotated_before_it_was_taken_in_tells_its_first_name_later() -> None:
    told = (step(ONE, TWO),)
    known = judge(row(TWO), TWO.public, told, 0)
    assert (known.origin, known.box, known.former) == (ONE.fingerprint, TWO.fingerprint, "")
    assert refused(row(TWO), TWO, step(ONE, THREE)) is Code.UNTRUSTED_PEER


# --- over the tunnel ---------------------------------------------------------------------------------------


class Rotating(FakeBox):
    """A box whose key is rotated; its rights are issued under its first name."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.rotations: tuple[str, ...] = ()
        self.first = self.identity
        self.welcomes: list[sync.TunnelWelcome] = []

    def rotate(self) -> trust.IdentityKey:
        before, self.identity = self.identity, generate_identity()
        number = len(self.rotations) + 1
        told = trust.rotate(before, self.identity, site=self.site, number=number, at_ms=CLOCK.now_ms())
        self.rotations = (*self.rotations, told)
        self.signer = self.identity
        return before

    def put_back(self, key: trust.IdentityKey, rotations: tuple[str, ...] = ()) -> None:
        self.identity = self.signer = key
        self.rotations = rotations

    def hello(self, nonce: str, **other: object) -> sync.TunnelHello:
        voucher = trust.vouch(self.identity, self.issuer.public, self.site)
        return super().hello(
            nonce,
            **{"rotations": self.rotations, "issuer": voucher.issuer, "vouching": voucher.signature, **other},
        )

    async def greeted(self) -> sync.CloudMessage:
        """What the cloud answers to a hello."""
        async with self.dial() as (socket, challenge):
            await socket.send(sync.encode(self.hello(challenge.nonce)))
            return sync.decode_cloud(await socket.recv())

    def grant(self, key: str, role: Role = Role.DRIVER) -> str:
        issuer = trust.box_issuer(self.first.fingerprint, self.issuer.public, self.site)
        return trust.issue_grant(
            trust.Issuing(key=self.issuer, issuer=issuer),
            site=self.site,
            principal="p-ann",
            role=role,
            key=key,
            grant_id="g-1",
            now_ms=CLOCK.now_ms(),
        )


@pytest.fixture
async def rotating(cloud: Cloud) -> Rotating:
    made = Rotating(cloud.url)
    await made.join(cloud)
    return made


async def acts(cloud: Cloud, what: str) -> list[str]:
    async with local(cloud._settings.socket_path) as operator:
        rows = await operator.query("acts")
    return [act["detail"] for act in rows if act["what"] == what]


async def test_a_rotation_is_confirmed_once_and_everything_goes_on(cloud: Cloud, rotating: Rotating) -> None:
    box = rotating
    async with box.connected():
        box.ledger.charge("s1", 0, 10)
        await box._send_due()
        await until(lambda: box.drained)
    phone = await join(cloud, box.site)
    right = box.grant("a-key")
    before = box.rotate()
    for _ in range(2):
        welcome = await box.greeted()
        assert isinstance(welcome, sync.TunnelWelcome)
        assert (welcome.box, welcome.former_until) == (box.identity.fingerprint, "")
    (detail,) = await acts(cloud, "key_rotated")
    assert box.identity.fingerprint in detail
    assert before.fingerprint in detail
    async with box.connected():
        box.ledger.charge("s2", 20, 30)
        await box._send_due()
        await until(lambda: box.drained)
        async with phone.link() as app:
            access = app.sites[box.site]
            assert access.key == box.identity.fingerprint
            told = trust.open_succession(
                access.succession, site=box.site, cloud=cloud.accounts.identity.fingerprint
            )
            assert told.box == box.identity.fingerprint
    # Rights of the box's own making count as before, and so do those that it gives now.
    for one in (right, box.grant("another-key")):
        assert cloud.accounts.verifier.claims(one, CLOCK.now_ms(), box.site).issuer == box.first.fingerprint


async def test_the_old_keys_link_ends_when_its_day_does(cloud: Cloud, rotating: Rotating) -> None:
    box = rotating
    before = box.rotate()
    await box.greeted()
    new = box.identity
    site = await cloud.accounts._store.site(box.site)
    assert site is not None
    # Far enough off for a busy machine to have said hello by then.
    soon = msgspec.structs.replace(site, former_until_ms=CLOCK.now_ms() + 3000)
    await cloud.accounts._store.rotate_box(soon, held=new.public)
    box.put_back(before)
    async with box.connected():
        await until(lambda: any(isinstance(said, sync.TunnelBye) for said in box.said))
    (bye,) = [said for said in box.said if isinstance(said, sync.TunnelBye)]
    assert bye.code == Code.KEY_REPLACED


async def test_two_tunnels_with_two_successors_at_once_are_one(cloud: Cloud, rotating: Rotating) -> None:
    site = await cloud.accounts._store.site(rotating.site)
    assert site is not None
    taken = []
    for key in (TWO, THREE):
        changed = judge(
            site, key.public, (trust.rotate(rotating.first, key, site=site.id, number=1, at_ms=0),), 0
        )
        taken.append(await cloud.accounts._store.rotate_box(changed, held=site.public))
    assert taken == [True, False]

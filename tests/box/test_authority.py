"""The box's authority: what it keeps over a restart, whom it lets in, whom it believes, for how long."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from common import trust
from common.domain import Role
from common.errors import Code, PlugsideError, RemoteFault, Unavailable
from common.facts import AuthorizationChanged
from common.keystore import Keystore, generate_issuer
from common.policy import Claims
from common.trust.enrolment import BOX_CODE_LIFE_MS
from edge.authority import OFFLINE_GRACE_MS, Authority
from edge.invites import INVITES_MAX, InviteEntry
from tests.box.cloud import FakeCloud
from tests.box.support import FakeClock
from tests.journal.support import FakeIds

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class CountingStore(Keystore):
    """A keystore that counts what it writes."""

    writes = 0

    def save(self, name: str, document: object) -> None:
        self.writes += 1
        super().save(name, document)


class Place:
    """An authority over a folder; `again` is the next start."""

    def __init__(self, folder: Path, clock: FakeClock | None = None, life: str = "a") -> None:
        self.folder, self.clock = folder, clock or FakeClock()
        self.store = CountingStore(folder / "keys")
        self.box = Authority(self.store, name="Home", clock=self.clock, ids=FakeIds(life))
        self.granted: list[AuthorizationChanged] = []
        self.box.granted = self.granted.append

    def again(self) -> Place:
        return Place(self.folder, self.clock, "b")

    def secret(self, role: Role = Role.DRIVER, life_ms: int = HOUR_MS) -> str:
        text, _ = self.box.invite(role, None, life_ms)
        return trust.Invite.from_text(text).secret

    def claims(self, grant: str) -> Claims:
        return self.box.claims_of(grant, self.clock.now)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_restart_changes_nothing(place: Place) -> None:
    secret = place.secret()
    grant = place.box.redeem(secret, "key-1").grant
    later = place.again()
    for one in ("site", "edge_id", "instance", "name"):
        assert getattr(later.box, one) == getattr(place.box, one)
    assert later.box.document.tag_ref("DEADBEEF") == place.box.document.tag_ref("DEADBEEF")
    assert later.claims(grant).principal == place.claims(grant).principal
    assert later.box.redeem(secret, "key-1").site.principal == place.claims(grant).principal
    assert later.granted == [], "told once"


def test_an_invite_is_one_keys_until_its_grant_was_used(place: Place) -> None:
    secret = place.secret(Role.OPERATOR)
    first = place.box.redeem(secret, "key-1")
    again = place.box.redeem(secret, "key-1")
    claims = place.claims(again.grant)
    assert (claims.role, claims.key) == (Role.OPERATOR, "key-1")
    assert place.claims(first.grant).principal == claims.principal
    (told,) = place.granted
    assert (told.change, told.key, told.role) == ("granted", "key-1", Role.OPERATOR)
    for key in ("key-2", "key-1"):
        with pytest.raises(PlugsideError) as no:
            place.box.redeem(secret, key)
        assert no.value.code is Code.BAD_INVITE
        place.box.authenticated(claims)
        if key == "key-2":
            assert place.again().box.invites.records[0].spent


def test_an_invite_runs_out_and_a_wrong_one_is_none(place: Place) -> None:
    secret = place.secret(life_ms=HOUR_MS)
    with pytest.raises(PlugsideError):
        place.box.redeem("not-an-invite", "key-1")
    place.clock.now += HOUR_MS
    with pytest.raises(PlugsideError) as no:
        place.box.redeem(secret, "key-1")
    assert no.value.code is Code.BAD_INVITE
    assert place.granted == []


def test_what_cannot_be_written_down_is_not_granted(place: Place) -> None:
    secret = place.secret()

    def full(_: AuthorizationChanged) -> None:
        raise Unavailable(Code.JOURNAL_UNAVAILABLE)

    place.box.granted = full
    with pytest.raises(Unavailable):
        place.box.redeem(secret, "key-1")
    place.box.granted = place.granted.append
    place.box.redeem(secret, "key-2")
    assert [told.key for told in place.granted] == ["key-2"]


def test_only_changes_are_written(place: Place) -> None:
    secret = place.secret()
    grant = place.box.redeem(secret, "key-1").grant
    claims, before = place.claims(grant), place.store.writes
    place.box.redeem(secret, "key-1")
    assert place.store.writes == before
    for _ in range(3):
        place.box.authenticated(claims)
    assert place.store.writes == before + 1, "spent once, on a path that every connect takes"


def test_invites_are_bounded_and_what_is_over_makes_room_first(place: Place) -> None:
    kept = place.secret(life_ms=DAY_MS)
    (record,) = place.box.invites.records
    entry = InviteEntry(record=record)
    over = msgspec.structs.replace(entry.record, hash="h", expires_ms=place.clock.now)
    place.store.save("invites", [entry, *[InviteEntry(record=over)] * (INVITES_MAX - 1)])
    later = place.again()
    later.secret()
    assert len(later.box.invites.records) == 2, "what has run out is not kept"
    assert later.box.redeem(kept, "key-1")
    open_ones = [InviteEntry(record=msgspec.structs.replace(entry.record, hash="h"))] * INVITES_MAX
    later.store.save("invites", [*(InviteEntry(record=one) for one in later.box.invites.records), *open_ones])
    last = later.again()
    last.secret()
    assert len(last.box.invites.records) == INVITES_MAX
    with pytest.raises(PlugsideError):  # the oldest made room
        last.box.redeem(kept, "key-1")


def test_grace_is_for_drivers_while_the_cloud_is_away(place: Place) -> None:
    driver = place.box.redeem(place.secret(Role.DRIVER), "key-1").grant
    operator = place.box.redeem(place.secret(Role.OPERATOR), "key-2").grant
    place.clock.now += 8 * DAY_MS
    assert place.claims(driver).grace
    with pytest.raises(PlugsideError) as no:
        place.claims(operator)
    assert no.value.code is Code.GRANT_EXPIRED
    place.box.reaches_cloud(True)
    with pytest.raises(PlugsideError) as no:
        place.claims(driver)
    assert no.value.code is Code.GRANT_EXPIRED
    place.box.reaches_cloud(False)
    assert place.claims(driver).grace
    place.clock.now += OFFLINE_GRACE_MS
    with pytest.raises(PlugsideError):
        place.claims(driver)


def test_a_tags_reference_is_keyed_and_has_no_case(tmp_path: Path) -> None:
    here, there = Place(tmp_path / "a").box, Place(tmp_path / "b", life="c").box
    assert here.document.tag_ref("deadBEEF") == here.document.tag_ref(" DEADbeef ")
    assert here.document.tag_ref("DEADBEEF") != there.document.tag_ref("DEADBEEF")
    assert here.document.tag_ref("DEADBEEF") != here.document.tag_ref("DEADBEEE")
    assert "deadbeef" not in here.document.tag_ref("deadbeef").casefold()


def test_a_pairing_code_has_an_end_and_a_later_one_voids_it(place: Place) -> None:
    assert place.box.enrolment() is None
    first = place.box.pair()
    asked = place.box.enrolment()
    assert asked is not None
    assert asked.pair == first.pair
    second = place.box.pair()
    asked = place.box.enrolment()
    assert asked is not None
    assert asked.pair == second.pair != first.pair
    place.clock.now += BOX_CODE_LIFE_MS
    assert place.box.enrolment() is None


def test_a_cloud_without_the_code_is_not_believed(place: Place) -> None:
    cloud, code = FakeCloud(), place.box.pair()
    asked = place.box.enrolment()
    assert asked is not None
    bundle = trust.TrustBundle(
        site=place.box.site, root=cloud.root.public, keys=cloud.keys(), url="https://evil.example", cloud="c"
    )
    with pytest.raises(RemoteFault) as no:
        place.box.enrolled(trust.answer_enrolment(bundle, asked, trust.b64(b"guess" * 4)), asked, "")
    assert no.value.code is Code.UNTRUSTED_PEER
    assert not place.box.cloud_url
    place.box.enrolled(trust.answer_enrolment(bundle, asked, code.secret), asked, "")
    assert place.again().box.cloud_url == "https://evil.example"
    with pytest.raises(RemoteFault):  # nobody is asked any more
        place.box.enrolled(trust.answer_enrolment(bundle, asked, code.secret), asked, "")


def test_newer_key_sets_are_kept_and_older_or_foreign_ones_ignored(place: Place) -> None:
    cloud = FakeCloud()
    cloud.take_in(place.box, "https://cloud.example")
    old_key, old_set = cloud.online, cloud.keys(1)
    claims = Claims(site=place.box.site, principal="p-1", role=Role.DRIVER, key="key-1")
    of_old = cloud.grant(claims, place.clock.now)
    assert place.claims(of_old).issuer == trust.fingerprint(cloud.root.public)
    cloud.online = generate_issuer()
    newer = msgspec.json.encode(cloud.keys(2)).decode()
    foreign = msgspec.json.encode(FakeCloud().keys(9)).decode()
    place.box.learn(("not json", foreign, newer, msgspec.json.encode(old_set).decode()))
    for box in (place, place.again()):
        with pytest.raises(PlugsideError) as no:
            box.claims(of_old)
        assert no.value.code is Code.BAD_GRANT, "the key was taken out of the set"
        assert box.claims(cloud.grant(claims, place.clock.now, "g-2")).principal == "p-1"
    assert old_key.public != cloud.online.public


def test_a_grant_of_another_box_counts_for_nothing(tmp_path: Path) -> None:
    here, there = Place(tmp_path / "a"), Place(tmp_path / "b", life="c")
    grant = there.box.redeem(there.secret(Role.OPERATOR), "key-1").grant
    with pytest.raises(PlugsideError) as no:
        here.claims(grant)
    assert no.value.code is Code.BAD_GRANT

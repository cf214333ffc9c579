"""The box's key and its rotations on disk: whatever step is the last before a crash, a start has a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import trust
from common.errors import Code, LocalFault, Refused
from common.keystore import Keystore, generate_identity
from common.trust.rotation import ROTATIONS_MAX, followed
from edge.identity import Identity

SITE = "s-home"


class Cut(Exception):  # noqa: N818 - the power goes, which is nobody's error
    """The power is gone."""


class Powered(Keystore):
    """A keystore whose power goes before its nth change, or after it."""

    def __init__(self, folder: Path, left: int) -> None:
        super().__init__(folder)
        self.left = left

    def _spend(self) -> None:
        if self.left <= 0:
            raise Cut
        self.left -= 1

    def put(self, name: str, content: bytes) -> None:
        self._spend()
        super().put(name, content)

    def save(self, name: str, document: object) -> None:
        self._spend()
        super().save(name, document)

    def remove_key(self, name: str) -> None:
        self._spend()
        super().remove_key(name)


@pytest.mark.parametrize("steps", range(7))
def test_the_power_goes_at_any_step_and_the_box_has_a_key_that_everybody_follows(
    tmp_path: Path, steps: int
) -> None:
    before = Identity(Keystore(tmp_path / "keys")).key
    cut = False
    try:
        Identity(Powered(tmp_path / "keys", steps)).rotate(SITE, 1000)
    except Cut:
        cut = True
    # The same again while it starts: ending what was begun may be cut as well.
    for again in range(3):
        try:
            Identity(Powered(tmp_path / "keys", again))
        except Cut:
            continue
    after = Identity(Keystore(tmp_path / "keys"))
    assert cut == (steps < 5), (
        "five changes: a stray key removed, the new one, the statement, its place, gone"
    )
    assert (after.key.public == before.public) == (steps < 3), "the statement decides"
    assert after.number == (0 if steps < 3 else 1)
    if after.number:
        assert followed(after.statements, pinned=before.fingerprint, key=after.key.public, site=SITE)
    assert sorted(file.name for file in (tmp_path / "keys").glob("*.pem")) == ["identity.pem"]
    again = after.rotate(SITE, 2000)
    assert (again.former, again.number) == (trust.fingerprint(again.old), after.number)


def test_it_keeps_its_first_name_and_answers_to_all(tmp_path: Path) -> None:
    made = Identity(Keystore(tmp_path / "keys"))
    names = [made.key.fingerprint]
    for number in range(3):
        names.insert(0, made.rotate(SITE, number * 1000).box)
    later = Identity(Keystore(tmp_path / "keys"))
    for one in (made, later):
        assert (one.origin, list(one.names), one.number) == (names[-1], names, 3)
        assert one.host_names[0] == f"plugside-{names[0][:8]}.local"


def test_the_cloud_confirms_the_present_key_once(tmp_path: Path) -> None:
    made = Identity(Keystore(tmp_path / "keys"))
    first = made.key.fingerprint
    assert made.confirmed
    assert not made.confirm(first), "there is nothing to confirm"
    done = made.rotate(SITE, 1000)
    assert not made.confirmed
    assert not made.confirm(first)
    assert made.confirm(done.box)
    assert not made.confirm(done.box)
    assert Identity(Keystore(tmp_path / "keys")).confirmed


def test_a_chain_has_an_end(tmp_path: Path) -> None:
    made = Identity(Keystore(tmp_path / "keys"))
    for _ in range(ROTATIONS_MAX):
        made.rotate(SITE, 1000)
    key = made.key.public
    with pytest.raises(Refused) as full:
        made.rotate(SITE, 1000)
    assert full.value.code is Code.LIMIT_REACHED
    assert (made.key.public, made.number) == (key, ROTATIONS_MAX)


def test_a_box_that_took_another_ones_place_begins_a_chain_of_its_own(tmp_path: Path) -> None:
    made = Identity(Keystore(tmp_path / "keys"))
    made.rotate(SITE, 1000)
    made.belongs_to(SITE)
    assert made.number == 1
    made.belongs_to("s-other")
    assert (made.number, made.statements, made.origin) == (0, (), made.key.fingerprint)
    assert Identity(Keystore(tmp_path / "keys")).number == 0


def test_a_folder_of_two_copies_is_named(tmp_path: Path) -> None:
    store = Keystore(tmp_path / "keys")
    Identity(store).rotate(SITE, 1000)
    store.put("identity.pem", generate_identity().to_pem())
    with pytest.raises(LocalFault) as mixed:
        Identity(store)
    assert mixed.value.code is Code.FOLDER_UNUSABLE
    store.save("rotations", {"statements": ["nonsense"]})
    with pytest.raises(LocalFault):
        Identity(store)

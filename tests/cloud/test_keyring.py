"""The cloud's keys: made once, renewed in time, and what happens when one is gone."""

from pathlib import Path

import pytest

from cloud.keyring import ONLINE_LIFE_MS, RENEW_BEFORE_MS, TOLD_BEFORE_MS, Keyring
from common import trust
from common.domain import Role
from common.errors import LocalFault
from common.keystore import Keystore


class At:
    """A clock that stands."""

    quality = "synced"

    def __init__(self, ms: int = 1_800_000_000_000) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms

    def mono_ms(self) -> int:
        return self.ms


def believed(keyring: Keyring, clock: At) -> bool:
    """Whether a box that trusts the root believes a grant that this ring signs now."""
    keys = trust.open_key_set(keyring.signed, keyring.root)
    grant = trust.issue_grant(
        keyring.issuing, site="s", principal="p", role=Role.DRIVER, key="k", grant_id="g", now_ms=clock.ms
    )
    verifier = trust.Verifier(trust.TrustSet(trust.cloud_issuers(keys)))
    return verifier.claims(grant, clock.ms).principal == "p"


def test_the_first_start_makes_keys_that_the_next_one_finds(tmp_path: Path) -> None:
    clock = At()
    first, again = (Keyring(Keystore(tmp_path / "keys"), clock) for _ in range(2))
    assert (first.root, first.identity.fingerprint) == (again.root, again.identity.fingerprint)
    assert first.signed == again.signed
    assert first.root_is_here
    assert believed(first, clock)


def test_the_root_may_be_taken_away_and_is_not_made_anew(tmp_path: Path) -> None:
    clock = At()
    root = Keyring(Keystore(tmp_path / "keys"), clock).root
    (tmp_path / "keys" / "root.pem").unlink()
    without = Keyring(Keystore(tmp_path / "keys"), clock)
    assert without.root == root
    assert not without.root_is_here
    assert believed(without, clock)


def test_the_online_key_is_renewed_in_time_and_its_predecessor_still_counts(tmp_path: Path) -> None:
    clock = At()
    ring = Keyring(Keystore(tmp_path / "keys"), clock)
    before = ring.issuing.issuer
    clock.ms += ONLINE_LIFE_MS - RENEW_BEFORE_MS - 1
    assert not ring.renew()
    clock.ms += 1
    assert ring.renew()
    assert ring.issuing.issuer == before, "boxes that are offline for some days hear of it first"
    clock.ms += TOLD_BEFORE_MS
    assert ring.issuing.issuer.public != before.public
    keys = trust.open_key_set(ring.signed, ring.root, at_least=2)
    assert before.public in {key.public for key in keys.keys}
    assert believed(ring, clock)
    clock.ms += ONLINE_LIFE_MS
    assert ring.renew()
    assert len(trust.open_key_set(ring.signed, ring.root, at_least=3).keys) == 1, "what has ended is left out"


def test_without_the_root_nothing_is_renewed_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = At()
    ring = Keyring(Keystore(tmp_path / "keys"), clock)
    (tmp_path / "keys" / "root.pem").unlink()
    clock.ms += ONLINE_LIFE_MS - 1
    assert not ring.renew()
    assert "root.pem" in caplog.text
    assert not (tmp_path / "keys" / "root.pem").exists()


def test_an_online_key_that_is_gone_is_not_replaced_behind_the_operators_back(tmp_path: Path) -> None:
    clock = At()
    Keyring(Keystore(tmp_path / "keys"), clock)
    (tmp_path / "keys" / "online-1.pem").unlink()
    with pytest.raises(LocalFault) as gone:
        Keyring(Keystore(tmp_path / "keys"), clock)
    assert "online-1.pem" in gone.value.message

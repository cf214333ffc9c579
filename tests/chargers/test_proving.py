"""What a dial proves: profile by profile, password by password; nothing that the peer claims counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chargers.proving import Certificate, Open, Proof, is_near, presented, prove
from edge.chargers.reasons import Reason

GOOD, CERTIFICATE = b"CP1:good", {"subject": ()}


class Guard(Open):
    """Knows the password `good`, and that every certificate is the charger's, or none."""

    def __init__(self, *taken: int, owner: bool = True, known: bool = True) -> None:
        self._taken, self._owner, self._known = frozenset(taken), owner, known

    def taken(self, charger: str) -> frozenset[int]:
        return self._taken

    def knows(self, charger: str) -> bool:
        return self._known

    def fitting(self, charger: str, presented: object) -> str:
        return "pw" if self._known and b"good" in tuple(presented) else ""  # type: ignore[call-overload]

    def owns(self, charger: str, certificate: Certificate) -> bool:
        return self._owner


def proven(guard: Guard, token: bytes | None, *, tls: bool, shown: bool = False) -> Proof | Reason:
    return prove(guard, "CP1", token, tls=tls, certificate=CERTIFICATE if shown else None)


@pytest.mark.parametrize(
    ("taken", "token", "tls", "shown", "comes_to"),
    [
        ((0,), None, False, False, Proof(0)),
        ((0,), b"CP1:anything", False, False, Proof(0)),
        ((0,), GOOD, True, False, Reason.TLS_NOT_WANTED),
        ((1,), GOOD, False, False, Proof(1, "pw")),
        ((1,), None, False, False, Reason.WRONG_PASSWORD),
        ((1,), b"CP1:bad", False, False, Reason.WRONG_PASSWORD),
        ((1,), GOOD, True, False, Reason.TLS_NOT_WANTED),
        ((1,), GOOD, True, True, Reason.TLS_NOT_WANTED),
        ((2,), GOOD, True, False, Proof(2, "pw")),
        ((2,), GOOD, False, False, Reason.TLS_WANTED),
        ((2,), b"CP1:bad", True, True, Reason.WRONG_PASSWORD),
        ((3,), None, True, True, Proof(3)),
        ((3,), GOOD, True, False, Reason.NO_CERTIFICATE),
        ((3,), GOOD, False, False, Reason.TLS_WANTED),
        # on its way up both are taken, and what is shown decides which it is
        ((0, 1), None, False, False, Proof(0)),
        ((0, 1), GOOD, False, False, Proof(1, "pw")),
        ((1, 2), GOOD, False, False, Proof(1, "pw")),
        ((1, 2), GOOD, True, False, Proof(2, "pw")),
        ((1, 2), None, False, False, Reason.WRONG_PASSWORD),
        ((2, 3), GOOD, True, False, Proof(2, "pw")),
        ((2, 3), GOOD, True, True, Proof(3)),
    ],
)
def test_each_profile_wants_its_own_proof(
    taken: tuple[int, ...], token: bytes | None, tls: bool, shown: bool, comes_to: Proof | Reason
) -> None:
    assert proven(Guard(*taken), token, tls=tls, shown=shown) == comes_to


def test_a_foreign_certificate_proves_nothing() -> None:
    assert proven(Guard(3, owner=False), None, tls=True, shown=True) is Reason.WRONG_CERTIFICATE
    assert proven(Guard(2, 3, owner=False), GOOD, tls=True, shown=True) == Proof(2, "pw")


def test_a_box_that_knows_no_password_says_so() -> None:
    assert proven(Guard(1, known=False), GOOD, tls=False) is Reason.NO_PASSWORD_KNOWN


@given(st.sets(st.integers(1, 3), min_size=1), st.binary(max_size=24), st.booleans())
def test_law_without_a_proof_nobody_comes_in_above_profile_0(
    taken: set[int], token: bytes, tls: bool
) -> None:
    if b"good" not in presented(token, "CP1"):
        assert isinstance(proven(Guard(*taken), token, tls=tls), Reason)


@given(st.binary(min_size=1, max_size=40))
def test_a_password_is_presented_as_it_is_and_as_hex(password: bytes) -> None:
    assert password in presented(b"cp:1:" + password, "CP:1")
    assert password in presented(b"CP:1:" + password.hex().encode(), "CP:1")
    assert presented(b"CP:2:" + password, "CP:1") == ()


def test_no_password_is_none() -> None:
    assert presented(b"CP1:", "CP1") == presented(None, "CP1") == presented(b"CP1", "CP1") == ()


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.2", "fe80::1%eth0", "::1", "127.0.0.1", "local"])
def test_the_site_s_own_network_is_near(address: str) -> None:
    assert is_near(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2001:4860::1"])
def test_the_internet_is_not_near_unless_it_is_named(address: str) -> None:
    assert not is_near(address)
    assert is_near(address, ("8.8.0.0/16", "2001:4860::/32"))
    assert not is_near("10.0.0.7", ("8.8.0.0/16",))
    assert is_near("127.0.0.1", ("8.8.0.0/16",))

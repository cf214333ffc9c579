"""Identities and issuers: spelling, names, purposes, signatures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Code, LocalFault, PlugsideError, Refused
from common.trust import (
    IdentityKey,
    IssuerKey,
    Purpose,
    b64,
    fingerprint,
    thumbprint,
    unb64,
    verify_identity,
    verify_issuer,
)
from tests.trust.cast import BOX, ONLINE, PHONE, STRANGER, flipped, halves_swapped_sign

MESSAGE = b"a message"


def refused(
    public: str, signature: str, purpose: Purpose = Purpose.COMMAND, message: bytes = MESSAGE
) -> Code:
    with pytest.raises(PlugsideError) as raised:
        verify_identity(public, signature, purpose, message)
    return raised.value.code


@given(st.binary(max_size=100))
def test_base64url_reads_what_it_wrote(data: bytes) -> None:
    assert unb64(b64(data)) == data


@given(st.text(max_size=60))
def test_base64url_has_one_spelling(text: str) -> None:
    try:
        data = unb64(text)
    except ValueError:
        return
    assert b64(data) == text


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q Q", "+/+/", "QQ\n", "ä", "A" * 5])
def test_base64url_refuses_other_spellings(text: str) -> None:
    with pytest.raises(ValueError):
        unb64(text)


def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    # Computed from the key of RFC 7515 appendix A.3 with the rule of RFC 7638 §3.
    x, y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    assert thumbprint(b64(b"\x04" + unb64(x) + unb64(y))) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def test_names_are_short_stable_and_of_one_key() -> None:
    assert fingerprint(BOX.public) == BOX.fingerprint
    assert len(BOX.fingerprint) == 32
    assert set(BOX.fingerprint) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert BOX.fingerprint != PHONE.fingerprint
    assert thumbprint(BOX.public) == BOX.thumbprint != PHONE.thumbprint


def test_a_signature_is_64_bytes_and_verifies() -> None:
    signature = PHONE.sign(Purpose.COMMAND, MESSAGE)
    assert len(unb64(signature)) == 64
    verify_identity(PHONE.public, signature, Purpose.COMMAND, MESSAGE)


def test_both_forms_of_a_signature_verify() -> None:
    signature = PHONE.sign(Purpose.COMMAND, MESSAGE)
    verify_identity(PHONE.public, halves_swapped_sign(PHONE, signature), Purpose.COMMAND, MESSAGE)


@pytest.mark.parametrize("other", [purpose for purpose in Purpose if purpose is not Purpose.COMMAND])
def test_a_signature_for_one_purpose_is_worthless_for_another(other: Purpose) -> None:
    assert refused(PHONE.public, PHONE.sign(other, MESSAGE)) is Code.BAD_SIGNATURE


@given(st.integers(min_value=0))
def test_any_flipped_character_of_a_signature_is_refused(position: int) -> None:
    signature = PHONE.sign(Purpose.COMMAND, MESSAGE)
    assert refused(PHONE.public, flipped(signature, position)) is Code.BAD_SIGNATURE


GOOD = PHONE.sign(Purpose.COMMAND, MESSAGE)
# Named, because keys differ at every run: public key, signature.
WRONG = {
    "another's key": (STRANGER.public, GOOD),
    "no signature": (PHONE.public, ""),
    "zeros": (PHONE.public, b64(bytes(64))),
    "beyond the order": (PHONE.public, b64(b"\xff" * 64)),
    "63 bytes": (PHONE.public, b64(bytes(63))),
    "no key": ("", GOOD),
    "not on the curve": (b64(b"\x04" + bytes(64)), GOOD),
    "the point at infinity": (b64(b"\x00"), GOOD),
    "a compressed point": (b64(b"\x02" + bytes(32)), GOOD),
    "not base64url": ("ä" * 87, GOOD),
    "an issuer's key": (ONLINE.public, GOOD),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_what_is_no_signature_of_this_key_is_refused(case: str) -> None:
    assert refused(*WRONG[case]) is Code.BAD_SIGNATURE


def test_an_issuer_signs_and_verifies() -> None:
    signature = ONLINE.sign(Purpose.KEY_SET, MESSAGE)
    verify_issuer(ONLINE.public, signature, Purpose.KEY_SET, MESSAGE)
    for public, wrong, message in [
        (ONLINE.public, flipped(signature, 7), MESSAGE),
        (ONLINE.public, signature, b"another"),
        (BOX.public, signature, MESSAGE),
        ("", signature, MESSAGE),
        (ONLINE.public, "", MESSAGE),
    ]:
        with pytest.raises(Refused):
            verify_issuer(public, wrong, Purpose.KEY_SET, message)


def test_keys_survive_their_files_and_are_not_mistaken_for_each_other() -> None:
    assert IdentityKey.from_pem(PHONE.to_pem()).public == PHONE.public
    assert IssuerKey.from_pem(ONLINE.to_pem()).public == ONLINE.public
    for read, pem in [
        (IdentityKey.from_pem, ONLINE.to_pem()),
        (IssuerKey.from_pem, PHONE.to_pem()),
        (IdentityKey.from_pem, b"nothing"),
    ]:
        with pytest.raises(LocalFault):
            read(pem)


def test_an_identity_is_on_no_other_curve() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    with pytest.raises(LocalFault):
        IdentityKey(ec.generate_private_key(ec.SECP384R1()))

"""Key sets under their root, and a box's issuer under its identity.

Tried: key sets rolled back, of another root, or changed on the way; vouchers changed or for what is no key.
"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import Role
from common.errors import Code, Refused, RemoteFault
from common.keystore import generate_issuer
from common.trust import (
    OnlineKey,
    SignedKeySet,
    TrustSet,
    Voucher,
    box_issuer,
    check_voucher,
    cloud_issuers,
    fingerprint,
    open_key_set,
    sign_key_set,
    vouch,
)
from tests.trust.cast import BOX, BOX_ISSUER_KEY, KEY_SET, NOW_MS, ONLINE, ROOT, SITE, STRANGER, flipped


def untrusted(signed: SignedKeySet, root: str = ROOT.public, at_least: int = 0) -> None:
    with pytest.raises(RemoteFault) as raised:
        open_key_set(signed, root, at_least=at_least)
    assert raised.value.code is Code.UNTRUSTED_PEER


def test_a_key_set_stands_for_issuers_of_every_site_until_their_end() -> None:
    keys = open_key_set(KEY_SET, ROOT.public, at_least=1)
    (issuer,) = cloud_issuers(keys)
    assert issuer.id == fingerprint(ROOT.public)
    assert issuer.kid == ONLINE.kid
    assert issuer.site is None
    assert issuer.roles == {Role.DRIVER, Role.OPERATOR, Role.INSTALLER}
    assert issuer.not_after_ms == keys.keys[0].not_after_ms


def test_a_key_set_does_not_roll_back() -> None:
    newer = sign_key_set(ROOT, 5, [OnlineKey(public=ONLINE.public, not_after_ms=NOW_MS)])
    assert open_key_set(newer, ROOT.public, at_least=1).number == 5
    untrusted(KEY_SET, at_least=5)


def test_a_key_set_is_of_the_root_that_was_enrolled() -> None:
    other = generate_issuer()
    untrusted(KEY_SET, root=other.public)
    untrusted(sign_key_set(other, 9, []))
    # The true root never signs for another; a set that says so is not sound.
    body = msgspec.json.encode({"root": other.public, "number": 9, "keys": []})
    from common.trust import Purpose, b64

    untrusted(SignedKeySet(body=b64(body), signature=ROOT.sign(Purpose.KEY_SET, body)))
    untrusted(SignedKeySet(body=b64(b"[" * 5000), signature=ROOT.sign(Purpose.KEY_SET, b"[" * 5000)))
    untrusted(sign_key_set(ROOT, 2, [OnlineKey(public="nothing", not_after_ms=1)]))


@given(st.integers(min_value=0))
def test_any_flipped_character_of_a_key_set_is_refused(position: int) -> None:
    if position % 2:
        untrusted(msgspec.structs.replace(KEY_SET, body=flipped(KEY_SET.body, position)))
    else:
        untrusted(msgspec.structs.replace(KEY_SET, signature=flipped(KEY_SET.signature, position)))


def test_a_box_vouches_for_its_issuer() -> None:
    issuer = check_voucher(vouch(BOX, BOX_ISSUER_KEY.public, SITE))
    assert issuer == box_issuer(BOX.fingerprint, BOX_ISSUER_KEY.public, SITE)
    assert (issuer.id, issuer.site) == (BOX.fingerprint, SITE)
    assert issuer.roles == {Role.DRIVER, Role.OPERATOR}


@pytest.mark.parametrize(
    "changes",
    [
        {"site": "site-2"},
        {"site": "site\n1"},
        {"issuer": generate_issuer().public},
        {"box": STRANGER.public},
        {"box": ""},
        {"signature": ""},
    ],
)
def test_a_changed_voucher_is_refused(changes: dict[str, str]) -> None:
    voucher = msgspec.structs.replace(vouch(BOX, BOX_ISSUER_KEY.public, SITE), **changes)
    with pytest.raises(Refused) as raised:
        check_voucher(voucher)
    assert raised.value.code is Code.BAD_SIGNATURE


def test_a_voucher_for_what_is_no_key_is_refused() -> None:
    voucher: Voucher = vouch(BOX, "AAAA", SITE)
    with pytest.raises(Refused):
        check_voucher(voucher)


def test_a_trust_set_grows_by_making_another() -> None:
    small = TrustSet()
    issuer = box_issuer(BOX.fingerprint, BOX_ISSUER_KEY.public, SITE)
    large = small.extended([issuer])
    assert small.issuers == ()
    assert large.issuer(issuer.kid) == issuer
    assert large.issuer("unknown") is None

"""Enrolment over a network that nobody trusts, and the tunnel's challenge.

Tried: a box or a cloud without the code, any character of the answer flipped, a challenge answered wrongly.
"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Code, Refused, RemoteFault
from common.keystore import generate_identity, generate_issuer
from common.trust import (
    BoxCode,
    EnrolAnswer,
    EnrolRequest,
    TrustBundle,
    answer_enrolment,
    b64,
    box_issuer,
    check_enrolment,
    check_tunnel,
    open_enrolment,
    request_enrolment,
    sign_key_set,
    sign_tunnel,
)
from tests.trust.cast import (
    BOX,
    BOX_ISSUER_KEY,
    CLOUD,
    KEY_SET,
    NOW_MS,
    ROOT,
    SITE,
    STRANGER,
    flipped,
)

SECRET = b64(bytes(range(16)))
OTHER_SECRET = b64(bytes(range(1, 17)))
CODE = BoxCode(
    secret=SECRET,
    server=BOX.fingerprint,
    expires_ms=NOW_MS + 15 * 60_000,
    addresses=("192.0.2.7:8443",),
    certificates=("cd" * 32,),
)
REQUEST = request_enrolment(BOX, BOX_ISSUER_KEY.public, SITE, SECRET)
BUNDLE = TrustBundle(
    site=SITE, root=ROOT.public, keys=KEY_SET, url="https://cloud.example", cloud=CLOUD.fingerprint
)
ANSWER = answer_enrolment(BUNDLE, REQUEST, SECRET)


def test_a_code_survives_its_text_and_is_no_drivers_invite() -> None:
    text = CODE.to_text()
    assert text.startswith("plugsidebox1_")
    assert BoxCode.from_text(text) == CODE
    with pytest.raises(Refused):
        BoxCode.from_text(text.replace("box1", "1"))


def test_both_sides_learn_what_they_keep() -> None:
    box = check_enrolment(REQUEST, CODE, NOW_MS)
    assert (box.site, box.box, box.public) == (SITE, BOX.fingerprint, BOX.public)
    assert box.issuer == box_issuer(BOX.fingerprint, BOX_ISSUER_KEY.public, SITE)
    bundle, keys = open_enrolment(ANSWER, REQUEST, SECRET)
    assert bundle == BUNDLE
    assert keys.number == 1


def test_the_secret_does_not_travel() -> None:
    sent = msgspec.json.encode(REQUEST) + msgspec.json.encode(ANSWER)
    assert SECRET.encode() not in sent
    assert REQUEST.pair == CODE.pair


@pytest.mark.parametrize(
    ("request_", "code", "now_ms", "expected"),
    [
        (REQUEST, CODE, CODE.expires_ms, Code.BAD_INVITE),
        (REQUEST, msgspec.structs.replace(CODE, secret=OTHER_SECRET), NOW_MS, Code.BAD_INVITE),
        (REQUEST, msgspec.structs.replace(CODE, server=STRANGER.fingerprint), NOW_MS, Code.BAD_INVITE),
        # Another box that saw the code's pair id, or even its secret, is not the box of the code.
        (
            request_enrolment(STRANGER, BOX_ISSUER_KEY.public, SITE, SECRET),
            CODE,
            NOW_MS,
            Code.BAD_INVITE,
        ),
        (msgspec.structs.replace(REQUEST, pair="\udcff"), CODE, NOW_MS, Code.BAD_SIGNATURE),
        (msgspec.structs.replace(REQUEST, signature=""), CODE, NOW_MS, Code.BAD_SIGNATURE),
        (
            msgspec.structs.replace(REQUEST, voucher=msgspec.structs.replace(REQUEST.voucher, site="site-2")),
            CODE,
            NOW_MS,
            Code.BAD_SIGNATURE,
        ),
        (
            msgspec.structs.replace(
                REQUEST, voucher=msgspec.structs.replace(REQUEST.voucher, issuer=generate_issuer().public)
            ),
            CODE,
            NOW_MS,
            Code.BAD_SIGNATURE,
        ),
    ],
)
def test_a_cloud_takes_in_the_box_of_its_code_only(
    request_: EnrolRequest, code: BoxCode, now_ms: int, expected: Code
) -> None:
    with pytest.raises((Refused, RemoteFault)) as raised:
        check_enrolment(request_, code, now_ms)
    assert raised.value.code is expected


def distrusted(answer: EnrolAnswer, request: EnrolRequest = REQUEST, secret: str = SECRET) -> None:
    with pytest.raises(RemoteFault) as raised:
        open_enrolment(answer, request, secret)
    assert raised.value.code is Code.UNTRUSTED_PEER


@given(st.integers(min_value=0))
def test_any_flipped_character_of_the_answer_is_refused(position: int) -> None:
    distrusted(msgspec.structs.replace(ANSWER, bundle=flipped(ANSWER.bundle, position)))
    distrusted(msgspec.structs.replace(ANSWER, mac=flipped(ANSWER.mac, position)))


def test_a_box_believes_only_a_cloud_that_has_its_code() -> None:
    distrusted(answer_enrolment(BUNDLE, REQUEST, OTHER_SECRET))
    distrusted(ANSWER, secret=OTHER_SECRET)
    distrusted(EnrolAnswer(bundle="", mac=""))
    distrusted(EnrolAnswer(bundle="*", mac="\ud800"))
    # An answer to an earlier request is no answer to this one.
    again = request_enrolment(BOX, BOX_ISSUER_KEY.public, SITE, SECRET)
    distrusted(ANSWER, request=again)


def test_a_bundle_is_sound_in_itself_too() -> None:
    distrusted(answer_enrolment(msgspec.structs.replace(BUNDLE, site="site-2"), REQUEST, SECRET))
    other = sign_key_set(generate_issuer(), 1, [])
    distrusted(answer_enrolment(msgspec.structs.replace(BUNDLE, keys=other), REQUEST, SECRET))
    distrusted(answer_enrolment(msgspec.structs.replace(BUNDLE, root="?"), REQUEST, SECRET))


def test_the_tunnels_challenge() -> None:
    nonce = b64(bytes(32))
    signature = sign_tunnel(BOX, nonce, "Cloud.Example")
    check_tunnel(BOX.public, signature, nonce, "cloud.example")
    for public, answer, asked, host in [
        (BOX.public, signature, b64(bytes(31) + b"1"), "cloud.example"),  # an older challenge
        (BOX.public, signature, nonce, "evil.example"),  # passed on by another host
        (STRANGER.public, signature, nonce, "cloud.example"),
        (BOX.public, flipped(signature, 9), nonce, "cloud.example"),
        (BOX.public, sign_tunnel(generate_identity(), nonce, "cloud.example"), nonce, "cloud.example"),
        ("", signature, nonce, "cloud.example"),
        (BOX.public, signature, nonce + "\n", "cloud.example"),
    ]:
        with pytest.raises(Refused) as raised:
            check_tunnel(public, answer, asked, host)
        assert raised.value.code is Code.BAD_SIGNATURE

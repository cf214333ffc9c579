"""Invites: one secret, one key, one end. Tried: guesses, a second key, and coming late."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import Role
from common.errors import Code, Refused
from common.trust import Invite, InviteRecord, b64, invite_hash, mint_invite, redeem, spend
from tests.trust.cast import BOX, NOW_MS, PHONE, SITE, STRANGER, flipped

SECRET = bytes(range(16))
KEY = PHONE.thumbprint


def minted(**changes: object) -> tuple[Invite, InviteRecord]:
    return mint_invite(
        SECRET,
        server=BOX.fingerprint,
        site=SITE,
        role=Role.DRIVER,
        principal="driver-1",
        now_ms=NOW_MS,
        addresses=("192.0.2.7:8443", "[2001:db8::1]:8443"),
        certificates=("ab" * 32,),
        **changes,  # type: ignore[arg-type]
    )


def refusal(record: InviteRecord, secret: str, key: str = KEY, now_ms: int = NOW_MS) -> None:
    with pytest.raises(Refused) as raised:
        redeem(record, secret, key, now_ms)
    assert raised.value.code is Code.BAD_INVITE


def test_an_invite_survives_its_text() -> None:
    invite, _ = minted()
    text = invite.to_text()
    assert text.startswith("plugside1_")
    assert text.isascii()
    assert not set(text) & set(" \n\"'&?#%")
    assert Invite.from_text(f"  {text}\n") == invite


TEXT = minted()[0].to_text()
NO_INVITES = {
    "nothing": "",
    "a word": "hello",
    "a prefix": "plugside1_",
    "too little": "plugside1_AAAA",
    "a box's code": "plugsidebox1_" + TEXT.removeprefix("plugside1_"),
    "cut short": TEXT[:-5],
    "too long": TEXT + "A" * 3000,
    "deep": "plugside1_" + b64(b"[" * 1400),
    "a short secret": "plugside1_" + b64(msgspec.json.encode(["c2hvcnQ", "x", 1])),
}


@pytest.mark.parametrize("case", list(NO_INVITES))
def test_a_text_that_is_no_invite_is_refused_with_what_to_do(case: str) -> None:
    with pytest.raises(Refused) as raised:
        Invite.from_text(NO_INVITES[case])
    assert raised.value.code is Code.BAD_INVITE
    assert raised.value.detail


@given(st.text(max_size=120))
def test_no_text_is_more_than_refused(text: str) -> None:
    with pytest.raises(Refused):
        Invite.from_text("plugside1_" + text)


def test_the_record_holds_no_secret() -> None:
    invite, record = minted()
    assert record.hash == invite_hash(invite.secret)
    stored = msgspec.json.encode(record)
    assert invite.secret.encode() not in stored
    assert SECRET not in stored


def test_the_first_key_owns_it_and_may_ask_again_until_it_is_spent() -> None:
    invite, record = minted()
    owned = redeem(record, invite.secret, KEY, NOW_MS)
    assert owned.redeemed_by == KEY
    assert redeem(owned, invite.secret, KEY, NOW_MS + 1000) == owned
    refusal(owned, invite.secret, STRANGER.thumbprint)
    spent = spend(owned)
    refusal(spent, invite.secret)
    refusal(spent, invite.secret, STRANGER.thumbprint)


def test_its_end_is_sharp() -> None:
    invite, record = minted(life_ms=60_000)
    assert invite.expires_ms == record.expires_ms == NOW_MS + 60_000
    assert redeem(record, invite.secret, KEY, NOW_MS + 59_999)
    refusal(record, invite.secret, now_ms=NOW_MS + 60_000)


@given(st.integers(min_value=0))
def test_a_wrong_secret_is_refused(position: int) -> None:
    invite, record = minted()
    refusal(record, flipped(invite.secret, position))


@given(st.text(max_size=40))
def test_no_text_is_the_secret(secret: str) -> None:
    _, record = minted()
    refusal(record, secret)


def test_a_secret_has_128_bits() -> None:
    with pytest.raises(ValueError):
        mint_invite(b"short", server="", site=SITE, role=Role.DRIVER, principal="p", now_ms=NOW_MS)

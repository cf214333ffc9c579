"""Signed commands: only the exact bytes, of the grant's own key, for its site and under their own id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import commands
from common.errors import Code, Refused
from common.policy import Claims, local_presence
from common.trust import fingerprint_of, open_command, open_envelope, seal
from common.trust.envelope import ENVELOPE_CHARS_MAX
from tests.trust.cast import (
    NOW_MS,
    PHONE,
    SITE,
    STRANGER,
    command,
    flipped,
    grant,
    halves_swapped_sign,
    verifier,
)
from tests.trust.cast import payload as encoded

CLAIMS: Claims = verifier().claims(grant(), NOW_MS, SITE)
ID = command().id


def refusal(envelope: str, claims: Claims = CLAIMS, command_id: str = ID) -> Code:
    with pytest.raises(Refused) as raised:
        open_command(envelope, claims, command_id=command_id)
    return raised.value.code


def test_a_command_comes_out_as_it_went_in() -> None:
    opened = open_command(seal(encoded(), PHONE), CLAIMS, command_id=ID)
    assert opened.command == command()
    assert opened.payload == encoded()
    assert opened.fingerprint == fingerprint_of(encoded())


def test_the_payload_is_the_bytes_that_were_signed_not_what_they_mean() -> None:
    # Another app writes JSON with spaces and in another order: its bytes are what counts.
    spaced = encoded().replace(b":", b" : ", 1)
    opened = open_command(seal(spaced, PHONE), CLAIMS, command_id=ID)
    assert opened.payload == spaced
    assert opened.command == command()


@given(st.integers(min_value=0))
def test_any_flipped_character_is_refused(position: int) -> None:
    assert refusal(flipped(seal(encoded(), PHONE), position)) is Code.BAD_SIGNATURE


@given(st.text(max_size=200))
def test_no_text_is_more_than_refused(envelope: str) -> None:
    assert refusal(envelope) is Code.BAD_SIGNATURE


def test_the_other_form_of_the_signature_is_the_same_command() -> None:
    body, public, signature = seal(encoded(), PHONE).split(".")
    again = f"{body}.{public}.{halves_swapped_sign(PHONE, signature)}"
    assert open_command(again, CLAIMS, command_id=ID).fingerprint == fingerprint_of(encoded())


def test_another_key_than_the_grants_is_refused() -> None:
    stranger = seal(encoded(), STRANGER)
    assert open_envelope(stranger) == (encoded(), STRANGER.thumbprint)
    assert refusal(stranger) is Code.BAD_SIGNATURE
    body, _, signature = stranger.split(".")
    assert refusal(f"{body}.{PHONE.public}.{signature}") is Code.BAD_SIGNATURE


def test_site_and_id_are_those_that_were_signed() -> None:
    assert refusal(seal(encoded(site="site-2"), PHONE)) is Code.WRONG_SITE
    assert refusal(seal(encoded(id="another"), PHONE)) is Code.BAD_REQUEST


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[" * 4000, b"\xff\xfe", b'{"args":{"a":' + b"[" * 4000, b"null", b"\xef\xbb\xbf{}"],
)
def test_a_signed_payload_that_is_no_command_is_a_bad_request(payload: bytes) -> None:
    assert refusal(seal(payload, PHONE)) is Code.BAD_REQUEST


def test_sizes_are_judged_before_anything_else() -> None:
    fits = encoded(args={"x": "y" * (commands.COMMAND_BYTES_MAX - len(encoded(args={"x": ""})))})
    assert len(fits) == commands.COMMAND_BYTES_MAX
    sealed = seal(fits, PHONE)
    assert len(sealed) == ENVELOPE_CHARS_MAX
    assert open_command(sealed, CLAIMS, command_id=ID).payload == fits
    assert refusal(seal(fits + b" ", PHONE)) is Code.BAD_REQUEST
    assert refusal("A" * (ENVELOPE_CHARS_MAX + 1)) is Code.BAD_REQUEST


def test_local_presence_sends_the_bare_payload_and_nobody_else_may() -> None:
    bare = encoded().decode()
    local = local_presence(SITE)
    assert open_command(bare, local, command_id=ID).command == command()
    assert refusal(bare) is Code.BAD_SIGNATURE
    assert refusal("\ud800", local) is Code.BAD_REQUEST
    assert refusal(encoded(site="site-2").decode(), local) is Code.WRONG_SITE

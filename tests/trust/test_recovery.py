"""The recovery key: read back however it is typed, and what is sealed to it opens for nobody else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Code, Refused
from common.trust import recovery
from tests.trust.cast import flipped

SECRET = bytes(range(20))
PARTS = {"tags": b"\x00" * 40, "chargers": b"secret"}


def sealed(**other: object) -> recovery.Sealed:
    given: dict[str, object] = {
        "to": recovery.public_half(SECRET),
        "site": "s-1",
        "number": 3,
        "fresh": b"\x07" * 32,
        **other,
    }
    return recovery.seal(PARTS, **given)  # type: ignore[arg-type]


def refused(blob: recovery.Sealed, secret: bytes = SECRET) -> bool:
    with pytest.raises(Refused) as why:
        recovery.unseal(blob, secret)
    return why.value.code is Code.BAD_INVITE


@given(st.binary(min_size=20, max_size=20))
def test_a_key_is_read_as_it_was_written(secret: bytes) -> None:
    text = recovery.written(secret)
    assert len(text) == 9 * 4 + 8
    assert recovery.read(text) == secret


def test_it_may_be_typed_as_people_type() -> None:
    text = recovery.written(SECRET)
    assert recovery.read(f"  {text.lower().replace('-', ' ').replace('0', 'o')} ") == SECRET


@given(st.binary(min_size=20, max_size=20), st.integers(min_value=0, max_value=35), st.integers(1, 31))
def test_one_wrong_character_is_noticed(secret: bytes, place: int, shift: int) -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    plain = list(recovery.written(secret).replace("-", ""))
    plain[place] = alphabet[(alphabet.index(plain[place]) + shift) % 32]
    with pytest.raises(Refused) as noticed:
        recovery.read("".join(plain))
    assert noticed.value.code is Code.BAD_INVITE


@pytest.mark.parametrize("text", ["", "ABCD", "U" * 36, recovery.written(SECRET) + "0", "ä" * 36])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        recovery.read(text)


def test_what_is_sealed_opens_with_the_key() -> None:
    blob = msgspec.json.decode(msgspec.json.encode(sealed()), type=recovery.Sealed)
    assert recovery.unseal(blob, SECRET) == PARTS


def test_another_key_opens_nothing() -> None:
    assert refused(sealed(), bytes(20))


@given(st.integers(min_value=0))
def test_no_character_of_it_can_be_changed(place: int) -> None:
    blob = sealed()
    assert refused(msgspec.structs.replace(blob, data=flipped(blob.data, place)))
    assert refused(msgspec.structs.replace(blob, by=flipped(blob.by, place)))


def test_it_is_of_its_site_and_number() -> None:
    for other in ({"site": "s-2"}, {"number": 4}):
        assert refused(msgspec.structs.replace(sealed(), **other))


def test_two_sealings_share_nothing() -> None:
    assert sealed(fresh=b"\x01" * 32).data != sealed(fresh=b"\x02" * 32).data


def test_more_than_is_kept_is_refused() -> None:
    with pytest.raises(Refused) as why:
        recovery.seal(
            {"tags": bytes(recovery.SEALED_BYTES_MAX)},
            to=recovery.public_half(SECRET),
            site="s",
            number=1,
            fresh=b"\x01" * 32,
        )
    assert why.value.code is Code.TOO_LARGE

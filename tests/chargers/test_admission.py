"""Admission without sockets: identities, passwords, pace, clones, the queue."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chargers.admission import (
    IDENTITY_MAX_CHARS,
    AdoptionQueue,
    Buckets,
    Swaps,
    Throttle,
    basic_token,
    identity_of,
    password_fits,
)


@given(
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?%"), min_size=1, max_size=48
    )
)
def test_every_plain_identity_is_found_behind_any_prefix(identity: str) -> None:
    assert identity_of(f"/{identity}") == identity
    assert identity_of(f"//ocpp/{identity}/?token=a/b") == identity


@given(st.text(max_size=80))
def test_an_identity_fits_one_line_one_segment_and_one_file_name(path: str) -> None:
    found = identity_of(path)
    if found is not None:
        assert 1 <= len(found) <= IDENTITY_MAX_CHARS
        assert found.isascii()
        assert found.isprintable()
        assert not set(found) & {" ", "/"}


def test_it_is_decoded_once() -> None:
    assert identity_of("/%2541") == "%41"


def test_the_user_name_stands_for_an_empty_path_only() -> None:
    assert identity_of("/", b"CP1") == "CP1"
    assert identity_of("/CP2", b"CP1") == "CP2"
    assert identity_of("/", None) is None
    assert identity_of("/", b"C P") is None


def test_the_token_is_the_first_readable_basic_one() -> None:
    token = base64.b64encode(b"CP1:\xff:x").decode()
    assert basic_token([f"basic  {token} "]) == b"CP1:\xff:x"
    assert basic_token(["Bearer abc", "Basic ***", f"Basic {token}"]) == b"CP1:\xff:x"
    assert basic_token(["Basic \u20ac", "Basic"]) in (None, b"")
    assert basic_token([]) is None


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=40))
def test_only_the_stored_password_fits_as_it_is_or_as_hex(password: bytes, other: bytes) -> None:
    assert password_fits(b"cp:1:" + password, "CP:1", password)
    assert password_fits(b"CP:1:" + password.hex().encode(), "CP:1", password)
    assert not password_fits(b"CP:2:" + password, "CP:1", password)
    if other not in (password, password.hex().encode(), password.hex().upper().encode()):
        fits = password_fits(b"CP:1:" + other, "CP:1", password)
        assert not fits or bytes.fromhex(other.decode()) == password


def test_an_empty_stored_password_fits_nothing() -> None:
    assert not password_fits(b"CP1:", "CP1", b"")
    assert not password_fits(None, "CP1", b"")
    assert not password_fits(None, "CP1", b"x")


def test_a_bucket_holds_a_burst_and_fills_again() -> None:
    buckets = Buckets(burst=2, per_second=1)
    assert [buckets.take("a", 0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", 0)
    assert [buckets.take("a", 999), buckets.take("a", 1_000), buckets.take("a", 1_001)] == [
        False,
        True,
        False,
    ]
    assert [buckets.take("a", 60_000) for _ in range(3)] == [True, True, False]


def test_buckets_are_kept_for_a_bounded_number_of_addresses() -> None:
    buckets = Buckets(burst=1, per_second=0, addresses_max=2)
    assert [buckets.take(address, 0) for address in "abc"] == [True, True, True]
    assert not buckets.take("c", 0)
    assert buckets.take("a", 0), "the address that was seen the longest ago is forgotten"


def test_a_throttle_passes_once_in_a_while_for_each_key() -> None:
    throttle = Throttle(every_ms=100, keys_max=2)
    assert [throttle.passes("a", at) for at in (0, 99, 100)] == [True, False, True]
    assert throttle.passes("b", 100)
    assert throttle.passes("c", 100)
    assert throttle.passes("a", 101), "the key that passed the longest ago is forgotten"


def test_swaps_within_reason_are_admitted() -> None:
    swaps = Swaps()
    swaps.came("a", 0)
    for at, address in ((1_000, "b"), (2_000, "a"), (3_000, "b")):
        assert swaps.admit(address, at)
        swaps.came(address, at)
    assert swaps.admit("b", 4_000), "the same address again is no swap"


def test_the_fourth_swap_in_a_minute_keeps_the_first_and_refuses_the_other() -> None:
    swaps = Swaps()
    for at, address in ((0, "b"), (500_000, "a"), (600_000, "b"), (610_000, "a"), (620_000, "b")):
        assert swaps.admit(address, at)
        swaps.came(address, at)
    assert swaps.admit("a", 630_000)
    swaps.came("a", 630_000)
    assert not swaps.admit("b", 640_000)
    assert swaps.admit("a", 650_000)
    assert not swaps.admit("b", 699_999), "each refused dial keeps the guard up"
    assert swaps.admit("b", 760_000), "until it has been quiet for a whole window"


def test_slow_swaps_never_add_up() -> None:
    swaps = Swaps()
    for number in range(20):
        address = "ab"[number % 2]
        assert swaps.admit(address, number * 30_000)
        swaps.came(address, number * 30_000)


def test_the_queue_keeps_the_latest_dials_and_names_whom_it_pushed_out() -> None:
    queue = AdoptionQueue()
    for number in range(AdoptionQueue.SIZE_MAX):
        assert queue.dialled(f"c{number}", "10.0.0.1", "ocpp1.6", number) is None
    assert queue.dialled("C0", "10.0.0.2", "", 900) is None, "known, in another spelling"
    pushed_out = queue.dialled("new", "10.0.0.3", "", 901)
    assert pushed_out is not None
    assert pushed_out.charger == "c1"
    last = list(queue)[-2]
    assert (last.charger, last.address, last.dials, last.first_ms, last.last_ms) == (
        "c0",
        "10.0.0.2",
        2,
        0,
        900,
    )
    queue.leave("NEW")
    assert len(list(queue)) == AdoptionQueue.SIZE_MAX - 1


@pytest.mark.parametrize("path", ["/a%", "/a%zz"])
def test_a_broken_percent_sign_is_taken_as_written(path: str) -> None:
    assert identity_of(path) == path[1:]

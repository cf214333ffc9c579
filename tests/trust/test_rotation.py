"""A box's chain of keys: what leads somebody who pinned one of them to another, and all that does not."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import trust
from common.errors import RemoteFault
from common.keystore import generate_identity
from common.trust.rotation import ROTATION_CHARS_MAX, ROTATIONS_MAX, Rotation, followed, opened, rotate
from tests.vectors.make_rotations import FILE, vectors

SITE = "s-home"
KEYS = [generate_identity() for _ in range(ROTATIONS_MAX + 2)]


def chain(*keys: trust.IdentityKey, site: str = SITE, first: int = 1) -> tuple[str, ...]:
    """Statements that lead through these keys."""
    return tuple(
        rotate(old, new, site=site, number=first + at, at_ms=1_000_000 + at)
        for at, (old, new) in enumerate(pairwise(keys))
    )


def changed(text: str, **fields: object) -> str:
    """A statement with other fields and the signatures that it had."""
    told = msgspec.json.decode(trust.unb64(text), type=Rotation)
    return trust.b64(msgspec.json.encode(msgspec.structs.replace(told, **fields)))


LONG = chain(*KEYS[: ROTATIONS_MAX + 1])


def follow(told: tuple[str, ...], pinned: int, key: int, **more: object) -> tuple[Rotation, ...]:
    fields = {"site": SITE, **more}
    return followed(told, pinned=KEYS[pinned].fingerprint, key=KEYS[key].public, **fields)  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, ROTATIONS_MAX - 1), st.integers(1, ROTATIONS_MAX))
def test_whoever_pinned_any_of_the_keys_is_led_to_the_last(pinned: int, last: int) -> None:
    told = LONG[:last]
    if pinned >= last:
        with pytest.raises(RemoteFault):
            follow(told, pinned, last)
        return
    walked = follow(told, pinned, last)
    assert (walked[-1].box, walked[-1].number) == (KEYS[last].fingerprint, last)
    assert [one.former for one in walked] == [key.fingerprint for key in KEYS[:last]]
    # What was followed is not followed again, and a later one is.
    with pytest.raises(RemoteFault, match="earlier"):
        follow(told, pinned, last, after=pinned + 1)
    assert follow(told, pinned, last, after=pinned)


def _wrong() -> dict[str, tuple[str, ...]]:
    one, two, three, thief = KEYS[0], KEYS[1], KEYS[2], KEYS[-1]
    good = chain(one, two)
    loop = rotate(two, one, site=SITE, number=2, at_ms=2_000_000)
    third = rotate(one, three, site=SITE, number=3, at_ms=3_000_000)
    read = msgspec.json.decode(trust.unb64(good[0]), type=Rotation)
    as_thief = msgspec.json.decode(trust.unb64(chain(thief, two)[0]), type=Rotation)
    return {
        "none": (),
        "forged: the thief signs for the old key": (changed(good[0], by_old=as_thief.by_old),),
        "the new key did not sign": (changed(good[0], by_new=read.by_old),),
        "another new key than was signed": (changed(good[0], new=three.public),),
        "another number than was signed": (changed(good[0], number=7),),
        "another time than was signed": (changed(good[0], at_s=7),),
        "another site's": chain(one, two, site="s-other"),
        "another site's in the middle": (good[0], chain(two, three, site="s-other", first=2)[0]),
        "a chain of somebody else's": chain(thief, two),
        "a gap": (good[0], chain(KEYS[3], two, first=2)[0]),
        "numbers that do not rise": (good[0], chain(two, three, first=1)[0]),
        "numbers with a gap": (good[0], chain(two, three, first=3)[0]),
        "a number below one": (changed(good[0], number=0),),
        "a loop": (good[0], loop),
        "a loop that goes on": (good[0], loop, third),
        "a key that succeeds itself": (rotate(one, one, site=SITE, number=1, at_ms=0),),
        "too long a chain": (*LONG, rotate(KEYS[16], KEYS[17], site=SITE, number=17, at_ms=0)),
        "too long a statement": ("A" * (ROTATION_CHARS_MAX + 4),),
        "no statement": ("nonsense",),
        "padding": (good[0] + "=",),
        "the reverse order": chain(one, two, three)[::-1],
    }


@pytest.mark.parametrize("name", _wrong())
def test_what_leads_nowhere(name: str) -> None:
    """Whatever the last key is said to be."""
    told = _wrong()[name]
    for key in range(len(KEYS)):
        with pytest.raises(RemoteFault):
            follow(told, 0, key)


def test_a_chain_ends_at_the_key_that_was_proved_and_leads_to_none_that_was_given_up() -> None:
    told = chain(*KEYS[:3])
    assert follow(told, 0, 2)
    with pytest.raises(RemoteFault, match="does not end"):
        follow(told, 0, 1)
    with pytest.raises(RemoteFault, match="does not begin"):
        follow(told, 5, 2)
    with pytest.raises(RemoteFault, match="given up"):
        follow(told, 0, 2, gone=(KEYS[1].fingerprint,))
    assert follow(told, 1, 2, gone=(KEYS[0].fingerprint,)), "where it comes from is given up, of course"


def test_an_invite_names_no_site_and_the_chain_one_alone() -> None:
    assert opened(chain(*KEYS[:3], site="s-any"))[-1].site == "s-any"
    assert opened(()) == ()


CASES: list[dict[str, Any]] = json.loads(FILE.read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_chain_is_judged_as_published(case: dict[str, Any]) -> None:
    asked = {name: case[name] for name in ("pinned", "key", "site", "after", "gone")}
    if case["result"] == "ok":
        walked = followed(case["statements"], **asked)
        assert (walked[-1].box, walked[-1].number) == (case["box"], case["number"])
        return
    with pytest.raises(RemoteFault) as why:
        followed(case["statements"], **asked)
    assert why.value.code == case["result"]


def test_the_published_file_is_what_is_made() -> None:
    assert vectors() == CASES

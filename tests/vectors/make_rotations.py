"""Writes rotations.json: chains of a box's keys, sound and wrong, and what a client has to make of each.

Run `python -m tests.vectors.make_rotations` only when the protocol changes. `result` is ok, then with the
`number` and the fingerprint (`box`) that are pinned from then on, or the code with which the client leaves.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from common.trust import b64, unb64
from common.trust.rotation import ROTATIONS_MAX, Rotation, rotate
from tests.vectors.make_applink import FixedKey

FILE = Path(__file__).with_name("rotations.json")

SITE, AT_MS = "s-home", 1_800_000_000_000
KEYS = tuple(FixedKey(0x1111_0000_0000_0001 + number) for number in range(ROTATIONS_MAX + 2))
THIEF = FixedKey(0x6666_6666_6666_6666)


def step(old: FixedKey, new: FixedKey, number: int, site: str = SITE) -> str:
    return rotate(old, new, site=site, number=number, at_ms=AT_MS + number * 1000)


def chain(*keys: FixedKey, site: str = SITE, first: int = 1) -> tuple[str, ...]:
    return tuple(step(old, new, first + at, site) for at, (old, new) in enumerate(pairwise(keys)))


def changed(text: str, **fields: Any) -> str:
    """A statement with other fields, and the signatures that it had."""
    told = msgspec.json.decode(unb64(text), type=Rotation)
    return b64(msgspec.json.encode(msgspec.structs.replace(told, **fields)))


def case(
    name: str,
    told: tuple[str, ...],
    result: str = "untrusted_peer",
    *,
    pinned: FixedKey = KEYS[0],
    key: FixedKey | None = None,
    after: int = 0,
    site: str = SITE,
    gone: tuple[FixedKey, ...] = (),
    number: int = 0,
) -> dict[str, Any]:
    """key: that the box has proved; None = the one to which the chain claims to lead."""
    proved = key or KEYS[min(len(told), ROTATIONS_MAX)]
    made: dict[str, Any] = {
        "name": name,
        "pinned": pinned.fingerprint,
        "key": proved.public,
        "site": site,
        "after": after,
        "gone": [one.fingerprint for one in gone],
        "statements": list(told),
        "result": result,
    }
    return {**made, "number": number, "box": proved.fingerprint} if result == "ok" else made


def vectors() -> list[dict[str, Any]]:
    """Every case."""
    one, two, three = KEYS[:3]
    good, whole = chain(one, two), chain(*KEYS[: ROTATIONS_MAX + 1])
    read = msgspec.json.decode(unb64(good[0]), type=Rotation)
    more = b64(msgspec.json.encode([*msgspec.to_builtins(read), "more"]))
    stolen = step(THIEF, two, 1)
    return [
        case("one rotation", good, "ok", number=1),
        case("two, from the first key", chain(one, two, three), "ok", number=2),
        case("two, from the second key", chain(one, two, three), "ok", pinned=two, number=2),
        case(
            "two, of which one was followed before",
            chain(one, two, three),
            "ok",
            pinned=two,
            after=1,
            number=2,
        ),
        case("as many as there may be", whole, "ok", number=ROTATIONS_MAX),
        case("a part of a chain", chain(two, three, first=2), "ok", pinned=two, key=three, number=2),
        case("an invite names no site", good, "ok", site="", number=1),
        case("what leads here was given up", chain(one, two, three), "ok", pinned=two, gone=(one,), number=2),
        case("no statement", ()),
        case("text that is none", ("nonsense",)),
        case("padding", (good[0] + "=",)),
        case("a member more than there are", (more,)),
        case("one more than there may be", (*whole, step(KEYS[16], KEYS[17], 17)), key=KEYS[17]),
        case("a statement that is too long", (good[0] + "A" * 1024,)),
        case("not signed by the old key", (changed(good[0], by_old=read.by_new),)),
        case("signed by a thief in the old key's place", (changed(stolen, old=one.public),)),
        case("not signed by the new key", (changed(good[0], by_new=read.by_old),)),
        case("another new key than was signed", (changed(good[0], new=THIEF.public),), key=THIEF),
        case("another number than was signed", (changed(good[0], number=2),)),
        case("another time than was signed", (changed(good[0], at_s=1),)),
        case("another site than was signed", (changed(good[0], site="s-other"),), site="s-other"),
        case("a statement about another site", chain(one, two, site="s-other")),
        case("statements about two sites", (good[0], step(two, three, 2, "s-other")), site=""),
        case("a chain that does not begin at the pinned key", chain(two, three), key=three),
        case("a chain that does not end at the key that was proved", chain(one, two, three), key=two),
        case("a chain with a piece missing", (good[0], step(three, KEYS[3], 3)), key=KEYS[3]),
        case("numbers that stand still", (good[0], step(two, three, 1))),
        case("numbers with a gap", (good[0], step(two, three, 3))),
        case("statements in the wrong order", chain(one, two, three)[::-1]),
        case("a loop", (good[0], step(two, one, 2)), key=one, pinned=two),
        case("a loop that goes on", (good[0], step(two, one, 2), step(one, three, 3)), key=three),
        case("a key that follows itself", (step(one, one, 1),), key=one),
        case("what was followed before", good, after=1),
        case("a key that was given up", good, gone=(two,)),
        case("a way through a key that was given up", chain(one, two, three), gone=(two,)),
    ]


if __name__ == "__main__":
    FILE.write_text(json.dumps({"cases": vectors()}, indent=1) + "\n")

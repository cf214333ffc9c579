"""Lists of withdrawn rights: what is in one, who may write it, what every change of it comes to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Code, PlugsideError, Refused, RemoteFault
from common.keystore import generate_issuer
from common.trust import (
    RevocationList,
    Withdrawn,
    box_issuer,
    entry_hash,
    kept_list,
    newest_lists,
    open_list,
    revoked_grant,
    revoked_issuer_key,
    revoked_key,
    revoked_principal,
    sign_list,
)
from common.trust.revocations import AHEAD_MAX_MS, CARRIED_CHARS_MAX, ENTRIES_MAX, LIST_CHARS_MAX, LISTS_MAX
from tests.trust.cast import (
    BOX_ISSUER,
    BOX_ISSUER_KEY,
    CLOUD_ISSUER,
    DAY_MS,
    NOW_MS,
    ONLINE,
    PHONE,
    SITE,
    TRUST,
    flipped,
    grant,
    verifier,
)

UNTIL_MS = NOW_MS + 15 * DAY_MS


def made(*entries: str, **changes: Any) -> RevocationList:
    """The cloud's list 7, now; with these changes."""
    given: dict[str, Any] = {
        "key": ONLINE,
        "issuer": CLOUD_ISSUER,
        "site": SITE,
        "number": 7,
        "at_ms": NOW_MS,
    }
    given |= changes
    given.setdefault("entries", {entry_hash(entry): UNTIL_MS for entry in entries})
    return sign_list(given.pop("key"), given.pop("issuer"), **given)


def opened(text: str, now_ms: int = NOW_MS, site: str = SITE) -> RevocationList:
    return open_list(text, TRUST, site=site, now_ms=now_ms)


@given(st.dictionaries(st.binary(min_size=16, max_size=16), st.integers(1, 2**31), max_size=20))
def test_a_list_is_read_as_it_was_written(entries: dict[bytes, int]) -> None:
    kept = {entry: NOW_MS + seconds * 1000 for entry, seconds in entries.items()}
    one = made(entries=kept)
    assert opened(one.text).entries == kept == kept_list(one.text).entries
    assert (opened(one.text).number, opened(one.text).issuer) == (7, CLOUD_ISSUER.id)


def test_what_need_not_be_kept_is_left_out() -> None:
    old, new = entry_hash("a"), entry_hash("b")
    assert made(entries={old: NOW_MS, new: NOW_MS + 1000}).entries == {new: NOW_MS + 1000}


@pytest.mark.parametrize(
    "entry",
    [
        revoked_grant("grant-1"),
        revoked_principal("driver-1"),
        revoked_key(PHONE.thumbprint),
        revoked_issuer_key(CLOUD_ISSUER.kid),
    ],
    ids=["grant", "principal", "key", "issuer's key"],
)
def test_each_kind_of_entry_ends_a_grant_that_was_known(entry: str) -> None:
    judge, token = verifier(), grant()
    claims = judge.claims(token, NOW_MS)
    judge.withdrawals.take(opened(made("another").text))
    assert judge.claims(token, NOW_MS) == claims
    judge.withdrawals.take(opened(made(entry, number=8).text))
    for ask in (judge.claims, judge.renewable):
        with pytest.raises(Refused) as no:
            ask(token, NOW_MS)
        assert no.value.code is Code.REVOKED


def test_every_flipped_character_and_every_cut_is_noticed() -> None:
    text = made("a", "b").text
    for at in range(len(text)):
        with pytest.raises(RemoteFault):
            opened(flipped(text, at))
        with pytest.raises(RemoteFault):
            opened(text[:at])


def test_only_a_known_issuer_speaks_and_only_for_its_site() -> None:
    stranger = generate_issuer()
    foreign_box = box_issuer("b" * 32, BOX_ISSUER_KEY.public, "site-2")
    wrong = {
        "unknown key": made(key=stranger, issuer=box_issuer("s" * 32, stranger.public, SITE)),
        "another's name": made(key=BOX_ISSUER_KEY, issuer=CLOUD_ISSUER),
        "another site": made(site="site-2"),
        "a box for another site": made(key=BOX_ISSUER_KEY, issuer=foreign_box),
        "too late": made(at_ms=NOW_MS + AHEAD_MAX_MS + 1000),
        "a key that had run out": made(at_ms=CLOUD_ISSUER.not_after_ms + 1000),
    }
    for what, one in wrong.items():
        with pytest.raises(RemoteFault) as no:
            opened(one.text)
        assert no.value.code is Code.UNTRUSTED_PEER, what
    assert opened(made(key=BOX_ISSUER_KEY, issuer=BOX_ISSUER).text).issuer == BOX_ISSUER.id
    for text in ("", "..", "a.b.c", "x" * (LIST_CHARS_MAX + 1)):
        with pytest.raises(RemoteFault):
            opened(text)
        with pytest.raises(ValueError):
            kept_list(text)


def test_the_highest_number_counts_and_issuers_are_joined() -> None:
    known = Withdrawn()
    ours, theirs = entry_hash("ours"), entry_hash("theirs")
    assert known.take(made("ours"))
    assert not known.take(made(number=6))
    assert not known.take(made(number=7))
    assert known.take(made("theirs", key=BOX_ISSUER_KEY, issuer=BOX_ISSUER, number=1))
    assert known.covers(SITE, [ours])
    assert known.covers(SITE, [theirs])
    assert not known.covers("site-2", [ours, theirs])
    assert known.take(made(number=8))
    assert not known.covers(SITE, [ours])
    assert known.number(SITE, CLOUD_ISSUER.id, CLOUD_ISSUER.kid) == 8


def test_a_carrier_keeps_the_newest_of_each_and_nothing_that_is_none() -> None:
    seven, eight = made("a").text, made("a", "b", number=8).text
    box = made(key=BOX_ISSUER_KEY, issuer=BOX_ISSUER).text
    assert newest_lists([eight], [seven, box, "nonsense", ""]) == (eight, box)
    assert newest_lists([seven], [eight]) == (eight,)
    many = [made(site=f"site-{number}").text for number in range(LISTS_MAX + 3)]
    assert newest_lists(many) == tuple(many[-LISTS_MAX:])
    entries = {number.to_bytes(16): UNTIL_MS for number in range(2000)}
    long = made(entries=entries).text
    assert len(long) > CARRIED_CHARS_MAX
    assert newest_lists([long]) == ()


def test_a_hundred_thousand_entries_and_not_one_more() -> None:
    entries = {number.to_bytes(16): UNTIL_MS for number in range(ENTRIES_MAX)}
    one = opened(made(entries=entries).text)
    assert len(one.text) <= LIST_CHARS_MAX
    assert len(one.entries) == ENTRIES_MAX
    with pytest.raises(PlugsideError) as no:
        made(entries={**entries, b"x" * 16: UNTIL_MS})
    assert no.value.code is Code.LIMIT_REACHED

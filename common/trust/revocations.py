"""Revocation lists: what an issuer has withdrawn at a site, numbered and signed: anybody may carry them.

    issuer     writes the whole list anew with each withdrawal, under the next number
    carrier    a tunnel or any phone: an opaque text, which cannot be changed or cut on the way
    verifier   keeps the highest of each issuer's keys and refuses lower ones; the union of all applies

An entry is the first 16 bytes of a hash, so that a list tells a phone nothing about its neighbours, and the
second until which it has to be kept: the last at which anything that it withdraws could still count. Pure.

    text       header "." entries "." signature                    (each base64url)
    header     {"iss", "kid", "site", "number", "at"}              (JSON; `at` in seconds)
    entries    16 bytes of hash, 4 bytes of seconds since 1970 (big-endian); again and again, in order
    signature  Ed25519 of `kid` over the purpose and everything before the last dot
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Annotated

import msgspec

from common.errors import Code, Refused, RemoteFault
from common.trust.issuers import Issuer, TrustSet
from common.trust.keys import IssuerKey, Purpose, b64, unb64, verify_issuer

_ENTRY_BYTES = 16
_UNTIL_BYTES = 4
_STEP = _ENTRY_BYTES + _UNTIL_BYTES
#: Entries of one list. A site withdraws some a month, and each is dropped after a fortnight.
ENTRIES_MAX = 100_000
#: Characters of the longest list: 27 an entry, and header and signature. It fits a frame of the tunnel.
LIST_CHARS_MAX = ENTRIES_MAX * _STEP * 4 // 3 + 1024
#: Characters of a list that phones carry: some 1,500 entries. A longer one goes through the tunnel alone.
CARRIED_CHARS_MAX = 40 * 1024
#: Lists that one message may bring: its box's and its cloud's for a site, and of before a rotation.
LISTS_MAX = 8
#: An entry is kept at least so long: a driver's grant (7 days), the offline grace (7), and a day of clocks.
KEPT_MS = 15 * 24 * 3_600_000
#: No list is from later than so much after now: a box that stood in a drawer is behind, but by no more.
AHEAD_MAX_MS = 366 * 24 * 3_600_000
#: By how much an issuer's own list may be ahead of what it knows, when it comes back to it: more withdrawals
#: than any site has between two backups. A stolen key's list must not use all numbers up.
AHEAD_MAX = 1_000_000


def revoked_grant(grant_id: str) -> str:
    """The revocation entry that ends one grant."""
    return f"grant:{grant_id}"


def revoked_principal(principal: str) -> str:
    """The revocation entry that ends everything of one principal."""
    return f"principal:{principal}"


def revoked_key(key: str) -> str:
    """The revocation entry that ends one device, by its key's thumbprint."""
    return f"key:{key}"


def revoked_issuer_key(kid: str) -> str:
    """The revocation entry that ends everything an issuer key has signed, by its id."""
    return f"kid:{kid}"


def entry_hash(entry: str) -> bytes:
    """What a list holds of an entry."""
    return sha256(b"plugside-revoked-v1|" + entry.encode(errors="surrogatepass")).digest()[:_ENTRY_BYTES]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    iss: str
    kid: str
    site: str
    number: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    at: Annotated[int, msgspec.Meta(ge=1, le=253_402_300_799)]


class RevocationList(msgspec.Struct, frozen=True, kw_only=True):
    """A list whose signature is good. `text` is the list as it travels."""

    issuer: str
    kid: str
    site: str
    number: int
    at_ms: int
    entries: Mapping[bytes, int]  #: `entry_hash` → kept until, in ms
    text: str


_header_decoder = msgspec.json.Decoder(_Header)


def sign_list(
    key: IssuerKey, issuer: Issuer, *, site: str, number: int, at_ms: int, entries: Mapping[bytes, int]
) -> RevocationList:
    """Sign a site's whole list under its next number. entries: `entry_hash` → kept until, in ms.

    What need not be kept any more is left out. Raises Refused(too_large) above `ENTRIES_MAX` entries.
    """
    kept = {entry: until_ms for entry, until_ms in entries.items() if until_ms > at_ms}
    if len(kept) > ENTRIES_MAX:
        raise Refused(Code.LIMIT_REACHED, f"a site's list holds {ENTRIES_MAX} withdrawn rights at most")
    header = _Header(iss=issuer.id, kid=issuer.kid, site=site, number=number, at=max(1, at_ms // 1000))
    packed = b"".join(entry + _seconds(until_ms) for entry, until_ms in sorted(kept.items()))
    covered = f"{b64(msgspec.json.encode(header))}.{b64(packed)}"
    text = f"{covered}.{key.sign(Purpose.REVOCATIONS, covered.encode())}"
    return RevocationList(
        issuer=issuer.id, kid=issuer.kid, site=site, number=number, at_ms=at_ms, entries=kept, text=text
    )


def _seconds(until_ms: int) -> bytes:
    return min(2**32 - 1, -(-until_ms // 1000)).to_bytes(_UNTIL_BYTES)


def open_list(text: str, trust: TrustSet, *, site: str, now_ms: int) -> RevocationList:
    """Check a list that came from anywhere. Raises RemoteFault(untrusted_peer) with what is wrong."""
    header, packed, covered, signature = _taken_apart(text)
    issuer = trust.issuer(header.kid, header.site)
    if issuer is None or issuer.id != header.iss or issuer.site not in (None, header.site):
        raise _bad("its issuer is not known here")
    if header.site != site:
        raise _bad("it is for another site")
    at_ms = header.at * 1000
    if at_ms > issuer.not_after_ms:
        raise _bad("its issuer's key had run out")
    if at_ms > now_ms + AHEAD_MAX_MS:
        raise _bad("it is from later than now; is the clock right?")
    try:
        verify_issuer(issuer.public, signature, Purpose.REVOCATIONS, covered)
    except Refused:
        raise _bad("its signature is not of its issuer") from None
    return RevocationList(
        issuer=header.iss,
        kid=header.kid,
        site=site,
        number=header.number,
        at_ms=at_ms,
        entries=_entries(packed),
        text=text,
    )


def kept_list(text: str) -> RevocationList:
    """Read a list that was checked before it was stored. Raises ValueError when it is none."""
    try:
        header, packed, _, _ = _taken_apart(text)
        return RevocationList(
            issuer=header.iss,
            kid=header.kid,
            site=header.site,
            number=header.number,
            at_ms=header.at * 1000,
            entries=_entries(packed),
            text=text,
        )
    except RemoteFault as damaged:
        raise ValueError(damaged.detail) from None


def newest_lists(*told: Iterable[str]) -> tuple[str, ...]:
    """What a carrier keeps of lists that it cannot check: the highest number of each issuer's key.

    What is too long to be carried, or is no list, is left out; of too many issuers the later are kept.
    """
    best: dict[tuple[str, str, str], tuple[int, str]] = {}
    for text in (text for source in told for text in source if len(text) <= CARRIED_CHARS_MAX):
        try:
            header = _header_decoder.decode(unb64(text.partition(".")[0]))
        except (ValueError, RecursionError):
            continue
        place = header.site, header.iss, header.kid
        best[place] = max(best.pop(place, (0, "")), (header.number, text))
    return tuple(text for _, text in list(best.values())[-LISTS_MAX:])


def _taken_apart(text: str) -> tuple[_Header, bytes, bytes, str]:
    if len(text) > LIST_CHARS_MAX:
        raise _bad("it is longer than any list")
    try:
        covered, _, signature = text.rpartition(".")
        header, entries = covered.split(".")
        return _header_decoder.decode(unb64(header)), unb64(entries), covered.encode(), signature
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        raise _bad("it cannot be read") from None


def _entries(packed: bytes) -> dict[bytes, int]:
    if len(packed) % _STEP:
        raise _bad("it is cut")
    return {
        packed[at : at + _ENTRY_BYTES]: int.from_bytes(packed[at + _ENTRY_BYTES : at + _STEP]) * 1000
        for at in range(0, len(packed), _STEP)
    }


def _bad(why: str) -> RemoteFault:
    return RemoteFault(Code.UNTRUSTED_PEER, f"a list of withdrawn rights: {why}")


class Withdrawn:
    """The newest list of each issuer's keys for each site, as a verifier asks them: the union applies.

    Numbers are each key's own. A stolen key can use all of them up; what it signed ends with it (`forget`).
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], RevocationList] = {}

    def take(self, one: RevocationList) -> bool:
        """Keep a checked list if its number is higher than what is known of its key. True if it was."""
        if one.number <= self.number(one.site, one.issuer, one.kid):
            return False
        self.put(one)
        return True

    def put(self, one: RevocationList) -> None:
        """Keep a list whatever its number: what a store knows for good, under an issuer that is none."""
        self._known[one.site, one.issuer, one.kid] = one

    def forget(self, one: RevocationList) -> None:
        """Drop a list whose place another one of its issuer has taken."""
        self._known.pop((one.site, one.issuer, one.kid), None)

    def number(self, site: str, issuer: str, kid: str) -> int:
        """The highest number known of an issuer's key; 0 = none."""
        known = self._known.get((site, issuer, kid))
        return known.number if known is not None else 0

    def lists(self, site: str) -> tuple[RevocationList, ...]:
        """What is known for a site."""
        return tuple(one for (of, _, _), one in self._known.items() if of == site)

    def covers(self, site: str, entries: Iterable[bytes]) -> bool:
        """Whether one of these entries has been withdrawn at a site. Told by no clock: an entry counts while
        its list does."""
        if not self._known:
            return False
        hashes = tuple(entries)
        return any(entry in one.entries for one in self.lists(site) for entry in hashes)

"""Who may come in, decided before a charger's socket is upgraded: identity, password, pace, clones.

The pure half of `listener`: no sockets, times are arguments. What is refused here is refused in the HTTP
handshake, because chargers keep what they have queued when they are refused, and discard it when they get
errors later (quirk 16). Every table is bounded, and what it forgets first is said with it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

#: OCPP 1.6-J security whitepaper A00: 20 for a charge point id of 1.6; OCPP 2.x allows 48.
IDENTITY_MAX_CHARS: Final = 48

# Printable ASCII without blank and slash: what fits one path segment, one log line and one file name.
_IDENTITY = re.compile(rb"[!-.0-~]{1,%d}" % IDENTITY_MAX_CHARS)


def identity_of(path: str, username: bytes | None = None) -> str | None:
    """Return the charger's identity: the last segment of the path that is not empty, percent-decoded once.

    Prefixes, doubled and trailing slashes and a query are seen in the field (quirk 5). With an empty path
    the user name of Basic authentication stands for it (quirk 7). None if that is no identity.
    """
    segments = [segment for segment in path.partition("?")[0].split("/") if segment]
    raw = unquote_to_bytes(segments[-1]) if segments else username or b""
    return raw.decode("ascii") if _IDENTITY.fullmatch(raw) else None


def basic_token(headers: Sequence[str]) -> bytes | None:
    """Return `user:password` from the Authorization headers as bytes, or None if none is readable Basic."""
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        if scheme.lower() == "basic":
            try:
                return base64.b64decode(rest.strip().encode("ascii"), validate=True)
            except (binascii.Error, UnicodeEncodeError):
                continue
    return None


def password_fits(token: bytes | None, identity: str, password: bytes) -> bool:
    """Return whether the Basic token is this charger's: user = identity (any case), password as stored.

    Takes the same time whichever byte differs. The user name may hold colons and the password any byte, so
    the identity itself tells where one ends (quirk 8). A password of raw bytes may come as its hex text.
    """
    prefix = identity.encode().lower() + b":"
    given = b"" if token is None else token[len(prefix) :]
    user_fits = token is not None and token[: len(prefix)].lower() == prefix
    try:
        unhexed = binascii.unhexlify(given)
    except (binascii.Error, ValueError):
        unhexed = b""
    as_is, as_hex = hmac.compare_digest(given, password), hmac.compare_digest(unhexed, password)
    return user_fits and bool(password) and (as_is or as_hex)


class Buckets:
    """Token buckets by address. Forgets the address that was seen the longest ago."""

    def __init__(self, *, burst: int, per_second: float, addresses_max: int = 1024) -> None:
        self._burst, self._per_ms, self._max = float(burst), per_second / 1000, addresses_max
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, address: str, mono_ms: int) -> bool:
        """Take a token of this address; False if it has none."""
        left, since = self._left.pop(address, (self._burst, mono_ms))
        left = min(self._burst, left + (mono_ms - since) * self._per_ms)
        self._left[address] = (left - 1 if left >= 1 else left, mono_ms)
        if len(self._left) > self._max:
            self._left.popitem(last=False)
        return left >= 1


class Throttle:
    """Lets one in a while through for each key. Forgets the key that passed the longest ago."""

    def __init__(self, *, every_ms: int, keys_max: int = 256) -> None:
        self._every_ms, self._max = every_ms, keys_max
        self._passed: OrderedDict[str, int] = OrderedDict()

    def passes(self, key: str, mono_ms: int) -> bool:
        """Return whether this key may pass now; if so, it may not again for a while."""
        last = self._passed.get(key)
        if last is not None and mono_ms - last < self._every_ms:
            return False
        self._passed.pop(key, None)
        self._passed[key] = mono_ms
        if len(self._passed) > self._max:
            self._passed.popitem(last=False)
        return True


class Swaps:
    """Notices two boxes that were given one identity and evict each other (quirk 11). One for a charger.

    More than `SWAPS_MAX` changes of address within `WINDOW_MS` are no redialling: from then on the address
    that was there first is kept, and the others are refused until they have not dialled for a whole window.
    """

    SWAPS_MAX: Final = 3
    WINDOW_MS: Final = 60_000

    def __init__(self) -> None:
        self._came: deque[tuple[int, str]] = deque(maxlen=self.SWAPS_MAX + 1)
        self._kept = ""
        self._kept_until = 0

    def came(self, address: str, mono_ms: int) -> None:
        """A connection from this address is the present one now."""
        if not self._came or self._came[-1][1] != address:
            self._came.append((mono_ms, address))

    def admit(self, address: str, mono_ms: int) -> bool:
        """Return whether a connection from this address may replace the present one."""
        if mono_ms < self._kept_until:
            if address != self._kept:
                self._kept_until = mono_ms + self.WINDOW_MS
            return address == self._kept
        # the first of them was there until the second came
        while len(self._came) > 1 and mono_ms - self._came[1][0] >= self.WINDOW_MS:
            self._came.popleft()
        if len(self._came) <= self.SWAPS_MAX or address == self._came[-1][1]:
            return True
        self._kept, self._kept_until = self._came[0][1], mono_ms + self.WINDOW_MS
        self._came.clear()
        return address == self._kept


class Waiting(msgspec.Struct, kw_only=True):
    """A charger that dialled and is not of this site yet."""

    charger: str
    address: str
    protocol: str
    first_ms: int  #: UTC
    last_ms: int
    dials: int = 1


class AdoptionQueue:
    """Unknown chargers, newest last, bounded. A stranger's flood pushes out the one that dialled the longest
    ago: a real charger dials again within minutes, and is back."""

    #: More than an installer connects in one go; a few KiB.
    SIZE_MAX: Final = 64

    def __init__(self) -> None:
        self._queue: OrderedDict[str, Waiting] = OrderedDict()

    def dialled(self, charger: str, address: str, protocol: str, now_ms: int) -> Waiting | None:
        """Note a dial; return whom it pushed out."""
        key = charger.casefold()
        known = self._queue.pop(key, None)
        if known is None:
            known = Waiting(
                charger=charger, address=address, protocol=protocol, first_ms=now_ms, last_ms=now_ms
            )
        else:
            known.address, known.protocol, known.last_ms = address, protocol, now_ms
            known.dials += 1
        self._queue[key] = known
        return self._queue.popitem(last=False)[1] if len(self._queue) > self.SIZE_MAX else None

    def leave(self, charger: str) -> None:
        """The charger is of this site now."""
        self._queue.pop(charger.casefold(), None)

    def __iter__(self) -> Iterator[Waiting]:
        """Go through who waits, in order of their last dial."""
        return iter(tuple(self._queue.values()))

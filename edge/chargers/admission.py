"""Who may come in, decided before a charger's socket is upgraded: identity, password, pace, clones.

The pure half of `listener`: no sockets, times are arguments. What is refused here is refused in the HTTP
handshake, because chargers keep what they have queued when they are refused, and discard it when they get
errors later (quirk 16). Every table is bounded, and what it forgets first is said with it.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from common.domain import is_charger_id


def named_by(path: str, username: bytes | None = None) -> bytes:
    """Return what a dial names: the last segment of the path that is not empty, percent-decoded once.

    Prefixes, doubled and trailing slashes and a query are seen in the field (quirk 5). With an empty path
    the user name of Basic authentication stands for it (quirk 7). Anything may be in it.
    """
    segments = [segment for segment in path.partition("?")[0].split("/") if segment]
    return unquote_to_bytes(segments[-1]) if segments else username or b""


def identity_of(named: bytes) -> str | None:
    """Return the charger's identity of what a dial names, None if that is no identity (`is_charger_id`)."""
    text = named.decode("ascii", "replace")
    return text if is_charger_id(text) else None


def adopt_command(identity: str, *options: str) -> str:
    """Return the command line that adopts a charger: safe in a shell, whatever its identity is."""
    # what begins with a hyphen would be read as an option
    operand = ("--", identity) if identity.startswith("-") else (identity,)
    return shlex.join(("plugside-edge", "chargers", "adopt", *options, *operand))


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


def user_names(token: bytes, identity: str) -> bool:
    """Return whether a Basic token's user is this charger, in any case (quirk 7)."""
    return token[: len(identity) + 1].lower() == identity.encode().lower() + b":"


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


class Patience:
    """Makes whoever tries passwords wait, longer after each; forgets who failed the longest ago.

    By address and charger together: a stranger's failures keep no charger out that dials from elsewhere.
    """

    #: A person mistypes a few times, and some chargers try twice at once.
    FREE: Final = 5
    FIRST_MS: Final = 1_000
    LONGEST_MS: Final = 60_000

    def __init__(self, *, keys_max: int = 1024) -> None:
        self._max = keys_max
        self._failed: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def waits_ms(self, address: str, charger: str, mono_ms: int) -> int:
        """Return how long it must wait yet before it may try again."""
        _, until_ms = self._failed.get((address, charger), (0, 0))
        return max(0, until_ms - mono_ms)

    def failed(self, address: str, charger: str, mono_ms: int) -> None:
        """It has failed once more."""
        count, _ = self._failed.pop((address, charger), (0, 0))
        over = count + 1 - self.FREE
        pause_ms = min(self.FIRST_MS << min(over, 16), self.LONGEST_MS) if over >= 0 else 0
        self._failed[address, charger] = (count + 1, mono_ms + pause_ms)
        if len(self._failed) > self._max:
            self._failed.popitem(last=False)

    def proved(self, address: str, charger: str) -> None:
        """It has proven itself."""
        self._failed.pop((address, charger), None)


class LineBudget:
    """Lines that strangers can make us write: so many for each window, what is above them is counted by kind.

    Kinds are ours, never a stranger's words, so that counting them is bounded. The window begins with the
    first line after the last one's end.
    """

    LINES_MAX: Final = 10
    WINDOW_MS: Final = 60_000

    def __init__(self) -> None:
        self._until_ms = 0
        self._left = 0
        self._withheld: Counter[str] = Counter()

    def passes(self, kind: str, mono_ms: int) -> bool:
        """Return whether a line of this kind may be written now; if not, it is counted."""
        if mono_ms >= self._until_ms:
            self._until_ms, self._left = mono_ms + self.WINDOW_MS, self.LINES_MAX
        if not self._left:
            self._withheld[kind] += 1
            return False
        self._left -= 1
        return True

    def left_ms(self, mono_ms: int) -> int:
        """Return how long the window still lasts."""
        return max(0, self._until_ms - mono_ms)

    def withheld(self) -> dict[str, int]:
        """Return how many lines were withheld since this was asked last, by kind, the most frequent first."""
        counts, self._withheld = dict(self._withheld.most_common()), Counter()
        return counts


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

"""The keys that this box has let in or has seen with a right: whose grant it renews, and who is who here.

A key is known from its first grant on, or from the first time it shows one that counts; withdrawn, it is no
longer. Kept beside the keys (keys/devices.json), without a name: those are in the journal's table for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from common.caps import Caps
from common.domain import Role
from common.keystore import Keystore
from common.policy import Claims
from common.ports import Clock
from common.trust.invites import DEVICES_OF_ONE_MAX

#: More than a site has phones; then the one that was not seen for longest makes room.
DEVICES_MAX = 2048
#: When a key was last seen is written down at most so often.
_SEEN_EVERY_MS = 24 * 3_600_000
_DOCUMENT = "devices"


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A right as this box made it."""

    role: Role
    chargers: tuple[str, ...] | None = None
    caps: Caps | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key and its right, as it last was."""

    key: str  #: thumbprint
    principal: str
    role: Role
    chargers: tuple[str, ...] | None = None
    caps: Caps | None = None
    issuer: str  #: who gave the grant
    label: str = ""  #: what the device calls itself
    seen_ms: int
    made: Made | None = None  #: the right that the box itself gave it, whoever signs for it now
    #: No grant of this box ends later: a right of the cloud's was handed on to it (0 = no such end).
    until_ms: int = 0


class Devices:
    """See the module."""

    def __init__(self, store: Keystore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        known = store.load(_DOCUMENT, list[Device]) or []
        self._by_key = {device.key: device for device in known}

    def __iter__(self) -> Iterator[Device]:
        return iter(tuple(self._by_key.values()))

    def get(self, key: str) -> Device | None:
        return self._by_key.get(key)

    def of(self, principal: str) -> list[Device]:
        """Everything that one principal has here."""
        return [device for device in self._by_key.values() if device.principal == principal]

    def seen(self, claims: Claims, label: str = "", *, here: bool = False, until_ms: int = 0) -> None:
        """A key showed a grant that counts. here: the box made it, ending by `until_ms`, if that is given."""
        known, now_ms = self._by_key.get(claims.key), self._clock.now_ms()
        if known is not None and known.principal != claims.principal:
            known = None
        if here:
            made: Made | None = Made(role=claims.role, chargers=claims.chargers, caps=claims.caps)
        else:
            made, until_ms = (known.made, known.until_ms) if known is not None else (None, 0)
        device = Device(
            key=claims.key,
            principal=claims.principal,
            role=claims.role,
            chargers=claims.chargers,
            caps=claims.caps,
            issuer=claims.issuer,
            label=label or (known.label if known is not None else ""),
            seen_ms=now_ms,
            made=made,
            until_ms=until_ms,
        )
        if known is not None:
            same = device == msgspec.structs.replace(known, seen_ms=now_ms)
            if same and now_ms - known.seen_ms < _SEEN_EVERY_MS:
                return
        self._by_key[claims.key] = device
        if known is None:
            theirs = sorted(self.of(claims.principal), key=lambda one: one.seen_ms)
            for over in [one for one in theirs if one.key != claims.key][: -(DEVICES_OF_ONE_MAX - 1)]:
                del self._by_key[over.key]
        while len(self._by_key) > DEVICES_MAX:
            del self._by_key[min(self._by_key, key=lambda key: self._by_key[key].seen_ms)]
        self._save()

    def drop(self, gone: Callable[[Device], bool]) -> list[Device]:
        """Forget devices. Returns them."""
        dropped = [device for device in self._by_key.values() if gone(device)]
        for device in dropped:
            del self._by_key[device.key]
        if dropped:
            self._save()
        return dropped

    def _save(self) -> None:
        self._store.save(_DOCUMENT, list(self._by_key.values()))

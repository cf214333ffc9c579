"""Chargers' passwords: made here, kept as what is needed to check them, and told to nobody twice.

    made ─▶ offered (beside the one in use; both are good) ─▶ used ─▶ the one in use; the old one is over

One that was sent and got no answer stays good beside a later one: the charger may have taken it (quirk 107).
A password is 16 random bytes. What is on disk is a salted hash of it, so that whoever has the folder has no
charger's password; because chance made it, a fast hash is as good as a slow one, which a flood would turn
against the box. It leaves once: for the charger, or for the person who types it there.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

import msgspec

from common.keystore import Keystore
from common.ports import Clock, Ids

#: OCPP 1.6 security, A00.FR.205: 16 to 20 bytes, sent as hex.
PASSWORD_BYTES: Final = 16
_SALT_BYTES: Final = 16
#: Passwords that a charger was told and nobody knows whether it took, besides the latest.
EARLIER_MAX: Final = 3
_DOCUMENT: Final = "chargers"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A password, as far as it is kept. `name` says which one it is, in facts too."""

    name: str
    salt: str
    digest: str
    made_ms: int


class Passwords(msgspec.Struct, kw_only=True):
    """One charger's: the one in use, and the one that was offered and not used yet."""

    used: Credential | None = None
    offered: Credential | None = None
    #: Told to the charger before that one, without an answer; the oldest first.
    earlier: list[Credential] = []
    certificate: str = ""  #: serial number of the certificate that it came in with last
    signed: str = ""  #: and of the one that was signed for it since


def _digest(salt: str, password: bytes) -> str:
    return hmac.digest(bytes.fromhex(salt), password, "sha256").hex()


class Credentials:
    """All of a site's chargers, in one document of the keystore. Charger ids as the site spells them."""

    def __init__(self, store: Keystore, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._kept: dict[str, Passwords] = store.load(_DOCUMENT, dict[str, Passwords]) or {}

    def offer(self, charger: str, name: str, *, sent: bool = False) -> str:
        """Make a password under this name and return it, in hex; on disk it can be checked from now on.

        One that was offered before and never used is over. `sent`: it goes to the charger itself, which may
        have taken that one and refuse this: then it stays good until the charger has come in with either.
        """
        password, salt = self._ids.token(PASSWORD_BYTES), self._ids.token(_SALT_BYTES).hex()
        made = Credential(name=name, salt=salt, digest=_digest(salt, password), made_ms=self._clock.now_ms())
        known = self._kept.setdefault(charger, Passwords())
        before = [*known.earlier, *([known.offered] if known.offered is not None else [])]
        known.earlier = before[-EARLIER_MAX:] if sent else []
        known.offered = made
        self._save()
        return password.hex()

    def withdraw(self, charger: str, name: str) -> None:
        """What was offered under this name was refused."""
        known = self._kept.get(charger)
        if known is not None and known.offered is not None and known.offered.name == name:
            known.offered = None
            self._save()
        elif known is not None and any(one.name == name for one in known.earlier):
            known.earlier = [one for one in known.earlier if one.name != name]
            self._save()

    def forget(self, charger: str) -> None:
        """The charger is not of this site any more."""
        if self._kept.pop(charger, None) is not None:
            self._save()

    def has(self, charger: str) -> bool:
        """Whether any password of this charger is known."""
        known = self._kept.get(charger)
        return known is not None and bool(known.used or known.offered or known.earlier)

    # --- certificates --------------------------------------------------------------------------------------

    def issued(self, charger: str, serial: str) -> None:
        """A certificate was signed for the charger: it is good beside the one in use, until it is used."""
        self._kept.setdefault(charger, Passwords()).signed = serial
        self._save()

    def holds(self, charger: str, serial: str) -> bool:
        """Whether this certificate is the charger's own, and not one that another has replaced."""
        known = self._kept.get(charger)
        return known is not None and serial != "" and serial in (known.certificate, known.signed)

    def showed(self, charger: str, serial: str) -> None:
        """The charger has come in with this certificate: if it was new, the one before it is over."""
        known = self._kept.get(charger)
        if known is not None and serial and known.signed == serial:
            known.certificate, known.signed = serial, ""
            self._save()

    # --- logins --------------------------------------------------------------------------------------------

    def fitting(self, charger: str, presented: Sequence[bytes]) -> str:
        """Return the name of the password that one of these is, "" if none. Looks at each, in any case."""
        known, found = self._kept.get(charger, Passwords()), ""
        for kept in (known.used, known.offered, *known.earlier):
            for password in presented:
                if kept and hmac.compare_digest(_digest(kept.salt, password), kept.digest):
                    found = kept.name
        return found

    def came_in(self, charger: str, name: str) -> None:
        """The charger has come in with this password: if it was offered, those before it are over."""
        known = self._kept.get(charger)
        if known is None:
            return
        if known.offered is not None and known.offered.name == name:
            known.used, known.offered, known.earlier = known.offered, None, []
            self._save()
            return
        for number, one in enumerate(known.earlier):
            if one.name == name:  # what it was told after that it may yet take
                known.used, known.earlier = one, known.earlier[number + 1 :]
                self._save()
                return

    def about(self, charger: str) -> dict[str, int]:
        """When what is known was made (UTC, ms), for people: `used_ms`, `offered_ms`."""
        known = self._kept.get(charger, Passwords())
        made = {"used_ms": known.used, "offered_ms": known.offered}
        return {name: kept.made_ms for name, kept in made.items() if kept is not None}

    # --- for the box after this one ------------------------------------------------------------------------

    def all(self) -> dict[str, Passwords]:
        """Everything, to be sealed (`edge.recovery`)."""
        return dict(sorted(self._kept.items()))

    def take(self, found: dict[str, Passwords]) -> int:
        """Take over what another box knew; whatever was made here since is newer. Returns how many."""
        self._kept = {**found, **{charger: mine for charger, mine in self._kept.items() if self._knows(mine)}}
        self._save()
        return len(found)

    @staticmethod
    def _knows(kept: Passwords) -> bool:
        return bool(kept.used or kept.offered or kept.earlier or kept.certificate or kept.signed)

    def _save(self) -> None:
        self._store.save(_DOCUMENT, self._kept)

"""The box's invites, on disk in keys/invites.json: hashes of secrets, never the secrets. Bounded."""

from __future__ import annotations

import msgspec

from common import trust
from common.keystore import Keystore
from common.ports import Clock
from common.trust.invites import OF_ONE_MAX

#: Open invites kept; then the oldest makes room. A site has tens of drivers, not thousands.
INVITES_MAX = 256


class InviteEntry(msgspec.Struct, kw_only=True):
    """One invite of ours."""

    record: trust.InviteRecord
    until_ms: int = 0  #: no grant that it brings ends later; 0 = no such end


class Invites:
    """What was minted here and may still be redeemed, or was, by a key that may ask again."""

    def __init__(self, store: Keystore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._entries: list[InviteEntry] = store.load("invites", list[InviteEntry]) or []
        self._until = {entry.record.hash: entry.until_ms for entry in self._entries}

    @property
    def records(self) -> tuple[trust.InviteRecord, ...]:
        """All of them, the oldest first."""
        return tuple(entry.record for entry in self._entries)

    @property
    def open(self) -> list[trust.InviteRecord]:
        """Those that can still bring somebody in, the next to run out first."""
        now_ms = self._clock.now_ms()
        still = [r for r in self.records if r.redeemed_by is None and not r.spent and now_ms < r.expires_ms]
        return sorted(still, key=lambda record: record.expires_ms)

    def withdraw(self, principal: str) -> bool:
        """An open one brings nobody in any more. False: there is none."""
        known = any(record.principal == principal for record in self.open)
        if known:
            self.drop(principal)
        return known

    def until_ms(self, record: trust.InviteRecord) -> int:
        """By when each grant that it brings has ended; 0 = no such end."""
        return self._until.get(record.hash, 0)

    def add(self, record: trust.InviteRecord, until_ms: int = 0) -> None:
        """Keep a new one; what is over makes room first."""
        self._until[record.hash] = until_ms
        now_ms = self._clock.now_ms()
        live = [known for known in self.records if not known.spent and now_ms < known.expires_ms]
        theirs = [known for known in live if known.principal == record.principal]
        over = theirs[: max(0, len(theirs) + 1 - OF_ONE_MAX)]
        self._keep([*(known for known in live if known not in over), record][-INVITES_MAX:])

    def find(self, secret: str) -> trust.InviteRecord | None:
        """The one with this secret."""
        wanted = trust.invite_hash(secret)
        return next((record for record in self.records if record.hash == wanted), None)

    def replace(self, known: trust.InviteRecord, record: trust.InviteRecord) -> None:
        """Its next state."""
        self._keep([record if one is known else one for one in self.records])

    def authenticated(self, key: str) -> None:
        """The key has shown its grant: what brought it in is spent."""
        for record in self.records:
            if record.redeemed_by == key and not record.spent:
                self.replace(record, trust.spend(record))

    def drop(self, principal: str) -> None:
        """Void those that would bring this principal in."""
        kept = [record for record in self.records if record.principal != principal]
        if len(kept) != len(self._entries):
            self._keep(kept)

    def _keep(self, records: list[trust.InviteRecord]) -> None:
        entries = [InviteEntry(record=record, until_ms=self.until_ms(record)) for record in records]
        self._store.save("invites", entries)
        self._entries = entries
        self._until = {entry.record.hash: entry.until_ms for entry in entries}

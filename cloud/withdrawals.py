"""What is withdrawn: this cloud's list for each site, and those that boxes and phones bring (design §10).

    withdrawn here   rows in SQL, then the site's next list, signed and stored, then told to box and apps
    brought          by a site's box or an app: checked, kept if its number is higher, else ignored
    of our own       with a higher number: this database was restored. Both are joined and signed anew

A box's list takes away rights at its own site only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from operator import attrgetter

from cloud.keyring import Keyring
from cloud.store.ports import Store
from common import trust
from common.errors import RemoteFault
from common.ports import Clock
from common.trust.issuers import NEVER_MS
from common.trust.revocations import AHEAD_MAX, CARRIED_CHARS_MAX, KEPT_MS

log = logging.getLogger("plugside.accounts")


class Withdrawals:
    """See the module. `changed` is called with each list that is new, after it is stored."""

    def __init__(self, store: Store, keyring: Keyring, verifier: trust.Verifier, clock: Clock) -> None:
        self._store = store
        self._keyring = keyring
        self._verifier = verifier
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()  # a number is given once
        self.changed: Callable[[trust.RevocationList], None] = lambda _: None

    @property
    def _issuer(self) -> str:
        return self._keyring.issuing.issuer.id

    async def open(self) -> None:
        """Learn what is stored; what was withdrawn as this process last ended is put on its list."""
        await self._know()
        for text in await self._store.withdrawal_lists():
            self._verifier.withdrawals.take(trust.kept_list(text))
        for site in await self._store.sites():
            if not await self._listed(site.id):
                await self._publish(site.id, {})

    async def _know(self) -> None:
        """What was ever withdrawn ends grants here for good, as a list would that drops nothing."""
        revoked = await self._store.revoked()
        self._verifier.revoked = frozenset(revoked.pop("", ()))
        for site, entries in revoked.items():
            hashes = {trust.entry_hash(entry): NEVER_MS for entry in entries}
            self._verifier.withdrawals.put(
                trust.RevocationList(issuer="", kid="", site=site, number=0, at_ms=0, entries=hashes, text="")
            )

    async def _listed(self, site: str) -> bool:
        """Whether everything that is withdrawn at a site is on its list."""
        rows = await self._store.withdrawn(site, self._clock.now_ms())
        own = self._own(site)
        return not rows or (
            own is not None and {trust.entry_hash(entry) for entry in rows} <= own.entries.keys()
        )

    def _own(self, site: str) -> trust.RevocationList | None:
        lists = self._verifier.withdrawals.lists(site)
        ours = (one for one in lists if one.issuer == self._issuer)
        return max(ours, key=attrgetter("number"), default=None)

    def texts(self, site: str) -> tuple[str, ...]:
        """Every list of a site, as its tunnel takes them."""
        return tuple(one.text for one in self._verifier.withdrawals.lists(site) if one.text)

    def carried(self, site: str) -> tuple[str, ...]:
        """The lists of a site that phones are given to carry."""
        return tuple(text for text in self.texts(site) if len(text) <= CARRIED_CHARS_MAX)

    def numbers(self, site: str) -> dict[str, int]:
        """The number of each issuer's list at a site, for people."""
        return {one.issuer: one.number for one in self._verifier.withdrawals.lists(site) if one.text}

    async def withdraw(self, site: str, entries: Collection[str]) -> trust.RevocationList:
        """Take away what these entries name; devices, invites, tokens go. Raises Refused(limit_reached)."""
        now_ms = self._clock.now_ms()
        await self._store.withdraw(site, entries, now_ms, now_ms + KEPT_MS)
        await self._know()
        return await self._publish(site, {})

    async def _publish(self, site: str, more: Mapping[bytes, int], after: int = 0) -> trust.RevocationList:
        """Sign the site's next list. more: entries that are on no row of ours."""
        async with self._one_at_a_time:
            now_ms, own = self._clock.now_ms(), self._own(site)
            entries = dict(own.entries) if own is not None else {}
            rows = await self._store.withdrawn(site, now_ms)
            entries |= {**more, **{trust.entry_hash(entry): until_ms for entry, until_ms in rows.items()}}
            issuing = self._keyring.issuing
            one = trust.sign_list(
                issuing.key,
                issuing.issuer,
                site=site,
                number=max(own.number if own is not None else 0, after) + 1,
                at_ms=now_ms,
                entries=entries,
            )
            await self._store.keep_withdrawal_list(site, one.issuer, one.number, one.text)
            if own is not None:  # it may be of a key before this one; a list is whole, and takes its place
                self._verifier.withdrawals.forget(own)
            self._verifier.withdrawals.take(one)
        self.changed(one)
        return one

    async def take(self, site: str, texts: Iterable[str]) -> None:
        """Keep what is new of the lists that a site's box, or an app with rights there, brings."""
        for text in texts:
            try:
                told = trust.open_list(text, self._verifier.trust, site=site, now_ms=self._clock.now_ms())
            except RemoteFault as wrong:
                log.info("%s", wrong.detail)
                continue
            if told.issuer == self._issuer:
                await self._own_again(told)
            elif told.number > self._verifier.withdrawals.number(site, told.issuer, told.kid):
                await self._take(told)

    async def _own_again(self, told: trust.RevocationList) -> None:
        """Our own list comes back. With a higher number than we know, or another content, ours was lost."""
        own = self._own(told.site)
        if told.number > (own.number if own is not None else 0) + AHEAD_MAX:
            log.warning("list %d of this cloud is not believed: somebody else has its key", told.number)
            return
        if own is None or told.number > own.number or (told.number == own.number and told.text != own.text):
            log.warning("list %d of this cloud came back to it: its database was restored", told.number)
            await self._publish(told.site, told.entries, told.number)

    async def _take(self, told: trust.RevocationList) -> None:
        await self._store.keep_withdrawal_list(told.site, told.issuer, told.number, told.text)
        self._verifier.withdrawals.take(told)
        # Rights that are known here end for good, not only while the list names them.
        gone = {
            entry
            for device in await self._store.devices(told.site)
            for entry in (trust.revoked_key(device.key), trust.revoked_principal(device.principal))
            if trust.entry_hash(entry) in told.entries
        }
        if gone:
            now_ms = self._clock.now_ms()
            await self._store.withdraw(told.site, gone, now_ms, now_ms)
            await self._know()
        log.warning("list %d of %s: %d rights are withdrawn", told.number, told.issuer, len(told.entries))
        self.changed(told)

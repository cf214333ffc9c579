"""What is withdrawn at this site: the box's own list, and those that its cloud and phones bring (design §10).

    revoked here      the next number of our own list, signed, on disk, then told
    brought           by the tunnel or any phone: checked, kept if its number is higher, else ignored. What
                      a key signed that its issuer has given up ends with the next list of that issuer
    of our own        with a higher number: this folder was put back from a copy. Both are joined

What is kept lies in keys/revocations.json: a journal that is restored brings nothing back that was withdrawn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable

import msgspec

from common import trust
from common.errors import Code, LocalFault, RemoteFault
from common.keystore import Keystore
from common.ports import Clock
from common.trust.revocations import AHEAD_MAX, CARRIED_CHARS_MAX, KEPT_MS, LISTS_MAX

log = logging.getLogger("plugside.trust")

_DOCUMENT = "revocations"


class Document(msgspec.Struct, kw_only=True):
    """The newest list of each issuer, on disk as revocations.json."""

    lists: list[str] = []


class Withdrawals:
    """See the module. `changed` is called with each list that is new, after it is on disk."""

    def __init__(
        self,
        store: Keystore,
        verifier: trust.Verifier,
        clock: Clock,
        *,
        issuing: Callable[[], trust.Issuing],
        site: Callable[[], str],
    ) -> None:
        """issuing: our own issuer. Raises LocalFault when the document is damaged: what was withdrawn must
        not come back by that."""
        self._store = store
        self._verifier = verifier
        self._clock = clock
        self._issuing = issuing
        self._site = site
        self.changed: Callable[[trust.RevocationList], None] = lambda _: None
        try:
            for text in (store.load(_DOCUMENT, Document) or Document()).lists:
                verifier.withdrawals.take(trust.kept_list(text))
        except ValueError as damaged:
            path = store.folder / f"{_DOCUMENT}.json"
            raise LocalFault(Code.FOLDER_UNUSABLE, f"{path} cannot be read: {damaged}") from None

    @property
    def own(self) -> trust.RevocationList | None:
        """Our own list; None while nothing was withdrawn here."""
        issuer = self._issuing().issuer.id
        return next((one for one in self.known if one.issuer == issuer), None)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every list, as the tunnel takes it."""
        return tuple(one.text for one in self.known)

    @property
    def carried(self) -> tuple[str, ...]:
        """The lists that phones are given to carry."""
        return tuple(text for text in self.texts if len(text) <= CARRIED_CHARS_MAX)

    def numbers(self) -> dict[str, int]:
        """The number of each issuer's list, for people."""
        return {one.issuer: one.number for one in sorted(self.known, key=lambda one: one.at_ms)}

    @property
    def known(self) -> tuple[trust.RevocationList, ...]:
        """The newest list of each issuer."""
        return self._verifier.withdrawals.lists(self._site())

    def revoke(self, entries: Collection[str]) -> None:
        """Withdraw here. Raises Refused(limit_reached) when the list is full, LocalFault: not on disk."""
        until_ms = self._clock.now_ms() + KEPT_MS
        own = self.own
        known = dict(own.entries) if own is not None else {}
        known |= {trust.entry_hash(entry): until_ms for entry in entries}
        self._keep(self._signed(known, own.number if own is not None else 0))

    def take(self, texts: Iterable[str]) -> list[trust.RevocationList]:
        """Keep what is new of these lists, whoever brings them. Returns it; wrong ones are passed over."""
        taken = []
        for text in texts:
            try:
                told = trust.open_list(
                    text, self._verifier.trust, site=self._site(), now_ms=self._clock.now_ms()
                )
            except RemoteFault as wrong:
                log.info("%s", wrong.detail)
                continue
            self._verifier.heard(told.at_ms)
            if (news := self._news(told)) is not None:
                self._keep(news)
                taken.append(news)
        return taken

    def _news(self, told: trust.RevocationList) -> trust.RevocationList | None:
        own = self.own
        if told.issuer != self._issuing().issuer.id or own is None:
            known = self._verifier.withdrawals.number(told.site, told.issuer, told.kid)
            return told if told.number > known else None
        if told.number < own.number or told.text == own.text:
            return None
        if told.number > own.number + AHEAD_MAX:
            log.warning("list %d of this box is not believed: somebody else has its key", told.number)
            return None
        log.warning("list %d of this box came back to it: its folder was restored from a copy", told.number)
        return self._signed({**told.entries, **own.entries}, told.number)

    def _signed(self, entries: dict[bytes, int], after: int) -> trust.RevocationList:
        issuing = self._issuing()
        return trust.sign_list(
            issuing.key,
            issuing.issuer,
            site=self._site(),
            number=after + 1,
            at_ms=self._clock.now_ms(),
            entries=entries,
        )

    def _outranks(self, one: trust.RevocationList, known: trust.RevocationList) -> bool:
        """Whether a list ends with this one: of the same key, or of one that its issuer has given up since.
        A list is whole, so nothing that was withdrawn is lost with the other's."""
        if known.issuer != one.issuer:
            return False
        believed = self._verifier.trust.issuer(known.kid, known.site)
        return known.kid == one.kid or believed is None or believed.id != known.issuer

    def _keep(self, one: trust.RevocationList) -> None:
        """On disk first: a list that a restart forgets could be rolled back."""
        gone = [known for known in self.known if self._outranks(one, known)]
        others = [known.text for known in self.known if known not in gone]
        self._store.save(_DOCUMENT, Document(lists=[*others[-(LISTS_MAX - 1) :], one.text]))
        for known in gone:
            self._verifier.withdrawals.forget(known)
        self._verifier.withdrawals.take(one)
        self.changed(one)

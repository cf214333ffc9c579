"""What the box vouches for: receipts of sessions, the chain's head at each sync, its journal (design §9).

The records come from the journal (`edge.journal.evidence`), the shape and the signature from `common.trust`.
The box signs what it has written down; nothing is computed here that a reader could not compute again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from common import sync
from common.domain import iso
from common.errors import Code, Refused
from common.ports import Clock
from common.trust import b64, sign_head
from common.trust.receipts import RECORDS_MAX, Receipt, ReceiptRecord, sign_receipt
from edge.authority import Authority
from edge.journal.evidence import Evidence, Place, collect
from edge.journal.verifying import Verified, verify

#: Sessions whose records are looked for at once: each reads the journal on a thread of its own.
AT_ONCE = 2


class Receipts:
    """Makes receipts from one journal, and looks whether that is what was written."""

    def __init__(
        self, journal: Path, authority: Authority, clock: Clock, *, committed: Callable[[], int] = lambda: 0
    ) -> None:
        """committed: up to where the journal has been written."""
        self._journal = journal
        self._authority = authority
        self._clock = clock
        self._committed = committed
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._looking = asyncio.Lock()

    async def make(self, session: str) -> Receipt:
        """A signed receipt of an ended session. Raises Refused(unknown_session), Unavailable."""
        async with self._turn:
            evidence = await asyncio.to_thread(collect, self._journal, session, most=RECORDS_MAX)
        if evidence is None:
            raise Refused(
                Code.UNKNOWN_SESSION,
                "its records are not in the journal any more",
                hint="The site's operator may still have it in the cloud.",
            )
        return self._signed(session, evidence)

    async def verify(self) -> Verified:
        """Look through the whole journal, one look at a time. Raises Unavailable."""
        async with self._looking:
            return await asyncio.to_thread(verify, self._journal, committed=self._committed())

    def _signed(self, session: str, evidence: Evidence) -> Receipt:
        authority, at = self._authority, iso(self._clock.now_ms())
        identity, last = authority.identity, evidence.places[-1].seq
        return sign_receipt(
            identity,
            Receipt(
                site=authority.site,
                name=authority.name[:256],
                session=session,
                epoch=evidence.epoch,
                records=tuple(_record(place) for place in evidence.places),
                left_out=evidence.left_out,
                chain=b64(evidence.end),
                at=at,
                key=identity.public,
                head=sign_head(identity, authority.site, evidence.epoch, last, evidence.end, at),
            ),
        )


def witnessed(authority: Authority, batch: sync.Batch, at: str) -> sync.Batch:
    """The batch with the box's signature of the chain after it, said at site time `at`."""
    last = batch.records[-1].seq
    signature = sign_head(authority.identity, authority.site, batch.epoch, last, batch.chain_end, at)
    return msgspec.structs.replace(batch, at=at, signature=signature)


def _record(place: Place) -> ReceiptRecord:
    return ReceiptRecord(
        seq=place.seq,
        uid=place.uid,
        salt=b64(place.salt),
        inner=b64(place.inner),
        before=b64(place.before),
        record=place.record.decode(),
    )

"""What a ledger leaves out on purpose, declared: the one fact by which a gap in the samples is no loss.

Meter samples are most of a journal. When they grow old, or the disk runs short, some are removed (their place
in the chain stays, as a tombstone) or, at the worst, not written at all. Before either happens a `Thinned`
fact says so. So every tombstone and every acknowledged sample without a row lies under a declaration, and
what lies under none is a loss that somebody must explain.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from common.body import Body

#: retention: older than samples are kept. rolled_up: the first of each ten minutes stays. halved: every other
#: one went, never a session's first or last. not_stored: acknowledged without being written.
Why = Literal["retention", "rolled_up", "halved", "not_stored"]


class Thinned(Body, frozen=True, kw_only=True):
    """Up to `count` facts with samples, between two others that are named, are about to lose their content.

    `first_seq`, `last_seq`: numbers of `epoch`; the uids stay true in any epoch. `acked`: the cloud had them.
    not_stored: the range is open; from `since` on until the next such fact samples between the ends of a
    session are acknowledged and not written, and `count` of them were since the one before.
    """

    KIND: ClassVar[str] = "thinned"
    reason: Why
    epoch: str = ""
    first_seq: int = 0
    last_seq: int = 0
    first_uid: str = ""
    last_uid: str = ""
    count: int = 0
    acked: bool = False
    since: str = ""
    over: bool = False  #: not_stored: from here on everything is written again

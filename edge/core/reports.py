"""What a 2.x station reports that 1.6 has no word for: numbered transaction events, and availability alone.

Inputs of the core, as those in `inputs`. Fields are as told: what a message left out is None or empty, and is
not made up here (quirk 99).
"""

from __future__ import annotations

from common.domain import Availability, MeterSample, Phase
from edge.core.inputs import FromCharger, Known, Stamp


class AvailabilityReported(FromCharger, frozen=True, kw_only=True):
    """Whether a connector can be had. `evse` and `connector` count from 1; evse 0 is the station."""

    evse: int
    connector: int
    availability: Availability
    reported_at: str = ""


class TransactionEvent(FromCharger, frozen=True, kw_only=True):
    """One event of a transaction that the station named and counts. All but the first two may be missing."""

    transaction: str
    step: str  #: started | updated | ended
    number: int | None = None  #: the station's count of the transaction's events
    at: Stamp
    trigger: str = ""  #: why it was sent, in the station's word
    offline: bool = False
    evse: int | None = None
    connector: int | None = None
    phase: Phase | None = None
    tag_ref: str | None = None
    minted: str = ""
    remote_start: int | None = None  #: the number of the start request that it is about
    reason: str = ""
    samples: tuple[MeterSample, ...] = ()
    recalled: Known | None = None

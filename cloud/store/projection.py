"""What a fact means for the cloud's tables, without SQL. Pure.

Tables are a function of the set of facts: a fact folded in twice, or in another batch, changes nothing. The
ledger part of a session is `common.reconcile.fold`, the same that the box answers with; this adds what only
people look at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cloud.store.rows import DeviceRow, MeterRow, SessionRow
from common import facts, progress
from common.domain import MeterSample, Role
from common.facts import Fact
from common.reconcile import fold
from common.samples import merge

replace = msgspec.structs.replace

SESSION_KINDS = (
    facts.SessionStarted.KIND,
    facts.SessionLearned.KIND,
    facts.SessionEnded.KIND,
    facts.SessionRevised.KIND,
)


def session_of(fact: Fact) -> str | None:
    """The session whose row this fact changes."""
    body = fact.body
    if isinstance(
        body, facts.SessionStarted | facts.SessionLearned | facts.SessionEnded | facts.SessionRevised
    ):
        return body.session
    return None


def session_after(row: SessionRow | None, fact: Fact) -> SessionRow:
    """A session's row after one of its facts (`session_of`)."""
    body: Any = fact.body
    begun = row or SessionRow(session=body.session, charger=body.charger, evse=0, first_at=fact.at)
    after = fold(begun, body)
    assert isinstance(after, SessionRow), "fold keeps the kind of row it is given"
    first_at = min(begun.first_at, fact.at)
    if isinstance(body, facts.SessionLearned):
        return replace(after, first_at=first_at, **progress.told(body))
    flags = tuple(sorted({*begun.flags, *body.flags}))
    if isinstance(body, facts.SessionStarted):
        return replace(
            after,
            first_at=first_at,
            flags=flags,
            transaction=body.transaction,
            principal=body.principal,
            tag_ref=body.tag_ref,
            command=body.command,
            authorization=body.authorization,
            received_at=body.received_at,
        )
    principal = begun.principal or body.principal
    if isinstance(body, facts.SessionEnded):
        reason = begun.reason if begun.revision else body.reason
        return replace(
            after,
            first_at=first_at,
            flags=flags,
            principal=principal,
            reason=reason,
            obtained=begun.obtained if begun.revision else body.obtained,
            stopped_by=body.stopped_by,
        )
    if body.revision < begun.revision:
        return replace(after, first_at=first_at, flags=flags, principal=principal)
    return replace(
        after,
        first_at=first_at,
        flags=flags,
        principal=principal,
        obtained=body.obtained,
        reason=body.reason or begun.reason,
    )


def meter_rows(fact: Fact) -> Iterable[MeterRow]:
    """The samples of a session that a fact brings; a sample without a time has the fact's."""
    body = fact.body
    if isinstance(body, facts.MeterSampled) and body.session is not None:
        for sample in body.samples:
            yield MeterRow(
                session=body.session,
                at=sample.at or fact.at,
                context=_slot(sample),
                late=body.late,
                sample=sample,
            )


def _slot(sample: MeterSample) -> str:
    """What tells two samples of one moment apart: the context, and place and piece where they are unusual."""
    place = "" if sample.location == "outlet" else f"@{sample.location}"
    return sample.context + place + (f"#{sample.part}" if sample.part else "")


def merged(known: MeterRow, more: MeterRow) -> tuple[MeterRow, bool]:
    """One row of two with the same key, and whether the second contradicts the first (`common.samples`)."""
    sample, conflict = merge(known.sample, more.sample)
    if sample is known.sample and known.late == (known.late and more.late):
        return known, conflict
    return replace(known, late=known.late and more.late, sample=sample), conflict


def device_of(site: str, fact: Fact, now_ms: int) -> DeviceRow | None:
    """The key that a box let in by itself. Drivers are taken over, operators wait for the owner."""
    body = fact.body
    if not isinstance(body, facts.AuthorizationChanged) or body.change != "granted":
        return None
    if body.role not in (Role.DRIVER, Role.OPERATOR) or not body.key or not body.principal:
        return None
    return DeviceRow(
        site=site,
        key=body.key,
        principal=body.principal,
        role=body.role,
        chargers=body.chargers,
        source="edge",
        caps=body.caps,
        pending=body.role is Role.OPERATOR,
        added_ms=now_ms,
    )

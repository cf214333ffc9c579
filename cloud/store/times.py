"""Corrected times of sessions, derived when they are read: the stored facts say all that it takes.

The site's clock steps (there are few, or none) and the facts by which a session began and ended give, by
`common.corrections`, what its times should have been. Nothing that was told is changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.store import schema
from cloud.store.rows import SessionRow
from common import facts
from common.corrections import Step, corrected, step_of

#: Steps of a site that are looked at, the latest: one that has more has another trouble.
STEPS_MAX = 1000


async def with_true_times(tx: AsyncConnection, site: str, rows: Sequence[SessionRow]) -> list[SessionRow]:
    """The rows, with corrected times where the box's clock was set after they were told."""
    steps = await _steps(tx, site) if rows else {}
    if not steps:
        return list(rows)
    table = schema.fact
    query = select(table.c.session, table.c.kind, table.c.epoch, table.c.seq, table.c.at).where(
        table.c.site == site,
        table.c.session.in_([row.session for row in rows]),
        table.c.kind.in_((facts.SessionStarted.KIND, facts.SessionEnded.KIND)),
    )
    places = {(place.session, place.kind): place for place in await tx.execute(query)}

    def true(row: SessionRow, kind: str, told: str) -> str:
        place = places.get((row.session, kind))
        return "" if place is None else corrected(told, place.at, place.seq, steps.get(place.epoch, ()))

    return [
        _in_order(
            msgspec.structs.replace(
                row,
                corrected_started_at=true(row, facts.SessionStarted.KIND, row.started_at),
                corrected_ended_at=true(row, facts.SessionEnded.KIND, row.ended_at),
            )
        )
        for row in rows
    ]


def _in_order(row: SessionRow) -> SessionRow:
    """A correction that would turn a session around is none."""
    begun, over = row.corrected_started_at or row.started_at, row.corrected_ended_at or row.ended_at
    if over and begun[:19] > over[:19]:
        return msgspec.structs.replace(row, corrected_started_at="", corrected_ended_at="")
    return row


async def _steps(tx: AsyncConnection, site: str) -> dict[str, list[Step]]:
    """The site's clock steps by epoch, each in order."""
    table = schema.fact
    query = select(table.c.epoch, table.c.seq, table.c.record).where(
        table.c.site == site, table.c.kind == facts.ClockStepped.KIND, table.c.record.is_not(None)
    )
    found: dict[str, list[Step]] = {}
    for row in await tx.execute(query.order_by(table.c.at.desc()).limit(STEPS_MAX)):
        body = facts.read(row.epoch, row.seq, row.record).body
        step = step_of(row.seq, body) if isinstance(body, facts.ClockStepped) else None
        if step is not None:
            found.setdefault(row.epoch, []).append(step)
    return {epoch: sorted(steps, key=lambda step: step.seq) for epoch, steps in found.items()}

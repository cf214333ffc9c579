"""What the simulation's cloud hands over to a box that asks for its estate: `cloud.store.estate` over facts
in memory (its SQL is held to the same in tests/store/test_estate.py); and how the box takes that over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Generator, Iterable
from typing import Any

from cloud.store.estate import charges_of
from cloud.store.projection import SESSION_KINDS, session_after, session_of
from cloud.store.rows import SessionRow
from common import facts
from common.caps import Charge
from common.errors import PlugsideError
from common.facts import Fact
from common.tuning import LimitWanted

#: Calls its argument once what was asked is on disk.
When = Callable[[Callable[[], None]], None]


class Written:
    """What a coroutine waits for that has asked the journal for something."""

    def __init__(self, when: When, then: Callable[[], None] = lambda: None) -> None:
        self._when, self._then = when, then

    def __await__(self) -> Generator[When, None, None]:
        yield self._when
        self._then()


def carry(asked: Coroutine[When, None, None], ended: Callable[[PlugsideError | None], None]) -> None:
    """Run a coroutine that waits for the journal alone, without an event loop. One whose process is killed is
    never heard of again."""

    def step() -> None:
        try:
            when = asked.send(None)
        except StopIteration:
            ended(None)
        except PlugsideError as failed:
            ended(failed)
        else:
            when(step)

    step()


def sessions(told: Iterable[Fact]) -> dict[str, SessionRow]:
    """The cloud's rows of them, by session."""
    rows: dict[str, SessionRow] = {}
    for fact in told:
        uid = session_of(fact)
        if uid is not None:
            rows[uid] = session_after(rows.get(uid), fact)
    return rows


def estate(cloud: Iterable[Fact]) -> tuple[bytes, ...]:
    """The records that a site goes on with."""
    told = sorted(cloud, key=lambda fact: (fact.at, fact.seq))
    adopted: dict[str, bytes] = {}
    limits: dict[tuple[Any, ...], bytes] = {}
    for fact in told:
        match fact.body:
            case facts.ChargerAdopted() as body:
                adopted[body.charger] = fact.record
            case LimitWanted(rank="installer" | "operator") as body:
                limits[body.charger, body.rank, body.evse] = fact.record
    rows = sessions(told)
    going = {uid for uid, row in rows.items() if not row.ended_at or row.provisional}
    records: list[bytes] = []
    for uid in sorted(going, key=lambda uid: rows[uid].first_at):
        mine = [fact for fact in told if getattr(fact.body, "session", None) == uid]
        records += [fact.record for fact in mine if fact.kind in SESSION_KINDS]
        records += [fact.record for fact in mine if fact.kind == facts.MeterSampled.KIND][-1:]
    return *adopted.values(), *limits.values(), *records


def charges(cloud: Iterable[Fact], capped: Collection[str]) -> dict[str, tuple[Charge, ...]]:
    """What those with caps have charged."""
    rows = sorted(sessions(cloud).values(), key=lambda row: row.first_at)
    return charges_of(row for row in rows if row.principal in capped and row.ended_at and not row.provisional)

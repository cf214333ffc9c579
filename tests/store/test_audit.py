"""What reconciliation walks through: every session once, in the box's order, whatever the database."""

from __future__ import annotations

from cloud.store.ports import Store
from common.doubles import place_order
from common.reconcile import LedgerRow, fold_all
from tests.store.box import Box

#: Names whose order differs between code points and what a collation of words makes of them.
NAMES = ("b", "A", "a", "B", "a-1", "a1", "Z_2", "z.2", "é")


async def filled(store: Store, box: Box) -> None:
    for number, name in enumerate(NAMES):
        box.charge(name, number * 100, number * 100 + 50, charger=NAMES[-number])
    await box.drain(store)


async def test_sessions_come_in_the_order_of_their_code_points(store: Store, box: Box) -> None:
    await filled(store, box)
    seen: list[str] = []
    while rows := await store.ledger_after(box.site, seen[-1] if seen else "", limit=2):
        seen += [row.session for row in rows]
    assert seen == sorted(NAMES)
    part = await store.ledger_after(box.site, sorted(NAMES)[1], up_to=sorted(NAMES)[4])
    assert [row.session for row in part] == sorted(NAMES)[2:5]


async def test_places_come_in_the_order_that_the_walk_wants(store: Store, box: Box) -> None:
    await filled(store, box)
    seen: list[LedgerRow] = []
    while rows := await store.ledger_by_place(box.site, seen[-1] if seen else None, limit=2):
        seen += rows
    assert [row.session for row in seen] == [row.session for row in sorted(seen, key=place_order)]
    assert len(seen) == len(NAMES)


async def test_the_facts_of_some_sessions_come_to_their_rows(store: Store, box: Box) -> None:
    await filled(store, box)
    told = await store.told(box.site, ["a", "B", "nobody"])
    assert told["nobody"] == []
    ledger = await store.ledger(box.site)
    for name in ("a", "B"):
        assert fold_all(fact.body for fact in told[name]) == {name: ledger[name]}
    assert await store.without_row(box.site) == []

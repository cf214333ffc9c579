"""`plugside-edge ledger`: what the box has written down, what wants a look, and a person's decision."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from typing import Any

from common.cli.output import DONE, FAILED, count, print_json, printable, table
from common.cli.words import instant_text
from common.client.connection import Connection
from common.commands import Name
from common.domain import Target
from common.errors import Code, Refused
from edge.cli.connect import connect

#: Rows in one answer, and how many of them are gone through for a flagged one or an id's beginning.
PAGE, PAGES_MAX = 200, 50
#: A session's or orphan's id is told by its beginning, as long as this at least.
PREFIX_CHARS = 6
_LISTED = "`plugside-edge ledger` shows the sessions, `ledger orphans` what fits none."


async def listed(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        (counts,) = await box.query("counts")
        sessions = await _sessions(box, args.limit, flagged=args.flagged)
    if args.json:
        print_json({"counts": counts, "sessions": sessions})
        return 0
    if sessions:
        table(
            ("Started", "Charger", "State", "kWh", "Principal", "Session", "Look at"),
            [_session_row(s) for s in sessions],
        )
    else:
        print("Nothing is flagged." if args.flagged else "No session yet.")
    finished = counts["ended"] + counts["revised"]
    print(
        f"\n{finished} ended, {counts['provisional']} provisional, {counts['open']} open;"
        f" {counts['energy_wh'] / 1000:.2f} kWh; {count(counts['orphans'], 'orphan')};"
        f" facts up to {counts['last_seq']} of epoch {counts['epoch']}."
    )
    return 0


async def _sessions(box: Connection, limit: int, *, flagged: bool) -> list[dict[str, Any]]:
    if not flagged:
        return await box.query("sessions", limit=limit)
    found: list[dict[str, Any]] = []
    async for row in _all(box, "sessions", {"flagged": True}):
        found.append(row)
        if len(found) >= limit:
            break
    return found


async def _all(box: Connection, what: str, args: dict[str, Any]) -> Any:
    """Rows of a query over its pages, as far as anybody wants to read."""
    after = ""
    for _ in range(PAGES_MAX):
        page = await box.page(what, args, limit=PAGE, after=after)
        for row in page.rows:
            yield row
        after = page.next
        if not after:
            return


def _session_row(row: dict[str, Any]) -> tuple[str, ...]:
    energy = row.get("energy_wh")
    return (
        instant_text(row.get("started_at") or ""),
        row["charger"],
        row["state"],
        "" if energy is None else f"{energy / 1000:.2f}",
        row.get("principal") or "unknown",
        row["session"],
        ", ".join(row.get("attention", ())),
    )


async def orphans(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        rows = [row async for row in _all(box, "orphans", {"all": args.all})]
    if args.json:
        print_json(rows)
    elif not rows:
        print("No orphan waits for a decision.")
    else:
        table(
            ("At", "Charger", "What", "Why", "Transaction", "Register", "Orphan", "Decided"),
            [_orphan_row(row) for row in rows],
        )
        print("\nDecide:  plugside-edge ledger resolve ORPHAN dismiss --reason ...")
        print("         plugside-edge ledger resolve ORPHAN attach --session SESSION --reason ...")
    return 0


def _orphan_row(row: dict[str, Any]) -> tuple[str, ...]:
    register_wh = row.get("meter_wh")
    return (
        instant_text(row["recorded_at"]),
        row["charger"],
        row["what"],
        printable(row["reason"]),
        printable(row.get("transaction", "")),
        "" if register_wh is None else f"{register_wh / 1000:.2f}",
        row["orphan"],
        row.get("decision", ""),
    )


async def resolve(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        wanted = await _about(box, args)
        wanted |= {"decision": args.decision, "reason": args.reason}
        if args.kwh is not None:
            wanted["energy_wh"] = round(args.kwh * 1000, 3)
        if args.principal:
            wanted["principal"] = args.principal
        target = Target(charger=wanted.pop("charger"))
        end = await box.command(Name.RESOLVE, target, wanted).settled()
    if args.json:
        print_json({**wanted, "outcome": end.outcome})
    else:
        print("Decided, and written down with your reason. What was there before is kept.")
    return 0


async def _about(box: Connection, args: argparse.Namespace) -> dict[str, Any]:
    """What a decision names: a session with its revision, an orphan, or both. Raises Refused."""
    if len(args.id) < PREFIX_CHARS:
        raise Refused(Code.BAD_REQUEST, f"tell at least {PREFIX_CHARS} characters of the id", hint=_LISTED)
    if "-" not in args.id[:9]:
        found = [row async for row in _all(box, "orphans", {}) if row["orphan"].startswith(args.id)]
        if len(found) == 1:
            about = {"orphan": found[0]["orphan"], "charger": found[0]["charger"]}
            return (await _session(box, args.session) if args.session else {}) | about
        if found:
            raise Refused(Code.BAD_REQUEST, "several orphans begin so", hint=_LISTED)
    return await _session(box, args.id)


async def _session(box: Connection, beginning: str) -> dict[str, Any]:
    found = [row async for row in _all(box, "sessions", {}) if row["session"].startswith(beginning)]
    if len(found) != 1:
        raise Refused(Code.UNKNOWN_SESSION, "several begin so" if found else beginning, hint=_LISTED)
    (row,) = found
    return {"session": row["session"], "revision": row["revision"], "charger": row["charger"]}


async def verify(args: argparse.Namespace) -> int:
    """The whole journal looked through. Exit code 1 when anything does not fit."""
    async with connect(args) as box:
        (told,) = await box.query("verify")
    if args.json:
        print_json(told)
        return DONE if told["ok"] else FAILED
    chain = told["chain"]
    print(f"The ledger is {'in order' if told['ok'] else 'NOT in order'}.")
    if not told["ok"]:
        print(f"First: {printable(told['first_difference'])}.")
    print(
        f"Chain: {count(chain['facts'], 'fact')} from {chain['first_seq']} to {chain['last_seq']} of"
        f" {chain['epoch']}, {'whole' if chain['intact'] else 'BROKEN'};"
        f" {count(chain['tombstones'], 'tombstone')} under {count(chain['declarations'], 'declaration')}."
    )
    print(
        f"Sums: {count(told['sessions'], 'session')} against their facts,"
        f" {told['sessions_energy_wh'] / 1000:.3f} kWh and {told['facts_energy_wh'] / 1000:.3f} kWh;"
        f" {told['not_compared']} older than what is kept."
    )
    print(
        f"Registers: {count(told['by_register'], 'session')} against theirs, each against the one before"
        f" it there; {told['lost']} lost, {told['doubled']} doubled, {told['differing']} differing."
    )
    if chain["unreadable"]:
        print(f"{count(chain['unreadable'], 'fact')} of a newer version: kept, and not looked into.")
    if told["findings"]:
        rows = [(f["kind"], f["message"], ", ".join(f["sessions"])) for f in told["findings"]]
        table(("Finding", "What", "Sessions"), rows)
        print("Keep the data folder as it is until this is explained; `plugside-edge backup` copies it.")
    return DONE if told["ok"] else FAILED


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "ledger": listed,
    "ledger_list": listed,
    "ledger_verify": verify,
    "ledger_orphans": orphans,
    "ledger_resolve": resolve,
}

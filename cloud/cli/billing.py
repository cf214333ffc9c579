"""`plugside-cloud export` and `site zone`: what is billed, by the month, as JSON or as a table for programs.

The lines go to stdout or into a file, what is to be known beside them (what waits, what was closed) to
stderr: the table of a month exported twice is the same bytes, and so are the lines in its JSON.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from cloud.charge_lines import energy_kwh
from cloud.cli.connect import connect
from common.cli.files import whole_file
from common.cli.output import DONE, count, print_json, printable
from common.client.connection import Connection

#: Lines asked for at once.
PAGE_ROWS = 500
#: Columns of the table, in this order for ever; new ones go to the end.
COLUMNS = (
    *("id", "kind", "corrects", "session", "revision", "charger", "evse", "connector", "principal"),
    *("started_at", "ended_at", "energy_kwh", "total_kwh", "obtained", "month"),
)
#: What a spreadsheet would take for a formula at the beginning of a cell.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: Sessions named on a terminal; JSON has more of them.
WAITING_SHOWN = 10


async def export(args: argparse.Namespace) -> int:
    """Close the month unless it is closed, and tell its lines: the same ones each time."""
    async with connect(args) as cloud:
        told = await cloud.manage("export", {"site": args.site, "month": args.month})
        rows = _lines(cloud, told["site"], told["month"])
        if args.csv:
            lines, energy_wh = await _write_csv(rows, args)
        else:
            found = [row async for row in rows]
            lines, energy_wh = len(found), sum(row["energy_wh"] for row in found)
            if args.json:
                _write_json({**told, "lines": found}, args)
            else:
                print(f"{told['name']}, {told['month']} ({told['zone']}): {count(lines, 'line')}.")
                print("The lines themselves: --csv or --json, and --out FILE for a file.")
    _say(told, lines, energy_wh)
    return DONE


async def _lines(cloud: Connection, site: str, month: str) -> AsyncIterator[dict[str, Any]]:
    after = ""
    while True:
        page = await cloud.page("charge_lines", {"month": month}, site=site, after=after, limit=PAGE_ROWS)
        for row in page.rows:
            yield row
        after = page.next
        if not after:
            return


async def _write_csv(rows: AsyncIterator[dict[str, Any]], args: argparse.Namespace) -> tuple[int, float]:
    lines, total_milliwh = 0, 0
    with _opened(args) as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        async for row in rows:
            lines += 1
            amount = round(row["energy_wh"] * 1000)
            total_milliwh += amount
            kwh = {"energy_kwh": energy_kwh(amount), "total_kwh": energy_kwh(round(row["total_wh"] * 1000))}
            table.writerow(_cells({**row, **kwh}))
    return lines, total_milliwh / 1000


def _cells(row: dict[str, Any]) -> Iterable[str]:
    for name in COLUMNS:
        value = row[name]
        text = "" if value is None else str(value)
        # A charger's id may begin like a formula, and spreadsheets are where such tables end up.
        risky = isinstance(value, str) and not name.endswith("_kwh") and text.startswith(_FORMULA)
        yield f"'{text}" if risky else text


def _write_json(document: dict[str, Any], args: argparse.Namespace) -> None:
    if args.out is None:
        print_json(document)
        return
    import msgspec

    with _opened(args) as out:
        out.write(msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n")


@contextmanager
def _opened(args: argparse.Namespace) -> Iterator[TextIO]:
    if args.out is None:
        yield sys.stdout
        return
    hint = "Name a file that can be written with --out; the export itself can be repeated."
    with whole_file(args.out, hint=hint) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        yield text
        text.detach()


def _say(told: dict[str, Any], lines: int, energy_wh: float) -> None:
    where = f"{printable(told['name'])}, {told['month']}"
    closed = "closed now" if told["closed_now"] else "closed before"
    print(f"{where}: {count(lines, 'line')}, {energy_wh / 1000:.3f} kWh; {closed}.", file=sys.stderr)
    if not told["waiting_count"]:
        return
    number = told["waiting_count"]
    verb = "waits" if number == 1 else "wait"
    print(f"{count(number, 'session')} up to then {verb} for an operator:", file=sys.stderr)
    for held in told["waiting"][:WAITING_SHOWN]:
        ended = held["ended_at"] or "no end"
        text = f"  {held['session']}  {held['charger']}  {ended}  {held['why']}"
        print(printable(text), file=sys.stderr)
    if number > WAITING_SHOWN:
        print("  … the first hundred: --json", file=sys.stderr)


async def site_zone(args: argparse.Namespace) -> int:
    """In which time zone a site's months begin and end, from the next export on."""
    async with connect(args) as cloud:
        told = await cloud.manage("site_zone", {"site": args.name, "zone": args.zone})
    if args.json:
        print_json(told)
    else:
        print(f"The months of {told['name']} are those of {told['zone']} now; closed ones stay as they were.")
    return DONE

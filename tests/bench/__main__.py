"""`make bench`: the budgets of the design, measured side by side with their floors in one run.

    python -m tests.bench [NAME …] [--quick] [--folder DIR] [--json FILE]

Prints the machine, then one table. Nothing here is a test: a budget that is not met is said, and is no
failure. Everything stays on this machine's loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import machine
from tests.bench.context import Context
from tests.bench.figures import Row, Skip, table

BENCHES = {
    "tap": "a command's way from the app to the charger and back",
    "slow": "a tap while the charger's own reply waits for a slow disk",
    "many": "a tap while 500 chargers charge",
    "messages": "OCPP messages a second on one core",
    "memory": "memory for each idle charger",
    "commit": "a journalled reply with 50 chargers at once",
    "journal": "durable writes a second",
    "startup": "imports, memory with 20 chargers",
    "backlog": "what a site wrote while it was offline drains into the cloud",
    "ingest": "samples into the cloud's ledger, on both databases",
    "webtransport": "a tap from a page in Chromium, its cold start, and a flood beside it",
    "discovery": "how soon a phone finds the box by mDNS",
    "web": "the app in Chromium, its processor slowed six times",
}


def measure(name: str, context: Context) -> tuple[list[Row], str]:
    """One bench's rows, and what else there is to say of it."""
    notes: list[str] = []
    began = time.monotonic()
    print(f"{name}: {BENCHES[name]} …", end="", flush=True, file=sys.stderr)
    try:
        rows: list[Row] = importlib.import_module(f"tests.bench.{name}").run(context, notes.append)
    except Skip as why:
        print(" skipped", file=sys.stderr)
        return [], f"{name} was skipped: {why}"
    except Exception as broke:
        # One bench that breaks must not take the figures of the others with it.
        print(" failed", file=sys.stderr)
        while isinstance(broke, ExceptionGroup):
            broke = broke.exceptions[0]
        return [], f"{name} failed:\n{''.join(traceback.format_exception(broke))}" + "\n".join(notes)
    print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
    return rows, "\n".join(notes)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHES)}; none = all")
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not a measurement")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure (default: temporary)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(BENCHES)}")
    # A terminated bench still ends its processes, by the way out of every `with`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="plugside-bench-", dir=options.folder) as folder:
        context = Context(folder=Path(folder), quick=options.quick)
        about = machine.describe(context.folder)
        print(machine.lines(about), flush=True)
        found = [measure(name, context) for name in options.names or BENCHES]
    rows = [row for some, _ in found for row in some]
    said = [text for _, text in found if text]
    if rows:
        print("\n" + table(rows))
    print("\n".join(["", *said]) if said else "", end="")
    if options.json is not None:
        document: dict[str, Any] = {"machine": about, "rows": [row.plain() for row in rows], "notes": said}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

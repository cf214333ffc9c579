"""The words of `plugside-edge ledger` on the command line; see `ledger`."""

from __future__ import annotations

import argparse
from typing import Any


def add_ledger(commands: Any, shared: argparse.ArgumentParser) -> None:
    """The parser of `ledger` and its actions."""
    ledger = commands.add_parser(
        "ledger", parents=[shared], help="sessions and counts of this box's ledger; what is flagged in it"
    )
    ledger.add_argument("--limit", type=int, default=20, help="how many sessions (default 20)")
    ledger.add_argument("--flagged", action="store_true", help="only what wants a person's look")
    actions = ledger.add_subparsers(dest="action", metavar="ACTION")
    listed = actions.add_parser("list", parents=[shared], help="sessions, the latest first")
    listed.add_argument("--limit", type=int, default=argparse.SUPPRESS, help="how many (default 20)")
    listed.add_argument("--flagged", action="store_true", default=argparse.SUPPRESS)
    actions.add_parser(
        "verify", parents=[shared], help="whether chain, sums and registers fit; exit 1 if anything does not"
    )
    orphans = actions.add_parser("orphans", parents=[shared], help="reports that fit no session")
    orphans.add_argument("--all", action="store_true", help="also those that were decided on")
    resolve = actions.add_parser("resolve", parents=[shared], help="decide on a flagged session or an orphan")
    resolve.add_argument("id", help="the session or the orphan, or its beginning")
    resolve.add_argument("decision", choices=["accept", "set", "attach", "dismiss"])
    resolve.add_argument("--reason", required=True, help="why; kept in the ledger")
    resolve.add_argument("--kwh", type=float, help="with `set`: the energy of the session")
    resolve.add_argument("--principal", default="", help="with `attach`: whose session it is")
    resolve.add_argument("--session", default="", help="with `attach`: the session an orphan belongs to")

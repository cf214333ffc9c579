"""`plugside-edge doctor`: what at this site wants a person, the worst first, and what to do about it."""

from __future__ import annotations

import argparse
from typing import Final
from urllib.parse import urlsplit

import msgspec

from common.cli.output import count, print_json, printable
from edge.cli.chargers import address_warning
from edge.cli.connect import connect
from edge.doctor import Finding, Weight, examine

_MARKS: Final = {Weight.BAD: "✗", Weight.LOOK: "!", Weight.GOOD: "✓"}


async def doctor(args: argparse.Namespace) -> int:
    """Exit code 1 when something is bad."""
    async with connect(args) as box:
        (health,) = await box.query("health")
        chargers = await box.query("chargers")
        dials = await box.query("dials")
        ledger = (await box.query("verify"))[0] if args.ledger else None
    address = address_warning(urlsplit(health["ocpp_url"]).hostname or "")
    found = examine(health, chargers, dials, address=address, ledger=ledger)
    bad = sum(one.weight is Weight.BAD for one in found)
    if args.json:
        print_json({"ok": not bad, "findings": [msgspec.to_builtins(one) for one in found]})
        return 1 if bad else 0
    print(f"{printable(health['name'])} (site {health['site']}), {health['time']}")
    for one in found:
        _print(one)
    print(
        f"\n{count(bad, 'thing')} to mend." if bad else "\nNothing to mend.",
        *(
            ()
            if args.ledger
            else ("The ledger was not looked through: `plugside-edge doctor --ledger` does.",)
        ),
    )
    return 1 if bad else 0


def _print(one: Finding) -> None:
    print(f"{_MARKS[one.weight]} {printable(one.about)}: {printable(one.sentence)}")
    if one.advice:
        print(f"    → {printable(one.advice)}")

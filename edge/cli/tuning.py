"""`plugside-edge chargers limit` and `trait`: the safety limit, and what is known of one charger."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Coroutine
from typing import Any

from common.cli.output import print_json, printable
from common.commands import Name
from common.domain import Target
from common.limits import LimitView, limit_text
from edge.cli.connect import connect, unknown

DONE, FAILED = 0, 1


async def limit(args: argparse.Namespace) -> int:
    """Exit code 1 as long as the limit is not proven."""
    target = Target(charger=args.charger)
    end = None
    async with connect(args) as box:
        if args.clear:
            end = await box.command(Name.CLEAR_LIMIT, target, {"safety": True}).settled()
        elif args.amps is not None:
            wanted = {"limit_a": args.amps, "safety": True}
            end = await box.command(Name.LIMIT, target, wanted).settled()
        rows = await box.query("chargers")
    row = next((row for row in rows if row["id"] == args.charger and row.get("adopted")), None)
    if row is None:
        raise unknown(args.charger)
    safety_a = row.get("wanted", {}).get("safety_a")
    shown = _shown(row)
    proven = safety_a is None or (bool(shown) and all(one.proof == "proven" for one in shown.values()))
    if args.json:
        told = {where: {"limit_a": one.limit_a, "proof": one.proof} for where, one in shown.items()}
        outcome = {"outcome": end.outcome, "code": end.code} if end is not None else {}
        print_json(
            {"charger": args.charger, "safety_a": safety_a, "proven": proven, "limits": told, **outcome}
        )
        return DONE if proven else FAILED
    if safety_a is None:
        print(f"{printable(args.charger)} has no safety limit.")
    else:
        print(f"Nobody charges with more than {safety_a:g} A for each phase at {printable(args.charger)}.")
    for where, one in shown.items():
        print(f"  {where}: {limit_text(one)}")
    if not proven:
        print(_advice(row, end))
    return DONE if proven else FAILED


def _shown(row: dict[str, Any]) -> dict[str, LimitView]:
    found = {}
    for evse, place in row.get("connectors", {}).items():
        if place.get("limit"):
            found[f"connector {evse}"] = LimitView(**place["limit"])
    if row.get("limit"):
        found["the whole"] = LimitView(**row["limit"])
    return found


def _advice(row: dict[str, Any], end: Any) -> str:
    if not row.get("online"):
        return "It is not connected: it gets the limit when it comes, before any start."
    said = f" {end.message} {end.hint}".rstrip() if end is not None and end.message else ""
    return (
        f"This is not proven.{said} Do not rely on it alone: set the charger's own limit"
        " (its switches, or its maker's tool) to the same value."
    )


async def trait(args: argparse.Namespace) -> int:
    try:
        value = None if args.value is None else json.loads(args.value)
    except ValueError:
        value = args.value  # a word is a text, without quotes that a shell takes away
    asked = {"trait": args.trait, "value": value}
    async with connect(args) as box:
        end = await box.command(Name.ADJUST, Target(charger=args.charger), asked).settled()
    if args.json:
        print_json({"charger": args.charger, **asked, "outcome": end.outcome})
    else:
        print(f"{printable(args.charger)}: {args.trait} is {'as known again' if value is None else value}.")
    return DONE


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "chargers_limit": limit,
    "chargers_trait": trait,
}

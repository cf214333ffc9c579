"""`plugside-edge chargers security` and `password`: how a charger proves who it is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from typing import Any, Final

from common.cli.output import print_json, printable
from common.cli.words import instant_text
from common.commands import Name
from common.domain import Target
from edge.cli.connect import connect

PROFILES: Final = {
    0: "nothing: whoever is on its network can be it",
    1: "a password, readable by whoever listens on its network",
    2: "a password, over TLS",
    3: "a certificate of its own, over TLS",
}


def add_actions(actions: Any, shared: argparse.ArgumentParser) -> None:
    """The parsers, below `chargers`."""
    security = actions.add_parser(
        "security", parents=[shared], help="how a charger proves who it is; move it up, change its password"
    )
    security.add_argument("charger", metavar="ID")
    what = security.add_mutually_exclusive_group()
    what.add_argument(
        "--profile", type=int, choices=sorted(PROFILES), help="OCPP's security profile that it should have"
    )
    what.add_argument("--rotate", action="store_true", help="have it take a new password")
    security.add_argument(
        "--by-hand", action="store_true", help="it is set at the charger, nothing is sent; the one way down"
    )
    password = actions.add_parser(
        "password", parents=[shared], help="a new password to type into a charger, shown once"
    )
    password.add_argument("charger", metavar="ID")


async def security(args: argparse.Namespace) -> int:
    """Exit code 1 if the charger did not come to it."""
    end = None
    async with connect(args) as box:
        about = await box.manage("charger_security", {"charger": args.charger})
        if args.rotate or args.profile is not None:
            wanted = {
                "profile": about["profile"] if args.rotate else args.profile,
                "rotate": args.rotate,
                "by_hand": args.by_hand,
            }
            stages = box.command(Name.SECURE, Target(charger=args.charger), wanted)
            await stages.accepted()
            if not args.by_hand and not args.json:
                print("It is being told, and has done it once it comes in so. Ctrl-C leaves it at that.")
            end = await stages.settled()
            about = await box.manage("charger_security", {"charger": args.charger})
    failed = end is not None and end.outcome != "succeeded"
    if args.json:
        outcome = {"outcome": end.outcome, "code": end.code, "message": end.message} if end else {}
        print_json({**about, **outcome})
        return int(failed)
    if end is not None and failed:
        print(f"{end.outcome}: {printable(end.message)} {end.hint}")
    for line in _lines(about):
        print(line)
    return int(failed)


def _lines(about: dict[str, Any]) -> list[str]:
    who, profile = printable(about["charger"]), about["profile"]
    lines = [f"{who} proves who it is by {PROFILES[profile]} (security profile {profile})."]
    if about["to"] is not None:
        lines.append(f"  It may come in with profile {about['to']}, and from then on only so.")
    for key, words in (
        ("password_used", "Its password was made"),
        ("password_offered", "Another password, good once it has come in with it, was made"),
        ("certificate_until", "Its certificate is good until"),
    ):
        if about[key]:
            lines.append(f"  {words} {instant_text(about[key])}.")
    return lines


async def password(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        made = await box.manage("charger_password", {"charger": args.charger})
        (health,) = await box.query("health")
        about = await box.manage("charger_security", {"charger": args.charger})
    if args.json:
        print_json(made)
        return 0
    base = health.get("ocpps_url") if about["profile"] >= 2 else health["ocpp_url"]
    print(f"URL:       {base or health['ocpp_url']}{args.charger}")
    print(f"User:      {printable(made['user'])}   (the charger's id; most chargers fill it in themselves)")
    print(f"Password:  {made['password']}")
    print("\nIt is shown this once, and good from now on; the one before it is, too, until it is used.")
    if about["profile"] == 0:
        print(f"Then: plugside-edge chargers security {args.charger} --profile 1 --by-hand")
    return 0


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "chargers_security": security,
    "chargers_password": password,
}

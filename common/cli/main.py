"""`plugside`: the driver's command line, a thin face of `common.client`.

Only the parser is loaded here; a subcommand brings what it needs.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from common.cli.output import DONE, INTERRUPTED, run_command
from common.cli.parser import EXIT_CODES, Parser, Version


def _shared() -> argparse.ArgumentParser:
    """Options that stand before or behind the subcommand."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument(
        "--via", choices=["auto", "lan", "cloud"], help="which path to use (default: both, the LAN preferred)"
    )
    shared.add_argument("--site", metavar="SITE", help="only this site, by name or id")
    shared.add_argument(
        "--interfaces",
        metavar="ADDR[,ADDR]",
        type=_interfaces,
        help="addresses that mDNS may use; `none` = no mDNS (default: where the box was last seen)",
    )
    shared.add_argument(
        "--home", metavar="DIR", type=Path, help="this device's folder (default: $PLUGSIDE_HOME, or XDG's)"
    )
    shared.add_argument("--verbose", action="store_true", help="log what the paths do, on stderr")
    return shared


def _interfaces(text: str) -> tuple[str, ...]:
    import ipaddress

    if text == "none":
        return ()
    try:
        return tuple(str(ipaddress.ip_address(part.strip())) for part in text.split(","))
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{wrong}; name addresses of this machine, or none") from None


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    shared = _shared()
    top = Parser(
        prog="plugside",
        description="Start, stop and watch your charging: on the site's own network or through its cloud.",
        epilog=EXIT_CODES,
        parents=[shared],
    )
    top.add_argument("--version", action=Version)
    commands: Any = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    discover = commands.add_parser("discover", parents=[shared], help="look for boxes on this network")
    discover.add_argument(
        "--seconds", type=float, default=3.0, help="how long to look (default 3; an answer may take 1.5)"
    )

    pair = commands.add_parser("pair", parents=[shared], help="join a site by an invite")
    pair.add_argument("invite", metavar="INVITE", help="as the operator showed it: plugside1_…")
    pair.add_argument("--name", default="", help="what to call this device (default: its host name)")

    commands.add_parser("status", parents=[shared], help="your chargers, and how they are reached")
    _add_acts(commands, shared)
    commands.add_parser("watch", parents=[shared], help="the same as `status`, live, until Ctrl-C")
    sessions = commands.add_parser("sessions", parents=[shared], help="your charges, newest first")
    sessions.add_argument("--limit", type=int, default=20, help="how many of each site (default 20)")
    _add_receipt(commands, shared)
    _add_decisions(commands, shared)
    _add_mine(commands, shared)
    return top


def _add_mine(commands: Any, shared: argparse.ArgumentParser) -> None:
    commands.add_parser("allowance", parents=[shared], help="how much your right is for, and what is left")
    device = commands.add_parser("device", parents=[shared], help="another device of yours")
    actions = device.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("add", parents=[shared], help="show a code that brings it in (15 minutes, once)")
    release = commands.add_parser("release", parents=[shared], help="as its owner: give the box up")
    release.add_argument("--yes", action="store_true", help="it is meant: everybody's rights end")


def _add_decisions(commands: Any, shared: argparse.ArgumentParser) -> None:
    commands.add_parser("flagged", parents=[shared], help="for operators: what wants a look at your sites")
    resolve = commands.add_parser("resolve", parents=[shared], help="for operators: decide on it")
    resolve.add_argument("id", help="the session or the orphan, or its beginning")
    resolve.add_argument("decision", choices=["accept", "set", "attach", "dismiss"])
    resolve.add_argument("--reason", required=True, help="why; kept in the ledger")
    resolve.add_argument("--kwh", type=float, help="with `set`: the energy of the session")
    resolve.add_argument("--principal", default="", help="with `attach`: whose session it is")
    resolve.add_argument("--session", default="", help="with `attach`: the session an orphan belongs to")


def _add_receipt(commands: Any, shared: argparse.ArgumentParser) -> None:
    receipt = commands.add_parser(
        "receipt", parents=[shared], help="a charge as its box signed it; `receipt verify FILE` checks one"
    )
    receipt.add_argument(
        "session", metavar="SESSION", help="as `sessions` shows it, its beginning, or `last`; or `verify`"
    )
    receipt.add_argument("file", metavar="FILE", nargs="?", help="with `verify`: the file to check, offline")
    receipt.add_argument("--out", type=Path, metavar="FILE", help="write it there (default: stdout)")
    receipt.add_argument("--html", action="store_true", help="as a page to print; `verify` reads that too")
    receipt.add_argument("--language", choices=["en", "de"], default="en", help="of the page (default en)")
    receipt.add_argument("--box", metavar="ID", help="with `verify`: the box that must have signed it")


def _add_acts(commands: Any, shared: argparse.ArgumentParser) -> None:
    does = {
        "start": "begin to charge",
        "stop": "end your charge",
        "limit": "charge with fewer amperes",
        "reserve": "keep a connector for yourself",
        "cancel": "give up what you have reserved",
    }
    for name, effect in does.items():
        act = commands.add_parser(name, parents=[shared], help=f"{effect} at a charger")
        act.add_argument("charger", metavar="CHARGER", help="its name or id, as `status` shows it")
        act.add_argument("--evse", type=int, metavar="N", help="which outlet, where there are several")
        act.add_argument(
            "--no-wait", action="store_true", help="end when the charger has answered, not when it has acted"
        )
        if name == "reserve":
            act.add_argument(
                "--minutes", type=int, default=15, metavar="N", help="for so long (default 15, at most 60)"
            )
        if name == "limit":
            amps = act.add_mutually_exclusive_group(required=True)
            amps.add_argument("--amps", type=float, metavar="N", help="at most so many, for each phase")
            amps.add_argument("--clear", action="store_true", help="as much as the charger gives again")


def _completed(args: argparse.Namespace) -> argparse.Namespace:
    """Options that were not given have their defaults."""
    defaults: dict[str, Any] = {
        "json": False,
        "via": "auto",
        "site": None,
        "interfaces": None,
        "home": None,
        "verbose": False,
    }
    for name, value in defaults.items():
        if name not in args:
            setattr(args, name, value)
    if args.interfaces is None and (named := os.environ.get("PLUGSIDE_INTERFACES")):
        try:
            args.interfaces = _interfaces(named)
        except argparse.ArgumentTypeError as wrong:
            parser().error(f"PLUGSIDE_INTERFACES: {wrong}")
    return args


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed or outcome unknown, 2 refused or wrong usage, 3 not reachable."""
    args = _completed(parser().parse_args(argv))
    if args.command == "receipt" and (args.session == "verify") != (args.file is not None):
        parser().error("receipt SESSION, or receipt verify FILE")
    from common.cli import driver

    if args.verbose:
        import logging

        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    handler = driver.HANDLERS[args.command]
    code = run_command(lambda: handler(args), as_json=args.json)
    # Ctrl-C is how a watch ends.
    return DONE if code == INTERRUPTED and args.command == "watch" else code


if __name__ == "__main__":
    sys.exit(main())

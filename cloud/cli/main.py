"""`plugside-cloud`: run the cloud, or talk to the running one over its local socket.

`run` is the only command that opens the data folder; every other one is a client of the daemon.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from common.cli import people_parser as people
from common.cli.output import run_command
from common.cli.parser import EXIT_CODES, Parser, Version

Handler = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


def _common() -> argparse.ArgumentParser:
    """Options that stand before or behind the subcommand."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--data", type=Path, metavar="DIR", help="the data folder")
    shared.add_argument("--socket", type=Path, metavar="PATH", help="the local socket (default: in --data)")
    shared.add_argument("--json", action="store_true", help="print JSON")
    return shared


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    shared = _common()
    top = Parser(
        prog="plugside-cloud",
        description="The cloud: keeps the ledgers of sites, stands in when a phone is away from them.",
        epilog=EXIT_CODES,
        parents=[shared],
    )
    top.add_argument("--version", action=Version)
    commands: Any = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands, shared)

    site = commands.add_parser("site", parents=[shared], help="take boxes in, list sites")
    actions = site.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=[shared], help="take in the box that shows this code")
    add.add_argument("name", help='what you call the site, for example "Home"')
    add.add_argument("code", help="from `plugside-edge pair` on the box")
    add.add_argument(
        "--replace",
        action="store_true",
        help="the box takes the place of this site's box, with its ledger; no box does without",
    )
    add.add_argument(
        "--wait", type=float, default=30.0, metavar="S", help="how long to wait for the box (default 30 s)"
    )
    actions.add_parser("list", parents=[shared], help="every site, and whether its box is connected")
    zone = actions.add_parser("zone", parents=[shared], help="in which time zone a site's months are")
    zone.add_argument("name", help="name or id of the site")
    zone.add_argument("zone", help="an IANA name, for example Europe/Berlin (at first it is UTC)")

    invite = commands.add_parser("invite", parents=[shared], help="invite a driver or an operator to a site")
    invite.add_argument("site", help="name or id")
    invite.add_argument("--role", choices=["driver", "operator", "owner"], default="driver")
    invite.add_argument(
        "--charger", action="append", metavar="ID", help="may use this one (repeat; default: all)"
    )
    invite.add_argument("--name", default="", help="the person's name; kept apart from the ledger")
    people.add_expires(invite)
    people.add_caps(invite)

    people.add_parsers(commands, shared, names_site=True)
    sessions = commands.add_parser("sessions", parents=[shared], help="sessions of a site, newest first")
    sessions.add_argument("site", help="name or id")
    sessions.add_argument("--limit", type=int, default=20, help="how many (default 20)")
    sessions.add_argument("--flagged", action="store_true", help="only what wants a person's look")

    reconcile = commands.add_parser(
        "reconcile", parents=[shared], help="whether cloud and box tell the same truth; exit 1 if not"
    )
    reconcile.add_argument("site", nargs="?", help="name or id")
    reconcile.add_argument("--all", action="store_true", help="every site")

    take_in = commands.add_parser(
        "import", parents=[shared], help="take in the file that `plugside-edge export` wrote"
    )
    take_in.add_argument("file", type=Path, metavar="FILE")
    take_in.add_argument(
        "--url", metavar="URL", help="a cloud elsewhere, over HTTPS (default: the one on this machine)"
    )
    _add_export(commands, shared)

    _add_entrust(commands, shared)
    _add_forget(commands, shared)
    _add_token(commands, shared)
    _add_keys(commands, shared)
    commands.add_parser("health", parents=[shared], help="how the cloud's parts are")
    return top


def _add_forget(commands: Any, shared: argparse.ArgumentParser) -> None:
    forget = commands.add_parser(
        "forget", parents=[shared], help="remove a person's name and rights for good"
    )
    forget.add_argument("principal", help="as `people` shows it")


def _add_token(commands: Any, shared: argparse.ArgumentParser) -> None:
    token = commands.add_parser("token", parents=[shared], help="a short-lived token that reads one site")
    token.add_argument("site", help="name or id")


def _add_entrust(commands: Any, shared: argparse.ArgumentParser) -> None:
    entrust = commands.add_parser(
        "entrust", parents=[shared], help="an operator of one site looks after others too"
    )
    entrust.add_argument("principal", help="as `invite` shows it")
    entrust.add_argument("sites", nargs="*", metavar="SITE", help="names or ids")
    entrust.add_argument("--all", action="store_true", help="every site that there is now")


def _add_keys(commands: Any, shared: argparse.ArgumentParser) -> None:
    keys = commands.add_parser(
        "keys", parents=[shared], help="the keys that sign rights, and their successor"
    )
    actions = keys.add_subparsers(dest="action", metavar="ACTION")
    rotate = actions.add_parser(
        "rotate", parents=[shared], help="begin a new signing key; the root is read here and sent nowhere"
    )
    request = actions.add_parser(
        "request", parents=[shared], help="what the root is to sign, to be carried to where it is"
    )
    sign = actions.add_parser("sign", parents=[shared], help="sign a request with the root; needs no cloud")
    install = actions.add_parser("install", parents=[shared], help="bring the signed set to the cloud")
    for asks in (rotate, request):
        asks.add_argument("--at-once", action="store_true", help="sign with it from now on, not in a week")
        asks.add_argument(
            "--drop-old",
            action="store_true",
            help="believe no earlier key any more: one was copied (implies --at-once)",
        )
    for reads in (sign, install):
        reads.add_argument("file", type=Path, metavar="FILE", help="what the step before wrote")
    for signs in (rotate, sign):
        signs.add_argument("--root", type=Path, metavar="FILE", required=True, help="the root key, root.pem")


def _add_export(commands: Any, shared: argparse.ArgumentParser) -> None:
    export = commands.add_parser(
        "export", parents=[shared], help="the charge lines of a month that is over, the same ones each time"
    )
    export.add_argument("--site", required=True, help="name or id")
    export.add_argument("--month", required=True, metavar="YYYY-MM", help="for example 2026-11")
    export.add_argument("--csv", action="store_true", help="a table for spreadsheets and programs, in kWh")
    export.add_argument("--out", type=Path, metavar="FILE", help="write the lines there (default: stdout)")


def _add_run(commands: Any, shared: argparse.ArgumentParser) -> None:
    run = commands.add_parser("run", parents=[shared], help="run the cloud (the daemon)")
    run.add_argument("--listen", metavar="HOST:PORT", help="where boxes and apps connect")
    run.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    run.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    run.add_argument("--trusted-proxy", metavar="ADDRESS", help="the one proxy that speaks TLS for us")
    run.add_argument("--public-url", metavar="URL", help="where this cloud is reached from outside")
    run.add_argument("--database", metavar="URL", help="default: cloud.db in the data folder")
    run.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def _handler(args: argparse.Namespace) -> Handler:
    """The subcommand's function, imported when it is needed: `--help` should not wait for a web stack."""
    if args.command == "run":
        from cloud.cli.run import run

        return run
    if args.command == "import":
        from cloud.cli.imports import import_

        return import_
    if args.command == "keys":
        from cloud.cli import keys

        return keys.HANDLERS[args.action]
    from cloud.cli import local

    name = f"{args.command}_{args.action}" if "action" in args else args.command
    return local.HANDLERS[name]


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 refused or wrong usage, 3 not reachable."""
    top = parser()
    args = top.parse_args(argv)
    args.json = getattr(args, "json", False)
    if args.command == "reconcile" and bool(args.site) == args.all:
        top.error("reconcile: name a site, or say --all")
    if args.command == "entrust" and bool(args.sites) == args.all:
        top.error("entrust: name sites, or say --all")
    return run_command(lambda: _handler(args)(args), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())

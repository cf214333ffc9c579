"""`plugside-edge`: run the box, or talk to the running one over its local socket.

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
from edge.cli.acts import add_acts
from edge.cli.ledger_parser import add_ledger
from edge.cli.security import add_actions as add_security_actions
from edge.cli.tags import add_tags
from edge.cli.tuning_parser import add_actions as add_tuning_actions
from edge.cli.upkeep_parser import add_charger_actions, add_firmware

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
        prog="plugside-edge",
        description="The site box: central system for this site's chargers.",
        epilog=EXIT_CODES,
        parents=[shared],
    )
    top.add_argument("--version", action=Version)
    commands: Any = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add_run(commands, shared)
    commands.add_parser(
        "pair", parents=[shared], help="show a one-time code by which a cloud takes the box in"
    )

    invite = commands.add_parser(
        "invite", parents=[shared], help="invite a driver or an operator, made at the box"
    )
    invite.add_argument("--role", choices=["driver", "operator"], default="driver")
    invite.add_argument(
        "--charger", action="append", metavar="ID", help="may use this one (repeat; default: all)"
    )
    invite.add_argument("--name", default="", help="the person's name; kept apart from the ledger")
    people.add_expires(invite)
    people.add_caps(invite)

    people.add_parsers(commands, shared, names_site=False)
    _add_chargers(commands, shared)
    add_firmware(commands, shared)
    add_tags(commands, shared)

    add_ledger(commands, shared)
    _add_recovery(commands, shared)
    _add_standing(commands, shared)
    commands.add_parser("health", parents=[shared], help="how the box's parts are")
    doctor = commands.add_parser("doctor", parents=[shared], help="what wants a person, and what to do")
    doctor.add_argument("--ledger", action="store_true", help="look through the whole ledger, too")
    forget = commands.add_parser("forget", parents=[shared], help="remove a person's name and tags for good")
    forget.add_argument("principal", help="as `people` and `ledger` show them")

    export = commands.add_parser(
        "export", parents=[shared], help="write all records to a file, for a box that has no internet"
    )
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument(
        "--after", type=int, default=0, metavar="SEQ", help="only what follows this record (default: all)"
    )
    export.add_argument(
        "--new-epoch", action="store_true", help="after a restore: everything is to be taken as sent anew"
    )

    backup = commands.add_parser(
        "backup", parents=[shared], help="copy the journal while the box runs (one a night is made anyway)"
    )
    backup.add_argument(
        "dir", type=Path, metavar="DIR", nargs="?", help="where to (default: in the data folder)"
    )
    restore = commands.add_parser(
        "restore", parents=[shared], help="put a copy in the journal's place; stop the box first"
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="as `backup` made it")

    demo = commands.add_parser(
        "demo", parents=[shared], help="cloud, box and simulated chargers on this machine"
    )
    demo.add_argument("--once", action="store_true", help="one scripted session, then end")
    demo.add_argument("--charger", metavar="URL", help="only a simulated charger that dials this URL")
    return top


def _add_standing(commands: Any, shared: argparse.ArgumentParser) -> None:
    release = commands.add_parser(
        "release", parents=[shared], help="leave the cloud and let go of everybody, to be paired anew"
    )
    release.add_argument("--yes", action="store_true", help="it is meant: everybody's rights end")
    commands.add_parser(
        "rotate-key", parents=[shared], help="give the box a new identity key; phones and cloud follow it"
    )
    clock = commands.add_parser("clock", parents=[shared], help="what time it is here, and whether for sure")
    clock.add_argument(
        "--set", default="", metavar="TIME", help="it is this time (ISO 8601), or `system`: this machine's"
    )


def _add_recovery(commands: Any, shared: argparse.ArgumentParser) -> None:
    recovery = commands.add_parser(
        "recovery", parents=[shared], help="the key by which the next box gets this one's secrets"
    )
    actions = recovery.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("new", parents=[shared], help="show a new key; the one before opens nothing new")
    actions.add_parser(
        "restore", parents=[shared], help="type the key of the box before: its secrets come back"
    )


def _add_run(commands: Any, shared: argparse.ArgumentParser) -> None:
    run = commands.add_parser("run", parents=[shared], help="run the box (the daemon)")
    run.add_argument("--ocpp", metavar="HOST:PORT", help="where chargers dial in")
    run.add_argument(
        "--ocpps", metavar="HOST:PORT", help="where chargers dial in with TLS; none if not given"
    )
    run.add_argument("--ocpps-names", metavar="NAME[,NAME]", help="DNS names by which they dial that port")
    run.add_argument(
        "--ocpp-networks", metavar="CIDR[,CIDR]", help="where chargers without TLS may be (default: private)"
    )
    run.add_argument("--files", metavar="HOST:PORT", help="where chargers fetch firmware and send logs")
    run.add_argument("--lan", metavar="HOST:PORT", help="where phones on the LAN connect (TLS)")
    run.add_argument("--cloud", metavar="URL", help="the cloud; none if not given")
    run.add_argument(
        "--adopt", choices=["none", "any"], help="`any` takes every charger: demos and tests only"
    )
    run.add_argument(
        "--interfaces", metavar="NAME[,…]", help="where mDNS speaks: eth0, or an address; none = no mDNS"
    )
    run.add_argument(
        "--app-origins", metavar="URL[,URL]", help="web origins that may connect to the LAN port"
    )
    run.add_argument(
        "--lan-cert", metavar="FILE", help="certificate (PEM) for browsers that come by its name"
    )
    run.add_argument("--lan-key", metavar="FILE", help="its private key (PEM)")
    run.add_argument("--page", metavar="HOST:PORT", help="plain HTTP: one page that says where the app is")
    run.add_argument("--site-name", metavar="NAME", help="what people call this site")
    run.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def _add_chargers(commands: Any, shared: argparse.ArgumentParser) -> None:
    chargers = commands.add_parser("chargers", parents=[shared], help="list, adopt, explain; the URL to type")
    actions = chargers.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[shared], help="every charger, and who waits to be adopted")
    shown = actions.add_parser("show", parents=[shared], help="all that is known of one charger")
    shown.add_argument("charger", metavar="ID")
    explained = actions.add_parser(
        "why", parents=[shared], help="why a charger, or whoever else dials, is not at work"
    )
    explained.add_argument("charger", metavar="ID", nargs="?", default="", help="default: everybody")
    adopted = actions.add_parser("adopt", parents=[shared], help="take a charger into the site, or rename it")
    adopted.add_argument("charger", metavar="ID", help="its identity, the last part of the URL that it dials")
    adopted.add_argument("--name", default="", help='what people call it, for example "Bay 12"')
    adopted.add_argument(
        "--profile", type=int, choices=(0, 1, 2, 3), default=0, help="OCPP security profile (default 0: none)"
    )
    typed = actions.add_parser("url", parents=[shared], help="the exact URL to type into a charger")
    typed.add_argument("charger", metavar="ID", nargs="?", default="", help="its identity")
    add_acts(actions, shared)
    add_charger_actions(actions, shared)
    add_tuning_actions(actions, shared)
    add_security_actions(actions, shared)


def _handler(args: argparse.Namespace) -> Handler:
    """The subcommand's function, imported when it is needed: `--help` should not wait for a web stack."""
    if args.command == "run":
        from edge.cli.run import run

        return run
    if args.command == "demo":
        from edge.demo.run import demo

        return demo
    if args.command == "export":
        from edge.cli.export import export

        return export
    if args.command in ("backup", "restore"):
        from edge.cli import copies

        return copies.backup if args.command == "backup" else copies.restore
    if args.command == "recovery":
        from edge.cli import recovery

        return recovery.HANDLERS[args.action]
    from edge.cli import local

    name = f"{args.command}_{args.action}" if getattr(args, "action", None) else args.command
    return local.HANDLERS[name]


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 refused or wrong usage, 3 not reachable."""
    args = parser().parse_args(argv)
    args.json = getattr(args, "json", False)
    return run_command(lambda: _handler(args)(args), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())

"""The words of `common.cli.people` on both command lines. Apart from it, so that `--help` loads no client."""

from __future__ import annotations

import argparse
from typing import Any


def add_parsers(commands: Any, shared: argparse.ArgumentParser, *, names_site: bool) -> None:
    """Who has a right. names_site: the commands begin with a site, of which a cloud has several."""
    shown = commands.add_parser("people", parents=[shared], help="who has a right here, by device")
    taken = commands.add_parser(
        "revoke", parents=[shared], help="take a right away at once, also at a box without internet"
    )
    for one in (shown, taken):
        if names_site:
            one.add_argument("site", help="name or id")
    taken.add_argument("who", nargs="?", default="", help="everything of this person: as `people` shows them")
    taken.add_argument("--device", metavar="KEY", help="one device alone")
    taken.add_argument("--grant", metavar="ID", help="one grant alone (it is renewed no more)")
    if names_site:
        confirm = commands.add_parser(
            "confirm", parents=[shared], help="take over an operator who was made at the box"
        )
        confirm.add_argument("site", help="name or id")
        confirm.add_argument("who", help="as `people` shows them")


def add_caps(invite: argparse.ArgumentParser) -> None:
    """What a driver may be invited for, at most."""
    invite.add_argument("--kwh", type=float, metavar="N", help="at most so much energy a period")
    invite.add_argument("--charges", type=int, metavar="N", help="at most so many charges a period")
    invite.add_argument("--per", choices=["day", "week", "month"], default="month", help="the period (month)")
    invite.add_argument(
        "--connector", action="append", metavar="ID/N", help="only this connector (repeat), for example CP1/2"
    )
    invite.add_argument(
        "--between", action="append", metavar="HH:MM-HH:MM", help="a charge may begin then (repeat)"
    )

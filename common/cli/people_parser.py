"""The words of `common.cli.people` on both command lines. Apart from it, so that `--help` loads no client."""

from __future__ import annotations

import argparse
import re
from typing import Any

from common.desk import INVITE_HOURS_MAX

_PLACE = re.compile(r"[^/]+/[1-9]\d?")
_WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


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


def add_expires(invite: argparse.ArgumentParser) -> None:
    """How long an invite may be redeemed."""
    invite.add_argument(
        "--expires", type=_hours, default=24, metavar="24h|7d", help="how long it is good (default 24h)"
    )


def add_caps(invite: argparse.ArgumentParser) -> None:
    """What a driver may be invited for, at most."""
    invite.add_argument("--kwh", type=_kwh, metavar="N", help="at most so much energy a period")
    invite.add_argument("--charges", type=_charges, metavar="N", help="at most so many charges a period")
    invite.add_argument("--per", choices=["day", "week", "month"], default="month", help="the period (month)")
    invite.add_argument(
        "--connector",
        action="append",
        type=_place,
        metavar="ID/N",
        help="only this connector (repeat), for example CP1/2",
    )
    invite.add_argument(
        "--between",
        action="append",
        type=_window,
        metavar="HH:MM-HH:MM",
        help="a charge may begin then (repeat)",
    )


def _hours(text: str) -> int:
    """`24h` or `7d` in hours."""
    number, unit = text[:-1], text[-1:]
    hours = int(number[:6]) * (24 if unit == "d" else 1) if number.isascii() and number.isdigit() else 0
    if unit not in ("h", "d") or not 1 <= hours <= INVITE_HOURS_MAX:
        raise argparse.ArgumentTypeError(
            f"a time from 1h to {INVITE_HOURS_MAX // 24}d, for example 24h or 7d: {text}"
        )
    return hours


def _kwh(text: str) -> float:
    try:
        kwh = float(text)
    except ValueError:
        kwh = 0.0
    if not 0.001 <= kwh <= 1e6:  # a grant counts whole Wh; so is no number refused
        raise argparse.ArgumentTypeError(f"kWh, from 0.001 to a million, for example 50: {text}")
    return kwh


def _charges(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 10_000):
        raise argparse.ArgumentTypeError(f"a number from 1 to 10000: {text}")
    return int(text)


def _place(text: str) -> str:
    if not _PLACE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"a charger and its connector's number, for example CP1/2: {text}")
    return text


def _window(text: str) -> str:
    if not _WINDOW.fullmatch(text):
        raise argparse.ArgumentTypeError(f"from when to when, for example 22:00-06:00: {text}")
    return text

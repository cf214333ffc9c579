"""The words of upkeep on the command line: firmware, diagnostics, trigger, certificates; see `upkeep`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, get_args

from common.commands import CertificateUse, Told


def _hash(text: str) -> str:
    """A whole SHA-256, in either case."""
    if not re.fullmatch(r"[0-9a-f]{64}", text.lower()):
        raise argparse.ArgumentTypeError(f"64 hexadecimal digits, as `firmware list` shows them: {text}")
    return text.lower()


def add_charger_actions(actions: Any, shared: argparse.ArgumentParser) -> None:
    """`plugside-edge chargers firmware | diagnostics | trigger | certificates`."""
    firmware = actions.add_parser(
        "firmware", parents=[shared], help="have a charger install firmware, once no car charges"
    )
    firmware.add_argument("charger", metavar="ID")
    which = firmware.add_mutually_exclusive_group(required=True)
    which.add_argument("--file", type=Path, metavar="FILE", help="the firmware; the box keeps a copy")
    which.add_argument(
        "--sha256", type=_hash, metavar="HASH", help="one that the box has: see `firmware list`"
    )
    firmware.add_argument(
        "--to",
        default="",
        metavar="VERSION",
        help="as the charger will tell it afterwards (default: any other)",
    )
    firmware.add_argument(
        "--signature", type=Path, metavar="FILE", help="its maker's signature, base64 or raw"
    )
    firmware.add_argument(
        "--certificate", type=Path, metavar="FILE", help="the certificate that signed it, PEM"
    )
    firmware.add_argument("--no-wait", action="store_true", help="return once the box has taken it on")

    diagnostics = actions.add_parser("diagnostics", parents=[shared], help="fetch a charger's log")
    diagnostics.add_argument("charger", metavar="ID")
    diagnostics.add_argument("--security", action="store_true", help="the log of security events")
    diagnostics.add_argument("--since", default="", metavar="TIME", help="for example 2026-03-01T00:00:00Z")
    diagnostics.add_argument("--until", default="", metavar="TIME")
    diagnostics.add_argument("--output", type=Path, metavar="FILE", help="where to put it (default: here)")

    trigger = actions.add_parser("trigger", parents=[shared], help="have a charger tell something now")
    trigger.add_argument("charger", metavar="ID")
    trigger.add_argument("what", choices=get_args(Told))
    trigger.add_argument("--connector", type=int, metavar="N", help="of this one (default: all)")

    certificates = actions.add_parser(
        "certificates", parents=[shared], help="which root certificates a charger trusts; add or remove one"
    )
    certificates.add_argument("charger", metavar="ID")
    certificates.add_argument("--use", choices=get_args(CertificateUse), default="central_system")
    change = certificates.add_mutually_exclusive_group()
    change.add_argument("--install", type=Path, metavar="PEM", help="have it trust this one")
    change.add_argument("--remove", metavar="SERIAL", help="have it trust this one no longer")


def add_firmware(commands: Any, shared: argparse.ArgumentParser) -> None:
    """`plugside-edge firmware list | remove`."""
    firmware = commands.add_parser("firmware", parents=[shared], help="the firmware files that the box keeps")
    actions = firmware.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[shared], help="every file")
    remove = actions.add_parser("remove", parents=[shared], help="drop one")
    remove.add_argument("sha256", type=_hash, metavar="HASH", help="as `firmware list` shows it")

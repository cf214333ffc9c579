"""`plugside-edge chargers`: which chargers there are, which of them is which, and why one does not work."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from common.cli.output import count, print_json, printable, table
from common.cli.words import instant_text
from common.commands import Name
from common.domain import CHARGER_ID_CHARS_MAX, Target, is_charger_id
from common.errors import Code, Refused
from edge.chargers.admission import adopt_command
from edge.cli.connect import connect, unknown
from edge.cli.security import PROFILES


async def listed(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        rows = await box.query("chargers")
        turned_away = await box.query("dials")
    if args.json:
        print_json(rows)
        return 0
    adopted = [row for row in rows if row.get("adopted")]
    waiting = [row for row in rows if not row.get("adopted")]
    if adopted:
        table(
            ("ID", "Name", "State", "Link", "Vendor", "Serial", "Address", "Last plug or tag"),
            [_row(row) for row in adopted],
        )
    else:
        print("No charger has been adopted yet.")
    for row in waiting:
        print(f"\n{printable(row['id'])} at {row['address']} waits to be adopted (dialled {row['dials']}×):")
        print(f"  {adopt_command(row['id'], '--name', 'Bay 1')}")
    others = [one for one in turned_away if one["reason"] != "not_adopted"]
    if others:
        print(f"\n{count(len(others), 'dialler')} refused for other reasons: plugside-edge chargers why")
    return 0


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    places = row.get("connectors", {})
    state = ", ".join(f"{evse}: {place.get('state', 'unknown')}" for evse, place in places.items())
    vendor = " ".join(part for part in (row.get("vendor"), row.get("model")) if part)
    return (
        row["id"],
        row.get("name", ""),
        state or "not reported yet",
        _link(row),
        vendor,
        row.get("serial", ""),
        row.get("address", ""),
        _last(row),
    )


def _link(row: dict[str, Any]) -> str:
    if not row.get("online"):
        return "not connected"
    troubles = [why["reason"] for why in row["why"] if why["reason"] != "connected"]
    return f"connected, {troubles[0].replace('_', ' ')}" if troubles else "connected"


def _last(row: dict[str, Any]) -> str:
    last = row.get("last")
    if not last:
        return ""
    where = f" at {last['evse']}" if last.get("evse") else ""
    return f"{last['what']}{where}, {instant_text(last['at'])}"


async def show(args: argparse.Namespace) -> int:
    row = await _one(args)
    if args.json:
        print_json(row)
        return 0
    print(f"{printable(row['id'])}" + (f", {printable(row['name'])}" if row.get("name") else ""))
    connection = row.get("connection") or {}
    lines = (
        ("Maker", " ".join(part for part in (row.get("vendor"), row.get("model")) if part)),
        ("Serial", row.get("serial", "")),
        ("Firmware", row.get("firmware", "")),
        ("Address", row.get("address", "")),
        ("Protocol", row.get("protocol", "")),
        ("Proves itself by", f"{PROFILES[row.get('profile', 0)]} (security profile {row.get('profile', 0)})"),
        ("Link", _link(row)),
        ("Since", row.get("since", "")),
        ("Last plug or tag", _last(row)),
        *((f"Connector {evse}", place["state"]) for evse, place in row.get("connectors", {}).items()),
        ("Departures from OCPP", _counted(connection.get("violations_by_name", {}))),
        ("Unreadable frames", _counted(connection.get("bad_frames_by_kind", {}))),
    )
    for name, value in lines:
        if value:
            print(f"  {name}: {printable(value)}")
    _print_findings(row["why"])
    return 0


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}×" for name, number in counts.items())


async def why(args: argparse.Namespace) -> int:
    """Exit code 1 if there is something to do."""
    if args.charger:
        found = (await _one(args))["why"]
    else:
        async with connect(args) as box:
            found = [one for row in await box.query("chargers") for one in row["why"]]
            found += await box.query("dials")
        # the same dial may explain several chargers
        found = list({(o["reason"], o.get("charger"), o.get("address")): o for o in found}.values())
    troubles = [one for one in found if one["reason"] != "connected"]
    if args.json:
        print_json(found if args.charger else troubles)
    elif troubles or args.charger:
        _print_findings(troubles or found)
    else:
        print("Every charger is connected, and nobody was turned away.")
    return 1 if troubles else 0


async def _one(args: argparse.Namespace) -> dict[str, Any]:
    async with connect(args) as box:
        rows = await box.query("chargers")
    asked = args.charger.casefold()
    row: dict[str, Any] | None = next((row for row in rows if row["id"].casefold() == asked), None)
    if row is None:
        raise unknown(args.charger)
    return row


def _print_findings(findings: Iterable[dict[str, Any]]) -> None:
    for one in findings:
        who = " at ".join(printable(one[key]) for key in ("charger", "address") if one.get(key))
        told = f", {one['count']}×, last {instant_text(one['last_at'])}" if one.get("last_at") else ""
        print(f"\n{who or 'Somebody'}{told}: {one['sentence']}")
        for key, words in (("named", "Its URL ends in"), ("offered", "It offers"), ("detail", "Detail")):
            if one.get(key):
                print(f"  {words}: {printable(one[key])}")
        for line in one.get("first_bytes", "").split("\n"):
            if line:
                print(f"  | {printable(line)}")
        print(f"  → {one['advice']}")


async def adopt(args: argparse.Namespace) -> int:
    wanted = {"name": args.name, "profile": args.profile}
    async with connect(args) as box:
        end = await box.command(Name.ADOPT, Target(charger=args.charger), wanted).settled()
        rows = await box.query("chargers")
    if args.json:
        print_json({"charger": args.charger, "name": args.name, "outcome": end.outcome})
        return 0
    print(f"{args.charger} is adopted" + (f' as "{args.name}".' if args.name else "."))
    asked = args.charger.casefold()
    row: dict[str, Any] = next((row for row in rows if row["id"].casefold() == asked), {})
    if not row.get("profile"):
        how = f"plugside-edge chargers security {printable(args.charger)} --profile 1"
        print(f"Whoever is on its network can be it (security profile 0). To change that: {how}")
    elif row["profile"] != 3:
        print(f"It needs a password: plugside-edge chargers password {printable(row['id'])}")
    if not any(row["id"].casefold() == asked and (row.get("since") or row.get("dials")) for row in rows):
        print("It has not dialled in yet: type `plugside-edge chargers url` for what to set in it.")
    return 0


async def url(args: argparse.Namespace) -> int:
    if args.charger and not is_charger_id(args.charger):
        raise Refused(Code.BAD_CHARGER_ID, ascii(args.charger[:CHARGER_ID_CHARS_MAX]))
    async with connect(args) as box:
        (health,) = await box.query("health")
        rows = await box.query("chargers")
    asked = args.charger.casefold()
    row: dict[str, Any] = next((row for row in rows if row["id"].casefold() == asked), {})
    secure = row.get("profile", 0) >= 2 and "ocpps_url" in health
    url = health["ocpps_url" if secure else "ocpp_url"] + args.charger
    host = url.split("//")[1].rsplit(":", 1)[0].strip("[]")
    warning = address_warning(host)
    if args.json:
        print_json({"url": url, "warning": warning})
        return 0
    print(url if args.charger else f"{url}ID   (ID: a name of your choice without spaces, one per charger)")
    by_password = row.get("profile", 0) in (1, 2)
    proof = f"plugside-edge chargers password {args.charger}" if by_password else "none"
    print(f"Protocol: OCPP 1.6J. User name: none, or the charger's identity. Password: {proof}.")
    if not secure and "ocpps_url" in health:
        print(f"With TLS (security profile 2 or 3): {health['ocpps_url']}{args.charger}")
    if warning:
        print(f"Warning: {warning}", file=sys.stderr)
    return 0


def address_warning(host: str) -> str:
    """What an installer must know about an address before typing it into a wall of chargers."""
    if ipaddress.ip_address(host).is_loopback:
        return "This address is this machine only; start the box with --ocpp on its LAN address."
    if _is_dynamic(host):
        return (
            f"{host} was given by the router and may change. Reserve it there, or give the box a"
            " fixed address: otherwise every charger loses the box on the day it changes."
        )
    return ""


def _is_dynamic(host: str) -> bool:
    """Whether the kernel holds this address with an end to its life (a lease), as DHCP clients set it."""
    import json
    import subprocess

    try:
        told = subprocess.run(
            ["ip", "-j", "address"],  # noqa: S607 - where it is differs between distributions
            capture_output=True,
            timeout=5,
            check=True,
        )
        interfaces = json.loads(told.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    return any(
        address.get("local") == host and address.get("dynamic", False)
        for interface in interfaces
        for address in interface.get("addr_info", [])
    )


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "chargers_list": listed,
    "chargers_show": show,
    "chargers_why": why,
    "chargers_adopt": adopt,
    "chargers_url": url,
}

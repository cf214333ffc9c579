"""Subcommands that talk to the running box over its local socket, as "local presence"."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from common.cli.output import count, print_json, print_qr, printable, table
from common.cli.words import instant_text
from common.client.connection import Connection
from common.client.local import local
from common.commands import Name
from common.domain import Target
from edge.chargers.admission import adopt_command

#: Where the unit puts the socket (systemd/plugside-edge.service); tried when nothing else is said.
UNIT_SOCKET = Path("/run/plugside-edge/edge.sock")


def connect(args: argparse.Namespace) -> AbstractAsyncContextManager[Connection]:
    """A link to the running box: --socket, the environment, the data folder's, or the unit's."""
    given = getattr(args, "socket", None) or os.environ.get("PLUGSIDE_EDGE_SOCKET")
    if given:
        return local(Path(given))
    data = getattr(args, "data", None) or os.environ.get("PLUGSIDE_EDGE_DATA")
    if data:
        return local(Path(data) / "edge.sock")
    return local(UNIT_SOCKET)


async def pair(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        code = await box.manage("pair")
    if args.json:
        print_json(code)
        return 0
    print_qr(code["code"])
    print(code["code"])
    print(f"\nGood until {code['expires_at']}. In the cloud, type:")
    print(f'  plugside-cloud site add "Site name" {code["code"]}')
    if code["asks"]:
        print(f"Until then this box keeps asking {code['asks']}.")
    else:
        print("This box was started without a cloud: start it with `run --cloud URL`, then pair.")
    return 0


async def invite(args: argparse.Namespace) -> int:
    wanted = {"role": args.role, "chargers": args.charger, "name": args.name, "hours": args.hours}
    async with connect(args) as box:
        made = await box.manage("invite", wanted)
    if args.json:
        print_json(made)
        return 0
    print_qr(made["invite"])
    print(made["invite"])
    where = ", ".join(made["chargers"]) if made["chargers"] is not None else "every charger of this site"
    print(f"\nA {made['role']} for {where}, as {made['principal']}. Good until {made['expires_at']}, once.")
    print("They join with:  plugside pair INVITE   (on this site's network)")
    return 0


async def chargers_list(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        rows = await box.query("chargers")
    if args.json:
        print_json(rows)
        return 0
    adopted = [row for row in rows if row.get("adopted")]
    waiting = [row for row in rows if not row.get("adopted")]
    if adopted:
        table(
            ("ID", "Name", "State", "Link", "Vendor", "Serial", "Address"),
            [_charger_row(row) for row in adopted],
        )
    else:
        print("No charger has been adopted yet.")
    for row in waiting:
        print(f"\n{printable(row['id'])} at {row['address']} waits to be adopted (dialled {row['dials']}×):")
        print(f"  {adopt_command(row['id'], '--name', 'Bay 1')}")
    return 0


def _charger_row(row: dict[str, Any]) -> tuple[str, ...]:
    places = row.get("connectors", {})
    state = ", ".join(f"{evse}: {place.get('state', 'unknown')}" for evse, place in places.items())
    vendor = " ".join(part for part in (row.get("vendor"), row.get("model")) if part)
    link = "connected" if row.get("online") else "not connected"
    return (
        row["id"],
        row.get("name", ""),
        state or "not reported yet",
        link,
        vendor,
        row.get("serial", ""),
        row.get("address", ""),
    )


async def chargers_adopt(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        end = await box.command(Name.ADOPT, Target(charger=args.charger), {"name": args.name}).settled()
        rows = await box.query("chargers")
    if args.json:
        print_json({"charger": args.charger, "name": args.name, "outcome": end.outcome})
        return 0
    print(f"{args.charger} is adopted" + (f' as "{args.name}".' if args.name else "."))
    asked = args.charger.casefold()
    if not any(row["id"].casefold() == asked and (row.get("since") or row.get("dials")) for row in rows):
        print("It has not dialled in yet: type `plugside-edge chargers url` for what to set in it.")
    return 0


async def chargers_url(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        (health,) = await box.query("health")
    url = health["ocpp_url"] + args.charger
    host = url.split("//")[1].rsplit(":", 1)[0].strip("[]")
    warning = _address_warning(host)
    if args.json:
        print_json({"url": url, "warning": warning})
        return 0
    print(url if args.charger else f"{url}ID   (ID: a name of your choice without spaces, one per charger)")
    print("Protocol: OCPP 1.6J. No user name or password.")
    if warning:
        print(warning, file=sys.stderr)
    return 0


def _address_warning(host: str) -> str:
    """What an installer must know about an address before typing it into a wall of chargers."""
    if ipaddress.ip_address(host).is_loopback:
        return "Warning: this address is this machine only; start the box with --ocpp on its LAN address."
    if _is_dynamic(host):
        return (
            f"Warning: {host} was given by the router and may change. Reserve it there, or give the box a"
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


async def tags_assign(args: argparse.Namespace) -> int:
    wanted = {"tag": args.tag, "principal": args.principal, "chargers": args.charger}
    async with connect(args) as box:
        done = await box.manage("tag_assign", wanted)
    if args.json:
        print_json(done)
    else:
        print(f"The tag belongs to {done['principal']} now.")
    return 0


async def tags_remove(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        done = await box.manage("tag_remove", {"tag": args.tag})
    if args.json:
        print_json(done)
    else:
        print("The tag is no longer good.")
    return 0


async def ledger(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        (counts,) = await box.query("counts")
        sessions = await box.query("sessions", limit=args.limit)
    if args.json:
        print_json({"counts": counts, "sessions": sessions})
        return 0
    if sessions:
        table(
            ("Started", "Charger", "State", "kWh", "Principal", "Session"),
            [_session_row(s) for s in sessions],
        )
    else:
        print("No session yet.")
    finished = counts["ended"] + counts["revised"]
    print(
        f"\n{finished} ended, {counts['provisional']} provisional, {counts['open']} open;"
        f" {counts['energy_wh'] / 1000:.2f} kWh; {count(counts['orphans'], 'orphan')};"
        f" facts up to {counts['last_seq']} of epoch {counts['epoch']}."
    )
    return 0


def _session_row(row: dict[str, Any]) -> tuple[str, ...]:
    energy = row.get("energy_wh")
    return (
        instant_text(row.get("started_at") or ""),
        row["charger"],
        row["state"],
        "" if energy is None else f"{energy / 1000:.2f}",
        row.get("principal") or "unknown",
        row["session"],
    )


async def health(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        (told,) = await box.query("health")
    if args.json:
        print_json(told)
        return 0
    cloud = told["cloud"]
    print(f"{told['name']} (site {told['site']}), running since {told['started_at']}, clock {told['clock']}")
    print(f"Chargers dial {told['ocpp_url']}; apps connect to {', '.join(told['lan'])}")
    if not cloud["url"]:
        print("No cloud.")
    else:
        joined = "connected" if cloud["connected"] else "not connected"
        if not cloud["enrolled"]:
            joined = "not paired yet: run `plugside-edge pair`"
        print(f"Cloud {cloud['url']}: {joined}; {count(cloud['backlog'], 'record')} to send")
    rows = [(r["name"], r["state"], str(r["restarts"]), r["last_error"]) for r in told["rooms"]]
    table(("Part", "State", "Restarts", "Last error"), rows)
    return 0 if all(r["state"] in ("running", "ended") for r in told["rooms"]) else 1


async def forget(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        done = await box.manage("forget", {"principal": args.principal})
    if args.json:
        print_json(done)
    elif done["known"]:
        print(f"The name and tags of {args.principal} are gone. The ledger keeps the pseudonym and its sums.")
    else:
        print(f"Nothing personal was known about {args.principal}.")
    return 0


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "pair": pair,
    "invite": invite,
    "chargers_list": chargers_list,
    "chargers_adopt": chargers_adopt,
    "chargers_url": chargers_url,
    "tags_assign": tags_assign,
    "tags_remove": tags_remove,
    "ledger": ledger,
    "health": health,
    "forget": forget,
}

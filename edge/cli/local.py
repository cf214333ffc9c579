"""Subcommands that talk to the running box over its local socket, as "local presence"."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from typing import Any

from common.cli.output import count, print_json, print_qr, table
from common.cli.words import instant_text
from edge.cli import chargers, tuning, upkeep
from edge.cli.connect import connect


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
    **chargers.HANDLERS,
    **tuning.HANDLERS,
    **upkeep.HANDLERS,
    "tags_assign": tags_assign,
    "tags_remove": tags_remove,
    "ledger": ledger,
    "health": health,
    "forget": forget,
}

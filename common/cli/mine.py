"""A driver's own right: what of it is left, another device of theirs; and an owner's last word, `release`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from common.caps import kwh
from common.cli.output import DONE, print_json, print_qr, printable
from common.client.client import Client
from common.errors import Code, LocalFault, Refused

Connected = Callable[[argparse.Namespace], AbstractAsyncContextManager[Client]]


async def allowance(connected: Connected, args: argparse.Namespace) -> int:
    """Each site's."""
    rows: list[dict[str, Any]] = []
    async with connected(args) as client:
        for site in client.sites:
            (row,) = await client.query(site, "allowance")
            rows.append({"site": site, "name": client.status(site).name or site, **row})
    if args.json:
        print_json(rows)
        return DONE
    for row in rows:
        print(f"{printable(row['name'])}: {sentence(row)}")
    return DONE


def sentence(row: dict[str, Any]) -> str:
    """What a right is for and what of it was had, for a person."""
    caps = row["caps"]
    if caps is None:
        return "no cap"
    period, parts = caps.get("period", "month"), []
    if "energy_wh" in caps:
        parts.append(f"{kwh(row['energy_wh'])} of {kwh(caps['energy_wh'])} this {period}")
    if "sessions" in caps:
        parts.append(f"{row['sessions']} of {caps['sessions']} charges this {period}")
    if caps.get("hours"):
        parts.append(f"a charge may begin at {', '.join(caps['hours'])}")
    if "connectors" in caps:
        parts.append(f"at {', '.join(caps['connectors'])}")
    return "; ".join(parts)


async def device_add(connected: Connected, args: argparse.Namespace) -> int:
    """Shown on the device that is in, typed or scanned on the other one."""
    async with connected(args) as client:
        made = await client.manage(_one(client), "device_add")
    if args.json:
        print_json(made)
        return DONE
    print_qr(made["invite"])
    print(made["invite"])
    print(f"\nOn the other device, within {made['life_s'] // 60} minutes:  plugside pair CODE")
    return DONE


async def release(connected: Connected, args: argparse.Namespace) -> int:
    """On the box's own network alone."""
    if not args.yes:
        said = "everybody's rights at the site would end, yours too"
        raise Refused(Code.BAD_REQUEST, said, hint="To go on: plugside release --yes")
    args.via = "lan"
    async with connected(args) as client:
        done = await client.manage(_one(client), "release")
    if args.json:
        print_json(done)
    else:
        print(f"The box of site {done['site']} belongs to nobody now. To pair it anew: plugside-edge pair")
    return DONE


def _one(client: Client) -> str:
    if len(client.sites) != 1:
        raise LocalFault(Code.BAD_SETTINGS, "several sites are paired", hint="Name one: --site NAME.")
    return client.sites[0]

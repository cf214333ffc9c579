"""The subcommands of `plugside`: ask the client, say what came of it."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from common.cli import act, mine, show
from common.cli.output import DONE, UNREACHABLE, print_json, printable, table
from common.cli.words import clock_text, energy_text
from common.client.client import Client
from common.client.profile import ADDRESSES_MAX, Profile, SiteEntry, default_folder
from common.clock import SystemClock
from common.errors import Code, LocalFault, PlugsideError


def profile_of(args: argparse.Namespace) -> Profile:
    """This device's profile."""
    return Profile(args.home or default_folder())


@asynccontextmanager
async def connected(args: argparse.Namespace) -> AsyncIterator[Client]:
    """A running client for the sites that are meant. Raises LocalFault(not_paired) when there is none."""
    profile = profile_of(args)
    if not profile.sites:
        raise LocalFault(Code.NOT_PAIRED)
    sites = None if args.site is None else [profile.find(args.site).site]
    client = Client(profile, args.via, interfaces=args.interfaces, sites=sites, ready_s=0)
    async with client:
        yield client


async def discover(args: argparse.Namespace) -> int:
    """Without --interfaces on all of them: whoever asks where the boxes are wants them asked for."""
    from common.client.discovery import browse

    profile = profile_of(args)
    paired = {entry.box: entry for entry in profile.sites if entry.box}
    rows: list[dict[str, Any]] = []
    async for found in browse(args.interfaces, args.seconds):
        entry = paired.get(found.edge)
        if found.now and entry is None:
            continue  # the same box, by a key that it had before
        rows.append(
            {
                "box": found.edge,
                "addresses": list(found.addresses),
                "site": entry.site if entry else None,
                "name": entry.name if entry else None,
            }
        )
        if entry is not None:
            _learn(profile, entry, found.addresses)
    if args.json:
        print_json(rows)
    elif rows:
        table(
            ("Box", "Addresses", "Paired as"),
            [
                (f"plugside-{row['box'][:8]}", ", ".join(row["addresses"]), row["name"] or "not yet")
                for row in rows
            ],
        )
    else:
        print("No box answered on this network.")
        print("mDNS may be filtered here; an invite has the box's address in it: plugside pair INVITE")
    return DONE if rows else UNREACHABLE


def _learn(profile: Profile, entry: SiteEntry, addresses: tuple[str, ...]) -> None:
    """Where a box of ours is now: a hint for the next time, believed only once it has proved itself."""
    known = tuple(dict.fromkeys((*addresses, *entry.addresses)))[:ADDRESSES_MAX]
    profile.put(msgspec.structs.replace(entry, addresses=known))


async def pair(args: argparse.Namespace) -> int:
    client = Client(profile_of(args), args.via, interfaces=args.interfaces)
    entry = await client.pair(args.invite, args.name or socket.gethostname())
    if args.json:
        print_json({"site": entry.site, "name": entry.name, "role": entry.role, "principal": entry.principal})
        return DONE
    print(f"Paired with {printable(entry.name or entry.site)}, as {entry.role or 'driver'}.")
    print("Next:  plugside status")
    return DONE


async def status(args: argparse.Namespace) -> int:
    """Exit code 3 when a site could not be shown."""
    async with connected(args) as client:
        reasons = await show.settle(client)
        if args.json:
            print_json({"sites": [show.site_json(client, site, reasons.get(site)) for site in client.sites]})
        else:
            show.print_sites(client, reasons)
    return UNREACHABLE if reasons else DONE


async def watch(args: argparse.Namespace) -> int:
    async with connected(args) as client:
        await show.watch(client, as_json=args.json)
    return DONE


async def sessions(args: argparse.Namespace) -> int:
    async with connected(args) as client:
        asked = [client.query(site, "sessions", limit=args.limit) for site in client.sites]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        names = {site: client.status(site).name or site for site in client.sites}
    rows: list[tuple[str, dict[str, Any]]] = []
    for site, answer in zip(names, answers, strict=True):
        if isinstance(answer, PlugsideError) and len(names) > 1:
            show.complain(names[site], answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            rows += [(site, row) for row in answer]
    if args.json:
        print_json([{"site": site, **row} for site, row in rows])
    elif rows:
        _print_sessions(rows, names)
    else:
        print("No charge yet.")
    failed = any(isinstance(answer, BaseException) for answer in answers)
    return UNREACHABLE if failed else DONE


def _print_sessions(rows: list[tuple[str, dict[str, Any]]], names: dict[str, str]) -> None:
    now_ms = SystemClock().now_ms()
    several = len(names) > 1
    table(
        (*(("Site",) if several else ()), "Started", "Ended", "Charger", "Energy", "State", "Session"),
        [
            (
                *((names[site],) if several else ()),
                clock_text(row.get("started_at") or "", now_ms),
                clock_text(row.get("ended_at") or "", now_ms),
                row["charger"],
                energy_text(row.get("energy_wh")),
                row.get("state", ""),
                row["session"][:8],
            )
            for site, row in rows
        ],
    )


async def start(args: argparse.Namespace) -> int:
    async with connected(args) as client:
        return await act.start(client, args)


async def stop(args: argparse.Namespace) -> int:
    async with connected(args) as client:
        return await act.stop(client, args)


async def limit(args: argparse.Namespace) -> int:
    from common.cli.limit import limit as carry_out

    async with connected(args) as client:
        return await carry_out(client, args)


async def reserve(args: argparse.Namespace) -> int:
    from common.cli.reserve import reserve as carry_out

    async with connected(args) as client:
        return await carry_out(client, args)


async def cancel(args: argparse.Namespace) -> int:
    from common.cli.reserve import cancel as carry_out

    async with connected(args) as client:
        return await carry_out(client, args)


async def flagged(args: argparse.Namespace) -> int:
    from common.cli import decide

    async with connected(args) as client:
        return await decide.flagged(client, args)


async def resolve(args: argparse.Namespace) -> int:
    from common.cli import decide

    async with connected(args) as client:
        return await decide.resolve(client, args)


async def receipt(args: argparse.Namespace) -> int:
    from common.cli import receipt as receipts

    if args.session == "verify":
        return await receipts.verify(args)
    async with connected(args) as client:
        return await receipts.receipt(client, args)


async def allowance(args: argparse.Namespace) -> int:
    return await mine.allowance(connected, args)


async def device(args: argparse.Namespace) -> int:
    return await mine.device_add(connected, args)


async def release(args: argparse.Namespace) -> int:
    return await mine.release(connected, args)


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "discover": discover,
    "pair": pair,
    "flagged": flagged,
    "resolve": resolve,
    "status": status,
    "start": start,
    "stop": stop,
    "limit": limit,
    "reserve": reserve,
    "cancel": cancel,
    "watch": watch,
    "sessions": sessions,
    "receipt": receipt,
    "allowance": allowance,
    "device": device,
    "release": release,
}

"""Who has a right at a site, and taking one away: the same words at the box and at the cloud."""

from __future__ import annotations

import argparse
from typing import Any

from common.cli.output import count, print_json, table
from common.client.connection import Connection
from common.errors import Code, Refused

#: How a pseudonym begins, whoever made it: nobody mistypes a name as one.
PRINCIPAL = "p-"


def caps_of(args: argparse.Namespace) -> dict[str, Any] | None:
    """The caps that were asked for; None = none."""
    wanted = {
        "energy_wh": round(args.kwh * 1000) if args.kwh is not None else None,
        "sessions": args.charges,
        "connectors": args.connector,
        "hours": args.between,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    return {**given, "period": args.per} if given else None


def role_of(args: argparse.Namespace) -> dict[str, Any]:
    """An owner is an operator who may also release the box."""
    return {"role": "operator", "owner": True} if args.role == "owner" else {"role": args.role}


async def people(link: Connection, args: argparse.Namespace) -> int:
    """Print who has a right."""
    told = await link.manage("people", _site(args))
    if args.json:
        print_json(told)
        return 0
    if not told["people"]:
        print("Nobody yet. `invite` brings people in.")
        return 0
    rows = [
        (
            row["name"] or "-",
            row["principal"],
            row["role"] + (" (waits for the owner)" if row.get("pending") else ""),
            ", ".join(row["chargers"]) if row["chargers"] is not None else "all",
            row["device"] or "-",
            row["key"],
        )
        for row in told["people"]
    ]
    table(("Name", "Principal", "Role", "Chargers", "Device", "Key"), rows)
    return 0


async def revoke(link: Connection, args: argparse.Namespace) -> int:
    """Take a right away and say how far that has got."""
    wanted = _site(args)
    if args.device:
        wanted["key"] = args.device
    elif args.grant:
        wanted["grant"] = args.grant
    else:
        wanted["principal"] = await _principal(link, args)
    done = await link.manage("revoke", wanted)
    if args.json:
        print_json(done)
        return 0
    print(f"{done['revoked']} has no right here any more ({count(done['devices'], 'device')}).")
    print(f"List {done['number']} says so, with {count(done['entries'], 'entry', 'entries')}.")
    if done.get("box_told") is False:
        print("The box is not connected: it hears of it from the next phone that comes by, or on its return.")
    print("A charge that is running goes on to its end.")
    return 0


async def confirm(link: Connection, args: argparse.Namespace) -> int:
    """Take over an operator whom the box has made."""
    done = await link.manage("confirm", {**_site(args), "principal": await _principal(link, args)})
    if args.json:
        print_json(done)
        return 0
    if not done["confirmed"]:
        print(f"{done['principal']} does not wait for anybody's word. `people` shows who does.")
        return 1
    print(f"{done['principal']}: {count(done['confirmed'], 'device')} taken over.")
    return 0


async def _principal(link: Connection, args: argparse.Namespace) -> str:
    if not args.who:
        raise Refused(Code.BAD_REQUEST, "say who, or --device, or --grant", hint="`people` shows them.")
    return await whom(link, args, args.who)


async def whom(link: Connection, args: argparse.Namespace, who: str) -> str:
    """Whom `who` means: a principal, or a name that only one of them has. Raises Refused(bad_request)."""
    rows = (await link.manage("people", _site(args)))["people"]
    # Who is invited and has not come yet is nobody's device, and is meant as well.
    rows += await link.query("people", site=getattr(args, "site", "") or None)
    named = {row["principal"] for row in rows if row["name"].casefold() == who.casefold()}
    if len(named) > 1:
        raise Refused(Code.BAD_REQUEST, f"several are called {who}", hint="Use the principal.")
    if not named and not who.startswith(PRINCIPAL) and who not in {row["principal"] for row in rows}:
        hint = "`people` shows who is here; a principal that it no longer shows is taken as well."
        raise Refused(Code.BAD_REQUEST, f"nobody here is called {who}", hint=hint)
    return str(next(iter(named), who))


def _site(args: argparse.Namespace) -> dict[str, Any]:
    return {"site": args.site} if getattr(args, "site", "") else {}

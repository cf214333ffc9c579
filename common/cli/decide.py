"""`plugside flagged` and `resolve`: what wants a look at a site, and the decision of who operates it.

The same signed command on the LAN or through the cloud; the box decides. `plugside-edge ledger` does the same
for who stands at the box.
"""

from __future__ import annotations

import argparse
from typing import Any

from common.cli.output import DONE, print_json, printable, table
from common.cli.show import settle
from common.cli.words import energy_text, instant_text
from common.client.client import Client
from common.commands import Name
from common.domain import Target
from common.errors import Code, Refused

#: A session's or orphan's id is told by its beginning, as long as this at least.
PREFIX_CHARS = 6


async def flagged(client: Client, args: argparse.Namespace) -> int:
    """Sessions and orphans that want a look, of every site that can be reached."""
    found: list[dict[str, Any]] = []
    for site in await _sites(client):
        rows = await client.query(site, "sessions", {"flagged": True})
        found += [{"site": site, "about": "session", **row} for row in rows]
        rows = await client.query(site, "orphans")
        found += [{"site": site, "about": "orphan", **row} for row in rows]
    if args.json:
        print_json(found)
    elif not found:
        print("Nothing is flagged.")
    else:
        table(("Since", "Charger", "What", "Energy", "Look at", "Id"), [_row(row) for row in found])
    return DONE


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    if row["about"] == "orphan":
        why = printable(row["reason"])
        return instant_text(row["recorded_at"]), row["charger"], row["what"], "", why, row["orphan"]
    since = instant_text(row.get("started_at") or "")
    energy = energy_text(row.get("energy_wh"))
    return since, row["charger"], row["state"], energy, ", ".join(row["attention"]), row["session"]


async def resolve(client: Client, args: argparse.Namespace) -> int:
    """Decide on a session or an orphan, told by the beginning of its id."""
    site, charger, wanted = await _about(client, args)
    wanted |= {"decision": args.decision, "reason": args.reason}
    if args.kwh is not None:
        wanted["energy_wh"] = round(args.kwh * 1000, 3)
    if args.principal:
        wanted["principal"] = args.principal
    run = client.command(site, Name.RESOLVE, Target(charger), wanted)
    end = await run.settled()
    if args.json:
        print_json({**wanted, "site": site, "outcome": end.outcome})
    else:
        print("Decided, and written down with your reason. What was there before is kept.")
    return DONE


async def _about(client: Client, args: argparse.Namespace) -> tuple[str, str, dict[str, Any]]:
    """Site, charger, and what the decision names. Raises Refused."""
    if len(args.id) < PREFIX_CHARS:
        raise Refused(Code.BAD_REQUEST, f"tell at least {PREFIX_CHARS} characters of the id")
    found: list[tuple[str, str, dict[str, Any]]] = []
    for site in await _sites(client):
        rows = await client.query(site, "orphans")
        found += [
            (site, row["charger"], {"orphan": row["orphan"]})
            for row in rows
            if row["orphan"].startswith(args.id)
        ]
        rows = await client.query(site, "sessions")
        found += [
            (site, row["charger"], {"session": row["session"], "revision": row["revision"]})
            for row in rows
            if row["session"].startswith(args.id)
        ]
    if len(found) != 1:
        raise Refused(Code.UNKNOWN_SESSION, "several begin so" if found else args.id)
    site, charger, about = found[0]
    if "orphan" in about and args.session:
        rows = await client.query(site, "sessions")
        into = [row for row in rows if row["session"].startswith(args.session)]
        if len(into) != 1:
            raise Refused(Code.UNKNOWN_SESSION, args.session)
        about |= {"session": into[0]["session"], "revision": into[0]["revision"]}
    return site, charger, about


async def _sites(client: Client) -> list[str]:
    """The sites that answer. Raises what keeps the first from it when none does."""
    reasons = await settle(client)
    reached = [site for site in client.sites if site not in reasons]
    if not reached:
        raise next(iter(reasons.values()))
    return reached

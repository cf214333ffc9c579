"""`plugside reserve` and `cancel`: a connector kept for the way there, and given up again."""

from __future__ import annotations

import argparse

from common.cli.act import Report, find
from common.client.client import Client
from common.commands import Name
from common.domain import Target


async def reserve(client: Client, args: argparse.Namespace) -> int:
    """Keep a connector for oneself."""
    site, charger = await find(client, args.charger)
    target = Target(charger.id, args.evse)
    run = client.command(site, Name.RESERVE, target, {"minutes": args.minutes})
    return await Report(client, run, charger, args).follow()


async def cancel(client: Client, args: argparse.Namespace) -> int:
    """Give up what one has reserved."""
    site, charger = await find(client, args.charger)
    run = client.command(site, Name.CANCEL_RESERVATION, Target(charger.id, args.evse))
    return await Report(client, run, charger, args).follow()

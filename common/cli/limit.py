"""`plugside limit`: charge with fewer amperes, in the charge of one's own that runs."""

from __future__ import annotations

import argparse

from common.cli.act import Report, find
from common.client.client import Client
from common.client.naming import open_session
from common.commands import Name
from common.domain import Target


async def limit(client: Client, args: argparse.Namespace) -> int:
    """Limit the charge of one's own at a charger, or lift that limit again."""
    site, charger = await find(client, args.charger)
    session = open_session(client.view(site), charger, args.evse)
    target = Target(charger.id, session.evse)
    wanted: dict[str, object] = {"session": session.session}
    if args.clear:
        run = client.command(site, Name.CLEAR_LIMIT, target, wanted)
    else:
        run = client.command(site, Name.LIMIT, target, {**wanted, "limit_a": args.amps})
    return await Report(client, run, charger, args).follow()

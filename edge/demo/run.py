"""`plugside-edge demo`: which of the demo's forms was asked for."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

from common.errors import Code, LocalFault


async def demo(args: argparse.Namespace) -> int:
    """Scripted (`--once`), only a charger (`--charger URL`), or the live stage until Ctrl-C."""
    if args.charger:
        to = urlsplit(args.charger)
        if to.scheme not in ("ws", "wss") or not to.hostname or not to.path.strip("/"):
            hint = "It is the box's address and the charger's identity: ws://127.0.0.1:9000/CP1."
            raise LocalFault(Code.BAD_SETTINGS, f"--charger {args.charger}", hint=hint)
        from edge.demo.charge import charge

        return await charge(args.charger)
    folder = getattr(args, "data", None)
    if args.once:
        from edge.demo.once import once

        return await once(folder, as_json=args.json)
    from edge.demo.live import live

    return await live(folder)

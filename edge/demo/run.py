"""`plugside-edge demo`: which of the demo's forms was asked for."""

from __future__ import annotations

import argparse


async def demo(args: argparse.Namespace) -> int:
    """Scripted (`--once`), only a charger (`--charger URL`), or the live stage until Ctrl-C."""
    if args.charger:
        from edge.demo.charge import charge

        return await charge(args.charger)
    folder = getattr(args, "data", None)
    if args.once:
        from edge.demo.once import once

        return await once(folder, as_json=args.json)
    from edge.demo.live import live

    return await live(folder)

"""How a subcommand that sends a command ends: what came of it, in words or as JSON, and an exit code."""

from __future__ import annotations

import argparse
from typing import Any

from common import wire
from common.cli.output import print_json, printable
from common.client.stages import Stages


async def ended(args: argparse.Namespace, stages: Stages, done: str) -> int:
    """Wait for the command's end and tell it: `done` when it succeeded. Exit code 0, or 1."""
    end = await stages.settled()
    if end.outcome != "succeeded":
        return failed(args, end)
    return told(args, f"{done}.", {"outcome": end.outcome})


def failed(args: argparse.Namespace, end: wire.Settled) -> int:
    """Tell an end that is no success. Exit code 1."""
    plain = {"outcome": end.outcome, "code": end.code, "message": end.message, "hint": end.hint}
    return told(args, f"{end.outcome}: {printable(end.message)} {end.hint}".rstrip(), plain, code=1)


def told(args: argparse.Namespace, text: str, plain: dict[str, Any], *, code: int = 0) -> int:
    """Print `plain` as JSON, or `text`; an exit code."""
    if args.json:
        print_json(plain or {"told": text})
    else:
        print(text)
    return code

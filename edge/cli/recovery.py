"""`plugside-edge recovery`: the key that a site keeps in a drawer for the day its box dies."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from common.cli.output import count, print_json
from edge.cli.connect import connect

_WHAT = {"tags": "tag", "chargers": "charger", "authority": "key"}


def show_key(key: str) -> None:
    """The one time that the key is seen."""
    print(f"\nRecovery key of this site:\n\n  {key}\n")
    print("Write it down and keep it away from this box: with it the next box gets this one's tags and")
    print("chargers' passwords back. It is not shown again (another one: plugside-edge recovery new).")


async def show(args: argparse.Namespace) -> int:
    """Whether there is a key, and whether the cloud keeps what hangs on it."""
    async with connect(args) as box:
        told = await box.manage("recovery")
    if args.json:
        print_json(told)
        return 0
    if told["made_at"] is None:
        print("There is no recovery key yet. Make one: plugside-edge recovery new")
    else:
        kept = "the cloud keeps what it opens" if told["kept"] else "the cloud does not keep everything yet"
        print(f"The recovery key was made at {told['made_at']}; {kept} ({', '.join(told['holds'])}).")
    if told["waiting"]:
        print("A box before this one has left its secrets. Open them: plugside-edge recovery restore")
    return 0


async def new(args: argparse.Namespace) -> int:
    """Another key, shown once."""
    async with connect(args) as box:
        made = await box.manage("recovery_new")
    if args.json:
        print_json(made)
    else:
        show_key(made["recovery_key"])
    return 0


async def restore(args: argparse.Namespace) -> int:
    """Open what the box before has left. The key is typed or from stdin: others see what is an argument."""
    if sys.stdin.isatty():
        key = await asyncio.to_thread(getpass.getpass, "Recovery key: ")
    else:
        key = (await asyncio.to_thread(sys.stdin.readline)).strip()
    async with connect(args) as box:
        done = await box.manage("recovery_restore", {"key": key})
    if args.json:
        print_json(done)
        return 0
    back = [count(number, _WHAT.get(name, name)) for name, number in done["restored"].items()]
    print(f"Back from the box before: {', '.join(back) or 'nothing'}. The key stays this site's key.")
    return 0


HANDLERS: dict[str | None, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    None: show,
    "new": new,
    "restore": restore,
}

"""`plugside-edge chargers start | stop | unlock | reset | availability | settings | clear-cache | message`.

The acts of whoever stands at the charger with a laptop: clients of the running box. Each tells what really
came of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from common.cli.output import print_json, printable, table
from common.client.connection import Connection
from common.client.stages import Stages
from common.commands import Name
from common.domain import Target
from common.errors import Code, Refused
from edge.cli.connect import connect, unknown
from edge.cli.ends import ended, failed


def add_acts(actions: Any, shared: argparse.ArgumentParser) -> None:
    """The parsers, below `chargers`."""

    def act(name: str, text: str, *, connector: bool = False) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(name, parents=[shared], help=text)
        made.add_argument("charger", metavar="ID")
        if connector:
            made.add_argument("--connector", type=int, metavar="N", help="which one, where there are several")
        return made

    act("start", "begin a charge, to try a charger out", connector=True)
    act("stop", "end the charge that runs at a charger", connector=True)
    unlock = act("unlock", "release the plug", connector=True)
    unlock.add_argument("--end-charge", action="store_true", help="also while a car charges")
    reset = act("reset", "restart a charger")
    reset.add_argument("--hard", action="store_true", help="at once; what the charger has queued may be lost")
    reset.add_argument("--end-charge", action="store_true", help="also while a car charges")
    availability = act("availability", "take a charger or a connector into or out of service", connector=True)
    availability.add_argument("to", choices=["in", "out"], help="in or out of service; survives a restart")
    settings = act("settings", "read a charger's own settings, or write one")
    settings.add_argument("key", metavar="KEY", nargs="?", help="only this one (2.x: Component.Variable)")
    settings.add_argument("value", metavar="VALUE", nargs="?", help="write this value")
    act("clear-cache", "have a charger forget the tags that it has seen accepted")
    message = act("message", "send a vendor's own message, and show the answer")
    message.add_argument("vendor", metavar="VENDOR")
    message.add_argument("message", metavar="MESSAGE", nargs="?", default="")
    message.add_argument("--text", default="", metavar="DATA", help="what goes with it")


_SERVICE = {"in": "in service", "out": "out of service"}


def _place(args: argparse.Namespace) -> Target:
    return Target(charger=args.charger, evse=getattr(args, "connector", None))


async def start(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        return await ended(args, box.command(Name.START, _place(args)), f"{args.charger} charges")


async def stop(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        session = await _running(box, args)
        stages = box.command(Name.STOP, Target(charger=args.charger), {"session": session})
        return await ended(args, stages, "The charge has ended")


async def _running(box: Connection, args: argparse.Namespace) -> str:
    """The session that runs at the charger. Raises Refused: there is none, or it is not clear which."""
    rows = await box.query("chargers")
    row = next((row for row in rows if row["id"] == args.charger and row.get("adopted")), None)
    if row is None:
        raise unknown(args.charger)
    running = {
        int(evse): place["session"]
        for evse, place in row.get("connectors", {}).items()
        if place.get("session") and args.connector in (None, int(evse))
    }
    if not running:
        raise Refused(Code.UNKNOWN_SESSION, f"nothing is being charged at {args.charger}")
    if len(running) > 1:
        which = ", ".join(map(str, sorted(running)))
        raise Refused(Code.BAD_REQUEST, f"cars charge at connectors {which}: say which with --connector")
    (session,) = running.values()
    return str(session)


async def unlock(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        stages = box.command(Name.UNLOCK, _place(args), {"ends_charge": args.end_charge})
        return await ended(args, stages, "The plug is free")


async def reset(args: argparse.Namespace) -> int:
    wanted = {"hard": args.hard, "ends_charge": args.end_charge}
    async with connect(args) as box:
        stages = box.command(Name.RESET, Target(charger=args.charger), wanted)
        return await ended(args, stages, f"{args.charger} has restarted")


async def availability(args: argparse.Namespace) -> int:
    wanted = {"operative": args.to == "in"}
    async with connect(args) as box:
        stages = box.command(Name.AVAILABILITY, _place(args), wanted)
        return await ended(args, stages, f"{args.charger} is {_SERVICE[args.to]}")


async def settings(args: argparse.Namespace) -> int:
    target = Target(charger=args.charger)
    async with connect(args) as box:
        await tell_that_it_waits(box, args)
        if args.value is not None:
            stages = box.command(Name.CONFIGURE, target, {"key": args.key, "value": args.value})
            return await ended(args, stages, f"{args.key} is set")
        keys = [args.key] if args.key else []
        read = box.command(Name.READ_CONFIGURATION, target, {"keys": keys})
        return await _answer(args, read, _print_settings)


async def tell_that_it_waits(box: Connection, args: argparse.Namespace) -> None:
    """Say why nothing comes yet: a charger is asked for upkeep only while no car charges (design §2.3)."""
    rows = await box.query("chargers")
    places: dict[str, Any] = next(
        (row.get("connectors", {}) for row in rows if row["id"] == args.charger), {}
    )
    if any(place.get("session") for place in places.values()):
        print(f"A car charges at {args.charger}: this waits until none does, for a minute.", file=sys.stderr)


def _print_settings(result: dict[str, Any]) -> None:
    values: dict[str, dict[str, Any]] = result.get("values", {})
    rows = [
        (printable(key), printable(str(one["value"] or "")), "" if one["readonly"] else "may be written")
        for key, one in sorted(values.items())
    ]
    if rows:
        table(("Key", "Value", ""), rows)
    for key in result.get("unknown", ()):
        print(f"It does not know {printable(key)}.")
    if result.get("cut"):
        print(f"{result['cut']} more than fit here: name the key that you want.")


async def clear_cache(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        await tell_that_it_waits(box, args)
        stages = box.command(Name.CLEAR_CACHE, Target(charger=args.charger))
        return await ended(args, stages, f"{args.charger} has forgotten the tags that it had seen")


async def message(args: argparse.Namespace) -> int:
    wanted = {"vendor": args.vendor, "message": args.message, "data": args.text}
    async with connect(args) as box:
        stages = box.command(Name.MESSAGE, Target(charger=args.charger), wanted)
        return await _answer(args, stages, _print_data)


def _print_data(result: dict[str, Any]) -> None:
    print(printable(result["data"]) if result.get("data") else "Accepted, with no data.")


async def _answer(args: argparse.Namespace, stages: Stages, show: Callable[[dict[str, Any]], None]) -> int:
    """Tell what the charger answered, once the command has ended well."""
    end = await stages.settled()
    if end.outcome != "succeeded":
        return failed(args, end)
    answer = await stages.confirmed()
    result = answer.result if answer is not None else {}
    if args.json:
        print_json(result)
    else:
        show(result)
    return 0


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "chargers_start": start,
    "chargers_stop": stop,
    "chargers_unlock": unlock,
    "chargers_reset": reset,
    "chargers_availability": availability,
    "chargers_settings": settings,
    "chargers_clear-cache": clear_cache,
    "chargers_message": message,
}

"""`plugside-edge tags`: whose RFID tags are whose, what was tapped, and what holds while the box is away."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from typing import Any

from common.cli.output import count, print_json, table
from common.cli.people import whom
from common.client.connection import Connection
from common.commands import Name
from common.domain import Target
from common.errors import Code, LocalFault
from edge.cli.connect import connect

#: How much of a reference is shown: enough to tell a site's tags apart, and to type.
REF_CHARS = 8
#: What a command about the site is aimed at: no charger.
_SITE = Target("")


async def list_(args: argparse.Namespace) -> int:
    """Every tag, the ones just tapped, and the policy."""
    async with connect(args) as box:
        told = await box.manage("tags")
    if args.json:
        print_json(told)
        return 0
    if told["assigned"]:
        table(
            ("Tag", "Reference", "Principal", "Good at"),
            [
                (
                    one["tag"],
                    one["tag_ref"][:REF_CHARS],
                    one["principal"],
                    "every charger" if one["chargers"] is None else ", ".join(one["chargers"]),
                )
                for one in told["assigned"]
            ],
        )
    else:
        print("No tag is anybody's yet: plugside-edge tags assign TAG PRINCIPAL")
    _tapped(told)
    _policy(told)
    return 0


def _tapped(told: dict[str, Any]) -> None:
    if not told["tapped"]:
        return
    print("\nJust tapped, and nobody's:")
    for one in told["tapped"]:
        ref = one["tag_ref"][:REF_CHARS]
        print(f"  {one['tag']} at {one['charger']}, {one['at']}: tags assign --tapped {ref} PRINCIPAL")


def _policy(told: dict[str, Any]) -> None:
    says = {
        "none": "nobody has decided what chargers do while the box is away: tags policy strict | listed",
        "strict": "while the box is away nobody starts by a tag (strict)",
        "listed": "while the box is away the tags on a charger's own list are good (listed)",
    }
    print(f"\nPolicy: {says[told['policy']]}")
    for one in told["lists"]:
        print(f"  {one['charger']}: list {one['answer']}, {count(one['entries'], 'tag')}")


async def assign(args: argparse.Namespace) -> int:
    """A tag belongs to somebody: by its text, or by the reference of one that was tapped."""
    async with connect(args) as box:
        # A name must not become a principal: the ledger would keep it, and nobody's caps would hold the card.
        principal = await whom(box, args, args.principal)
        if args.tapped:
            ref = await _reference(box, args.tag)
            wanted = {"tag_ref": ref, "principal": principal, "chargers": args.charger}
            await box.command(Name.ASSIGN_TAG, _SITE, wanted).settled()
            done: dict[str, Any] = {"tag_ref": ref, "principal": principal}
        else:
            wanted = {"tag": args.tag, "principal": principal, "chargers": args.charger}
            done = await box.manage("tag_assign", wanted)
    if args.json:
        print_json(done)
    else:
        print(f"The tag belongs to {done['principal']} now.")
    return 0


async def _reference(box: Connection, beginning: str) -> str:
    """The reference that begins so, of a tag that was tapped."""
    found = [one["tag_ref"] for one in (await box.manage("tags"))["tapped"]]
    fitting = [ref for ref in found if ref.startswith(beginning) and beginning]
    if len(fitting) != 1:
        raise LocalFault(
            Code.BAD_SETTINGS,
            f"{len(fitting)} tapped tags begin with {beginning!r}",
            hint="`plugside-edge tags list` shows what was tapped. Have it tapped again if it is not there.",
        )
    return str(fitting[0])


async def remove(args: argparse.Namespace) -> int:
    """A tag is nobody's."""
    async with connect(args) as box:
        done = await box.manage("tag_remove", {"tag": args.tag})
    if args.json:
        print_json(done)
    else:
        print("The tag is no longer good.")
    return 0


async def policy(args: argparse.Namespace) -> int:
    """What chargers do while the box is away."""
    async with connect(args) as box:
        if args.policy is not None:
            wanted = {"policy": args.policy, "expect": args.expect}
            await box.command(Name.OFFLINE_POLICY, _SITE, wanted).settled()
        told = await box.manage("tags")
    if args.json:
        print_json({name: told[name] for name in ("policy", "revision", "lists")})
    else:
        _policy(told)
    return 0


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "tags_list": list_,
    "tags_assign": assign,
    "tags_remove": remove,
    "tags_policy": policy,
}


def add_tags(commands: Any, shared: argparse.ArgumentParser) -> None:
    """The subcommand's parser."""
    tags = commands.add_parser("tags", parents=[shared], help="whose RFID tags are whose")
    actions = tags.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[shared], help="every tag, and those just tapped that are nobody's")
    assign = actions.add_parser("assign", parents=[shared], help="a tag belongs to a principal from now on")
    assign.add_argument("tag", help="its text, or with --tapped the beginning of its reference")
    assign.add_argument("principal", help="whose: as `people` shows them")
    assign.add_argument(
        "--charger", action="append", metavar="ID", help="good at this one (repeat; default: all)"
    )
    assign.add_argument("--tapped", action="store_true", help="one that was shown at a charger lately")
    remove = actions.add_parser("remove", parents=[shared], help="a tag is no longer good")
    remove.add_argument("tag")
    policy = actions.add_parser(
        "policy", parents=[shared], help="what chargers do about tags while the box is away"
    )
    policy.add_argument(
        "policy",
        nargs="?",
        choices=["strict", "listed"],
        help="strict: nobody starts by a tag; listed: who is on the charger's own list",
    )
    policy.add_argument("--expect", type=int, metavar="N", help="only if it is at this revision still")

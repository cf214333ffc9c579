"""Subcommands that talk to the running box over its local socket, as "local presence"."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from typing import Any

from common.cli import people as rights
from common.cli.output import count, print_json, print_qr, table
from common.errors import Code, Refused
from edge.cli import acts, chargers, ledger, security, tags, tuning, upkeep
from edge.cli.connect import connect
from edge.cli.doctor import doctor
from edge.cli.recovery import show_key


async def pair(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        code = await box.manage("pair")
    if args.json:
        print_json(code)
        return 0
    print_qr(code["code"])
    print(code["code"])
    print(f"\nGood until {code['expires_at']}. In the cloud, type:")
    print(f'  plugside-cloud site add "Site name" {code["code"]}')
    if code["asks"]:
        print(f"Until then this box keeps asking {code['asks']}.")
    else:
        print("This box was started without a cloud: start it with `run --cloud URL`, then pair.")
    if code["recovery_key"]:
        show_key(code["recovery_key"])
    return 0


async def invite(args: argparse.Namespace) -> int:
    wanted = {"role": args.role, "chargers": args.charger, "name": args.name, "hours": args.expires}
    wanted["caps"] = rights.caps_of(args)
    async with connect(args) as box:
        made = await box.manage("invite", wanted)
    if args.json:
        print_json(made)
        return 0
    print_qr(made["invite"])
    print(made["invite"])
    where = ", ".join(made["chargers"]) if made["chargers"] is not None else "every charger of this site"
    print(f"\nA {made['role']} for {where}, as {made['principal']}. Good until {made['expires_at']}, once.")
    print("They join with:  plugside pair INVITE   (on this site's network)")
    return 0


async def people(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        return await rights.people(box, args)


async def revoke(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        return await rights.revoke(box, args)


async def release(args: argparse.Namespace) -> int:
    if not args.yes:
        said = "everybody's rights here would end, and the box would leave its cloud"
        raise Refused(Code.BAD_REQUEST, said, hint="To go on: plugside-edge release --yes")
    async with connect(args) as box:
        done = await box.manage("release")
    if args.json:
        print_json(done)
        return 0
    was = f" (it was {done['released_from']})" if done["released_from"] else ""
    print(f"The box belongs to no cloud any more{was}.")
    print("Nobody who was let in before is let in now. Next: plugside-edge pair")
    return 0


async def rotate_key(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        done = await box.manage("rotate_key")
    if args.json:
        print_json(done)
        return 0
    print(f"This box is {done['edge']} from now on; it was {done['former']} (rotation {done['number']}).")
    print("Phones follow when they next connect, without internet too; open invites stay good.")
    print("A pairing code that was on show is void.")
    if done["cloud"]:
        print(f"{done['cloud']} is told once it can be reached, and hears the old key for a day from then.")
    print("Copies of the keys folder from before hold the old key: make new ones.")
    return 0


async def clock(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        told = await box.manage("clock", {"set": args.set})
    if args.json:
        print_json(told)
        return 0
    print(f"{told['time']} ({told['clock']}); this machine says {told['system']}")
    if told["stepped"]:
        print("The clock was set; what was written in this run before is corrected by as much.")
    if not told["sure"]:
        print("This is the least that it can be: drivers are taken, operators and installers are not.")
        print("Connect the box to the internet, or: plugside-edge clock --set TIME")
    return 0


async def health(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        (told,) = await box.query("health")
    if args.json:
        print_json(told)
        return 0
    cloud = told["cloud"]
    print(f"{told['name']} (site {told['site']}), running since {told['started_at']}, clock {told['clock']}")
    print(f"Chargers dial {told['ocpp_url']}; apps connect to {', '.join(told['lan'])}")
    if not cloud["url"]:
        print("No cloud.")
    else:
        joined = "connected" if cloud["connected"] else "not connected"
        if not cloud["enrolled"]:
            joined = "not paired yet: run `plugside-edge pair`"
        print(f"Cloud {cloud['url']}: {joined}; {count(cloud['backlog'], 'record')} to send")
        if (told["key"]["number"] or told["key"]["given_up_until"]) and cloud["enrolled"]:
            print(_key_line(told["key"]))
    print(_journal_line(told["journal"]))
    rows = [(r["name"], r["state"], str(r["restarts"]), r["last_error"]) for r in told["rooms"]]
    table(("Part", "State", "Restarts", "Last error"), rows)
    return 0 if all(r["state"] in ("running", "ended") for r in told["rooms"]) else 1


def _key_line(key: dict[str, Any]) -> str:
    """Where the rotation of the box's key stands."""
    if key["given_up_until"]:
        return (
            f"The cloud has another key for this site and hears this box until {key['given_up_until']} only."
            " If it was put back from an older copy: release, pair, and `site add --replace` in the cloud."
        )
    said = "has confirmed it" if key["confirmed"] else "has not confirmed it yet"
    return f"Key rotated at {key['rotated_at']} (rotation {key['number']}); the cloud {said}."


def _journal_line(journal: dict[str, Any]) -> str:
    """How full the journal is, and what is done about it."""
    mib = 2**20
    line = (
        f"Journal {journal['used'] / mib:.1f} of {journal['quota'] / mib:.0f} MiB,"
        f" {journal['disk_free'] / mib:.0f} MiB free on its disk; log {journal['log'] / mib:.1f} MiB;"
        f" last copy {journal['backup'] or 'none yet'}"
    )
    words = {
        "thin": "old samples are thinned out",
        "thin_unacked": "samples are thinned out, also those that the cloud has not",
        "sparse": "samples within a session are no longer written",
        "ballast": "sessions alone still find room",
    }
    if (done := words.get(journal["level"])) is not None:
        cause = "free space on the disk" if journal["disk_is_short"] else "give the journal a larger quota"
        line += f"\n{journal['percent']:.0f} % full: {done}. To end that, {cause}."
    for damaged in journal["damaged_sets"]:
        line += f"\nA journal that was set aside is kept in {damaged}."
    for replaced in journal["replaced_sets"]:
        line += f"\nThe journal that a restore replaced is kept in {replaced}."
    return line


async def forget(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        principal = await rights.whom(box, args, args.principal)
        done = await box.manage("forget", {"principal": principal})
    if args.json:
        print_json(done)
    elif done["known"]:
        print(f"The name and tags of {principal} are gone. The ledger keeps the pseudonym and its sums.")
    else:
        print(f"Nothing personal was known about {principal}.")
    for path in done["left_in"] if not args.json else ():
        print(f"{path} may still hold it: delete that once nobody needs it.")
    return 0


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "pair": pair,
    "invite": invite,
    "people": people,
    "clock": clock,
    "release": release,
    "rotate-key": rotate_key,
    "revoke": revoke,
    **chargers.HANDLERS,
    **tuning.HANDLERS,
    **security.HANDLERS,
    **upkeep.HANDLERS,
    **acts.HANDLERS,
    **tags.HANDLERS,
    **ledger.HANDLERS,
    "health": health,
    "doctor": doctor,
    "forget": forget,
}

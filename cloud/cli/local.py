"""Subcommands that talk to the running cloud over its local socket, as "local presence"."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from cloud.cli import billing
from cloud.cli.connect import connect as connect
from common.cli import people as rights
from common.cli.output import DONE, FAILED, count, print_json, print_qr, printable, table
from common.cli.words import instant_text
from common.client.connection import Connection
from common.errors import from_wire

#: How often the list of sites is looked at while a box is waited for: it asks every second.
LOOK_EVERY_S = 0.25
#: Sessions that are named to be looked at; the table above has them all.
LOOK_AT_MAX = 5


# --- sites -------------------------------------------------------------------------------------------------


async def site_add(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        waiting = await cloud.manage(
            "site_add", {"name": args.name, "code": args.code, "replace": args.replace}
        )
        site = await _joined(cloud, waiting["box"], args.wait)
    if args.json:
        print_json({**waiting, "joined": site is not None, "site": site and site["site"]})
    elif site is not None:
        state = "connected" if site["online"] else "not connected yet"
        print(f"{site['name']} is here (site {site['site']}, box {site['box'][:8]}, {state}). Next:")
        print(f'  plugside-cloud invite "{site["name"]}" --role driver --name "Ann"')
    else:
        print(f"Waiting for box {waiting['box'][:8]} until {waiting['expires_at']}: it has not asked yet.")
        print("Is it running with this cloud's URL? (plugside-edge run --cloud URL)")
    return DONE


async def _joined(cloud: Connection, box: str, wait_s: float) -> dict[str, Any] | None:
    """The site of this box, once it has joined and its tunnel stands; None when it does not come in time.

    Raises what the box was refused with.
    """
    site: dict[str, Any] | None = None
    try:
        async with asyncio.timeout(wait_s):
            while site is None or not site["online"]:
                rows = await cloud.query("sites")
                site = next((row for row in rows if row["box"] == box), None)
                for refused in await cloud.query("joining", {"box": box}):
                    raise from_wire(refused["code"], refused["message"], refused["hint"])
                if site is None or not site["online"]:
                    await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        pass
    return site


async def site_list(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        rows = await cloud.query("sites")
    if args.json:
        print_json(rows)
        return DONE
    if not rows:
        print(
            'No site yet. On a box run `plugside-edge pair`, then here: plugside-cloud site add "Name" CODE'
        )
        return DONE
    table(
        ("Name", "Site", "Box", "Connected", "Last heard", "Addresses"),
        [
            (
                row["name"],
                row["site"],
                row["box"][:8],
                "yes" if row["online"] else "no",
                row["seen_at"] or "never",
                ", ".join(row["addresses"]),
            )
            for row in rows
        ],
    )
    return DONE


# --- people ------------------------------------------------------------------------------------------------


async def invite(args: argparse.Namespace) -> int:
    wanted = {
        "site": args.site,
        **rights.role_of(args),
        "caps": rights.caps_of(args),
        "chargers": args.charger,
        "name": args.name,
        "hours": args.expires,
    }
    async with connect(args) as cloud:
        made = await cloud.manage("invite", wanted)
    if args.json:
        print_json(made)
        return DONE
    print_qr(made["invite"])
    print(made["invite"])
    where = ", ".join(made["chargers"]) if made["chargers"] is not None else "every charger"
    print(
        f"\nOne {made['role']}, for {where} of {made['name']}, known as {made['principal']}."
        f" Good once, until {made['expires_at']}."
    )
    print("They join with:  plugside pair INVITE")
    for charger in made["not_there_yet"]:
        print(f"Note: {made['name']} has no charger {charger} yet. Is it spelt right?", file=sys.stderr)
    return DONE


async def entrust(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        wanted = {"principal": args.principal, "sites": None if args.all else args.sites}
        done = await cloud.manage("entrust", wanted)
    if args.json:
        print_json(done)
        return DONE
    print(f"{args.principal} looks after {count(done['sites'], 'site')} now; new rights: {done['added']}.")
    return DONE


async def forget(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        done = await cloud.manage("forget", {"principal": args.principal})
    if args.json:
        print_json(done)
        return DONE
    if done["removed"]:
        print(f"Name, devices and rights of {args.principal} are gone. The ledger keeps the pseudonym.")
    else:
        print(f"Nothing personal was known here about {args.principal}; its rights are withdrawn.")
        if not args.principal.startswith(rights.PRINCIPAL):
            print("Nobody was forgotten: name the principal (p-…), as `plugside-cloud people SITE` shows it.")
            return FAILED
    print(f"On each of their boxes:  plugside-edge forget {args.principal}")
    return DONE


async def token(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        made = await cloud.manage("token", {"site": args.site})
    if args.json:
        print_json(made)
        return DONE
    print(made["token"])
    print(f"\nReads site {made['site']} until {made['expires_at']}, for example:")
    print(f'  curl -H "Authorization: Bearer TOKEN" URL/v1/sites/{made["site"]}/sessions')
    return DONE


# --- the ledger --------------------------------------------------------------------------------------------


async def sessions(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        wanted = {"flagged": True} if args.flagged else {}
        rows = await cloud.query("sessions", wanted, site=args.site, limit=args.limit)
    if args.json:
        print_json(rows)
        return DONE
    if not rows:
        print("Nothing is flagged." if args.flagged else "No session has arrived from this site yet.")
        return DONE
    table(
        ("Started", "Ended", "Charger", "State", "kWh", "Driver"),
        [
            (
                instant_text(row["started_at"]),
                instant_text(row["ended_at"]),
                f"{row['charger']} / {row['evse']}",
                row["state"] + (f" ({', '.join(row['flags'])})" if row["flags"] else ""),
                "" if row["energy_wh"] is None else f"{row['energy_wh'] / 1000:.2f}",
                row.get("name") or row["principal"] or "unknown",
            )
            for row in rows
        ],
    )
    return DONE


async def reconcile(args: argparse.Namespace) -> int:
    """Exit code 1 when anything is lost, doubled, differing, broken or quarantined."""
    async with connect(args) as cloud:
        names = [row["site"] for row in await cloud.query("sites")] if args.all else [args.site]
        reports = [await cloud.manage("reconcile", {"site": name}) for name in names]
    if args.json:
        print_json(reports if args.all else reports[0])
    else:
        for report in reports:
            _print_report(report)
        if not reports:
            print("There is no site to reconcile.")
    return DONE if all(report["ok"] for report in reports) else FAILED


def _print_report(report: dict[str, Any]) -> None:
    verdict = "in order" if report["ok"] else "NOT in order"
    print(
        f"{report['name']}: {verdict}. {count(report['sessions'], 'session')}; {report['lost']} lost,"
        f" {report['doubled']} doubled, {report['differing']} differing."
    )
    chain, earlier = report["compared"]["chain"], report["compared"]["earlier"]
    for broken, epoch in (
        (chain["first_break"], chain["epoch"]),
        (earlier["first_break"], earlier["break_epoch"]),
    ):
        if broken:
            print(f"A fact is missing or changed: the chain breaks at {broken} of {epoch}.")
    if report["quarantined"]:
        verb = "is" if report["quarantined"] == 1 else "are"
        print(f"{count(report['quarantined'], 'record')} could not be read and {verb} in quarantine:")
        for one in chain["aside"][:LOOK_AT_MAX]:
            print(printable(f"  {one['seq']} of {one['epoch']}: {one['reason']}"))
    if report["findings"]:
        rows = [
            (f["kind"], f.get("side", ""), f["message"], ", ".join(f["sessions"])) for f in report["findings"]
        ]
        table(("Finding", "Where", "What", "Sessions"), rows)
    print(report["compared"]["statement"])
    print(_compared(report["compared"]))
    if not report["ok"]:
        _print_next(report)


def _compared(compared: dict[str, Any]) -> str:
    """What the verdict rests on, in numbers."""
    box, chain = compared["box_sessions"], compared["chain"]
    parts = [
        f"{count(compared['cloud_sessions'], 'session')} here",
        "the box away" if box is None else f"{box} at the box{_bygone(compared['before_this_box'])}",
        f"{compared['fact_sessions']} by the facts",
        f"{compared['billed_sessions']} on charge lines",
        *([count(compared["closed_months"], "closed month")] if compared["closed_months"] else []),
        *([f"{compared['without_seal']} of those without a seal"] if compared["without_seal"] else []),
        f"a chain of {count(chain['hwm'], 'fact')} with {count(chain['heads'], 'signed head')}",
    ]
    if epochs := compared["earlier"]["epochs"]:
        records = count(compared["earlier"]["records"], "fact")
        parts.append(f"{records} of {count(epochs, 'earlier epoch')}")
    if alone := compared["earlier"]["without_chain"]:
        parts.append(f"{count(alone, 'epoch')} of those by hashes alone")
    return f"Looked at: {', '.join(parts)}."


def _bygone(sessions: int) -> str:
    """Why the box may have fewer than there are here, and nothing is lost."""
    return f" (restored or replaced since: {sessions} of before it no longer has)" if sessions else ""


def _print_next(report: dict[str, Any]) -> None:
    """Where to look. Nothing here puts a difference right, so nothing says that it would."""
    found = list(dict.fromkeys(session for f in report["findings"] for session in f["sessions"]))
    if found:
        more = f" and {len(found) - LOOK_AT_MAX} more" if len(found) > LOOK_AT_MAX else ""
        print(f"Look at {', '.join(found[:LOOK_AT_MAX])}{more}: what the cloud has, and what the box has.")
    else:
        print("No session differs; what is missing or unreadable may be part of any. Compare both ledgers.")
    print(f'  plugside-cloud sessions "{report["name"]}" --json')
    print("  plugside-edge ledger --json   (on the box; --limit N on either for older ones)")
    print("The box's ledger is what its chargers said. Keep both data folders until this is explained.")


async def people(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        return await rights.people(cloud, args)


async def confirm(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        return await rights.confirm(cloud, args)


async def revoke(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        return await rights.revoke(cloud, args)


async def health(args: argparse.Namespace) -> int:
    async with connect(args) as cloud:
        (told,) = await cloud.query("health")
    well = all(room["state"] in ("running", "ended") for room in told["rooms"])
    if args.json:
        print_json(told)
        return DONE if well else FAILED
    print(f"Cloud {told['cloud'][:8]} at {told['url']}, running since {told['started_at']}")
    print(f"{count(told['boxes'], 'box', 'boxes')} and {count(told['app_links'], 'app')} connected")
    if told["root_key_is_here"]:
        print(
            "The root key lies in keys/root.pem of the data folder: copy it to a safe place, then remove it."
        )
    rows = [(r["name"], r["state"], str(r["restarts"]), r["last_error"]) for r in told["rooms"]]
    table(("Part", "State", "Restarts", "Last error"), rows)
    return DONE if well else FAILED


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "site_add": site_add,
    "site_list": site_list,
    "site_zone": billing.site_zone,
    "export": billing.export,
    "invite": invite,
    "entrust": entrust,
    "people": people,
    "revoke": revoke,
    "confirm": confirm,
    "forget": forget,
    "token": token,
    "sessions": sessions,
    "reconcile": reconcile,
    "health": health,
}

"""How sites look in a terminal, in a pipe, and as JSON: `status` and `watch`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec

from common.cli.output import printable
from common.cli.words import age_text, charger_text, clock_text
from common.client.client import Client, Status
from common.client.naming import called, in_order
from common.client.site import Change
from common.clock import SystemClock
from common.domain import ConnectorState, Path
from common.errors import Code, PlugsideError, Unavailable
from common.view import ChargerView

#: A site that has not answered by then is told as unreachable: an address that is silent takes 5 s to fail.
PATIENCE_S = 8.0
#: A live screen is drawn when something has changed, and so often in any case: ages move on.
REDRAW_S = 1.0
#: Changes come in bursts; one drawing shows them all.
SETTLE_S = 0.05

_STYLES = {
    ConnectorState.AVAILABLE: "green",
    ConnectorState.CHARGING: "bold green",
    ConnectorState.PREPARING: "cyan",
    ConnectorState.FAULTED: "bold red",
    ConnectorState.UNAVAILABLE: "dim",
    ConnectorState.UNKNOWN: "dim",
}


async def settle(client: Client) -> dict[str, PlugsideError]:
    """Wait until each site is shown or known to be out of reach. Returns why, for those that are not."""
    answers = await asyncio.gather(*(_shown(client, site) for site in client.sites))
    return {site: why for site, why in zip(client.sites, answers, strict=True) if why is not None}


async def _shown(client: Client, site: str) -> PlugsideError | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await client.shown(site)
    except PlugsideError as failed:
        return failed
    except TimeoutError:
        return Unavailable(Code.NO_PATH, "nothing answered in time")
    return None


def headline(status: Status, reason: PlugsideError | None = None) -> str:
    """A site's name, the path in use, and how fresh what is shown is."""
    name = printable(status.name or status.site)
    if status.path is None:
        if not status.shown:
            return f"{name} cannot be reached. {reason.message if reason else ''}".rstrip()
        return f"{name}, as it was {age_text(status.age_ms)} ago; not reachable now"
    by = "on its own network" if status.path is Path.LAN else "through the cloud"
    if status.age_ms == 0:
        return f"{name}, live {by}"
    return f"{name}, as it was {age_text(status.age_ms)} ago {by}; its box is away"


def notices(client: Client, site: str, *, now_ms: int) -> list[str]:
    """What whoever looks should know of their own right there: that it is in its grace, that a card was
    refused."""
    status, view, found = client.status(site), client.view(site), []
    if status.grace_until:
        until = clock_text(status.grace_until, now_ms)
        found.append(
            f"Your permission has run out. It counts until {until}, while the cloud cannot be reached:"
            " go online once, and it is renewed."
        )
    refused = view.refused_tags.get(status.principal)
    if refused is not None:
        known = view.chargers.get(refused.charger)
        where, when = label(known) if known is not None else refused.charger, clock_text(refused.at, now_ms)
        found.append(f"Your card was refused at {where}, {when}: {refused.because or 'no charge may begin'}.")
    return [printable(line) for line in found]


def label(charger: ChargerView) -> str:
    """Name and id."""
    return printable(f"{charger.name} ({charger.id})" if charger.name else charger.id)


def complain(name: str, failed: PlugsideError) -> None:
    """One site's trouble among several."""
    print(f"{printable(name)}: {failed.message} {failed.hint}", file=sys.stderr)


def print_sites(client: Client, reasons: dict[str, PlugsideError]) -> None:
    """Everything once, for `status`."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(picture(client, reasons))
    else:
        print("\n\n".join(_plain(client, site, reasons.get(site)) for site in client.sites))
    for site, failed in reasons.items():
        if site in client.sites:
            print(failed.hint, file=sys.stderr)


def _plain(client: Client, site: str, reason: PlugsideError | None) -> str:
    lines = [headline(client.status(site), reason)]
    lines += [f"  {line}" for line in notices(client, site, now_ms=SystemClock().now_ms())]
    rows = _rows(client, site)
    width = max((len(row[0]) for row in rows), default=0)
    lines += [f"  {name.ljust(width)}  {text}" for name, text, _ in rows]
    return "\n".join(lines)


def _rows(client: Client, site: str) -> list[tuple[str, str, str]]:
    """Name, state and style of each charger."""
    view, now_ms = client.view(site), SystemClock().now_ms()
    return [
        (
            label(charger),
            printable(charger_text(charger, view.sessions, now_ms=now_ms)),
            _style(charger),
        )
        for charger in in_order(view)
    ]


def _style(charger: ChargerView) -> str:
    if not charger.online:
        return "dim"
    states = [place.state for place in charger.connectors.values()]
    return next((style for state, style in _STYLES.items() if state in states), "")


def picture(client: Client, reasons: dict[str, PlugsideError]) -> Any:
    """Everything, for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = []
    for site in client.sites:
        status = client.status(site)
        parts.append(Text(headline(status, reasons.get(site)), style="bold" if status.path else "yellow"))
        told = notices(client, site, now_ms=SystemClock().now_ms())
        parts += [Text(line, style="yellow") for line in told]
        grid = Table.grid(padding=(0, 3))
        for name, text, style in _rows(client, site):
            grid.add_row("", Text(name, style="bold"), Text(text, style=style))
        parts += [grid, Text()]
    return Group(*parts[:-1])


def site_json(client: Client, site: str, reason: PlugsideError | None = None) -> dict[str, Any]:
    """One site, for programs."""
    status, view = client.status(site), client.view(site)
    told: dict[str, Any] = {
        "site": site,
        "name": status.name,
        "path": status.path,
        "shown": status.shown,
        "age_ms": status.age_ms,
        "box_online": status.online,
        "grace_until": status.grace_until or None,
        "epoch": view.epoch,
        "seq": view.seq,
        "chargers": [
            {**_all(charger), "connectors": [_all(place) for place in charger.connectors.values()]}
            for charger in in_order(view)
        ],
        "sessions": [_all(session) for session in view.sessions.values()],
    }
    refused = view.refused_tags.get(status.principal)
    told["refused_tag"] = None if refused is None else _all(refused)
    failures = {**status.failures}
    told["failures"] = {path.value: failed.code.value for path, failed in failures.items()}
    if reason is not None:
        told["error"] = {"code": reason.code.value, "message": reason.message, "hint": reason.hint}
    return told


def _all(struct: msgspec.Struct) -> dict[str, Any]:
    """Every field, whatever its value: programs like what is always there."""
    return {name: msgspec.to_builtins(value) for name, value in msgspec.structs.asdict(struct).items()}


# --- live --------------------------------------------------------------------------------------------------


async def watch(client: Client, *, as_json: bool) -> None:
    """Show what changes until cancelled. JSON: a line for each site as it is, then one for each change."""
    changes = client.changes()
    reasons = await settle(client)
    if as_json:
        for site in client.sites:
            _json_line({"kind": "status", **site_json(client, site, reasons.get(site))})
        async for change in changes:
            _json_line(_change_json(change))
    elif sys.stdout.isatty():
        await _live(client, reasons)
    else:
        await _lines(client, reasons)


def _json_line(value: dict[str, Any]) -> None:
    print(msgspec.json.encode(value).decode(), flush=True)


def _change_json(change: Change) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": change.kind, "site": change.site, "path": change.path}
    if change.fact is not None:
        fact = change.fact
        told |= {
            "seq": fact.seq,
            "epoch": fact.epoch,
            "fact": fact.kind,
            "at": fact.at,
            "body": msgspec.to_builtins(fact.body),
        }
    return told


async def _live(client: Client, reasons: dict[str, PlugsideError]) -> None:
    from rich.live import Live

    changes = client.changes()
    with Live(picture(client, reasons), auto_refresh=False) as screen:
        while True:
            try:
                async with asyncio.timeout(REDRAW_S):
                    await anext(changes)
                await asyncio.sleep(SETTLE_S)
            except TimeoutError:
                pass
            screen.update(picture(client, reasons), refresh=True)


async def _lines(client: Client, reasons: dict[str, PlugsideError]) -> None:
    """In a pipe: a line whenever something reads differently."""
    print_sites(client, reasons)
    sys.stdout.flush()
    changes = client.changes()
    shown = {site: _texts(client, site) for site in client.sites}
    async for change in changes:
        texts = _texts(client, change.site)
        for name, text in texts.items():
            if shown[change.site].get(name) != text:
                print(f"{name}  {text}", flush=True)
        shown[change.site] = texts


def _texts(client: Client, site: str) -> dict[str, str]:
    status = client.status(site)
    path = status.path.value if status.path else "no path"
    texts = {called(charger): "" for charger in in_order(client.view(site))}
    texts |= {name: text for name, text, _ in _rows(client, site)}
    return {printable(status.name or site): path, **{name: text for name, text in texts.items() if text}}

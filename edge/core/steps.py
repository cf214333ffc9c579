"""Which call comes first, and which after it, where chargers come in two generations (quirk 96). Pure data.

A command to move a file or to tell something may take several calls, its *steps*, each made at most once:

    update_firmware     protocols ▶ signed (if the file is) ▶ plain
    fetch_diagnostics   protocols ▶ log ▶ diagnostics (the charger's log of security events: log only)
    trigger             trigger ▶ extended (what only the extended message has: that alone)

A step that the charger was found not to know is left out. `protocols` reads by what a charger can move files;
one that has none but FTP is told so. What is learned holds until it boots with another firmware.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from common import commands
from common.commands import Name
from common.domain import from_iso
from edge.core import requests

#: The commands that go by steps.
STEPPED: Final = frozenset({Name.UPDATE_FIRMWARE, Name.FETCH_DIAGNOSTICS, Name.TRIGGER})
#: The first step of every command that moves a file, and the ability under which its answer is kept.
PROTOCOLS: Final = "protocols"
#: The configuration key that tells them (errata sheet 3.90): a list of FTP, FTPS, HTTP, HTTPS.
PROTOCOLS_KEY: Final = "SupportedFileTransferProtocols"
#: Steps of the newer generation: a charger that does not know one may answer with any error.
NEWER: Final = frozenset({"signed", "log", "extended"})

#: What only the extended trigger has, and what only the older one has.
_EXTENDED_ONLY: Final = frozenset({"log", "certificate"})
_PLAIN_ONLY: Final = frozenset({"diagnostics"})


def steps(args: commands.Args, abilities: Mapping[str, str]) -> tuple[str, ...]:
    """The steps of a command for a charger that was found to be able to do this, in order."""
    match args:
        case commands.UpdateFirmware():
            wanted: tuple[str, ...] = (PROTOCOLS, "signed", "plain") if args.signed else (PROTOCOLS, "plain")
        case commands.FetchDiagnostics():
            wanted = (PROTOCOLS, "log") if args.log == "security" else (PROTOCOLS, "log", "diagnostics")
        case commands.Trigger(what=what) if what in _EXTENDED_ONLY:
            wanted = ("extended",)
        case commands.Trigger(what=what) if what in _PLAIN_ONLY:
            wanted = ("trigger",)
        case commands.Trigger():
            wanted = ("trigger", "extended")
        case _:
            return ()
    return tuple(
        step
        for step in wanted
        if abilities.get(step) != "no" and (step != PROTOCOLS or step not in abilities)
    )


def following(args: commands.Args, abilities: Mapping[str, str], done: str) -> str | None:
    """The step that comes after `done` ("" = none was made), None if there is none left."""
    order = steps(args, {name: value for name, value in abilities.items() if name != done})
    left = order[order.index(done) + 1 :] if done in order else order
    return next((step for step in left if abilities.get(step) != "no"), None)


def action(
    step: str, command: str, args: commands.Args, evse: int | None, now_ms: int
) -> requests.Action | None:
    """What a step asks of the charger."""
    if step == PROTOCOLS:
        return requests.GetVariables((PROTOCOLS_KEY,))
    match args:
        case commands.UpdateFirmware():
            return requests.UpdateFirmware(
                command, args.file, number(command), retrieve_ms=now_ms, legacy=step == "plain"
            )
        case commands.FetchDiagnostics():
            return requests.FetchLog(
                command,
                args.log,
                number(command),
                since_ms=from_iso(args.since) if args.since else None,
                until_ms=from_iso(args.until) if args.until else None,
                legacy=step == "diagnostics",
            )
        case commands.Trigger():
            return requests.Trigger(args.what, evse, extended=step == "extended")
    return None


def number(command: str) -> int:
    """The number by which a charger tells which request its progress is of: positive, 31 bits."""
    return int.from_bytes(sha256(b"plugside-request|" + command.encode()).digest()[:4]) & 0x7FFFFFFF or 1


def told_protocols(result: Mapping[str, Any]) -> str | None:
    """What a charger told of `PROTOCOLS_KEY`, in upper case and in any case of the key; None if nothing."""
    values = result.get("values")
    if not isinstance(values, Mapping):
        return None
    for key, told in values.items():
        if str(key).casefold() == PROTOCOLS_KEY.casefold() and isinstance(told, Mapping):
            words = str(told.get("value") or "").upper().replace(";", ",").split(",")
            return ",".join(word.strip() for word in words if word.strip())[:64] or None
    return None


def speaks_http(abilities: Mapping[str, str]) -> bool:
    """Whether the charger may move files by HTTP: it said so, or has not said what it can."""
    told = abilities.get(PROTOCOLS)
    return told is None or any(word.startswith("HTTP") for word in told.split(","))

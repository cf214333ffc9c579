"""What is not as it should be at a site, from what the box tells of itself: findings, the worst first.

    health, chargers, dials, address, ledger ──▶ examine ──▶ [Finding]

For `plugside-edge doctor`: everything here is also told elsewhere; this says which of it wants a person, and
what that person does next. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from edge.chargers.reasons import Reason


class Weight(StrEnum):
    """How much a finding matters."""

    BAD = "bad"  #: something does not work, or is not safe
    LOOK = "look"  #: it works, and somebody should know or decide
    GOOD = "good"  #: looked at, and as it should be


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `advice`: what a person does next, empty where there is nothing to do."""

    about: str
    weight: Weight
    sentence: str
    advice: str = ""


Plain = Mapping[str, Any]
_ORDER: Final = list(Weight)


def examine(
    health: Plain,
    chargers: Sequence[Plain],
    dials: Iterable[Plain],
    *,
    address: str = "",
    ledger: Plain | None = None,
) -> list[Finding]:
    """All findings. health, chargers, dials, ledger: as the queries of those names (and `verify`) answer.

    address: what is wrong with the address that chargers dial, as a sentence. ledger: None = not looked at.
    """
    found = [
        *_clock(health),
        *_cloud(health["cloud"]),
        *_rooms(health["rooms"]),
        *_journal(health["journal"]),
        *_address(health, address),
        *_chargers(chargers),
        *_strangers(dials),
        *_limits(chargers),
        *_proofs(chargers),
        *_ledger(ledger),
    ]
    return sorted(found, key=lambda one: _ORDER.index(one.weight))


def _good(about: str, sentence: str) -> Finding:
    return Finding(about=about, weight=Weight.GOOD, sentence=sentence)


def _bad(about: str, sentence: str, advice: str) -> Finding:
    return Finding(about=about, weight=Weight.BAD, sentence=sentence, advice=advice)


def _look(about: str, sentence: str, advice: str) -> Finding:
    return Finding(about=about, weight=Weight.LOOK, sentence=sentence, advice=advice)


def _clock(health: Plain) -> Iterator[Finding]:
    if health["clock"] == "synced":
        yield _good("clock", f"The clock tells {health['time']}.")
    else:
        yield _bad(
            "clock",
            f"The clock is behind what has been written down already; time goes on from {health['time']}.",
            "Give the box the time: `timedatectl set-ntp true`, or an RTC where there is no internet.",
        )


def _cloud(cloud: Plain) -> Iterator[Finding]:
    if not cloud["url"]:
        yield _look(
            "cloud",
            "There is no cloud: phones reach the box on this network alone, and records stay here.",
            "If one is wanted: `plugside-edge run --cloud URL`, then `plugside-edge pair`.",
        )
    elif not cloud["enrolled"]:
        yield _bad("cloud", f"{cloud['url']} does not know this box yet.", "Run `plugside-edge pair`.")
    elif not cloud["connected"]:
        yield _bad(
            "cloud",
            f"{cloud['url']} cannot be reached; {cloud['backlog']} records wait here, and none is lost.",
            "Check the internet connection of the box. Charging goes on without it.",
        )
    else:
        yield _good("cloud", f"Connected to {cloud['url']}; {cloud['backlog']} records to send.")


def _rooms(rooms: Iterable[Plain]) -> Iterator[Finding]:
    rooms = list(rooms)
    for room in rooms:
        if room["state"] not in ("running", "ended"):
            yield _bad(
                room["name"],
                f"{room['name']} does not run ({room['state']}): {room['last_error'] or 'no reason told'}",
                "The box tries again by itself; `journalctl -u plugside-edge` tells more.",
            )
    running = sum(room["state"] in ("running", "ended") for room in rooms)
    yield _good("parts", f"{running} of {len(rooms)} parts of the box run.")


def _journal(journal: Plain) -> Iterator[Finding]:
    for damaged in journal["damaged_sets"]:
        yield _bad(
            "journal",
            f"A damaged journal was set aside in {damaged}; what of it proved itself goes on.",
            "Keep that folder, run `plugside-edge ledger verify`, and think of a new disk.",
        )
    for replaced in journal["replaced_sets"]:
        yield _look(
            "journal",
            f"The journal that a restore replaced is kept in {replaced}.",
            "Remove that folder once nothing of it is wanted: it holds names and tags.",
        )
    if journal["level"] != "fine":
        yield _bad(
            "journal",
            f"The journal is {journal['percent']:.0f} % full, and old samples are being given up.",
            "Free space on the disk."
            if journal["disk_is_short"]
            else "Give it a larger quota: journal_quota_mib.",
        )
    else:
        yield _good("journal", f"The journal is {journal['percent']:.0f} % full.")
    if not journal["backup"]:
        yield _look(
            "copy",
            "The journal has not been copied yet; one copy a night is made by itself.",
            "To have one elsewhere now: `plugside-edge backup DIR`.",
        )


def _address(health: Plain, wrong: str) -> Iterator[Finding]:
    if wrong:
        yield _look("address", wrong, "")
    else:
        yield _good("address", f"Chargers dial {health['ocpp_url']}")
    if not health["lan"]:
        yield _bad("phones", "No phone can reach the box on this network.", "Start it with --lan HOST:PORT.")


def _chargers(chargers: Sequence[Plain]) -> Iterator[Finding]:
    adopted = [row for row in chargers if row.get("adopted")]
    if not adopted:
        yield _look(
            "chargers",
            "No charger has been adopted yet.",
            "`plugside-edge chargers url` says what to type into one.",
        )
    for row in chargers:
        for why in row["why"]:
            if why["reason"] == Reason.CONNECTED:
                continue
            make = _look if why["reason"] == Reason.NOT_ADOPTED else _bad
            yield make(row["id"], why["sentence"], why["advice"])
    well = [row for row in adopted if all(why["reason"] == Reason.CONNECTED for why in row["why"])]
    if well:
        yield _good("chargers", f"{len(well)} of {len(adopted)} chargers are connected and well.")


def _strangers(dials: Iterable[Plain]) -> Iterator[Finding]:
    """Whom the door turned away, where no charger's own findings tell it already."""
    for dial in dials:
        if not dial.get("charger"):
            yield _look(dial.get("address", "somebody"), dial["sentence"], dial["advice"])


def _limits(chargers: Sequence[Plain]) -> Iterator[Finding]:
    for row in chargers:
        if not row.get("adopted"):
            continue
        if (row.get("wanted") or {}).get("safety_a") is None:
            yield _look(
                row["id"],
                "It has no installer's limit: it gives what its own switches allow.",
                f"`plugside-edge chargers limit {row['id']} --amps N`, as the cable and fuse allow.",
            )
            continue
        places = [place.get("limit") for place in row.get("connectors", {}).values()]
        shown = [one for one in (row.get("limit"), *places) if one]
        if not shown or any(one.get("proof") != "proven" for one in shown):
            yield _bad(
                row["id"],
                "Its installer's limit is not proven: nobody has seen the charger keep it.",
                "Set the charger's own limit (its switches, or its maker's tool) to the same value.",
            )


def _proofs(chargers: Sequence[Plain]) -> Iterator[Finding]:
    """Whoever can reach a charger's network must not be able to be it, nor read along."""
    for profile, sentence in (
        (0, "Whoever is on their network can be one of these, or read along: {}."),
        (1, "Whoever listens on their network reads along, passwords too: {}."),
    ):
        ids = [row["id"] for row in chargers if row.get("adopted") and row.get("profile", 0) == profile]
        if ids:
            shown = ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
            yield _look(
                "security",
                sentence.format(shown),
                f"`plugside-edge chargers security ID --profile {profile + 1}`, or a network of their own.",
            )


def _ledger(told: Plain | None) -> Iterator[Finding]:
    if told is None:
        return
    if told["ok"]:
        yield _good("ledger", f"The ledger is in order: {told['chain']['facts']} facts, chain whole.")
    else:
        yield _bad(
            "ledger",
            f"The ledger is not in order: {told['first_difference']}.",
            "Keep the data folder as it is; `plugside-edge ledger verify` tells all.",
        )

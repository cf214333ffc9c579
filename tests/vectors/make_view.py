"""Writes view.json: a history of facts of every kind, and the view that it comes to at many points.

Run `python -m tests.vectors.make_view` when a fact or its meaning for the view changes; a client in another
language folds the same facts and has to come to the same views, whole.
"""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import msgspec

from common import facts
from common.body import Body
from common.domain import iso
from common.view import View, apply

FILE = Path(__file__).with_name("view.json")
FACTS = 700
EVERY = 35
BEGAN_MS = 1_800_000_000_000

#: Few enough that facts meet each other; names that trip a careless table among them.
_WORDS: dict[str, tuple[Any, ...]] = {
    "charger": ("CP1", "CP2", "12", "constructor", "__proto__"),
    "session": ("s-a", "s-b", "s-c", "s-d", "s-e", "s-f", "s-g", "s-h"),
    "command": ("c-1", "c-2", "c-3"),
    "principal": ("ann", "bob", None),
    "evse": (1, 1, 2, 0),
    "tag_ref": tuple(f"tag-{n}" for n in range(20)),
    "change": ("unknown_tag", "unknown_tag", "unknown_tag", "tag_assigned", "tag_refused", "granted"),
    "proof": ("pending", "accepted", "proven", "unproven", "refused", "unanswered", "cleared"),
    "scope": ("default", "session", "station"),
    "rank": ("installer", "operator", "driver"),
    "outcome": ("succeeded", "failed", "unknown"),
    "status": ("downloading", "installed"),
    "answer": ("accepted", "rejected", "reboot_required"),
    "via": ("report", "epoch", "resync"),
    "state": ("made", "ended"),
    "location": ("outlet", "cable", "inlet"),
    "ended_at": ("2027-01-15T09:00:00Z",),
    "caps": (None,),
    "removed": (False, False, False, False, True),
    "history": (False, False, True),
}


class _Chance:
    """A little generator of our own, so that the file is the same wherever it is made."""

    def __init__(self) -> None:
        self._state = 7

    def below(self, end: int) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % end

    def of(self, choices: Any) -> Any:
        return choices[self.below(len(choices))]


class _Maker:
    def __init__(self) -> None:
        self._chance = _Chance()

    def value(self, name: str, kind: Any) -> Any:
        if name in _WORDS and not (name == "state" and kind is not str):
            words = _WORDS[name]
            return self._chance.of([one for one in words if one is not None] if kind is str else words)
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        origin, parts = typing.get_origin(kind), typing.get_args(kind)
        if type(None) in parts:
            return None if self._chance.below(3) == 0 else self.value(name, parts[0])
        if origin is typing.Literal:
            return self._chance.of(parts)
        if origin is tuple:
            return tuple(self.value("", parts[0]) for _ in range(self._chance.below(3)))
        if origin is dict:
            return {}
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.struct(kind)
        if isinstance(kind, type) and hasattr(kind, "__members__"):
            return self._chance.of(list(kind))
        simple: dict[Any, Any] = {
            bool: self._chance.below(2) == 1,
            int: self._chance.below(4),
            float: self._chance.below(40) / 2,
            str: self._chance.of(("", "one", "two")),
            Any: True,
        }
        return simple[kind]

    def struct(self, kind: type) -> Any:
        hints = typing.get_type_hints(kind, include_extras=True)
        values = {}
        for field in msgspec.structs.fields(kind):
            # Some fields keep their default, as most do in life.
            if field.required or self._chance.below(3):
                values[field.name] = self.value(field.name, hints[field.name])
        if hints.keys() >= {"at", "energy_wh", "context"}:
            values["at"] = iso(BEGAN_MS + self._chance.below(FACTS) * 1000)
        if "args" in hints:
            values["args"] = self._chance.of(({}, {"operative": True}, {"operative": False}))
        return kind(**values)


def vectors() -> dict[str, Any]:
    """Everything in the file."""
    make, chance = _Maker(), _Chance()
    kinds: list[type[Body]] = list(facts.BODIES.values())
    often = [facts.SessionStarted, facts.MeterSampled, facts.ConnectorChanged, facts.CommandAccepted]
    view = View(site="site-1")
    told: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    for seq in range(1, FACTS + 1):
        body = make.struct(chance.of(kinds + often * 4))
        at = iso(BEGAN_MS + seq * 1000)
        fact = facts.make(epoch="1-a", seq=seq, uid=f"f-{seq}", at=at, clock="synced", body=body)
        # As it is read by whoever gets it.
        apply(view, facts.read("1-a", seq, fact.record))
        told.append(json.loads(fact.record))
        if seq % EVERY == 0:
            views.append({"seq": seq, "view": json.loads(msgspec.json.encode(view))})
    return {"epoch": "1-a", "site": "site-1", "records": told, "views": views}


def text() -> str:
    """The file's text: a line for each record and each view."""
    made = vectors()
    records = ",\n".join(json.dumps(record) for record in made["records"])
    views = ",\n".join(json.dumps(view) for view in made["views"])
    return (
        f'{{"epoch": "{made["epoch"]}", "site": "{made["site"]}",\n'
        f'"records": [\n{records}\n],\n"views": [\n{views}\n]}}\n'
    )


if __name__ == "__main__":
    FILE.write_text(text())

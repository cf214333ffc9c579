"""Writes what the TypeScript client knows of the wire: JSON Schema, types, defaults, commands and errors.

`python -m tests.tools.app_types` writes `common/web/schema.json` (for clients in any language) and
`common/web/src/client/generated.ts` from the structs in `common/`; a test fails when they differ from those.
Fields that msgspec leaves out when they have their default are filled in again by the client from `DEFAULTS`,
so that what comes from a server is typed whole, and what is sent may leave them out.
"""

from __future__ import annotations

import json
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union

import msgspec

from common import commands, errors, facts, shown, view, wire
from common.domain import MeterSample, Target
from common.limits import LimitView, WantedView
from common.live import LIVE_MS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "common" / "web" / "schema.json"
TYPES = ROOT / "common" / "web" / "src" / "client" / "generated.ts"

_VIEW = (
    *(LimitView, WantedView, shown.ConnectorView, shown.ChargerView, shown.SessionView),
    *(shown.CommandView, shown.TapView, shown.RefusedTagView, shown.View),
)
_CLIENT = typing.get_args(wire.ClientMessage)
_SERVER = typing.get_args(wire.ServerMessage)


_HEAD = """\
// Made by `python -m tests.tools.app_types` from the structs in common/. Not to be changed by hand.

/** A fact's record, as the journal has it; `body` is one of `Bodies`, by its `kind`. */
export interface RawRecord {
  readonly uid: string;
  readonly kind: string;
  readonly v: number;
  readonly at: string;
  readonly clock: string;
  readonly body: unknown;
}

export type Branch = 'Refused' | 'RemoteFault' | 'LocalFault' | 'Unavailable';

/** What everybody knows of a command. */
export interface CommandRule {
  readonly roles: readonly Role[];
  readonly ttl_ms: number;
  readonly urgent: boolean;
  readonly of_the_site: boolean;
}"""


class Whole(msgspec.Struct, frozen=True):
    """One struct to be written. `given`: its defaults may be left out by who makes it."""

    struct: type
    given: bool = False
    tag: str = ""


def _structs() -> list[Whole]:
    arguments = [Whole(entry.args, given=True) for entry in commands.CLASSES.values()]
    return [
        *(Whole(struct) for struct in (MeterSample, *_VIEW)),
        *(Whole(body) for body in facts.BODIES.values()),
        Whole(Target, given=True),
        *arguments,
        Whole(commands.Command, given=True),
        Whole(wire.SiteAccess),
        *(Whole(message, given=True, tag=_tag(message)) for message in _CLIENT),
        *(Whole(message, tag=_tag(message)) for message in _SERVER),
    ]


def _tag(message: type) -> str:
    return str(message.__struct_config__.tag)  # type: ignore[attr-defined]


def _name(struct: type) -> str:
    return struct.__name__


class Writer:
    """Turns annotations into TypeScript. Enums and inner structs are written once, as they are met."""

    def __init__(self, known: set[type]) -> None:
        self._known = known
        self.enums: dict[str, str] = {}
        self.met: list[Whole] = []  #: structs inside of others, in the order in which they came

    def type(self, kind: Any) -> str:
        origin = typing.get_origin(kind)
        if kind is Any:
            return "unknown"
        if origin is typing.Annotated:
            return self.type(typing.get_args(kind)[0])
        if kind is msgspec.Raw:
            return "RawRecord"
        if kind in (str, bytes):
            return "string"
        if kind in (int, float):
            return "number"
        if kind is bool:
            return "boolean"
        if kind in (None, type(None)):
            return "null"
        if origin is Literal:
            return " | ".join(json.dumps(value) for value in typing.get_args(kind))
        if origin in (Union, types.UnionType):
            return " | ".join(dict.fromkeys(self.type(part) for part in typing.get_args(kind)))
        if origin is tuple:
            return self._tuple(typing.get_args(kind))
        if origin is list:
            return f"readonly {self._bracket(typing.get_args(kind)[0])}[]"
        if origin is dict:
            return f"Readonly<Record<string, {self.type(typing.get_args(kind)[1])}>>"
        if isinstance(kind, type) and issubclass(kind, Enum):
            values = " | ".join(json.dumps(member.value) for member in kind)
            self.enums[kind.__name__] = f"export type {kind.__name__} = {values};"
            return kind.__name__
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind not in self._known:
                self._known.add(kind)
                self.met.append(Whole(kind))
            return _name(kind)
        raise TypeError(f"no TypeScript for {kind!r}")

    def _tuple(self, parts: tuple[Any, ...]) -> str:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return f"readonly {self._bracket(parts[0])}[]"
        return f"readonly [{', '.join(map(self.type, parts))}]"

    def _bracket(self, kind: Any) -> str:
        text = self.type(kind)
        return f"({text})" if " " in text else text


def _defaults(struct: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        if field.default is not msgspec.NODEFAULT:
            found[field.name] = msgspec.to_builtins(field.default)
        elif field.default_factory is not msgspec.NODEFAULT:
            value = field.default_factory()
            found[field.name] = (
                _defaults(type(value)) if isinstance(value, msgspec.Struct) else msgspec.to_builtins(value)
            )
    return found


def _first_line(struct: type) -> str:
    return ((struct.__doc__ or "").strip().splitlines() or [""])[0]


def _interface(whole: Whole, writer: Writer) -> str:
    hints = typing.get_type_hints(whole.struct, include_extras=True)
    doc = _first_line(whole.struct)
    lines = [*([f"/** {doc} */"] if doc else ()), f"export interface {_name(whole.struct)} {{"]
    if whole.tag:
        lines.append(f"  readonly kind: {json.dumps(whole.tag)};")
    for field in msgspec.structs.fields(whole.struct):
        mark = "?" if whole.given and not field.required else ""
        lines.append(f"  readonly {field.encode_name}{mark}: {writer.type(hints[field.name])};")
    return "\n".join([*lines, "}"])


def _commands() -> dict[str, Any]:
    return {
        name.value: {
            "roles": sorted(role.value for role in entry.roles),
            "ttl_ms": entry.ttl_ms,
            "urgent": entry.urgent,
            "of_the_site": name in commands.OF_THE_SITE,
        }
        for name, entry in commands.CLASSES.items()
    }


def _errors() -> dict[str, Any]:
    return {
        code.value: {
            "message": message,
            "hint": hint,
            "branch": type(errors.error(code)).__name__,
        }
        for code, (message, hint) in errors.CATALOGUE.items()
    }


def typescript() -> str:
    """The text of generated.ts."""
    structs = _structs()
    writer = Writer({whole.struct for whole in structs})
    interfaces = [_interface(whole, writer) for whole in structs]
    while writer.met:
        interfaces.append(_interface(writer.met.pop(0), writer))
    consts: list[tuple[str, str, str, Any, str]] = [
        (
            "The newest version of each kind of fact that is understood here.",
            "VERSIONS_OF_FACTS",
            "Readonly<Record<string, number>>",
            {kind: body.V for kind, body in facts.BODIES.items()},
            "",
        ),
        (
            "What is left out on the wire, by struct: view, facts and messages of the server.",
            "DEFAULTS",
            "",
            {_name(w.struct): _defaults(w.struct) for w in structs if not w.given},
            " as const",
        ),
        (
            "Kind of a fact → name of its struct.",
            "BODY_OF",
            "Readonly<Record<string, keyof typeof DEFAULTS>>",
            {kind: _name(body) for kind, body in facts.BODIES.items()},
            "",
        ),
        (
            "Kind of a server's message → name of its struct.",
            "MESSAGE_OF",
            "Readonly<Record<string, keyof typeof DEFAULTS>>",
            {_tag(message): _name(message) for message in _SERVER},
            "",
        ),
        (
            "Who may ask for what, how long it may live in ms, and whether it leaves before its commit.",
            "COMMANDS",
            "Readonly<Record<Name, CommandRule>>",
            _commands(),
            "",
        ),
        (
            "Every error: what to say, and what to do next (`common/errors.py`).",
            "ERRORS",
            "",
            _errors(),
            " as const satisfies Readonly<Record<string, { message: string; hint: string; branch: Branch }>>",
        ),
        ("Bounds that both sides keep.", "LIMITS", "", _limits(), " as const"),
    ]
    parts = [
        _HEAD,
        *writer.enums.values(),
        *interfaces,
        _map("The bodies of facts by their kind.", "Bodies", facts.BODIES),
        "export type ClientMessage = " + " | ".join(map(_name, _CLIENT)) + ";",
        "export type ServerMessage = " + " | ".join(map(_name, _SERVER)) + ";",
        _map(
            "The arguments of commands by their name.",
            "CommandArgs",
            {name.value: entry.args for name, entry in commands.CLASSES.items()},
        ),
        *(
            f"/** {doc} */\nexport const {name}{f': {kind}' if kind else ''} = {_json(value)}{after};"
            for doc, name, kind, value, after in consts
        ),
        "export type Code = keyof typeof ERRORS;",
    ]
    return "\n\n".join(parts) + "\n"


def _map(doc: str, name: str, structs: dict[str, type]) -> str:
    fields = "\n".join(f"  readonly {key}: {_name(struct)};" for key, struct in structs.items())
    return f"/** {doc} */\nexport interface {name} {{\n{fields}\n}}"


def _limits() -> dict[str, Any]:
    return {
        "versions": list(wire.VERSIONS),
        "clientBytesMax": wire.CLIENT_BYTES_MAX,
        "serverBytesMax": wire.SERVER_BYTES_MAX,
        "settledCommandsMax": view.SETTLED_COMMANDS_MAX,
        "tapsMax": view.TAPS_MAX,
        "endedSessionsMax": view.ENDED_SESSIONS_MAX,
        "liveMs": LIVE_MS,
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def schema() -> str:
    """The text of schema.json: JSON Schema 2020-12 of every message, fact body and command."""
    kinds = [*_CLIENT, *_SERVER, *facts.BODIES.values(), commands.Command]
    kinds += [entry.args for entry in commands.CLASSES.values()]

    def hook(kind: type) -> dict[str, Any]:
        if kind is msgspec.Raw:
            return {"description": "A fact's record: uid, kind, v, at, clock, body."}
        raise NotImplementedError

    _, components = msgspec.json.schema_components(kinds, schema_hook=hook, ref_template="#/$defs/{name}")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plugside's app link",
        "client": {"anyOf": [{"$ref": f"#/$defs/{_name(m)}"} for m in _CLIENT]},
        "server": {"anyOf": [{"$ref": f"#/$defs/{_name(m)}"} for m in _SERVER]},
        "facts": {kind: {"$ref": f"#/$defs/{_name(body)}"} for kind, body in facts.BODIES.items()},
        "commands": {
            name.value: {"$ref": f"#/$defs/{_name(entry.args)}"} for name, entry in commands.CLASSES.items()
        },
        "errors": _errors(),
        "$defs": dict(sorted(components.items())),
    }
    return _json(document) + "\n"


def main() -> None:
    TYPES.write_text(typescript())
    SCHEMA.write_text(schema())


if __name__ == "__main__":
    main()

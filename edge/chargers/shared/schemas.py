"""The check of everything that leaves for a charger, against the specification's JSON schemas.

Called by the dialects on every reply and every call before it is encoded: a malformed reply of ours can lock
a charger into a loop (quirk 34), and only here is it our fault. The schemas are those that the `ocpp` package
ships; they are read as files, because importing its message modules costs 100 ms. Incoming messages are never
checked here: see `coerce`. Validators are built when an action is first used and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal, Protocol

import jsonschema_rs
import msgspec

from common.errors import Code, LocalFault

Kind = Literal["request", "response"]


class OutgoingInvalid(LocalFault):
    """We were about to send something that OCPP forbids: an error of this program, not of the charger."""

    def __init__(self, kind: Kind, action: str, path: str, why: str) -> None:
        where = f" at {path}" if path else ""
        super().__init__(Code.INTERNAL, f"{action} {kind}{where}: {why[:200]}")
        self.kind = kind
        self.action = action
        self.path = path


class _Validator(Protocol):
    def validate(self, instance: Any) -> None: ...


class Schemas:
    """One version's schemas: `folder` in the `ocpp` package, `request` what its requests' names end in."""

    def __init__(self, version: str, folder: str, request: str) -> None:
        self._version, self._folder, self._request = version, folder, request
        # as many as there are actions in both directions, so bounded by the schema files
        self._validators: dict[tuple[Kind, str], _Validator] = {}

    def check(self, kind: Kind, action: str, payload: msgspec.Struct | Mapping[str, object]) -> None:
        """Return if the payload is what this version allows for this action; raise OutgoingInvalid if not.

        `kind` is "request" for our calls and "response" for our replies. About 2 µs once the action's
        validator is built. Time formats are not checked: the schemas' date-time is stricter than the
        specification's text.
        """
        validator = self._validators.get((kind, action)) or self._build(kind, action)
        try:
            validator.validate(msgspec.to_builtins(payload))
        except jsonschema_rs.ValidationError as error:
            path = ".".join(str(part) for part in error.instance_path)
            raise OutgoingInvalid(kind, action, path, error.message) from None

    def _build(self, kind: Kind, action: str) -> _Validator:
        name = f"{action}{'Response' if kind == 'response' else self._request}.json"
        file = resources.files("ocpp") / self._folder / "schemas" / name
        if not action.isalnum() or not file.is_file():
            raise OutgoingInvalid(kind, action, "", f"OCPP {self._version} has no such message")
        schema = msgspec.json.decode(file.read_bytes())
        # masked: an error of ours must not carry a tag into the log
        made: _Validator = jsonschema_rs.validator_for(schema, validate_formats=False, mask="the value")
        self._validators[kind, action] = made
        return made

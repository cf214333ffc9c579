"""OCPP 1.6 messages made from the schemas that the `ocpp` package ships, by way of its own dataclasses.

What comes out here is what the package calls valid; our reading and writing are held against it.
"""

from __future__ import annotations

import json
from dataclasses import fields
from importlib import resources
from typing import Any

from hypothesis import strategies as st
from ocpp.charge_point import camel_to_snake_case, remove_nones, serialize_as_dict, snake_to_camel_case
from ocpp.messages import MessageType, get_validator
from ocpp.v16 import call, call_result

TIMES = st.sampled_from(["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.123Z", "2026-03-01T14:00:00+02:00"])
# NUL is valid JSON, and read with a violation: texts with it are not "without violation"
PLACES = {"connectorId", "evseId", "id"}
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def schema(action: str, *, response: bool = False) -> dict[str, Any]:
    """Return the shipped schema of a request or a response."""
    name = f"{action}Response.json" if response else f"{action}.json"
    found: dict[str, Any] = json.loads(
        (resources.files("ocpp") / "v16" / "schemas" / name).read_text("utf-8-sig")
    )
    return found


def values(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for what a 1.6 schema allows."""
    if "$ref" in node:
        return values(root["definitions"][node["$ref"].rsplit("/", 1)[1]], root)
    if "enum" in node:
        return st.sampled_from(node["enum"])
    match node.get("type", "string"):  # what may be anything is text
        case "object":
            members = {name: values(inner, root) for name, inner in node.get("properties", {}).items()}
            for name in PLACES & members.keys():  # the schema bounds them neither way; real ones count from 0
                members[name] = st.integers(0, 9999)
            required = set(node.get("required", ()))
            return st.fixed_dictionaries(
                {name: made for name, made in members.items() if name in required},
                optional={name: made for name, made in members.items() if name not in required},
            )
        case "array":
            return st.lists(values(node["items"], root), min_size=node.get("minItems", 0), max_size=3)
        case "string":
            if node.get("format") == "date-time":
                return TIMES
            return st.text(LETTERS, max_size=min(node.get("maxLength", 60), 60))
        case "integer":
            return st.integers(-(2**31), 2**31 - 1)
        case "number":  # tenths are allowed; the package's validator cannot tell them in floats
            return st.integers(0, 1000)
        case "boolean":
            return st.booleans()
    raise AssertionError(node)


def messages(action: str, *, response: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for payloads that the package builds, and validates, itself."""
    root = schema(action, response=response)
    kind = MessageType.CallResult if response else MessageType.Call
    dataclass = getattr(call_result if response else call, action)

    def through_the_package(payload: dict[str, Any]) -> dict[str, Any]:
        # some fields that the schema lets out have no default in the dataclass
        given = dict.fromkeys((field.name for field in fields(dataclass)), None) | camel_to_snake_case(
            payload
        )
        made: dict[str, Any] = snake_to_camel_case(remove_nones(serialize_as_dict(dataclass(**given))))
        get_validator(kind, action, "1.6").validate(made)
        return made

    return values(root, root).map(through_the_package)

"""The client's types are those of the structs: a change there that was not written out is seen here."""

import json

from common.facts import BODIES
from tests.tools import app_types
from tests.vectors import make_view


def test_the_types_are_those_of_the_structs() -> None:
    assert app_types.TYPES.read_text() == app_types.typescript(), "run python -m tests.tools.app_types"


def test_the_schema_is_that_of_the_structs() -> None:
    assert app_types.SCHEMA.read_text() == app_types.schema(), "run python -m tests.tools.app_types"


def test_the_schema_names_every_message_and_every_kind() -> None:
    document = json.loads(app_types.SCHEMA.read_text())
    assert {"hello", "follow", "command"} <= {
        document["$defs"][ref["$ref"].rsplit("/", 1)[1]]["properties"]["kind"]["enum"][0]
        for ref in document["client"]["anyOf"]
    }
    assert "session_started" in document["facts"]
    assert document["errors"]["no_path"]["branch"] == "Unavailable"


def test_the_views_in_the_vectors_are_those_of_the_fold() -> None:
    assert make_view.FILE.read_text() == make_view.text(), "run python -m tests.vectors.make_view"


def test_the_vectors_hold_every_kind() -> None:
    kinds = {record["kind"] for record in json.loads(make_view.FILE.read_text())["records"]}
    assert kinds == set(BODIES)

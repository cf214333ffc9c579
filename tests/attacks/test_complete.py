"""Every group of the list is tried here, or not_here.md says why not."""

from __future__ import annotations

import re

from tests.attacks.groups import FOLDER, GROUPS, not_here, number_of, tried


def test_every_group_is_tried_or_has_a_reason() -> None:
    assert GROUPS.keys() - tried() - not_here().keys() == set()


def test_no_file_and_no_line_is_of_a_group_that_is_not_on_the_list() -> None:
    assert tried() | not_here().keys() <= GROUPS.keys()
    files = {file.name for file in FOLDER.glob("test_*.py")} - {"test_complete.py"}
    assert {name for name in files if number_of(name) is None} == set()


def test_each_line_gives_a_reason() -> None:
    assert {number for number, why in not_here().items() if len(why) < 40} == set()


def test_every_test_that_the_security_page_and_the_reasons_name_is_there() -> None:
    root = FOLDER.parents[1]
    for page in (root / "SECURITY.md", FOLDER / "not_here.md"):
        named = re.findall(r"`(tests/[\w/]+(?:\.py)?)`", page.read_text())
        assert len(named) > 5, "the page's form has changed"
        assert [name for name in named if not (root / name).exists()] == []


def test_each_threat_names_a_test_that_proves_its_measure() -> None:
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| (.+?) \|$", (FOLDER.parents[1] / "SECURITY.md").read_text(), re.MULTILINE
    )
    threats = [row for row in rows if not row[0].startswith(("Attacker", "---"))]
    assert len(threats) > 10
    assert [row[0] for row in threats if "`tests/" not in row[2]] == []

"""Every group of the list is tried here, or not_here.md says why not."""

from __future__ import annotations

from tests.attacks.groups import FOLDER, GROUPS, not_here, number_of, tried

#: Groups that neither have a file nor a reason.
UNTRIED = {*range(10, 17), *range(22, 25), *range(35, 41)}


def test_every_group_is_tried_or_has_a_reason() -> None:
    assert GROUPS.keys() - tried() - not_here().keys() - UNTRIED == set()


def test_no_file_and_no_line_is_of_a_group_that_is_not_on_the_list() -> None:
    assert tried() | not_here().keys() <= GROUPS.keys()
    files = {file.name for file in FOLDER.glob("test_*.py")} - {"test_complete.py"}
    assert {name for name in files if number_of(name) is None} == set()


def test_each_line_gives_a_reason() -> None:
    assert {number for number, why in not_here().items() if len(why) < 40} == set()

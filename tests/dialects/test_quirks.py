"""The catalogue of what real chargers do, executed: one test an entry, named by its number and title.

Adding an entry is adding a file to `quirks/`; its README says how. An entry that cannot concern Plugside
stands in `quirks.md` with the reason.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.dialects.quirks import trace as traces
from tests.dialects.quirks.play import Departs, play


def _id(path: Path) -> str:
    if path.suffix == ".trace":
        return traces.read(path).id
    return f"{traces.number_of(path):03d} {path.stem[5:].replace('_', ' ')}"


def _departs(path: Path) -> str:
    try:
        play(traces.read(path))
    except (Departs, traces.BadTrace) as departs:
        return str(departs)
    return ""


@pytest.mark.parametrize("path", traces.files(), ids=_id)
def test_quirk(path: Path) -> None:
    if path.suffix == ".trace":
        departs = _departs(path)
        if departs:
            pytest.fail(departs, pytrace=False)
        return
    spec = importlib.util.spec_from_file_location(f"tests.dialects.quirks.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.show()


#: Entries that may be out of scope.
NOT_APPLICABLE_MAX = 10
ROOT = Path(__file__).resolve().parents[2]


def _shown() -> list[int]:
    return [traces.number_of(path) for path in traces.files()]


def _rows(page: str) -> list[int]:
    """The numbers that begin the rows of a page's tables."""
    return [int(number) for number in re.findall(r"^\| (\d+) \|", (ROOT / page).read_text(), re.MULTILINE)]


def test_every_trace_has_one_number_and_a_source_and_no_other_shows_it() -> None:
    assert len(set(_shown())) == len(_shown())
    for path in traces.files():
        if path.suffix == ".trace":
            told = traces.read(path)
            assert told.source.startswith("https://"), path.name
            assert told.steps, path.name


def test_the_catalogue_and_its_traces_are_one() -> None:
    assert sorted(_rows("edge/chargers/QUIRKS.md")) == sorted(_shown())


def test_every_entry_is_shown_or_said_not_to_apply() -> None:
    aside = _rows("tests/dialects/quirks.md")
    assert len(aside) <= NOT_APPLICABLE_MAX
    assert sorted([*_shown(), *aside]) == list(range(1, traces.LAST + 1))

"""The catalogue of what real chargers do, executed: one test an entry, named by its number and title.

Adding an entry is adding a file to `quirks/`; its README says how.
"""

from __future__ import annotations

import importlib.util
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

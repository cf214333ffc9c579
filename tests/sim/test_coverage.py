"""README.md says what is covered, and where: every law, test and fault that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sim import laws
from tests.sim.many import live

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("README.md").read_text()
#: Within so many histories the rarest fault happens: fewer than the suite lives.
SEEDS = 400


def test_every_number_of_the_catalogue_is_listed() -> None:
    invariants, faults = TEXT.split("## Faults")
    assert _numbers(invariants) == list(range(1, 25))
    assert _numbers(faults) == list(range(1, 71))


def _numbers(part: str) -> list[int]:
    found: list[int] = []
    for cell in re.findall(r"^\| ([\d,– ]+) \|", part, re.MULTILINE):
        for piece in cell.split(","):
            first, _, last = piece.strip().partition("–")
            found += range(int(first), int(last or first) + 1)
    return sorted(found)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[^`]+)`", TEXT))))
def test_every_test_that_is_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("law", sorted(set(re.findall(r"`laws\.(_\w+)`", TEXT))))
def test_every_law_that_is_named_is_held(law: str) -> None:
    assert getattr(laws, law) in laws.LAWS


def test_every_fault_that_is_named_happens() -> None:
    named = set(re.findall(r"\*sim\* `([^`]+)`", TEXT))
    seeds = iter(range(1, SEEDS + 1))
    missing = set(named)
    while missing and (seed := next(seeds, None)):
        missing -= live(seed).faults.keys()
    assert not missing
    assert len(named) > 30

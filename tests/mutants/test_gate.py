"""Each safeguard is taken out of a copy of the product, by its line in `mutants.py`: its test turns red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mutants.mutants import MUTANTS, NINE, Mutant

ROOT = Path(__file__).parents[2]
#: Not needed by any of the tests, and large.
LEFT_OUT = shutil.ignore_patterns("node_modules", "dist", "__pycache__", "web", "bench", "e2e", "mutants")
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mutant | None, str], int]:
    """Run a test in a copy of the tree, with or without a safeguard; pytest's exit code."""
    root = tmp_path_factory.mktemp("product")
    for folder in ("common", "edge", "cloud", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=LEFT_OUT)
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    changes = 0

    def run(mutant: Mutant | None, test: str) -> int:
        nonlocal changes
        environ = {**os.environ, "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", test]
        file = root / mutant.file if mutant else None
        whole = file.read_text() if file else ""
        try:
            if file and mutant:
                changes += 1
                file.write_text(whole.replace(mutant.before, mutant.after))
                os.utime(file, (changes, changes))  # its compiled form must be of this text
            done = subprocess.run(command, cwd=root, env=environ, capture_output=True, timeout=PATIENCE_S)
        finally:
            if file:
                file.write_text(whole)
        return done.returncode

    return run


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.safeguard)
def test_without_it_its_test_is_red(mutant: Mutant, copy: Callable[[Mutant | None, str], int]) -> None:
    assert copy(mutant, mutant.test) == 1, "1: a test failed; 0: nobody noticed; else it did not even run"


def test_with_all_of_them_the_same_tests_are_green(copy: Callable[[Mutant | None, str], int]) -> None:
    """Else the copy itself would be what is red."""
    assert copy(None, next(m.test for m in MUTANTS if m.test.startswith("tests/sync"))) == 0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.safeguard)
def test_the_line_is_where_it_is_said_to_be(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.before) == 1
    assert (ROOT / mutant.test.partition("::")[0]).exists()


@pytest.mark.parametrize("name", NINE)
def test_each_of_the_nine_has_its_mutant(name: str) -> None:
    assert any(mutant.safeguard.startswith(name) for mutant in MUTANTS)

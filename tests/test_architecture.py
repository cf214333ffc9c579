"""The house rules that a reviewer need not watch: ceilings, imports, top level, citations, pins.

An exception to a ceiling stands here, with its reason.
"""

import ast
import logging
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports
from packaging.requirements import Requirement
from packaging.version import Version

from tests.needs import find_tool, needs

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("common", "edge", "cloud")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

# path -> reason
LONG_FILES: dict[str, str] = {
    "common/web/src/client/generated.ts": "made by tests.tools.app_types, not written by hand",
}
# (path, function) -> reason
LONG_FUNCTIONS: dict[tuple[str, str], str] = {}

FOLDERS = {"edge", "cloud", "common", "systemd", "tests"}
FILES = {"pyproject.toml", "Makefile", "LICENSE"}
DOCUMENTS = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}

# Put together from pieces, so that this file does not hold what it looks for.
INDEX_HOSTS = tuple(".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org")))
MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("work", "root"))

# `design §2.3`, `design §7, §8`; `quirk 5`, `quirks 41 and 42`, `quirks 43–49`.
DESIGN = re.compile(r"\bdesign,? (§[\d.]+(?:(?:,| and) §[\d.]+)*)", re.IGNORECASE)
QUIRK = re.compile(r"\bquirks? (\d[\d–]*(?:(?:,| and) \d[\d–]*)*)", re.IGNORECASE)

pytestmark = needs("git")


@cache
def repository_files() -> tuple[Path, ...]:
    """What git tracks or would track, relative to the root."""
    # A clone that belongs to somebody else (a CI's checkout) is no reason to know nothing about it.
    git = [find_tool("git") or "git", "-c", "safe.directory=*"]
    listing = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    paths = (Path(name) for name in listing.stdout.split("\0") if name)
    return tuple(sorted({path for path in paths if (ROOT / path).is_file()}))


def sources(*suffixes: str) -> list[Path]:
    """The hand-written files of the product with one of these suffixes."""
    return [path for path in repository_files() if path.parts[0] in PACKAGES and path.suffix in suffixes]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, nested ones and methods included."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_file_is_longer_than_its_ceiling() -> None:
    lengths = {
        path.as_posix(): len((ROOT / path).read_text().splitlines())
        for path in sources(".py", ".ts", ".tsx", ".css", ".sql")
    }
    assert lengths, "found no source file"
    too_long = {path: length for path, length in lengths.items() if length > MAX_FILE_LINES}
    assert {path: length for path, length in too_long.items() if path not in LONG_FILES} == {}
    assert LONG_FILES.keys() <= too_long.keys(), "an exception that is no longer needed"


def test_no_function_is_longer_than_its_ceiling() -> None:
    too_long = {
        (path.as_posix(), function.name): length
        for path in sources(".py")
        for function in functions(ast.parse((ROOT / path).read_text()))
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert {key: length for key, length in too_long.items() if key not in LONG_FUNCTIONS} == {}
    assert LONG_FUNCTIONS.keys() <= too_long.keys(), "an exception that is no longer needed"


def test_every_module_says_what_it_is_for() -> None:
    # An empty __init__.py only makes a folder a package.
    texts = {path.as_posix(): (ROOT / path).read_text() for path in sources(".py")}
    assert [
        path for path, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))
    ] == []


def test_the_top_level_holds_only_what_is_agreed() -> None:
    top = {path.parts[0]: len(path.parts) > 1 for path in repository_files()}
    unexpected = [
        name
        for name, is_folder in top.items()
        if not name.startswith(".")
        and not (name in FOLDERS if is_folder else name in FILES | DOCUMENTS)
        and not re.fullmatch(r"requirements(-\w+)?\.txt", name)
    ]
    assert unexpected == []


def test_no_file_names_a_package_index_or_a_place_on_one_machine() -> None:
    words = [*map(re.escape, INDEX_HOSTS), *(rf"(?<![\w.\-]){path}" for path in MACHINE_PATHS)]
    forbidden = re.compile("|".join([*words, rf"{re.escape(str(ROOT))}\b"]).encode())
    found = {
        f"{path}: {match.group().decode()}"
        for path in repository_files()
        if (match := forbidden.search((ROOT / path).read_bytes()))
    }
    assert found == set()


def prose() -> Iterator[tuple[str, str]]:
    """Every file of the repository but this one, on one line: a line's end may break a citation."""
    for path in repository_files():
        if path == Path(__file__).relative_to(ROOT):
            continue
        text = (ROOT / path).read_bytes().decode(errors="replace")
        yield path.as_posix(), re.sub(r"\s*\n\s*(?:#:?\s+)?", " ", text)


def dead_citations(cited: re.Pattern[str], known: set[str]) -> set[str]:
    """What is cited and not known. A range (43–49) cites its two ends and all between."""
    dead = set()
    for path, text in prose():
        for match in cited.finditer(text):
            for first, last in re.findall(r"(\d+(?:\.\d+)?)(?:–(\d+))?", match.group(1)):
                numbers = map(str, range(int(first), int(last) + 1)) if last else (first,)
                dead |= {f"{path}: {number}" for number in numbers if number not in known}
    return dead


def test_no_file_cites_a_document_that_is_not_here() -> None:
    here = ["/" + path.as_posix() for path in repository_files() if path.suffix == ".md"]
    dead = {
        f"{path}: {name}"
        for path, text in prose()
        for word in re.sub(r"https?://\S+", "", text).split()
        if ".md" in word
        for name in re.findall(r"\w[\w-]*(?:/[\w-]+)*\.md\b", word)
        if not any(document.endswith(f"/{name}") for document in here)
    }
    assert dead == set()


def test_what_is_cited_by_number_can_be_looked_up() -> None:
    design = (ROOT / "ARCHITECTURE.md").read_text()
    sections = set(re.findall(r"^(?:### |\d+\. )§(\d+(?:\.\d+)?)\b", design, flags=re.MULTILINE))
    assert len(sections) > 14, "found no numbered design"
    assert dead_citations(DESIGN, sections) == set()

    quirks = (ROOT / "edge/chargers/QUIRKS.md").read_text()
    rows = re.findall(r"^\| (\d+) \|", quirks, flags=re.MULTILINE)
    assert rows, "found no quirk"
    assert len(rows) == len(set(rows)), "a number stands for two"
    assert dead_citations(QUIRK, set(rows)) == set()


def test_the_import_contracts_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    loggers = [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    enabled = [one for one in loggers if not one.disabled]
    try:
        exit_code = lint_imports(config_filename="pyproject.toml", no_cache=True)
    finally:  # its logging configuration silences everybody else's, for the tests after this one
        for one in enabled:
            one.disabled = False
    assert exit_code == os.EX_OK, capsys.readouterr().out


def test_the_core_knows_only_common_and_itself() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    core = {"edge.core"} | graph.find_descendants("edge.core")
    outward = {
        f"{module} imports {imported}"
        for module in core
        for imported in graph.find_modules_directly_imported_by(module) - core
        if imported.split(".")[0] != "common"
    }
    assert outward == set()


def pins(name: str) -> dict[str, Version]:
    """The pinned versions of a requirements file, by package; fails on a pin without a hash."""
    text = re.sub(r"^ *#.*\n?", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    found = {}
    for line in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split(" --hash=sha256:")
        pin = Requirement(requirement.strip())
        assert hashes, f"{name}: {pin} has no hash"
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest.strip()) for digest in hashes), f"{name}: {pin}"
        found[pin.name] = Version(str(pin.specifier).removeprefix("=="))
    return found


def test_requirements_are_pinned_by_hash_and_in_step_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    base = project["project"]["dependencies"]
    extras = project["project"]["optional-dependencies"]
    declared = {
        "requirements.txt": base,
        "requirements-edge.txt": base + extras["edge"],
        "requirements-cloud.txt": base + extras["cloud"],
        "requirements-dev.txt": base
        + extras["edge"]
        + extras["cloud"]
        + project["dependency-groups"]["dev"]
        + project["build-system"]["requires"],
    }
    everything = pins("requirements-dev.txt")
    for name, requirements in declared.items():
        pinned = pins(name)
        for requirement in map(Requirement, requirements):
            assert pinned[requirement.name] in requirement.specifier, f"{name}: run make requirements"
        assert pinned.items() <= everything.items(), f"{name} differs from requirements-dev.txt"

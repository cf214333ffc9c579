"""Reads a trace: the head that says what it is, and the steps that show it. The format is in README.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Where the traces stand, one file an entry.
HERE = Path(__file__).parent
#: The catalogue's entries are numbered from 1 to this.
LAST = 111

_NAME = re.compile(r"q(\d{3})_[a-z0-9_]+\.(trace|py)")
_HEAD = re.compile(r"([a-z]+(?: [A-Za-z]+)?):\s*(.*)")
_TALK = re.compile(r"(\w*)([<>])\s*(.*)", re.DOTALL)
_OTHER = re.compile(r"(\w):([a-z]+)\b\s*(.*)", re.DOTALL)
PROVENANCES = ("recorded", "built from the report")


class BadTrace(Exception):  # noqa: N818 - names what is wrong with a file, for the person who writes it
    """A trace that cannot be read; the text tells the file, the line and what to do."""


@dataclass(frozen=True)
class Step:
    """One line of a trace, continued lines joined. `line` is its number; `link` the charger's connection."""

    line: int
    verb: str
    rest: str
    link: str = "a"

    def __str__(self) -> str:
        return f"line {self.line}: {self.verb} {self.rest[:200]}"


@dataclass(frozen=True)
class Trace:
    """One entry of the catalogue."""

    path: Path
    number: int
    title: str
    source: str
    provenance: str
    protocol: str = "1.6"
    on: str = "memory"  #: `memory`: time is virtual; `socket`: a real listener on loopback, real time
    adopted: tuple[str, ...] = ("CP1",)
    answers: dict[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    @property
    def id(self) -> str:
        """The test's id: number, title, and whether somebody recorded it."""
        return f"{self.number:03d} {self.title}"


def number_of(path: Path) -> int:
    """The entry that a file shows, by its name."""
    named = _NAME.fullmatch(path.name)
    if named is None or not 1 <= int(named[1]) <= LAST:
        raise BadTrace(f"{path.name}: name it q007_what_it_does.trace, with a number from 1 to {LAST}")
    return int(named[1])


def files() -> list[Path]:
    """Every entry's file, in order."""
    return sorted(path for path in HERE.iterdir() if path.name.startswith("q") and path.suffix in _SUFFIXES)


_SUFFIXES = (".trace", ".py")


def read(path: Path) -> Trace:
    """Read one file. Raises BadTrace."""
    text = path.read_text(encoding="utf-8")
    head: dict[str, str] = {}
    answers: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if line.startswith("#"):
            continue
        if not line.strip():
            break
        found = _HEAD.fullmatch(line)
        if found is None:
            raise BadTrace(f"{path.name}:{number}: the head has lines like `title: ...`, then an empty line")
        key, value = found[1], found[2].strip()
        if key.startswith("answer "):
            answers[key.removeprefix("answer ")] = value
        else:
            head[key] = value
    return _made(path, head, answers, tuple(_steps(path, lines)))


def _made(path: Path, head: dict[str, str], answers: dict[str, str], steps: tuple[Step, ...]) -> Trace:
    known = {"title", "source", "trace", "protocol", "on", "adopted"}
    missing, strange = {"title", "source", "trace"} - head.keys(), head.keys() - known
    if missing or strange:
        raise BadTrace(f"{path.name}: the head lacks {sorted(missing)}, and does not know {sorted(strange)}")
    if head["trace"] not in PROVENANCES:
        raise BadTrace(f"{path.name}: `trace:` is one of {', '.join(PROVENANCES)}")
    return Trace(
        path=path,
        number=number_of(path),
        title=head["title"],
        source=head["source"],
        provenance=head["trace"],
        protocol=head.get("protocol", "1.6"),
        on=head.get("on", "memory"),
        adopted=tuple(head.get("adopted", "CP1").replace("nobody", "").split()),
        answers=answers,
        steps=steps,
    )


def _steps(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[Step]:
    held: list[str] = []
    begun = 0
    for number, line in lines:
        if line.startswith((" ", "\t")) and held:
            held.append(line.strip(" \t"))
            continue
        if held:
            yield _step(begun, "\n".join(held))
            held = []
        if line.strip() and not line.startswith("#"):
            if line.startswith((" ", "\t")):
                raise BadTrace(f"{path.name}:{number}: an indented line continues the step above it")
            held, begun = [line.rstrip("\n")], number
    if held:
        yield _step(begun, "\n".join(held))


def _step(line: int, text: str) -> Step:
    talk = _TALK.fullmatch(text)
    if talk is not None:
        return Step(line, talk[2], talk[3].strip(), talk[1] or "a")
    other = _OTHER.fullmatch(text)
    if other is not None:
        return Step(line, other[2], other[3].strip(), other[1])
    verb, _, rest = text.partition(" ")
    return Step(line, verb, rest.strip())

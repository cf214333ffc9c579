"""What every bench is given: where to write, how long to take, and how rounds are interleaved."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

V = TypeVar("V")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` is on the disk under test. `quick`: a look, not a measurement."""

    folder: Path
    quick: bool = False

    def fresh(self, name: str) -> Path:
        """A new empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3

    def count(self, full: int) -> int:
        """So many samples a round."""
        return max(10, full // 5) if self.quick else full

    def seconds(self, full: float) -> float:
        """So long a round."""
        return full / 4 if self.quick else full


def interleaved(variants: Sequence[V], rounds: int) -> Iterator[tuple[int, V]]:
    """Every variant once a round, in another order each round."""
    for number in range(rounds):
        shift = number % len(variants)
        for variant in (*variants[shift:], *variants[:shift]):
            yield number, variant

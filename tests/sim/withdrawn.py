"""When the box knew that a right was withdrawn: by what lies on its card, not by what its code believes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from common import trust


class _Document(msgspec.Struct):
    lists: list[str]


class Withdrawn:
    """One right's end. whole: everything of a principal, not only one of its keys."""

    def __init__(self, entry: str, at_ms: int, *, whole: bool) -> None:
        self.entry, self.at_ms, self.whole = entry, at_ms, whole
        self.known: list[tuple[int, int | None]] = []  #: from when to when the card said so, virtual ms

    def kept(self, files: Mapping[str, bytes], now_ms: int) -> None:
        """The folder of the box's keys is another one now."""
        named, knew = self._named(files), self.knows
        if named and not knew:
            self.known.append((now_ms, None))
        elif knew and not named:
            since_ms, _ = self.known.pop()
            self.known.append((since_ms, now_ms))

    def _named(self, files: Mapping[str, bytes]) -> bool:
        text = files.get("revocations.json")
        lists = msgspec.json.decode(text, type=_Document).lists if text is not None else ()
        return any(trust.entry_hash(self.entry) in trust.kept_list(one).entries for one in lists)

    @property
    def knows(self) -> bool:
        """Whether the box knows now."""
        return bool(self.known) and self.known[-1][1] is None

    def at(self, then_ms: int) -> bool:
        """Whether it knew then; not yet in the very ms in which it was told."""
        return any(since < then_ms and (until is None or then_ms <= until) for since, until in self.known)

    def throughout(self, from_ms: int, to_ms: int) -> bool:
        """Whether it knew all that time."""
        return any(since < from_ms and (until is None or to_ms <= until) for since, until in self.known)

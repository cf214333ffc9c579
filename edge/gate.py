"""The output gate: what is said waits here until the disk holds what it depends on (design §2, §5).

The gateway hands every output over with the seq that it depends on; the journal's commits open the gate in
that order. `Watchers` knows which app links hear of a command's stages.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from edge.core.inputs import CommandReply

log = logging.getLogger("plugside.gateway")

T = TypeVar("T")
Release = Callable[[], None]
Progress = Callable[[CommandReply], None]
#: A command's id, and who has sent it just now: its stored stages are told to them alone.
Asked = tuple[str, Progress]

#: Behind these stages nothing more comes.
ENDS = ("refused", "settled")


def hand(receiver: Callable[[T], None], output: T) -> None:
    """Hand one output over. One receiver's fault must not keep the others from theirs."""
    try:
        receiver(output)
    except Exception:
        log.exception("an output could not be handed over")


def _run(release: Release) -> None:
    try:
        release()
    except Exception:
        log.exception("an output could not be handed over")


class Gate:
    """Outputs in the order of the seq that they wait for. Bounded by the gateway, which asks `len`."""

    def __init__(self) -> None:
        self._held: deque[tuple[int, Release]] = deque()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, seq: int, committed_seq: int, release: Release) -> None:
        """Release once `seq` is on disk (`committed_seq` is), after everything held before."""
        if not self._held and seq <= committed_seq:
            _run(release)
        else:
            self._held.append((seq, release))

    def open_to(self, seq: int) -> None:
        """Everything up to `seq` is on disk."""
        held = self._held
        while held and held[0][0] <= seq:
            _run(held.popleft()[1])

    def open(self) -> None:
        """Everything that was held is on disk, whatever its number."""
        while self._held:
            _run(self._held.popleft()[1])

    def clear(self) -> None:
        """Nothing that is held may be said any more."""
        self._held.clear()


class Watchers:
    """Who hears of which command."""

    def __init__(self) -> None:
        self._by_command: dict[str, list[Progress]] = {}

    def __len__(self) -> int:
        return len(self._by_command)

    def add(self, command_id: str, progress: Progress) -> None:
        """Tell `progress` of every later stage, once: who repeats a command on one link stays one watcher."""
        watchers = self._by_command.setdefault(command_id, [])
        if progress not in watchers:
            watchers.append(progress)

    def leave(self, progress: Progress) -> None:
        """The app link behind `progress` is gone."""
        for command_id, watchers in list(self._by_command.items()):
            if progress in watchers:
                watchers.remove(progress)
            if not watchers:
                del self._by_command[command_id]

    def of(self, step: CommandReply, asked: Asked | None) -> Sequence[Progress]:
        """Who is told of a stage: who asked just now, else all who watch that command.

        To be settled when the stage is decided, not when it is told: who comes meanwhile gets the stored one.
        """
        if asked is not None and asked[0] == step.id:
            return (asked[1],)
        if step.stage in ENDS:
            return self._by_command.pop(step.id, ())
        return tuple(self._by_command.get(step.id, ()))

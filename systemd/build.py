"""When a wheel is built, the time of it goes in (`common/built.txt`, UTC in ms): a box without a battery that
was never told the time begins there. `common/clock.py` reads it; a checkout has none.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Built(BuildHookInterface):  # type: ignore[type-arg]
    """Writes the file, by SOURCE_DATE_EPOCH where a build is to be the same each time."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See the module."""
        if version == "editable":
            return
        told = os.environ.get("SOURCE_DATE_EPOCH")
        built_ms = int(told) * 1000 if told else time.time_ns() // 1_000_000
        file = Path(self.directory) / "built.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{built_ms}\n")
        build_data["force_include"][str(file)] = "common/built.txt"

    def finalize(self, *_: Any) -> None:
        """Leave nothing beside the wheel."""
        (Path(self.directory) / "built.txt").unlink(missing_ok=True)

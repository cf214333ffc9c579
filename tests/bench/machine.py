"""The machine that was measured, as the first lines say it: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PAGE = 4096
_PAGES = 256


def fdatasync_us(folder: Path, seconds: float = 0.3) -> list[float]:
    """How long each fdatasync of one page took, in µs: the floor of every durable write on this disk."""
    path = folder / "fdatasync"
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    took: list[float] = []
    try:
        os.pwrite(fd, bytes(_PAGE * _PAGES), 0)
        os.fsync(fd)
        page, until = os.urandom(_PAGE), time.perf_counter() + seconds
        while time.perf_counter() < until:
            os.pwrite(fd, page, len(took) % _PAGES * _PAGE)
            before = time.perf_counter_ns()
            os.fdatasync(fd)
            took.append((time.perf_counter_ns() - before) / 1000)
    finally:
        os.close(fd)
        path.unlink()
    return took


def describe(folder: Path) -> dict[str, Any]:
    """Cores, versions and the disk under `folder`."""
    took = fdatasync_us(folder)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "uvloop": version("uvloop"),
        "websockets": version("websockets"),
        "ocpp": version("ocpp"),
        "fdatasync_us": round(statistics.median(took), 1),
        "fdatasync_per_s": round(len(took) * 1e6 / sum(took)),
    }


def lines(about: dict[str, Any]) -> str:
    """What `describe` found, for a person."""
    return (
        f"{about['cores']} cores ({about['machine']}), load {about['load']}; Python {about['python']}, "
        f"uvloop {about['uvloop']}, websockets {about['websockets']}, ocpp {about['ocpp']}\n"
        f"disk: fdatasync of a page {about['fdatasync_us']:.0f} µs, {about['fdatasync_per_s']:,} a second"
    )

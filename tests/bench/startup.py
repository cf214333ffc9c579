"""How soon the edge is there and what it takes: imports in fresh processes, memory with 20 chargers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from tests.bench.box import Box
from tests.bench.context import Context
from tests.bench.figures import Budget, Row, latency, middle
from tests.bench.processes import ROOT
from tests.bench.traffic import open_all

#: What `plugside-edge run` imports, settings included.
EDGE = "edge.cli.main, edge.cli.run"
CHARGERS = 20
PROCESSES = 9
#: Design §13: ms, MiB.
IMPORT_MS = 250
RSS_MIB = 80

_CLOCKED = "import time; t = time.perf_counter(); import {}; print((time.perf_counter() - t) * 1000)"


def _import_ms(what: str, compiled: Path) -> float:
    # Compiled as an installed edge is, whatever this machine's settings for Python say.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", _CLOCKED.format(what)],
        cwd=ROOT,
        env=env | {"PYTHONPYCACHEPREFIX": str(compiled)},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


async def _connect(box: Box) -> float:
    chargers = await open_all(box.ocpp_port, [f"BAY{number:02d}" for number in range(CHARGERS)])
    rss_mib = box.rss() / 2**20
    for charger in chargers:
        charger.close()
    return rss_mib


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    compiled = context.fresh("compiled")
    for what in (EDGE, "asyncio"):
        _import_ms(what, compiled)  # compiled now and in the page cache
    count = 3 if context.quick else PROCESSES
    edge: list[float] = []
    bare: list[float] = []
    for _ in range(count):
        edge.append(_import_ms(EDGE, compiled))
        bare.append(_import_ms("asyncio", compiled))
    rss: list[float] = []
    for number in range(context.rounds):
        with Box(context.fresh(f"startup-{number}") / "box") as box:
            rss.append(uvloop.run(_connect(box)))
    return [
        Row(
            bench="startup",
            what="the edge's imports",
            unit="ms",
            ours=latency([edge]),
            compared="asyncio alone",
            other=latency([bare]),
            budget=Budget("p50", IMPORT_MS),
        ),
        Row(
            bench="startup",
            what=f"resident with {CHARGERS} chargers",
            unit="MiB",
            ours=middle(rss),
            budget=Budget("p50", RSS_MIB),
        ),
    ]

"""What an installer does to a charger from the command line, and what each act says came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.clock import SystemClock, SystemIds
from common.errors import PlugsideError
from edge.cli.local import HANDLERS
from edge.cli.main import parser
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger
from edge.site import Site
from tests.box.support import eventually
from tests.box.test_site import serving, settings


@asynccontextmanager
async def charging(folder: Path) -> AsyncIterator[SimulatedCharger]:
    """A box, and a charger at it that has told its connector."""
    site = Site(settings(folder))
    async with serving(site), asyncio.TaskGroup() as tasks:
        clock, ids = SystemClock(), SystemIds()
        charger = SimulatedCharger(site.ocpp_url.rstrip("/"), "CP1", clock=clock, ids=ids, sample_s=0.02)
        life = tasks.create_task(charger.run())
        await eventually(lambda: site.gateway.state.look("CP1").places, "its connector")
        yield charger
        life.cancel()


class Laptop:
    """Types, and reads what was said."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    async def __call__(self, *words: str) -> tuple[int, Any]:
        args = parser().parse_args(["chargers", *words, "--data", str(self._folder)])
        args.json = getattr(args, "json", False)
        code = await HANDLERS[f"chargers_{args.action}"](args)
        out = self._capsys.readouterr().out
        return code, json.loads(out) if args.json else out.strip()


@pytest.fixture
def types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Laptop:
    return Laptop(tmp_path, capsys)


async def test_a_charge_from_the_laptop(tmp_path: Path, types: Laptop) -> None:
    async with charging(tmp_path) as charger:
        with pytest.raises(PlugsideError, match="nothing is being charged"):
            await types("stop", "CP1")
        charger.plug_in(Car())
        assert await types("start", "CP1") == (0, "CP1 charges.")
        assert charger.transaction is not None
        with pytest.raises(PlugsideError) as refused:
            await types("stop", "CP2")
        assert refused.value.code == "unknown_charger"
        with pytest.raises(PlugsideError, match="would end its charge"):
            await types("unlock", "CP1")
        assert charger.transaction is not None
        assert await types("stop", "CP1") == (0, "The charge has ended.")
        assert charger.transaction is None


async def test_out_of_service_and_in_again(tmp_path: Path, types: Laptop) -> None:
    async with charging(tmp_path):
        code, told = await types("availability", "CP1", "out", "--json")
        assert (code, told["outcome"]) == (0, "succeeded")
        assert await types("availability", "CP1", "in") == (0, "CP1 is in service.")


async def test_settings_are_read_and_written(tmp_path: Path, types: Laptop) -> None:
    async with charging(tmp_path):
        code, text = await types("settings", "CP1")
        assert code == 0
        assert "HeartbeatInterval" in text
        code, told = await types("settings", "CP1", "Nonsense", "--json")
        assert (code, told["unknown"]) == (0, ["Nonsense"])
        assert (await types("settings", "CP1", "MeterValueSampleInterval", "17"))[0] == 0
        _, told = await types("settings", "CP1", "MeterValueSampleInterval", "--json")
        assert told["values"]["MeterValueSampleInterval"]["value"] == "17"


async def test_what_a_charger_declines_is_no_success(tmp_path: Path, types: Laptop) -> None:
    async with charging(tmp_path):
        assert (await types("clear-cache", "CP1"))[0] == 0
        assert (await types("message", "CP1", "ACME", "hello", "--text", "x"))[0] == 1
        code, told = await types("reset", "CP1", "--json")
        assert code == 1
        assert told["code"]

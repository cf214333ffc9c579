"""The installer's limit in the whole box: the command line, a charger that keeps profiles, its meter."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from common import facts
from common.clock import SystemClock, SystemIds
from edge.cli.local import HANDLERS
from edge.cli.main import parser
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger
from edge.site import Site
from tests.box.support import eventually
from tests.box.test_site import serving, settings


async def run(data: Path, *words: str) -> int:
    args = parser().parse_args(["chargers", *words, "--data", str(data)])
    args.json = getattr(args, "json", False)
    return await HANDLERS[f"chargers_{args.action}"](args)


async def test_the_safety_limit_from_the_command_line_to_the_cable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path))
    async with serving(site):
        base = site.ocpp_url.rstrip("/")
        charger = SimulatedCharger(base, "CP1", clock=SystemClock(), ids=SystemIds(), sample_s=0.02)
        async with asyncio.TaskGroup() as tasks:
            life = tasks.create_task(charger.run())
            await eventually(lambda: "CP1" in site.gateway.state.view.chargers, "the charger")
            await eventually(lambda: site.gateway.state.look("CP1").places, "its connector")
            assert await run(tmp_path, "limit", "CP1", "--amps", "10") == 0
            assert "connector 1: at most 10 A\n" in capsys.readouterr().out
            charger.plug_in(Car())
            charger.tap("CARD")
            await eventually(lambda: charger.finished or charger.power_w, "power, or a refusal")
            assert charger.power_w <= 10 * 230 * 3
            assert charger.offered_a == 10
            assert await run(tmp_path, "limit", "CP1", "--json") == 0
            told = json.loads(capsys.readouterr().out)
            assert (told["safety_a"], told["proven"]) == (10, True)
            assert await run(tmp_path, "trait", "CP1", "below_minimum", "pauses") == 0
            assert await run(tmp_path, "limit", "CP1", "--clear") == 0
            assert "no safety limit" in capsys.readouterr().out
            assert charger.offered_a == 16
            life.cancel()
    state = site.gateway.state
    assert state.look("CP1").tuning.traits.below_minimum == "pauses"


async def test_a_limit_for_a_charger_that_is_away_is_said_to_be_unproven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path))
    async with serving(site):
        await site.gateway.written(facts.ChargerAdopted(charger="CP1"))
        assert await run(tmp_path, "limit", "CP1", "--amps", "16") == 1
        told = capsys.readouterr().out
        assert "16 A" in told
        assert "before any start" in told

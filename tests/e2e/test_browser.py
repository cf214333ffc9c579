"""A page from https://app.example in this machine's browsers, joined by an invite, with no cloud running.

The page reaches the box by WebTransport, pinned to its certificate; it starts and ends a charge at a charger
that we did not write. Client: `tests/browsers/client.js`, written from the protocol's page alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.browsers.firefox import firefox
from tests.browsers.pages import APP, PageServer, chromium
from tests.e2e.chargers import PackageCharger
from tests.e2e.place import Place, place
from tests.needs import needs

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A box that was taken in by a cloud which has been stopped since."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PLUGSIDE_EDGE_APP_ORIGINS", APP)
        async with place(tmp_path_factory.mktemp("p"), cloud=True) as here:
            await here.adopt("CP1")
            await here.cloud.stop()
            yield here


@pytest_asyncio.fixture(loop_scope="module")
async def charger(home: Place) -> AsyncIterator[PackageCharger]:
    plugged = PackageCharger(home.url, "CP1")
    plugged.plugged = True
    async with plugged:
        await plugged.until(lambda: plugged.online)
        yield plugged


def ends(said: list[dict[str, Any]]) -> list[str]:
    return [message["kind"] for message in said] + [said[-1].get("outcome", said[-1].get("code"))]


async def begun(charger: PackageCharger) -> None:
    """Wait until the charger has heard the number of its transaction: before, it can end none."""
    await charger.until(lambda: (charger.transaction or -1) > 0)


SUCCEEDS = ["accepted", "confirmed", "settled", "succeeded"]


@needs("chromium")
async def test_a_charge_from_a_page_in_chromium_with_the_cloud_stopped(
    home: Place, charger: PackageCharger, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("b")
    async with PageServer(folder) as server, chromium(server, folder) as browser:
        page = await browser.new_page()
        await page.goto(APP)
        assert await page.evaluate("[isSecureContext, location.origin]") == [True, APP]
        invite = await home.invite("CP1")
        await page.evaluate("async text => { globalThis.joined = await join(text) }", invite)
        # A phone comes back: only what it was told is pinned now.
        await page.evaluate("async () => { globalThis.joined = await reopen(joined) }")
        started = await page.evaluate("command(joined, 'start', 'CP1')")
        assert ends(started) == SUCCEEDS
        await begun(charger)
        charger.draw(500)
        stopped = await page.evaluate(
            "session => command(joined, 'stop', 'CP1', { session })", started[-1]["session"]
        )
        assert ends(stopped) == SUCCEEDS
    row = (await home.sessions("CP1"))[-1]
    assert (row["session"], row["energy_wh"]) == (started[-1]["session"], 500)


@needs("firefox-esr")
async def test_a_charge_from_a_page_in_firefox_with_the_cloud_stopped(
    home: Place, charger: PackageCharger, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("b")
    async with PageServer(folder) as server, firefox(server, folder) as page:
        await page.goto(APP)
        assert await page.evaluate("[isSecureContext, location.origin]") == [True, APP]
        invite = json.dumps(await home.invite("CP1"))
        await page.evaluate(f"join({invite}).then(told => {{ globalThis.joined = told; return 1 }})")
        await page.evaluate("reopen(joined).then(told => { globalThis.joined = told; return 1 })")
        started = await page.evaluate("command(joined, 'start', 'CP1')")
        assert ends(started) == SUCCEEDS
        await begun(charger)
        session = json.dumps({"session": started[-1]["session"]})
        assert ends(await page.evaluate(f"command(joined, 'stop', 'CP1', {session})")) == SUCCEEDS

"""Group 39: the permission for the local network in a real Chromium: not asked, denied, granted, taken back.

The page is marked public and the box local, as they are in life; on loopback both would be the same.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.attacks.stand import stand
from tests.browsers.pages import APP, PageServer, chromium
from tests.needs import needs

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs("chromium")]

DIAL = """async ([url, pins]) => {
  const state = (await navigator.permissions.query({ name: "local-network" })).state;
  try { const link = await dial(url, pins); link.transport.close(); return [state, "open"]; }
  catch (error) { return [state, "refused"]; }
}"""


async def set_permission(page: Page, setting: str) -> None:
    driven = await page.context.new_cdp_session(page)
    given = {"permission": {"name": "local-network"}, "setting": setting, "origin": APP}
    await driven.send("Browser.setPermission", given)


async def test_without_the_permission_a_page_is_told_at_once_and_with_it_the_box_is_reached(
    pages: PageServer, tmp_path: Path
) -> None:
    async with AsyncExitStack() as opened:
        here = await opened.enter_async_context(stand(tmp_path))
        spaces = f"--ip-address-space-overrides=127.0.0.1:{pages.port}=public,127.0.0.1:{here.port}=local"
        browser = await opened.enter_async_context(chromium(pages, tmp_path, spaces))
        page = await browser.new_page()
        await page.goto(APP)
        given = [here.link_url, list(here.site.authority.certificates[:2])]
        # A prompt that nobody answers: no hanging, so that the app can go by the cloud and say why.
        assert await page.evaluate(DIAL, given) == ["prompt", "refused"]
        for setting, result in (("denied", "refused"), ("granted", "open"), ("denied", "refused")):
            await set_permission(page, setting)
            assert await page.evaluate(DIAL, given) == [setting, result]
        assert await here.commands() == 0

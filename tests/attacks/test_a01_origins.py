"""Group 1: pages of origins that are not the app's open links to the box, by either transport."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Page
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from common.link.tls import pinned_context
from tests.applink.browser import browsing, connect_headers
from tests.attacks.stand import Stand
from tests.browsers.pages import APP
from tests.needs import needs

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOREIGN = [
    "https://evil.example",
    "null",
    "https://app.example.evil.example",
    "https://app.example:8443",
    "HTTPS://APP.EXAMPLE",
    "https://app.example.",
    "http://app.example",
    "https://evil.example https://app.example",
    "",
]
DIAL = """async ([url, pins]) => {
  try { const link = await dial(url, pins); await link.say({ kind: "hello" }); return "open"; }
  catch (error) { return "refused"; }
}"""


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_websocket_from_there_gets_403(here: Stand, origin: str) -> None:
    url = here.link_url.replace("https", "wss")
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, ssl=pinned_context(), proxy=None, additional_headers={"Origin": origin})
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_webtransport_session_from_there_gets_403(here: Stand, origin: str) -> None:
    async with browsing(here.port) as raw:
        _, answer = await raw.request(connect_headers(here.port, origin=origin.encode()))
        assert answer[b":status"] == b"403"


async def test_two_origins_at_once_are_none(here: Stand) -> None:
    url = here.link_url.replace("https", "wss")
    both = [("Origin", APP), ("Origin", "https://evil.example")]
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, ssl=pinned_context(), proxy=None, additional_headers=both)
    assert refused.value.response.status_code in (400, 403)


@needs("chromium")
@pytest.mark.parametrize("name", ["evil.example", "app.example.evil.example"])
async def test_a_foreign_page_in_chromium_gets_no_session(
    here: Stand, browser: BrowserContext, page: Page, name: str
) -> None:
    given = [here.link_url, list(here.site.authority.certificates[:2])]
    foreign = await browser.new_page()
    await foreign.goto(f"https://{name}/")
    assert await foreign.evaluate(DIAL, given) == "refused"
    await foreign.close()
    assert await page.evaluate(DIAL, given) == "open"
    assert await here.commands() == 0


@needs("chromium")
async def test_a_sandboxed_frame_of_the_apps_own_page_gets_no_session(here: Stand, page: Page) -> None:
    given = [here.link_url, list(here.site.authority.certificates[:2])]
    await page.evaluate(
        """() => new Promise((loaded) => {
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          frame.srcdoc = "<!doctype html><script src=https://app.example/client.js></script>";
          frame.onload = loaded;
          document.body.append(frame);
        })"""
    )
    frame = await (await page.wait_for_selector("iframe", state="attached")).content_frame()
    assert frame is not None
    await frame.wait_for_function("typeof dial === 'function'")
    assert await frame.evaluate("origin") == "null"
    assert await frame.evaluate(DIAL, given) == "refused"

"""Group 4: a secret in a page's address, and what a page of the app may be put into."""

from __future__ import annotations

import logging

import pytest
from playwright.async_api import BrowserContext

from common.trust import Invite
from tests.attacks.stand import Stand
from tests.browsers.pages import APP, PageServer
from tests.needs import needs

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs("chromium")]


async def test_a_foreign_page_has_nothing_of_the_boxs_page_in_a_frame(
    here: Stand, browser: BrowserContext
) -> None:
    """Also where the browser believes the box's certificate; opened by itself the page is there."""
    url = f"https://127.0.0.1:{here.port}/"
    evil = await browser.new_page()
    session = await browser.new_cdp_session(evil)
    await session.send("Security.setIgnoreCertificateErrors", {"ignore": True})
    opened = await evil.goto(url)
    assert opened is not None
    policy = opened.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert opened.headers["referrer-policy"] == "no-referrer"
    await evil.goto("https://evil.example/")
    await evil.evaluate(
        """url => new Promise((over) => {
          const frame = document.createElement("iframe");
          frame.src = url;
          frame.onload = over;
          document.body.append(frame);
        })""",
        url,
    )
    (frame,) = evil.frames[1:]
    shown = await frame.evaluate("location.href")
    assert shown == "chrome-error://chromewebdata/", "the browser shows its own page in its place"
    await evil.close()


async def test_an_invite_in_a_links_fragment_reaches_no_server_and_no_log(
    here: Stand, browser: BrowserContext, pages: PageServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    invite = here.invite()
    secret = Invite.from_text(invite).secret
    before = len(pages.asked)
    page = await browser.new_page()
    await page.goto(f"{APP}/#{invite}")
    await page.evaluate("join(location.hash.slice(1)).then(told => { globalThis.joined = told })")
    await page.evaluate("fetch('https://static.example/tell', { mode: 'no-cors' }).catch(() => {})")
    await page.goto("https://evil.example/")
    await page.close()
    seen = repr(pages.asked[before:])
    assert "app.example" in seen
    for told in (seen, caplog.text):
        assert secret not in told
        assert invite not in told

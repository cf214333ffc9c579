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

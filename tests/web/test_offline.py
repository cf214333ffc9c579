"""What is installed opens with no network: the service worker in a real Chromium, at the app of a cloud."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from tests.cloud.parts import running
from tests.needs import needs
from tests.tools import webapp
from tests.web.clientpage import chromium

pytestmark = [needs("chromium"), needs("vite")]

#: A page that has a service worker, whose cache is full.
KEPT = """async () => {
    const registration = await navigator.serviceWorker.ready;
    return registration.active !== null && (await caches.keys()).length === 1;
}"""


async def test_the_shell_opens_with_no_network_and_asks_nobody_else(tmp_path: Path) -> None:
    wrong = webapp.build()
    assert not wrong, wrong
    async with chromium(tmp_path) as browser:
        context = await browser.new_context()
        page = await context.new_page()
        asked: list[str] = []
        said: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        async with running(tmp_path / "cloud") as cloud:
            await page.goto(cloud.url)
            await expect(page.locator("#app > *").first).to_be_visible()
            await page.wait_for_function(KEPT)
            shown = await page.locator("#app").inner_text()
            origin = cloud.url
        # The cloud has ended. Another start of the same app:
        await page.goto(origin)
        await expect(page.locator("#app > *").first).to_be_visible()
        assert await page.locator("#app").inner_text() == shown
        assert await page.evaluate("navigator.serviceWorker.controller !== null")
        assert [url for url in asked if not url.startswith(origin)] == []
        # Chromium says that it does not know one of the words in the policy yet; that is no violation.
        assert [line for line in said if "violates" in line or "Refused" in line] == []
        await context.close()

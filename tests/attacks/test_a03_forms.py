"""Group 3: what a page can send without being asked: forms, simple requests, preflights."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext

from tests.attacks.stand import Stand, raw_https
from tests.attacks.test_a02_rebinding import status
from tests.needs import needs

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATHS = ["/", "/v1/link", "/v1/commands", "/v1/link?start=CP1"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_no_method_changes_anything_and_nothing_is_granted(here: Stand, method: str, path: str) -> None:
    seq = here.site.journal.last_seq
    body = b"command=start&charger=CP1"
    answer = await raw_https(
        here.port,
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n"
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"
        "Access-Control-Request-Private-Network: true\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body,
    )
    assert status(answer) not in range(200, 300)
    assert b"access-control-allow" not in answer.lower()
    assert here.site.journal.last_seq == seq


@needs("chromium")
async def test_a_page_whose_browser_believes_the_boxs_certificate_gets_no_further(
    here: Stand, browser: BrowserContext
) -> None:
    seq = here.site.journal.last_seq
    evil = await browser.new_page()
    await evil.goto("https://evil.example/")
    session = await browser.new_cdp_session(evil)
    await session.send("Security.setIgnoreCertificateErrors", {"ignore": True})
    url = f"https://127.0.0.1:{here.port}/v1/link"
    told = await evil.evaluate(
        """async (url) => {
          const tried = [];
          const asks = [
            { method: "POST", mode: "no-cors", body: new URLSearchParams({ command: "start" }) },
            { method: "POST", mode: "no-cors", body: "{}", headers: { "Content-Type": "text/plain" } },
            { method: "GET", mode: "cors" },
            { method: "PUT", mode: "cors", body: "{}", headers: { "Content-Type": "application/json" } },
          ];
          for (const ask of asks) {
            try { const got = await fetch(url, { credentials: "include", ...ask }); tried.push(got.type); }
            catch (error) { tried.push("failed"); }
          }
          return tried;
        }""",
        url,
    )
    await evil.close()
    # What went out without being asked about cannot be read; what must be asked about is not granted.
    assert all(kind in ("opaque", "failed") for kind in told)
    assert told[2:] == ["failed", "failed"]
    assert here.site.journal.last_seq == seq

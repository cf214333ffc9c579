"""The app in Chromium, its processor slowed six times: bytes, start, taps, how soon a change is painted.

    charger ── OCPP ──▶ box ── commit ── push ──▶ page      (the page's own thread alone is slowed)

Box, cloud and charger are processes and tasks as in the tests, on loopback; the page runs the production
build and its service worker. Times are the page's own, from the event to the frame that shows it: an observer
sees the change in the document, the next frame is drawn, and what runs after that frame reads the clock.

    start      a new page of a device that has joined: from the navigation until the first screen, out of the
               service worker, and until what it shows is live and can be tapped, over the LAN
    tap        a start, which a simulated charger answers: until "asked" is on the screen, and until it is
               confirmed; on the LAN, and through the cloud with the LAN cut
    pushed     a charger's status: from before the charger sends it until it is painted, so that the charger's
               way, the decision and the commit are in the figure; and from the charger's reply, which leaves
               after the commit. The target speaks of the commit, a reply's way before the second
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, expect

from common.clock import SystemClock
from edge.demo.car import Car
from tests.bench.context import Context
from tests.bench.figures import Budget, Figure, Row, Skip, latency
from tests.e2e import chargers
from tests.e2e.place import Place, place
from tests.needs import find_tool
from tests.tools import webapp
from tests.web.air import Air
from tests.web.test_driver import BOX, charger, device, join

#: Times slower than this machine: a phone of some years ago (what Chromium's own tools call mid to low end).
SLOWED = 6
#: Samples a round.
STARTS, TAPS, PUSHES = 6, 6, 30
#: The app's targets: bytes, ms, frames.
SHELL_BYTES, START_MS, FRAMES, PUSHED_MS = 120_000, 1000, 1, 50

#: In every page before it runs. `painted(condition)`: when that was on the screen, after how many frames.
WATCH = """
globalThis.painted = (condition) => new Promise((told) => {
    let frames = 0, over = false;
    const count = () => { frames += 1; if (!over) requestAnimationFrame(count); };
    requestAnimationFrame(count);
    const look = () => {
        if (over || !condition()) return;
        over = true;
        watching.disconnect();
        // After the frame that has it: a task that was put up in that frame's callback.
        requestAnimationFrame(() => {
            const after = new MessageChannel();
            after.port1.onmessage = () => told({ at: performance.now(), wall: Date.now(), frames });
            after.port2.postMessage(0);
        });
    };
    const watching = new MutationObserver(look);
    watching.observe(document, { subtree: true, childList: true, attributes: true });
    look();
});
globalThis.seen = (selector) => painted(() => document.querySelector(selector) !== null);
globalThis.first = seen('h1');
globalThis.live = seen('[data-testid=hero][data-doubt=none]');
"""
#: Set up before the tap, which is a real one: its time is that of the event.
TAP = """() => {
    const card = '[data-testid=asked]';
    globalThis.tapped = new Promise((told) => {
        addEventListener('click', ({ timeStamp }) => {
            const stage = () => document.querySelector(card)?.dataset.stage;
            const at = (...stages) => painted(() => stages.includes(stage()));
            told(Promise.all([at('asked', 'accepted', 'confirmed'), at('confirmed', 'settled')]).then(
                ([asked, { at: confirmed }]) => ({
                    asked: asked.at - timeStamp, frames: asked.frames, confirmed: confirmed - timeStamp })));
        }, { capture: true, once: true });
    });
}"""


class _Found:
    """What was measured, by name."""

    def __init__(self) -> None:
        self.bytes = 0
        self.samples: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        self.samples.setdefault(name, []).append(value)


@asynccontextmanager
async def _opened(context: BrowserContext, url: str) -> AsyncIterator[Page]:
    """A new page with its processor slowed."""
    page = await context.new_page()
    try:
        tools = await context.new_cdp_session(page)
        await tools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
        await page.goto(url)
        yield page
    finally:
        await page.close()


async def _shell(context: BrowserContext, url: str) -> int:
    """Bytes over the wire, headers too, until a browser that knows nothing shows its first screen."""
    page = context.pages[0]
    tools = await context.new_cdp_session(page)
    taken: list[float] = []
    tools.on("Network.loadingFinished", lambda told: taken.append(told["encodedDataLength"]))
    await tools.send("Network.enable")
    await page.goto(url)
    await expect(page.locator("h1")).to_be_visible()
    await tools.detach()
    return int(sum(taken))


async def _starts(found: _Found, context: BrowserContext, url: str, count: int) -> None:
    for _ in range(count):
        async with _opened(context, url) as page:
            assert await page.evaluate("navigator.serviceWorker.controller !== null")
            found.add("shell", (await page.evaluate("first"))["at"])
            found.add("live", (await page.evaluate("live"))["at"])


async def _taps(found: _Found, page: Page, one: Any, way: str, count: int) -> None:
    """Start by a tap, and stop, which is not measured; a car comes for each."""
    hero = page.get_by_test_id("hero")
    for _ in range(count):
        await expect(hero).to_have_attribute("data-kind", "plugged")
        done = page.get_by_test_id("asked").get_by_role("button")
        if await done.count():
            await done.click()
        await page.evaluate(TAP)
        await page.get_by_test_id("start").click()
        for name, value in (await page.evaluate("tapped")).items():
            found.add(f"{name} {way}", value)
        await expect(hero).to_have_attribute("data-kind", "charging")
        await page.get_by_test_id("stop").click()
        await expect(hero).to_have_attribute("data-kind", "finished")
        one.unplug()
        await expect(hero).to_have_attribute("data-kind", "ready")
        one.plug_in(Car())


async def _pushes(found: _Found, home: Place, page: Page, count: int) -> None:
    clock = SystemClock()
    states = cycle((("Available", "ready"), ("Preparing", "plugged")))
    async with chargers.wire(home.url, "CP2") as wired:
        await wired.boot("Preparing")
        await expect(page.get_by_test_id("hero")).to_have_attribute("data-kind", "plugged")
        for _, (status, kind) in zip(range(count), states, strict=False):
            await page.evaluate(f"globalThis.told = seen('[data-testid=hero][data-kind={kind}]'), null")
            began = clock.now_ms()
            await wired.status(status)
            committed = clock.now_ms()
            wall = (await page.evaluate("told"))["wall"]
            found.add("pushed", wall - began)
            found.add("committed", wall - committed)


async def _measure(context: Context, folder: Path) -> _Found:
    found = _Found()
    async with (
        place(folder / "p", cloud=True, lan_host=BOX) as home,
        Air(BOX, home.lan_port) as air,
        device(folder, "phone", "light") as phone,
    ):
        await home.adopt("CP1", "CP2")
        found.bytes = await _shell(phone, home.stage.cloud_url)
        await phone.add_init_script(WATCH)
        await join(home, phone.pages[0], "CP1", "CP2")
        await phone.pages[0].evaluate("navigator.serviceWorker.ready.then(() => true)")
        await phone.pages[0].goto("about:blank")
        at = f"{home.stage.cloud_url}/#/at/"
        async with charger(home, "CP1") as one:
            await _starts(found, phone, f"{at}CP1", context.rounds * context.count(STARTS))
            async with _opened(phone, f"{at}CP1") as page:
                await page.evaluate("live")
                await _taps(found, page, one, "lan", context.rounds * context.count(TAPS))
                air.cut()
                await expect(page.get_by_text("Through the cloud").first).to_be_visible()
                await _taps(found, page, one, "cloud", context.rounds * context.count(TAPS))
                air.mend()
        async with _opened(phone, f"{at}CP2") as page:
            await expect(page.get_by_text("On site").first).to_be_visible()
            await _pushes(found, home, page, context.rounds * context.count(PUSHES))
    return found


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    if find_tool("chromium") is None:
        raise Skip("it needs Chromium")
    if wrong := webapp.build():
        raise Skip(f"the app cannot be built: {wrong}")
    found = asyncio.run(_measure(context, context.fresh("web")))
    report(f"web: the page's thread is slowed {SLOWED} times; box, cloud and service worker are not.")
    return _rows(found)


def _rows(found: _Found) -> list[Row]:
    def row(what: str, name: str, budget: Budget | None = None, unit: str = "ms") -> Row:
        return Row(bench="web", what=what, unit=unit, ours=latency([found.samples[name]]), budget=budget)

    one_frame = Budget("p50", FRAMES)
    size = Figure(found.bytes / 1000, None, 1)
    return [
        Row(
            bench="web",
            what="first load, as it travels",
            unit="kB",
            ours=size,
            budget=Budget("p50", SHELL_BYTES / 1000),
        ),
        row("from the service worker → first screen", "shell"),
        row("from the service worker → live, on the LAN", "live", Budget("p50", START_MS)),
        row("tap → asked is painted", "asked lan"),
        row("frames until then", "frames lan", one_frame, "frames"),
        row("tap → confirmed is painted, on the LAN", "confirmed lan"),
        row("tap → confirmed is painted, through the cloud", "confirmed cloud"),
        row("charger's status → painted", "pushed"),
        row("of it, after the reply that the commit lets go", "committed", Budget("p50", PUSHED_MS)),
    ]

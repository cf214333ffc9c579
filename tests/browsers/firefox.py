"""The system's Firefox, driven by WebDriver BiDi: what these tests need of it and no more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.browsers.pages import PATIENCE_S, PageServer
from tests.needs import find_tool

#: Names resolve to loopback and port 443 is the test's server, so pages have the origin that they will have.
#: The rest keeps Firefox from asking anybody for anything.
PREFERENCES: dict[str, str | int | bool] = {
    "network.dns.forceResolve": "127.0.0.1",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.prefetch-next": False,
    "network.trr.mode": 5,
    "app.update.auto": False,
    "app.normandy.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
}


class Firefox:
    """One page in a running Firefox."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._context = ""

    async def _do(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = json.loads(await self._socket.recv())
                if answer.get("id") == number:
                    assert answer["type"] == "success", answer
                    return answer["result"]

    async def begin(self) -> None:
        """A session that believes the test's own certificate for pages, and its first tab."""
        await self._do("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        tree = await self._do("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def goto(self, url: str) -> None:
        """Open a page and wait until it has loaded."""
        await self._do("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """What an expression comes to in the page, by way of JSON; a promise is awaited."""
        told = await self._do(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert told["type"] == "success", told["exceptionDetails"]["text"]
        return json.loads(told["result"]["value"]) if told["result"]["type"] == "string" else None


@asynccontextmanager
async def firefox(server: PageServer, folder: Path) -> AsyncIterator[Firefox]:
    """A Firefox with a profile of its own."""
    profile = folder / "firefox"
    profile.mkdir()
    preferences = {**PREFERENCES, "network.socket.forcePort": f"443={server.port}"}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    (profile / "user.js").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        *(
            find_tool("firefox-esr") or "firefox-esr",
            "--headless",
            "--profile",
            str(profile),
            "--remote-debugging-port",
            "0",
        ),
        "about:blank",
        env={**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    draining: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while b"WebDriver BiDi listening on " not in (line := await process.stderr.readline()):
                assert line, "Firefox ended before it listened"
        draining = asyncio.get_running_loop().create_task(_drain(process.stderr))
        url = line.decode().split("listening on ")[1].strip()
        async with connect(f"{url}/session", max_size=None, proxy=None, compression=None) as socket:
            driven = Firefox(socket)
            await driven.begin()
            yield driven
            with contextlib.suppress(Exception):
                await driven._do("browser.close")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await process.wait()
        if draining is not None:
            await draining


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass

"""A whole place for a test: box and cloud as processes, the three command lines, people paired the real way.

The processes come from the demo's own stage. Where a test is about what a person types it is typed, in a
process of its own; else it is asked over the same local socket, by the client that the command lines use.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from common.client.local import local
from common.commands import Name
from common.domain import Target
from edge.demo.stage import Daemon, Stage
from tests.e2e.chargers import PATIENCE_S, knock
from tests.e2e.phone import Phone

ROOT = Path(__file__).resolve().parents[2]


class Ran:
    """A finished command line."""

    def __init__(self, argv: tuple[str, ...], code: int, out: str, err: str) -> None:
        self.argv, self.code, self.text, self.err = argv, code, out, err

    @property
    def json(self) -> Any:
        """Its answer. Fails with all that was said when it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise AssertionError(f"{self} said no JSON") from None

    @property
    def error(self) -> dict[str, str]:
        """The error it answered with, as code, message and hint."""
        assert self.code != 0, f"{self} did not fail"
        told: dict[str, str] = self.json["error"]
        return told

    def __str__(self) -> str:
        return f"{' '.join(self.argv)} (exit {self.code})\n{self.text}{self.err}"


async def typed(
    module: str,
    *arguments: str,
    env: dict[str, str] | None = None,
    said: str = "",
    under: tuple[str, ...] = (),
) -> Ran:
    """Run one command line to its end. said: what it reads from stdin. under: a program that becomes it."""
    process = await asyncio.create_subprocess_exec(
        *under,
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate(said.encode())
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"{module} {arguments} did not end: {out.decode()}{err.decode()}") from None
    finally:
        if process.returncode is None:  # whoever waits for us has given up
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ran((module, *arguments), process.returncode, out.decode(), err.decode())


class Driver:
    """`plugside` on a device of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        interfaces: tuple[str, ...] = ("--interfaces", "127.0.0.1"),
        under: tuple[str, ...] = (),
    ) -> None:
        self._folder, self._interfaces, self._under = folder, interfaces, under

    async def types(self, *arguments: str) -> Ran:
        where = ("--home", str(self._folder), *self._interfaces, "--json")
        return await typed("common.cli.main", *where, *arguments, under=self._under)

    async def told(self, *arguments: str) -> Any:
        """The answer of a command line that must succeed."""
        done = await self.types(*arguments)
        assert done.code == 0, str(done)
        return done.json


class Place:
    """Box and cloud on loopback, in one folder. `async with place(folder)` starts and ends them."""

    def __init__(self, folder: Path, *, lan_host: str = "127.0.0.1") -> None:
        self.stage = Stage(folder, lan_host=lan_host)
        self.folder = folder
        self.ocpp_port = int(self.stage.ocpp.rpartition(":")[2])
        self.lan_port = int(self.stage.lan.rpartition(":")[2])

    @property
    def box(self) -> Daemon:
        return self.stage.edge

    @property
    def cloud(self) -> Daemon:
        return self.stage.cloud

    @property
    def url(self) -> str:
        """Where chargers dial in; the identity comes behind a slash."""
        return self.stage.charger_url

    # --- command lines -----------------------------------------------------------------------------------

    async def edge(self, *arguments: str, said: str = "") -> Ran:
        where = ("--socket", str(self.box.control), "--json")
        return await typed("edge.cli.main", *where, *arguments, said=said)

    async def at_cloud(self, *arguments: str) -> Ran:
        return await typed("cloud.cli.main", "--socket", str(self.cloud.control), "--json", *arguments)

    async def told(self, ran: Awaitable[Ran]) -> Any:
        """The answer of a command line that must succeed."""
        done = await ran
        assert done.code == 0, str(done)
        return done.json

    # --- people ------------------------------------------------------------------------------------------

    async def adopt(self, *chargers: str) -> None:
        """Let these chargers knock, be refused, and be adopted by the installer."""
        async with local(self.box.control) as link:
            for charger in chargers:
                assert await knock(self.url, charger) == HTTPStatus.NOT_FOUND
                await link.command(Name.ADOPT, Target(charger), {"name": f"Bay {charger}"}).settled()

    async def tag(self, tag: str, principal: str) -> None:
        """A tag belongs to this principal from now on."""
        async with local(self.box.control) as link:
            await link.manage("tag_assign", {"tag": tag, "principal": principal, "chargers": None})

    async def take_in(self) -> None:
        """The box shows a code, the operator gives it to the cloud: both know each other afterwards."""
        async with local(self.box.control) as link:
            code = await link.manage("pair")
        async with local(self.cloud.control) as link:
            await link.manage("site_add", {"name": "Home", "code": code["code"]})

        await self.joined()

    async def joined(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the box is connected to its cloud."""

        async def connected() -> bool:
            return bool((await self.health())["cloud"]["connected"])

        await self.until(connected, "the box to be connected to its cloud", patience_s)

    async def invite(self, *chargers: str, role: str = "driver", by_cloud: bool = False) -> str:
        """An invite, made at the box or in the cloud. No charger named = all of them."""
        wanted: dict[str, Any] = {"role": role, "chargers": chargers or None}
        if by_cloud:
            wanted["site"] = "Home"
        async with local((self.cloud if by_cloud else self.box).control) as link:
            made = await link.manage("invite", wanted)
        return str(made["invite"])

    async def phone(self, *chargers: str, role: str = "driver", by_cloud: bool = False) -> Phone:
        """A device that joined by an invite."""
        return await Phone(role).join(await self.invite(*chargers, role=role, by_cloud=by_cloud))

    # --- what is written down ----------------------------------------------------------------------------

    async def asked(self, what: str, **args: Any) -> list[Any]:
        """All rows of a query to the box, asked over its local socket as its command line does."""
        async with local(self.box.control) as link:
            return await link.query(what, args)

    async def health(self) -> dict[str, Any]:
        (told,) = await self.asked("health")
        assert isinstance(told, dict)
        return told

    async def sessions(self, charger: str = "") -> list[dict[str, Any]]:
        """The box's sessions, the oldest first."""
        rows = await self.asked("sessions")
        return [row for row in reversed(rows) if charger in ("", row["charger"])]

    async def in_cloud(self, charger: str = "") -> list[dict[str, Any]]:
        """The sessions as the cloud has them, the oldest first."""
        async with local(self.cloud.control) as link:
            rows = await link.query("sessions", site="Home")
        return [row for row in reversed(rows) if charger in ("", row["charger"])]

    async def facts(self) -> int:
        """How many facts the box has written down."""
        seq: int = (await self.health())["seq"]
        return seq

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Wait for what another process will do; fails with the ends of both logs."""
        try:
            async with asyncio.timeout(patience_s):
                while not await condition():  # noqa: ASYNC110 - another process's state makes no event here
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}\n{self.logs()}") from None

    def logs(self) -> str:
        """The ends of both logs, for a failure's message."""
        ends = []
        for name in ("edge.log", "cloud.log"):
            log = self.folder / name
            if log.exists():
                ends.append(f"--- {name}\n{log.read_text(errors='replace')[-2500:]}")
        return "\n".join(ends)


@asynccontextmanager
async def place(
    folder: Path, *, cloud: bool = False, taken_in: bool = True, lan_host: str = "127.0.0.1"
) -> AsyncIterator[Place]:
    """A running box, and with `cloud` one too, which has `taken_in` the box. All has ended afterwards.

    lan_host: where the box listens for apps; it says 127.0.0.1 to them in any case (`tests.web.air`).
    """
    here = Place(folder, lan_host=lan_host)
    try:
        if cloud:
            await here.cloud.start()
        await here.box.start()
        if cloud and taken_in:
            await here.take_in()
        yield here
    finally:
        await here.stage.stop()

"""The demo's stage: cloud and box as processes of their own, in one folder, on loopback, gone at the end."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from common.clock import SystemIds
from common.errors import Code, LocalFault

#: How long a daemon may take to come up on a slow machine that is busy with something else.
READY_TIMEOUT_S = 30.0
#: How long it may take to put its things in order after SIGTERM, before it is killed.
STOP_TIMEOUT_S = 10.0


#: Ports to choose from: below those that the kernel gives to connections (32768 and up, ip(7)), so that
#: nothing sits on a port while the daemon that it belongs to is started again. Every second one: a box serves
#: files one above the port of its chargers unless it is told otherwise.
_PORTS = range(15_000, 30_000, 2)
#: Where this process goes on in them: in turn, so that a port that was told to somebody is not told to
#: another before it is listened on, and from a place of chance, so that two processes seldom meet.
_places = itertools.count(SystemIds().transaction())
#: Told a moment ago and perhaps not listened on yet: other processes of ours see the name and pass on.
_told: deque[socket.socket] = deque()
_TOLD_MAX = 32


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment, nor on the one above it."""
    while True:
        port = _PORTS[next(_places) % len(_PORTS)]
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0plugside-port-{port}")  # an abstract name: gone with its process (unix(7))
            with socket.socket() as probe, socket.socket() as above:
                probe.bind(("127.0.0.1", port))
                above.bind(("127.0.0.1", port + 1))
        except OSError:
            mark.close()
            continue
        _told.append(mark)
        if len(_told) > _TOLD_MAX:
            _told.popleft().close()
        return port


class Daemon:
    """One process of ours: started, awaited by its local socket, stopped or killed by its own id."""

    def __init__(
        self, name: str, arguments: list[str], control: Path, log: Path, *, under: tuple[str, ...] = ()
    ) -> None:
        """under: a program that becomes the daemon, with its arguments (as `ip netns exec HOST` does)."""
        self.name = name
        self._under = under
        self.control = control
        self._arguments = arguments
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until its local socket answers. Raises LocalFault with the end of its log."""
        self.control.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._under,
                sys.executable,
                "-m",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the demo; it stops its daemons itself, in order.
                start_new_session=True,
            )
        try:
            await until(lambda: self._answers(), READY_TIMEOUT_S, f"{self.name} to come up")
        except BaseException:
            await self.kill()
            raise

    async def _answers(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise LocalFault(Code.INTERNAL, f"{self.name} ended at once: {self._last_words()}")
        try:
            _, writer = await asyncio.open_unix_connection(str(self.control))
        except OSError:
            return False
        writer.close()
        return True

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-600:].strip()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, by its own id."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """kill -9: what a power cut is to a process."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not heeded in time."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()


class Stage:
    """Cloud and box with their folders and ports."""

    def __init__(self, folder: Path, *, lan_host: str = "127.0.0.1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        self.cloud_url = f"http://127.0.0.1:{free_port()}"
        self.ocpp = f"127.0.0.1:{free_port()}"
        self.lan = f"{lan_host}:{free_port()}"
        self.files = f"127.0.0.1:{free_port()}"
        self.cloud_data, self.edge_data = folder / "cloud", folder / "edge"
        self.client_data = folder / "driver"
        self.cloud = Daemon("the cloud", self._cloud_arguments(), self._socket("cloud"), folder / "cloud.log")
        self.edge = Daemon("the box", self._edge_arguments(), self._socket("edge"), folder / "edge.log")

    def _socket(self, name: str) -> Path:
        # A Unix socket's path has 107 bytes at most; a deep data folder would not leave room.
        path = self.folder / f"{name}.sock"
        if len(os.fsencode(path)) > 100:
            raise LocalFault(Code.BAD_SETTINGS, f"{self.folder} is too long a path for a socket")
        return path

    def _cloud_arguments(self) -> list[str]:
        listen = self.cloud_url.removeprefix("http://")
        return [
            "cloud.cli.main",
            *("--socket", str(self._socket("cloud")), "--data", str(self.cloud_data)),
            *("run", "--listen", listen),
        ]

    def _edge_arguments(self) -> list[str]:
        return [
            "edge.cli.main",
            *("--socket", str(self._socket("edge")), "--data", str(self.edge_data)),
            *("run", "--ocpp", self.ocpp, "--files", self.files, "--lan", self.lan),
            *("--interfaces", "127.0.0.1"),
            *("--cloud", self.cloud_url, "--site-name", "Demo"),
        ]

    @property
    def charger_url(self) -> str:
        """Where the demo's chargers dial in."""
        return f"ws://{self.ocpp}"

    async def start(self) -> None:
        """Cloud first, then the box."""
        await self.cloud.start()
        await self.edge.start()

    async def stop(self) -> None:
        """The box first, so that its last facts still find a cloud."""
        await self.edge.stop()
        await self.cloud.stop()


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
    """Wait for a condition, looked at 20 times a second. Raises LocalFault that names what did not come."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await condition():  # noqa: ASYNC110 - another process's state makes no event here
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise LocalFault(Code.INTERNAL, f"waited {timeout_s:.0f} s for {what}") from None

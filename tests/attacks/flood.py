"""A box under a flood: what it holds while it lasts, whether the honest are served, what is left afterwards.

    python -m tests.attacks.flood [--seconds 60]

A box of its own, an honest driver on an open link, an honest charger; then `flooder.py` beside them. Prints the
memory and the open files of the box before, at most and after, how long commands and heartbeats took without
and with the flood, and how soon a stranger gets in again. Exit code 1 when a bound did not hold. The latencies
are of a machine that box, flood and driver share.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from common.client.local import local
from common.commands import Name
from common.domain import Path as Way
from common.domain import Role
from common.link.tls import pinned_context
from common.threshold import LINKS_MAX
from tests.attacks.flooder import HOST, UPGRADE
from tests.bench.box import Box
from tests.bench.processes import ROOT
from tests.e2e import chargers
from tests.e2e.chargers import WireCharger
from tests.e2e.phone import Phone, Talk

#: What a flood may make a box grow by, in MiB: 256 links with full queues, and what the allocator keeps of them.
GROWS_MIB = 64
#: Open files at most: every place for links and for chargers' dials taken, and what a box has open by itself.
FILES_MAX = LINKS_MAX + 700
#: Recovered within (s): strangers have 5 s to say who they are.
BACK_S = 15.0
_MIB = 1 << 20


class Seen(msgspec.Struct):
    """What a flood did. Memory in MiB, times in ms where not said otherwise."""

    tried: dict[str, int] = {}
    before_mib: float = 0
    most_mib: float = 0
    after_mib: float = 0
    files_before: int = 0
    files_most: int = 0
    files_after: int = 0
    quiet: dict[str, list[float]] = {}
    flooded: dict[str, list[float]] = {}
    came_back: int = 0  #: times that the honest phone opened a link anew while it lasted
    stranger_s: float = 0  #: until somebody whom the box does not know got in again
    rooms: dict[str, str] = {}
    restarts: int = 0
    notes: int = 0  #: facts that the flood itself has caused


def files(box: Box) -> int:
    return len(list(Path(f"/proc/{box.pid}/fd").iterdir()))


async def tap(talk: Talk, phone: Phone, charger: WireCharger) -> float:
    """A command and its end; the charger declines, so that nothing stays on."""
    began = time.perf_counter()
    sealed = phone.seal(Name.START, "CP1")
    await talk.send(sealed)
    ended = await talk.ended(sealed.command.id)
    assert getattr(ended, "outcome", "") == "failed", ended
    return (time.perf_counter() - began) * 1000


async def beat(charger: WireCharger) -> float:
    began = time.perf_counter()
    assert "currentTime" in await charger.call("Heartbeat")
    return (time.perf_counter() - began) * 1000


async def served(
    talk: Talk, phone: Phone, charger: WireCharger, seconds: float, into: dict[str, list[float]]
) -> None:
    """Commands and heartbeats one after the other, for so long and at least once each."""
    until = time.monotonic() + seconds
    while True:
        into.setdefault("command", []).append(await tap(talk, phone, charger))
        into.setdefault("heartbeat", []).append(await beat(charger))
        if time.monotonic() > until:
            return
        await asyncio.sleep(0.02)


async def stranger_gets_in(port: int) -> bool:
    """Whether an app from an address that the box has never seen gets as far as a link."""
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(
                HOST, port, local_addr=("127.0.9.9", 0), ssl=pinned_context(), server_hostname=""
            )
            writer.write(b"GET /v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\n" + UPGRADE + b"\r\n")
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
            return b" 101 " in answer
    return False


async def watch(box: Box, seen: Seen) -> None:
    while True:
        seen.most_mib = max(seen.most_mib, box.rss() / _MIB)
        seen.files_most = max(seen.files_most, files(box))
        await asyncio.sleep(0.05)


async def comes_back(phone: Phone, seen: Seen) -> None:
    """The honest phone loses its Wi-Fi, again and again: its address is known, and has places of its own."""
    while True:
        with contextlib.suppress(Exception):
            async with phone.link(Way.LAN) as talk:
                await talk.follow()
                seen.came_back += 1
        await asyncio.sleep(0.5)


async def health(box: Box) -> dict[str, Any]:
    async with local(box._control) as installer:
        (told,) = await installer.query("health")
    return dict(told)


async def flooded(box: Box, seconds: float, *, quiet_s: float = 0.5) -> Seen:
    """Flood a box for so long, and look at it."""
    seen = Seen()
    invite = (await box.manage("invite", role=Role.DRIVER, chargers=None))["invite"]
    phone = await Phone("honest").join(invite)
    async with chargers.wire(f"ws://{HOST}:{box.ocpp_port}", "CP1") as charger, phone.link(Way.LAN) as talk:
        charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
        await charger.boot()
        await served(talk, phone, charger, quiet_s, seen.quiet)
        seen.before_mib, seen.files_before = box.rss() / _MIB, files(box)
        facts = (await health(box))["seq"]
        command = [
            sys.executable,
            "-m",
            "tests.attacks.flooder",
            str(box.lan_port),
            str(box.ocpp_port),
            str(seconds),
        ]
        flooder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        beside = [
            asyncio.get_running_loop().create_task(work)
            for work in (watch(box, seen), comes_back(phone, seen))
        ]
        try:
            while flooder.poll() is None:
                await served(talk, phone, charger, 0.2, seen.flooded)
            seen.tried = json.loads(flooder.communicate()[0])
            over = time.monotonic()
            while not await stranger_gets_in(box.lan_port) and time.monotonic() < over + 2 * BACK_S:
                await asyncio.sleep(0.05)
            seen.stranger_s = time.monotonic() - over
            # Everything is given back: those who were cut off are noticed, and gone.
            while files(box) > seen.files_before + 4 and time.monotonic() < over + 2 * BACK_S:
                await asyncio.sleep(0.05)
        finally:
            flooder.kill()
            flooder.wait()
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
        await served(talk, phone, charger, 0, {})
        told = await health(box)
        seen.after_mib, seen.files_after = box.rss() / _MIB, files(box)
        seen.rooms = {room["name"]: room["state"] for room in told["rooms"]}
        seen.restarts = sum(room["restarts"] for room in told["rooms"])
        # Each command of the honest is four facts: accepted, sent, confirmed, settled.
        honest = 4 * (len(seen.flooded["command"]) + 1)
        seen.notes = told["seq"] - facts - honest
    return seen


def broken(seen: Seen) -> list[str]:
    """Which bounds did not hold."""
    checks = {
        f"grew by more than {GROWS_MIB} MiB": seen.most_mib - seen.before_mib > GROWS_MIB,
        f"held more than {FILES_MAX} files open": seen.files_most > FILES_MAX,
        "kept files open": seen.files_after > seen.files_before + 4,
        "let no stranger in any more": seen.stranger_s > BACK_S,
        "parts do not run": set(seen.rooms.values()) > {"running", "ended"},
        "parts were started again": seen.restarts > 0,
        "the honest phone did not get back in": seen.came_back == 0,
        "the journal was filled": seen.notes > 100,
    }
    return [what for what, so in checks.items() if so]


def _line(name: str, took: list[float]) -> str:
    ordered = sorted(took)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99)]
    return f"  {name:<10} {len(ordered):>6} times   p50 {at[0]:7.1f}   p99 {at[1]:7.1f}   most {ordered[-1]:7.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plugside-flood-") as folder, Box(Path(folder) / "box") as box:
        seen = asyncio.run(flooded(box, options.seconds, quiet_s=min(10.0, options.seconds / 4)))
    print("tried: " + ", ".join(f"{count} {name}" for name, count in sorted(seen.tried.items())))
    print(
        f"memory: {seen.before_mib:.0f} MiB before, {seen.most_mib:.0f} at most, {seen.after_mib:.0f} after"
    )
    print(f"open files: {seen.files_before} before, {seen.files_most} at most, {seen.files_after} after")
    for name, took in (("without the flood", seen.quiet), ("with it", seen.flooded)):
        print(f"{name}:")
        for what, times in took.items():
            print(_line(what, times))
    print(
        f"the honest phone opened {seen.came_back} links anew; a stranger got in {seen.stranger_s:.1f} s after the end"
    )
    print(f"facts that the flood caused: {seen.notes}; parts that were started again: {seen.restarts}")
    for what in broken(seen):
        print(f"NOT AS IT SHOULD BE: {what}")
    return 1 if broken(seen) else 0


if __name__ == "__main__":
    sys.exit(main())

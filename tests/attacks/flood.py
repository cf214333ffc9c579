"""A box under a flood: what it holds while it lasts, whether the honest are served, what is left afterwards.

    python -m tests.attacks.flood [--seconds 60]

A box of its own, an honest driver on an open link, an honest charger; then `flooder.py` beside them. Prints
the memory and the open files of the box before, at most and after, how long commands and heartbeats took
without and with the flood, and how soon every place is free again. Exit code 1 when a bound did not hold. The
latencies are of a machine that box, flood and driver share.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from common.client.local import local
from common.commands import Name
from common.domain import Path as Way
from common.domain import Role, Target
from common.link.tls import pinned_context
from common.threshold import STRANGERS_EACH, STRANGERS_MAX
from edge.core.station import WAITING_MAX
from tests.attacks.flooder import ADDRESSES, AT_CHARGERS, HOST, UPGRADE
from tests.bench.box import Box
from tests.bench.processes import ROOT
from tests.e2e import chargers
from tests.e2e.chargers import WireCharger
from tests.e2e.phone import Phone, Talk

#: What a flood may make a box grow by, in MiB: every stranger with what may come before they are known, and
#: what the allocator keeps of it.
GROWS_MIB = 64
#: Files open more than before: strangers at the phones' port; all that the flood holds open at the chargers'
#: port, which has places for 600; the honest phone that comes back, and who is just being sent away.
FILES_MORE = STRANGERS_MAX + len(ADDRESSES) * sum(AT_CHARGERS.values()) + 32
#: Facts: strangers that wait for adoption, each seen once, and a note of each kind now and then.
NOTES_MAX = WAITING_MAX + 64
#: How long the end is waited for before it is said that it never came, in s.
PATIENCE_S = 60.0
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
    stranger_s: float | None = None  #: until every place for strangers could be had again; None = never
    rooms: dict[str, str] = {}
    restarts: list[str] = []  #: parts that failed while it lasted, each with its error
    notes: int = 0  #: facts that the flood itself has caused


def box_in(folder: Path) -> Box:
    """A box as it is in the field: whom it does not know, it does not take."""
    return Box(folder / "box", adopt="none")


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


async def get_in(port: int, address: str, held: list[asyncio.StreamWriter]) -> bool:
    """Whether an app from this address gets as far as a link; it stays there."""
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(
                HOST, port, local_addr=(address, 0), ssl=pinned_context(), server_hostname=""
            )
            held.append(writer)
            writer.write(b"GET /v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\n" + UPGRADE + b"\r\n")
            return b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return False


async def strangers_get_in(port: int) -> bool:
    """Whether as many strangers as there are places for, from addresses never seen, are let in at once."""
    held: list[asyncio.StreamWriter] = []
    addresses = [f"127.0.9.{1 + number // STRANGERS_EACH}" for number in range(STRANGERS_MAX * 3 // 4)]
    try:
        return all(await asyncio.gather(*(get_in(port, address, held) for address in addresses)))
    finally:
        for writer in held:
            writer.transport.abort()


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


async def adopted(box: Box) -> None:
    async with local(box._control) as installer:
        await installer.command(Name.ADOPT, Target("CP1"), {"name": "Bay 1"}).settled()


async def health(box: Box) -> dict[str, Any]:
    async with local(box._control) as installer:
        (told,) = await installer.query("health")
    return dict(told)


async def recovered(box: Box, seen: Seen) -> None:
    """Wait until strangers get in again and everything that they held is given back."""
    began = time.monotonic()
    while not await strangers_get_in(box.lan_port):
        if time.monotonic() > began + PATIENCE_S:
            return
        await asyncio.sleep(1)
    seen.stranger_s = time.monotonic() - began
    while files(box) > seen.files_before + 4 and time.monotonic() < began + PATIENCE_S:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def flooded(box: Box, seconds: float, *, quiet_s: float = 0.5) -> Seen:
    """Flood a box for so long, and look at it."""
    seen = Seen()
    invite = (await box.manage("invite", role=Role.DRIVER, chargers=None))["invite"]
    phone = await Phone("honest").join(invite)
    await adopted(box)
    async with chargers.wire(f"ws://{HOST}:{box.ocpp_port}", "CP1") as charger, phone.link(Way.LAN) as talk:
        charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
        await charger.boot()
        await served(talk, phone, charger, quiet_s, seen.quiet)
        seen.before_mib, seen.files_before = box.rss() / _MIB, files(box)
        earlier = await health(box)
        flooder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.attacks.flooder"),
            *(str(box.lan_port), str(box.ocpp_port), str(seconds)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        loop = asyncio.get_running_loop()
        beside = [loop.create_task(watch(box, seen)), loop.create_task(comes_back(phone, seen))]
        flooding = loop.create_task(flooder.communicate())
        try:
            while not flooding.done():
                await served(talk, phone, charger, 0.2, seen.flooded)
            seen.tried = json.loads((await flooding)[0])
            await recovered(box, seen)
        finally:
            if flooder.returncode is None:
                flooder.kill()
            for task in beside:
                task.cancel()
            await asyncio.wait({*beside, flooding})
        await served(talk, phone, charger, 0, {})
        told = await health(box)
        seen.after_mib, seen.files_after = box.rss() / _MIB, files(box)
        seen.rooms = {room["name"]: room["state"] for room in told["rooms"]}
        failed = {room["name"]: room["restarts"] for room in earlier["rooms"]}
        seen.restarts = [
            f"{room['name']}: {room['last_error']}"
            for room in told["rooms"]
            if room["restarts"] > failed.get(room["name"], 0)
        ]
        # Each command of the honest is four facts: accepted, sent, confirmed, settled.
        honest = 4 * (len(seen.flooded["command"]) + 1)
        seen.notes = told["seq"] - earlier["seq"] - honest
    return seen


def broken(seen: Seen) -> list[str]:
    """Which bounds did not hold."""
    checks = {
        f"grew by more than {GROWS_MIB} MiB": seen.most_mib - seen.before_mib > GROWS_MIB,
        f"held {FILES_MORE} files open": seen.files_most - seen.files_before > FILES_MORE,
        "kept files open": seen.files_after > seen.files_before + 4,
        "places for strangers were not given back": seen.stranger_s is None,
        "parts do not run": set(seen.rooms.values()) > {"running", "ended"},
        f"parts were started again: {'; '.join(seen.restarts)}": bool(seen.restarts),
        "the honest phone did not get back in": seen.came_back == 0,
        "the journal was filled": seen.notes > NOTES_MAX,
    }
    return [what for what, so in checks.items() if so]


def _line(name: str, took: list[float]) -> str:
    ordered = sorted(took)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99)]
    figures = f"p50 {at[0]:7.1f}   p99 {at[1]:7.1f}   most {ordered[-1]:7.1f} ms"
    return f"  {name:<10} {len(ordered):>6} times   {figures}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plugside-flood-") as folder, box_in(Path(folder)) as box:
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
    print(f"the honest phone opened {seen.came_back} links anew while it lasted")
    if seen.stranger_s is not None:
        print(f"every place for strangers was free {seen.stranger_s:.1f} s after the end")
    print(f"facts that the flood caused: {seen.notes}")
    for what in broken(seen):
        print(f"NOT AS IT SHOULD BE: {what}")
    return 1 if broken(seen) else 0


if __name__ == "__main__":
    sys.exit(main())

"""How soon a phone on the network finds the box, and finds it again after a restart.

Box and phone have a network namespace each, made here and joined by a pair of virtual interfaces, as root:
with both on one address mDNS answers go astray (`reference` figures differ twentyfold). The box announces as
the edge does, the phone asks as our client does.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator

import msgspec

from tests.bench.context import Context
from tests.bench.figures import Budget, Row, Skip, latency
from tests.bench.processes import Child
from tests.needs import find_tool

BROWSES, RESTARTS = 9, 7
#: An mDNS answer is not multicast twice within a second (RFC 6762 §6), so questions keep that distance.
PAUSE_S = 1.1
#: Design §13, ms.
FOUND_MS, AGAIN_MS = 100, 50

_BOX, _PHONE = "10.213.7.1", "10.213.7.2"


@contextlib.contextmanager
def _namespaces() -> Iterator[tuple[list[str], list[str]]]:
    """Two joined namespaces; the command prefixes that run something in the first, and in the second."""
    ip = find_tool("ip")
    if ip is None or os.geteuid() != 0:
        raise Skip("it makes network namespaces, which needs `ip` (iproute2) and root")
    names = (f"plugsidebox{os.getpid()}", f"plugsidephone{os.getpid()}")
    links = (f"psb{os.getpid()}", f"psp{os.getpid()}")

    def run(*arguments: str) -> None:
        done = subprocess.run([ip, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skip(f"no network namespaces here: {done.stderr.strip()}")

    try:
        for name in names:
            run("netns", "add", name)
        run(
            *("link", "add", links[0], "netns", names[0], "type", "veth"),
            *("peer", links[1], "netns", names[1]),
        )
        for name, link, address in zip(names, links, (_BOX, _PHONE), strict=True):
            run("-n", name, "link", "set", "lo", "up")
            run("-n", name, "addr", "add", f"{address}/24", "dev", link)
            run("-n", name, "link", "set", link, "up")
            run("-n", name, "route", "add", "224.0.0.0/4", "dev", link)
        yield [ip, "netns", "exec", names[0]], [ip, "netns", "exec", names[1]]
    finally:
        for name in names:
            subprocess.run([ip, "netns", "del", name], capture_output=True, check=False)


def _ask(child: Child, word: str, answer: str) -> int:
    """Tell a child and return the nanoseconds of its answer."""
    child.tell(word)
    return _hear(child, answer)


def _hear(child: Child, answer: str) -> int:
    while True:
        word, *rest = child.read()
        if word == answer:
            return int(msgspec.json.decode(rest[0]).get("ns", 0))


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    found: list[float] = []
    again: list[float] = []
    with (
        _namespaces() as (at_box, at_phone),
        Child("mdns", "box", _BOX, prefix=at_box) as box,
        Child("mdns", "phone", _PHONE, prefix=at_phone) as phone,
    ):
        _ask(box, "announce", "ANNOUNCING")
        time.sleep(PAUSE_S)
        for _ in range(3 if context.quick else BROWSES):
            took = _ask(phone, "browse", "FOUND")
            found.append(took / 1e6 if took else 3000.0)
            time.sleep(PAUSE_S)
        phone.tell("watch")
        _hear(phone, "SEEN")
        for _ in range(2 if context.quick else RESTARTS):
            _ask(box, "stop", "STOPPED")
            time.sleep(PAUSE_S)
            began = _ask(box, "announce", "ANNOUNCING")
            again.append((_hear(phone, "SEEN") - began) / 1e6)
            time.sleep(PAUSE_S)
    return [
        Row(
            bench="discovery",
            what="a phone asks → the box is resolved",
            unit="ms",
            ours=latency([found]),
            budget=Budget("p50", FOUND_MS),
        ),
        Row(
            bench="discovery",
            what="the box is back → a phone sees it",
            unit="ms",
            ours=latency([again]),
            budget=Budget("p50", AGAIN_MS),
        ),
    ]

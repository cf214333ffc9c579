"""A page in a real Chromium: tap → confirmed over WebTransport, the cold start, handshakes, a flood beside.

    warm    a command on an open link, in a row, until `confirmed`; the charger answers at once (it declines
            a start, so that nothing stays on). Against the bare relay (wtrelay.py): the same listener, the
            same two hops, no signature, no decision, no disk
    cold    a new connection, the box's proof, the grant, the first command until `confirmed`
    flood   warm, while 20 addresses begin handshakes by QUIC and TCP as fast as they can

Clocks are the page's (`performance.now`). A handshake's cost is the processor time of the box's process for
connections that come as far as the proof, one after the other, within its own budget. Page, charger and load
share the machine with the box.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from ssl import CERT_NONE
from typing import Any

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from common.clock import SystemClock
from common.domain import Path as Way
from common.keystore import Keystore
from common.link import Link
from common.link.websocket import connect_websocket, lan_url
from tests.applink.browser import connect_browser
from tests.bench.box import Box
from tests.bench.context import Context
from tests.bench.figures import Figure, Row, Skip, latency, middle
from tests.bench.processes import HOST, Child
from tests.browsers.pages import APP, PageServer, chromium
from tests.e2e import chargers
from tests.needs import lacks

TAPS, COLD = 200, 20
HANDSHAKES = 40
FLOODERS = 20
#: Between handshakes whose cost is counted, in s: within the budget of one address (5 a second over QUIC).
PACE_S = 0.25
HELLO = b'{"kind":"hello","nonce":"' + b"A" * 43 + b'"}'

WARM = """async (count) => {
  const took = [];
  for (let n = 0; n < count; n++) {
    const said = await command(joined, "start", "CP1", {}, "confirmed");
    const confirmed = said.find((message) => message.kind === "confirmed");
    if (!confirmed) throw new Error(JSON.stringify(said));
    took.push(confirmed.ms);
    for (let last = said.at(-1); last.kind !== "settled"; last = await until(joined.link, "settled"));
  }
  return took;
}"""
COLD_JS = """async (count) => {
  const took = [];
  for (let n = 0; n < count; n++) {
    joined.link.transport.close();
    await new Promise((resume) => setTimeout(resume, 400));
    const began = performance.now();
    joined = await reopen(joined);
    await command(joined, "start", "CP1", {}, "confirmed");
    took.push(performance.now() - began);
    await until(joined.link, "settled");
  }
  return took;
}"""
FLOOR = """async ([url, pin, count]) => {
  const link = await dial(url, [pin]);
  const took = [];
  for (let n = 0; n < count; n++) {
    const began = performance.now();
    await link.raw("x".repeat(1069) + "\\n");
    await link.hear();
    took.push(performance.now() - began);
  }
  link.transport.close();
  return took;
}"""


def initial() -> bytes:
    """A first datagram of a handshake that nobody will go on with."""
    quic = QuicConnection(
        configuration=QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=CERT_NONE)
    )
    quic.connect((HOST, 1), now=0.0)
    return quic.datagrams_to_send(now=0.0)[0][0]


class Flood:
    """Strangers from 20 addresses, in a thread: first datagrams, and TCP connections that begin TLS."""

    def __init__(self, port: int) -> None:
        self._to = (HOST, port)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        ready = [initial() for _ in range(50)]
        addresses = [f"127.0.1.{number + 1}" for number in range(FLOODERS)]
        plugs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in addresses]
        for plug, address in zip(plugs, addresses, strict=True):
            plug.bind((address, 0))
        while not self._over.wait(0.001):
            number = self.sent % FLOODERS
            plugs[number].sendto(ready[self.sent % len(ready)], self._to)
            if self.sent % 4 == 0:
                with socket.socket() as dial:
                    dial.settimeout(0.2)
                    dial.bind((addresses[number], 0))
                    if dial.connect_ex(self._to) == 0:
                        dial.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
            self.sent += 1
        for plug in plugs:
            plug.close()


async def cost_ms(box: Box, count: int, dial: Callable[[], Any]) -> float:
    """Processor time of the box for one handshake, proof included."""
    began = box.cpu_s()
    for _ in range(count):
        link: Link = await dial()
        await link.send(HELLO)
        assert await link.receive() is not None
        await link.close()
        await asyncio.sleep(PACE_S)
    return (box.cpu_s() - began) / count * 1000


async def floor(page: Any, pem: Path, pin: str, count: int) -> list[float]:
    with Child("wtrelay", pem, pin, APP) as relay:
        async with chargers.wire(f"ws://{HOST}:{relay.ready['ocpp_port']}", "CP1") as charger:
            charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
            url = f"https://{HOST}:{relay.ready['port']}/v1/link"
            took: list[float] = await page.evaluate(FLOOR, [url, pin, count])
            return took


async def measured(context: Context, box: Box, report: Callable[[str], None]) -> list[Row]:
    folder = context.fresh("browser")
    made = Keystore(folder / "keys").lan_certificates(SystemClock().now_ms(), "bench.local").current
    taps: dict[str, list[list[float]]] = {name: [] for name in ("floor", "warm", "cold", "flood")}
    async with PageServer(folder) as server, chromium(server, folder) as browser:
        page = await browser.new_page()
        page.set_default_timeout(120_000)
        await page.goto(APP)
        invite = (await box.manage("invite", role="driver", chargers=None))["invite"]
        await page.evaluate("text => join(text).then(told => { globalThis.joined = told })", invite)
        async with chargers.wire(f"ws://{HOST}:{box.ocpp_port}", "CP1") as charger:
            charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
            await charger.boot()
            await page.evaluate(WARM, 10)
            for _ in range(context.rounds):
                taps["floor"].append(await floor(page, made.pem, made.hash, context.count(TAPS)))
                taps["warm"].append(await page.evaluate(WARM, context.count(TAPS)))
                taps["cold"].append(await page.evaluate(COLD_JS, context.count(COLD)))
                with Flood(box.lan_port) as flood:
                    taps["flood"].append(await page.evaluate(WARM, context.count(TAPS)))
                report(f"webtransport: {flood.sent} handshakes were begun beside one flood round\n")
    await asyncio.sleep(6)  # strangers of the flood are gone, and buckets full
    quic = await cost_ms(box, context.count(HANDSHAKES), lambda: connect_browser(box.lan_port))
    url = lan_url(f"{HOST}:{box.lan_port}")
    tcp = await cost_ms(box, context.count(HANDSHAKES), lambda: connect_websocket(url, Way.LAN))
    relay: Figure = latency(taps["floor"])

    def row(what: str, took: list[list[float]]) -> Row:
        return Row(
            bench="webtransport",
            what=what,
            unit="ms",
            ours=latency(took),
            compared="bare relay, the same listener",
            other=relay,
        )

    return [
        row("warm tap → confirmed", taps["warm"]),
        row("the same under a flood", taps["flood"]),
        row("cold: connect, proof, first command", taps["cold"]),
        Row(
            bench="webtransport",
            what="handshakes a second for each core, QUIC",
            unit="/s",
            ours=middle([1000 / quic]),
            compared="TLS over TCP",
            other=middle([1000 / tcp]),
        ),
    ]


def run(context: Context, report: Callable[[str], None]) -> list[Row]:
    """Measure."""
    if (lacking := lacks("chromium")) is not None:
        raise Skip(lacking)
    before = os.environ.get("PLUGSIDE_EDGE_APP_ORIGINS")
    os.environ["PLUGSIDE_EDGE_APP_ORIGINS"] = APP
    try:
        with Box(context.fresh("webtransport") / "box") as box:
            return asyncio.run(measured(context, box, report))
    finally:
        del os.environ["PLUGSIDE_EDGE_APP_ORIGINS"]
        if before is not None:
            os.environ["PLUGSIDE_EDGE_APP_ORIGINS"] = before

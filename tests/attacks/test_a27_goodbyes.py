"""Group 27: forged goodbyes: the box's record is taken back in its name, again and again."""

from __future__ import annotations

import asyncio

from zeroconf.asyncio import AsyncZeroconf

from common.client.client import Client
from common.domain import Path
from edge.discovery import service_info
from tests.client.test_discovery import LOOPBACK, announced
from tests.client.world import FAST, world


async def test_a_known_address_is_used_whatever_mdns_says() -> None:
    async with world(cloud=False) as here:
        box = here.box.identity.fingerprint
        forged = service_info(box, here.box.port, list(LOOPBACK))
        forger = AsyncZeroconf(interfaces=list(LOOPBACK))

        async def goodbyes() -> None:
            while True:
                forger.zeroconf.async_send(forger.zeroconf.generate_service_broadcast(forged, 0))
                await asyncio.sleep(0.01)

        forging = asyncio.get_running_loop().create_task(goodbyes())
        try:
            async with announced(box, here.box.port):
                for _ in range(3):
                    profile = here.device()
                    async with Client(profile, "lan", interfaces=LOOPBACK, pace=FAST) as client:
                        assert client.status("s-home").path is Path.LAN
                    assert profile.get("s-home").last_good == here.box.address
        finally:
            forging.cancel()
            await asyncio.wait({forging})
            await forger.async_close()

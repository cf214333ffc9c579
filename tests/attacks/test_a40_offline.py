"""Group 40: the same with the internet gone, and at the instant when it returns.

The boxes of most groups have no cloud at all, so what they show holds offline. Here a cloud goes and comes
back while one signed command is delivered by both ways.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from common import wire
from common.domain import Path as Way
from common.errors import Code
from tests.attacks.stand import Stand, asked
from tests.attacks.test_a19_relay import Relay
from tests.box.test_uplink import connected, place
from tests.e2e import chargers
from tests.e2e.phone import Phone


async def test_a_command_given_offline_and_brought_again_as_the_cloud_returns_is_one(tmp_path: Path) -> None:
    async with place(tmp_path, adopt="any") as (site, cloud):
        await connected(site)
        here, relay = Stand(site, tmp_path), Relay(site, cloud)
        phone = Phone()
        phone.key, phone.grant = relay.key, relay.grant
        phone.site = site.authority.access(relay.claims)
        async with chargers.wire(here.url, "CP1") as charger:
            charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
            await charger.boot()
            await cloud.stop()
            async with phone.link(Way.LAN) as talk:
                first = relay.sealed("c-1")
                given = relay.last
                await talk.send(given)
                ended = await talk.ended("c-1")
                assert isinstance(ended, wire.Settled)
                await cloud.start()
                await connected(site)
                # At that instant: the relay brings what it had kept, and the phone asks again.
                again, _ = await asyncio.gather(relay.brings(first), talk.send(given))
                assert (again[-1].outcome, again[-1].code) == (ended.outcome, ended.code)
                # And what was kept while it was away, and has run out.
                late = (await relay.brings(relay.sealed("c-2", life_ms=-1)))[-1]
                assert late.code == Code.EXPIRED
        assert asked(charger) == ["RemoteStartTransaction"]

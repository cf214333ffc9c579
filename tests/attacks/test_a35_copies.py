"""Group 35: a copied disk that runs twice, a box whose key is not the site's, a tunnel that is relayed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from common import sync, trust
from common.errors import Code
from common.keystore import generate_identity
from tests.cloud.parts import SOON_S, FakeBox, running, until_closed
from tests.cloud.test_tunnel import last_word


async def test_a_copy_beside_the_box_is_refused_and_the_box_stays(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        async with box.connected():
            copied = {"instance_id": "copied-disk", "boot_id": "another-boot"}
            bye = await last_word(box, lambda challenge: box.hello(challenge.nonce, **copied))
            assert bye.code == Code.UNTRUSTED_PEER
            assert cloud.hub.link(box.site)


async def test_a_box_that_was_replaced_gets_no_tunnel_any_more(tmp_path: Path) -> None:
    """Stolen, and another one put up: its link is over at once, its key and its code are good for nothing."""
    async with running(tmp_path / "cloud") as cloud:
        stolen = FakeBox(cloud.url)
        await stolen.join(cloud)
        box = FakeBox(cloud.url, site=stolen.site)
        box.ledger = stolen.ledger
        async with stolen.dial() as (socket, challenge):
            await socket.send(sync.encode(stolen.hello(challenge.nonce)))
            await box.join(cloud, replace=True)
            async with asyncio.timeout(SOON_S):
                await until_closed(socket)
        for _ in range(2):
            bye = await last_word(stolen, lambda challenge: stolen.hello(challenge.nonce))
            assert bye.code == Code.UNTRUSTED_PEER
            assert (await stolen.ask_in()).status_code != 200
        async with box.connected():
            assert cloud.hub.link(box.site)


async def test_a_key_that_is_not_the_sites_and_a_relayed_challenge_get_no_tunnel(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        stranger = generate_identity()
        host = box.url.partition("://")[2]

        def forged(challenge: sync.Challenge) -> sync.TunnelHello:
            signature = trust.sign_tunnel(stranger, challenge.nonce, host)
            return box.hello(challenge.nonce, key=stranger.public, signature=signature)

        assert (await last_word(box, forged)).code == Code.UNTRUSTED_PEER
        relayed = await last_word(box, lambda challenge: box.hello(challenge.nonce, host="other.example"))
        assert relayed.code == Code.UNTRUSTED_PEER
        async with box.connected():
            assert cloud.hub.link(box.site)

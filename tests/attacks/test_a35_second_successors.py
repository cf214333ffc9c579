"""Group 35: an old copy of the disk while the box has another key: heard for a day, and nothing follows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from common import sync
from common.domain import iso
from common.errors import Code
from common.keystore import generate_identity
from tests.cloud.parts import CLOCK, running, until
from tests.cloud.test_boxkeys import Rotating, acts


async def test_a_card_that_was_put_back_is_heard_for_a_day(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        box = Rotating(cloud.url)
        await box.join(cloud)
        before = box.rotate()
        chain = box.rotations
        assert isinstance(await box.greeted(), sync.TunnelWelcome)
        new = box.identity
        box.put_back(before)
        site = await cloud.accounts._store.site(box.site)
        assert site is not None
        welcome = await box.greeted()
        assert isinstance(welcome, sync.TunnelWelcome)
        assert (welcome.box, welcome.former_until) == (new.fingerprint, iso(site.former_until_ms))
        async with box.connected():  # its heads are its own key's
            box.ledger.charge("s1", 0, 10)
            await box._send_due()
            await until(lambda: box.drained)
        # A day later; and with a chain of its own it is refused at once.
        await cloud.accounts._store.rotate_box(
            msgspec.structs.replace(site, former_until_ms=CLOCK.now_ms() - 1), held=new.public
        )
        box.rotate()
        fork = box.identity
        for key, told in ((before, ()), (fork, box.rotations)):
            box.put_back(key, told)
            for _ in range(2):
                bye = await box.greeted()
                assert isinstance(bye, sync.TunnelBye)
                assert bye.code == Code.KEY_REPLACED
                assert "--replace" in bye.hint
        assert len(await acts(cloud, "key_refused")) == 2, "each of them is flagged once"
        # Whoever has the old key makes as many successors as they like: that is one thing to be told.
        for _ in range(3):
            box.put_back(before)
            box.rotate()
            assert isinstance(await box.greeted(), sync.TunnelBye)
        # And a stranger tells the public statements again, under a key of their own.
        box.put_back(generate_identity(), chain)
        bye = await box.greeted()
        assert isinstance(bye, sync.TunnelBye)
        assert bye.code == Code.UNTRUSTED_PEER
        assert len(await acts(cloud, "key_refused")) == 2
        box.put_back(new, chain)
        assert isinstance(await box.greeted(), sync.TunnelWelcome)

"""Group 25: a twin that has a key which the box gave up, or that says its own key came after the box's."""

from __future__ import annotations

import msgspec

from common import trust
from common.domain import Path
from common.errors import Code
from common.keystore import generate_identity
from tests.client.test_rotation import SITE, reached, rotated
from tests.client.world import Twin, world


async def test_the_chain_is_verified_before_any_grant_leaves() -> None:
    async with world(cloud=False) as here:
        profile = here.device()
        pinned = profile.get(SITE)
        thief, before = generate_identity(), here.box.identity
        elsewhere = trust.rotate(before, thief, site="s-other", number=1, at_ms=0)
        of_thief = trust.rotate(generate_identity(), thief, site=SITE, number=1, at_ms=0)
        here.box.identity = thief
        for told in ((), (elsewhere,), (of_thief,), ("nonsense",), (of_thief,) * 17):
            here.box.rotations = told
            assert not await reached(here, profile)
        assert profile.get(SITE) == pinned


async def test_who_has_the_old_key_gets_nothing_once_the_device_has_moved() -> None:
    async with world(cloud=False) as here, Twin(here) as twin:
        profile = here.device()
        old = rotated(here.box)
        assert await reached(here, profile)
        moved = profile.get(SITE)
        # The twin has the key itself, and with it makes a successor of its own.
        own = generate_identity()
        mine = trust.rotate(old, own, site=SITE, number=1, at_ms=0)
        later = trust.rotate(old, own, site=SITE, number=2, at_ms=0)
        back = trust.rotate(generate_identity(), old, site=SITE, number=2, at_ms=0)
        await here.box.stop()
        profile.put(msgspec.structs.replace(moved, addresses=(twin.address,), last_good=twin.address))
        for identity, told in (
            (old, ()),
            (own, (mine,)),
            (own, (later,)),
            (own, (*here.box.rotations, later)),
            (old, (*here.box.rotations, back)),
        ):
            twin.has, twin.rotations = identity, told
            async with here.client(profile, "lan") as client:
                assert client.status(SITE).failures[Path.LAN].code is Code.UNTRUSTED_PEER
        assert len(twin.heard) >= 5, "it was asked each time, and told no more than a hello"
        assert not twin.was_told([moved.grant])
        assert profile.get(SITE).box == moved.box

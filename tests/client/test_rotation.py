"""A device that pinned a key which its box has given up: it follows the box's own word, and nobody else's."""

from __future__ import annotations

import msgspec

from common import trust, wire
from common.client.profile import FormerBox, Profile
from common.domain import Path
from common.keystore import generate_identity
from common.trust.rotation import OLD_KEPT_MS
from tests.client.test_pairing import invite
from tests.client.world import Server, World, until, world

SITE = "s-home"


def rotated(box: Server, new: trust.IdentityKey | None = None, *, at_ms: int = 1000) -> trust.IdentityKey:
    """The box goes on with another key. Returns the one before."""
    before, new = box.identity, new or generate_identity()
    number = len(box.rotations) + 1
    box.rotations = (*box.rotations, trust.rotate(before, new, site=SITE, number=number, at_ms=at_ms))
    box.identity = new
    return before


async def reached(here: World, profile: Profile) -> bool:
    """Whether the device comes to its box over the LAN."""
    async with here.client(profile, "lan") as client:
        return client.status(SITE).path is Path.LAN


async def test_a_device_follows_over_the_lan_without_a_cloud() -> None:
    async with world(cloud=False) as here:
        profile = here.device()
        first = rotated(here.box)
        second = rotated(here.box, at_ms=2000)
        assert await reached(here, profile)
        entry = Profile(profile.folder).get(SITE)
        assert (entry.box, entry.box_number) == (here.box.identity.fingerprint, 2)
        assert entry.former == (
            FormerBox(first.fingerprint, 1000 + OLD_KEPT_MS),
            FormerBox(second.fingerprint, 2000 + OLD_KEPT_MS),
        )
        third = rotated(here.box)
        assert await reached(here, profile)
        assert profile.get(SITE).box_number == 3
        assert third.fingerprint in profile.get(SITE).was


async def test_an_invite_of_before_brings_a_device_in_afterwards() -> None:
    async with world(cloud=False) as here:
        text = invite(here, here.box)
        rotated(here.box)
        profile = Profile(here.folder / "new-phone")
        entry = await here.client(profile, "lan").pair(text, "Ann's phone")
        assert (entry.box, entry.box_number) == (here.box.identity.fingerprint, 1)
        assert await reached(here, profile)


async def test_a_cloud_that_has_not_heard_of_it_changes_nothing_and_one_that_has_says_so_for_good() -> None:
    async with world() as here:
        profile = here.device()
        pinned = here.box.identity.fingerprint
        rotated(here.box)
        assert await reached(here, profile)
        box = here.box.identity
        here.box.identity, here.box.rotations, chain = generate_identity(), (), here.box.rotations
        told = here.access

        def behind(claims: object) -> wire.SiteAccess:
            access = told(claims)  # type: ignore[arg-type]
            return msgspec.structs.replace(access, key=pinned, name="Renamed")

        here.cloud.backend.access = behind
        async with here.client(profile, "cloud"):
            assert profile.get(SITE).box == box.fingerprint
        assert profile.get(SITE).name == "Renamed", "all else is learned"
        here.cloud.backend.access = told
        # The cloud places another box: that outranks what the box before said, also when it says it again.
        placed = here.box.identity
        here.succession = trust.succeed(here.cloud.identity, SITE, placed.fingerprint, 5)
        async with here.client(profile, "cloud"):
            assert (profile.get(SITE).box, profile.get(SITE).box_number) == (placed.fingerprint, 0)
        here.box.identity, here.box.rotations = box, chain
        assert not await reached(here, profile)


async def test_the_clouds_word_of_before_is_not_believed_again() -> None:
    """A cloud that was put back to before a rotation names the key that was given up."""
    async with world() as here:
        profile = here.device()
        pinned = here.box.identity
        here.succession = trust.succeed(here.cloud.identity, SITE, pinned.fingerprint, 5)
        async with here.client(profile, "cloud"):
            assert profile.get(SITE).box_at_ms == 5
        rotated(here.box)
        assert await reached(here, profile)
        moved, here.box.identity = here.box.identity, pinned
        async with here.client(profile, "cloud"):
            assert profile.get(SITE).box == moved.fingerprint
        here.succession = trust.succeed(here.cloud.identity, SITE, pinned.fingerprint, 6)
        async with here.client(profile, "cloud"):
            assert profile.get(SITE).box == pinned.fingerprint, "said anew, by the cloud that was pinned"


async def test_another_program_of_the_same_person_does_not_bring_the_old_key_back() -> None:
    async with world(cloud=False) as here:
        profile, other = here.device(), Profile(here.folder / "phone")
        rotated(here.box)
        assert await reached(here, profile)
        moved = profile.get(SITE)
        stale = other.get(SITE)
        assert stale.box != moved.box
        kept = other.put(msgspec.structs.replace(stale, name="Renamed"))
        assert (kept.box, kept.box_number, kept.name) == (moved.box, 1, "Renamed")
        assert Profile(profile.folder).get(SITE) == kept
        assert other.put(stale, paired=True).box == stale.box, "pairing anew is a person's own word"


async def test_a_running_client_follows_when_its_link_ends() -> None:
    async with world(cloud=False) as here:
        profile = here.device()
        async with here.client(profile) as client:
            assert client.status(SITE).path is Path.LAN
            rotated(here.box)
            await here.box.stop()
            await until(client, lambda: client.status(SITE).path is None)
            await here.box.start()
            await until(client, lambda: client.status(SITE).path is Path.LAN)
            assert profile.get(SITE).box == here.box.identity.fingerprint

"""Pairing: an invite becomes a site of this device, wherever it was made; an impostor gets nothing."""

from __future__ import annotations

import msgspec
import pytest

from common import trust, wire
from common.client.client import Via
from common.client.profile import Profile
from common.clock import SystemClock
from common.domain import Path
from common.errors import Code, PlugsideError, Refused
from tests.client.backend import wrong
from tests.client.world import Server, Twin, World, until, world

SECRET = trust.b64(bytes(range(16)))


def invite(here: World, server: Server, **fields: object) -> str:
    """An invite as its maker would show it."""
    lan = server.path is Path.LAN
    made = {
        "secret": SECRET,
        "server": server.identity.fingerprint,
        "expires_ms": (SystemClock().now_ms() // 1000 + 60) * 1000,
        "addresses": (server.address,) if lan else (),
        "urls": () if lan else (server.url,),
    }
    server.backend.granted = here.granted
    return msgspec.convert({**made, **fields}, trust.Invite).to_text()


def new_device(here: World) -> Profile:
    return Profile(here.folder / "new")


@pytest.mark.parametrize("where", ["box", "cloud"])
async def test_an_invite_of_the_box_or_of_the_cloud(where: str) -> None:
    async with world() as here:
        server = here.box if where == "box" else here.cloud
        profile = new_device(here)
        entry = await here.client(profile).pair(invite(here, server), "Ann's phone")
        assert (entry.site, entry.name, entry.principal) == ("s-home", "Home", "p-ann")
        assert entry.box == here.box.identity.fingerprint
        assert (entry.cloud_url, entry.cloud_key) == (here.cloud.url, here.cloud.identity.fingerprint)
        assert Profile(profile.folder).sites == (entry,)
        (asked,) = [m for m in server.backend.asked if isinstance(m, wire.Redeem)]
        assert (asked.secret, asked.key, asked.device) == (SECRET, profile.key.public, "Ann's phone")
        # And the other side is there at once.
        both: tuple[Via, ...] = ("lan", "cloud")
        for via in both:
            async with here.client(profile, via) as client:
                assert client.status("s-home").path == via


async def test_a_boxs_pairing_code_lets_a_person_in_too() -> None:
    async with world() as here:
        text = invite(here, here.box)
        code = trust.BoxCode(**msgspec.structs.asdict(trust.Invite.from_text(text))).to_text()
        entry = await here.client(new_device(here)).pair(code, "")
        assert entry.site == "s-home"


async def test_a_running_client_takes_the_new_site_in() -> None:
    async with world() as here, here.client(new_device(here)) as client:
        assert client.sites == ()
        await client.pair(invite(here, here.cloud), "")
        await until(client, lambda: client.status("s-home").path is Path.LAN)


async def test_pairing_again_replaces_the_rights_of_a_running_client() -> None:
    async with world(cloud=False) as here:
        profile = here.device()
        async with here.client(profile, "lan") as client:
            old = profile.get("s-home").grant
            first = client._sites["s-home"].lan.open
            await client.pair(invite(here, here.box), "")
            await until(client, lambda: client._sites["s-home"].lan.open not in (None, first))
            assert profile.get("s-home").grant != old


async def test_an_impostor_is_passed_over_and_gets_no_secret() -> None:
    async with world() as here, Twin(here) as twin:
        profile = new_device(here)
        text = invite(here, here.box, addresses=(twin.address, here.box.address))
        entry = await here.client(profile).pair(text, "")
        assert entry.last_good == here.box.address
        assert not twin.was_told([SECRET, profile.key.public])


async def test_with_an_impostor_alone_nothing_is_stored() -> None:
    async with world(box=False) as here, Twin(here) as twin:
        profile = new_device(here)
        with pytest.raises(PlugsideError) as failed:
            await here.client(profile).pair(invite(here, here.box, addresses=(twin.address,)), "")
        assert failed.value.code is Code.UNTRUSTED_PEER
        assert Profile(profile.folder).sites == ()
        assert not twin.was_told([SECRET])


async def test_a_spent_invite_is_refused_in_its_makers_words() -> None:
    async with world() as here:
        text = invite(here, here.cloud)
        here.cloud.backend.granted = None
        with pytest.raises(Refused) as refused:
            await here.client(new_device(here)).pair(text, "")
        assert refused.value.code is Code.BAD_INVITE


@pytest.mark.parametrize(
    "text", ["", "hello", "plugside1_", "plugside1_AAAA", "plugsidebox1_x", "plugside1_é"]
)
async def test_what_is_no_invite_is_refused_before_anybody_is_asked(text: str) -> None:
    async with world(box=False, cloud=False) as here:
        with pytest.raises(Refused) as refused:
            await here.client(new_device(here)).pair(text, "")
        assert refused.value.code is Code.BAD_INVITE


async def test_a_forced_path_holds_for_pairing_too() -> None:
    async with world() as here:
        text = invite(here, here.cloud)
        with pytest.raises(PlugsideError) as failed:
            await here.client(new_device(here), "lan").pair(text, "")
        assert wrong(failed.value) is Code.NO_PATH
        assert here.cloud.accepted == 0

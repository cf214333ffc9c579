"""Which path is used when, and that nothing but the true box or cloud is ever told anything."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from common import trust, wire
from common.client.changes import BEHIND_MAX, Hub
from common.client.client import Client, Via
from common.client.profile import Profile, renewal_due
from common.client.site import Change
from common.clock import SystemClock
from common.domain import Path
from common.errors import Code, PlugsideError, error
from common.facts import ChargerAdopted
from common.keystore import generate_identity
from common.policy import Claims
from tests.client.backend import FakeSite, wrong
from tests.client.world import FAST, Twin, soon, until, world

DAY_MS = 24 * 3_600_000


async def test_the_lan_wins_and_the_cloud_is_not_asked() -> None:
    async with world() as here:
        here.site.happen(ChargerAdopted(charger="CP1", name="Bay 12"))
        patient = msgspec.structs.replace(FAST, cloud_delay_s=60.0)
        async with here.client(here.device(), pace=patient) as client:
            assert client.view("s-home").chargers["CP1"].name == "Bay 12"
            status = client.status("s-home")
            assert (status.path, status.shown, status.age_ms) == (Path.LAN, True, 0)
        assert here.cloud.accepted == 0


async def test_with_no_box_on_the_lan_the_cloud_stands_in() -> None:
    async with world(box=False) as here:
        here.site.happen(ChargerAdopted(charger="CP1"))
        async with here.client(here.device()) as client:
            assert list(client.view("s-home").chargers) == ["CP1"]
            status = client.status("s-home")
            assert status.path is Path.CLOUD
            assert wrong(status.failures[Path.LAN]) is Code.NO_PATH


@pytest.mark.parametrize(("via", "expected"), [("lan", Path.LAN), ("cloud", Path.CLOUD)])
async def test_a_forced_path_is_the_only_one(via: Via, expected: Path) -> None:
    async with world() as here:
        async with Client(here.device(), via, pace=FAST) as client:
            assert client.status("s-home").path is expected
        other = here.cloud if expected is Path.LAN else here.box
        assert other.accepted == 0


async def test_the_lan_is_preferred_as_soon_as_it_comes() -> None:
    async with world(box=False) as here, here.client(here.device()) as client:
        assert client.status("s-home").path is Path.CLOUD
        await here.box.start()
        await until(client, lambda: client.status("s-home").path is Path.LAN)
        here.site.happen(ChargerAdopted(charger="CP7"))
        await until(client, lambda: "CP7" in client.view("s-home").chargers)
        # The cloud's link stays, and follows nothing any more.
        await soon(lambda: here.cloud.backend.asked[-1:] == [wire.Follow(sites=())])


async def test_when_the_lan_dies_the_cloud_takes_over() -> None:
    async with world() as here, here.client(here.device()) as client:
        assert client.status("s-home").path is Path.LAN
        await here.box.stop()
        await until(client, lambda: client.status("s-home").path is Path.CLOUD)
        here.site.happen(ChargerAdopted(charger="CP7"))
        await until(client, lambda: "CP7" in client.view("s-home").chargers)


async def test_with_neither_the_reason_is_told() -> None:
    async with world(box=False, cloud=False) as here, here.client(here.device()) as client:
        assert client.status("s-home").path is None
        with pytest.raises(PlugsideError) as failed:
            await client.shown("s-home")
        assert failed.value.code is Code.NO_PATH


async def test_an_impostor_gets_no_byte_of_a_grant_and_the_box_is_found() -> None:
    async with world() as here, Twin(here) as twin:
        profile = here.device(last_good=twin.address, addresses=(twin.address, here.box.address))
        async with here.client(profile, "lan") as client:
            assert client.status("s-home").path is Path.LAN
            await soon(lambda: twin.heard)
        entry = profile.get("s-home")
        assert not twin.was_told([entry.grant, entry.grant.split(".")[2], profile.key.public])
        assert [type(wire.client_decoder.decode(frame)) for frame in twin.heard] == [wire.Hello]
        assert entry.last_good == here.box.address


async def test_with_an_impostor_alone_on_the_lan_the_cloud_is_used() -> None:
    async with world(box=False) as here, Twin(here) as twin:
        here.told_addresses = ()
        profile = here.device(addresses=(twin.address,))
        async with here.client(profile) as client:
            assert client.status("s-home").path is Path.CLOUD
            await until(client, lambda: Path.LAN in client.status("s-home").failures)
            assert wrong(client.status("s-home").failures[Path.LAN]) is Code.UNTRUSTED_PEER
        assert not twin.was_told([profile.get("s-home").grant, profile.key.public])


async def test_older_state_is_never_shown_when_paths_change() -> None:
    async with world(cloud=False) as here, here.client(here.device()) as client:
        seen: list[int] = []
        changes = client.changes()
        here.site.happen(*(ChargerAdopted(charger=f"CP{n}") for n in range(10)))
        while client.view("s-home").seq < 10:
            await anext(changes)
            seen.append(client.view("s-home").seq)
        # The cloud's copy is three facts behind when it has to stand in.
        old = here.cloud.backend.site = behind(here.site, 3)
        await here.cloud.start()
        await here.box.stop()
        await until(client, lambda: client.status("s-home").path is Path.CLOUD)
        await soon(lambda: old.followers)
        assert len(client.view("s-home").chargers) == 10
        old.happen(*(ChargerAdopted(charger=f"CP{n}") for n in range(7, 12)))
        await until(client, lambda: client.view("s-home").seq == 12)
        assert sorted(client.view("s-home").chargers) == sorted(f"CP{n}" for n in range(12))


def behind(site: FakeSite, facts: int) -> FakeSite:
    """The same site as it was some facts ago."""
    copy = FakeSite(site.site, site.view.epoch)
    copy.happen(*(ChargerAdopted(charger=charger) for charger in list(site.view.chargers)[:-facts]))
    return copy


async def test_an_epoch_of_the_box_is_not_taken_back_by_the_clouds_old_one() -> None:
    async with world(cloud=False) as here:
        here.site.view.epoch = "2-bb"
        here.site.happen(ChargerAdopted(charger="NEW"))
        async with here.client(here.device()) as client:
            old = here.cloud.backend.site = FakeSite("s-home", "1-aa")
            old.happen(*(ChargerAdopted(charger=f"OLD{n}") for n in range(9)))
            await here.cloud.start()
            await here.box.stop()
            await until(client, lambda: client.status("s-home").path is Path.CLOUD)
            await soon(lambda: old.followers)
            await soon(lambda: not here.cloud.backend.peers[0]._queue)
            assert list(client.view("s-home").chargers) == ["NEW"]


async def test_addresses_told_by_the_cloud_lead_to_the_lan() -> None:
    async with world() as here:
        profile = here.device(addresses=())
        async with here.client(profile) as client:
            await until(client, lambda: client.status("s-home").path is Path.LAN)
        assert profile.get("s-home").addresses == (here.box.address,)
        assert profile.get("s-home").last_good == here.box.address


async def test_a_hint_that_is_no_address_spoils_nothing() -> None:
    async with world() as here:
        hints = ("", "nonsense", "[::1", "127.0.0.1:port", "a b:1", here.box.address)
        async with here.client(here.device(addresses=hints), "lan") as client:
            assert client.status("s-home").path is Path.LAN


async def test_the_cloud_cannot_put_another_box_in_the_place_of_the_pinned_one() -> None:
    async with world() as here, Twin(here) as twin:
        profile = here.device()
        pinned = profile.get("s-home").box
        here.box.identity = generate_identity()  # what the cloud now tells of
        here.told_addresses = (twin.address,)
        async with here.client(profile, "cloud") as client:
            assert client.status("s-home").path is Path.CLOUD
        assert profile.get("s-home").box == pinned
        assert profile.get("s-home").addresses == (here.box.address,)


async def test_the_pinned_clouds_signed_word_brings_the_box_after_it() -> None:
    async with world(box=False) as here:
        profile = here.device()
        here.box.identity, before = generate_identity(), here.box.identity
        new = here.box.identity.fingerprint
        stranger = generate_identity()
        others = (
            trust.succeed(stranger, "s-home", new, 5),
            trust.succeed(here.cloud.identity, "s-other", new, 5),
            trust.succeed(here.cloud.identity, "s-home", stranger.fingerprint, 5),
            "nonsense",
        )
        for here.succession in others:
            async with here.client(profile, "cloud"):
                assert profile.get("s-home").box == before.fingerprint
        here.succession = trust.succeed(here.cloud.identity, "s-home", new, 5)
        await here.box.start()
        async with here.client(profile) as client:
            await until(client, lambda: client.status("s-home").path is Path.LAN)
        assert profile.get("s-home").box == new
        # What was said earlier is not believed again: a box that was released stays so.
        here.box.identity = before
        here.succession = trust.succeed(here.cloud.identity, "s-home", before.fingerprint, 4)
        async with here.client(profile, "cloud"):
            assert profile.get("s-home").box == new


async def test_a_site_is_called_what_its_cloud_calls_it() -> None:
    async with world() as here:
        here.name = "Plugside"  # as the box was set up, and as the operator has named it since
        cases: tuple[tuple[Via, str, str], ...] = (
            ("lan", here.cloud.url, "Home"),
            ("lan", "", "Plugside"),
            ("cloud", here.cloud.url, "Plugside"),
        )
        for via, cloud_url, expected in cases:
            profile = here.device(name="Home", cloud_url=cloud_url)
            async with here.client(profile, via) as client:
                assert client.status("s-home").name == profile.get("s-home").name == expected


async def test_one_cloud_link_follows_many_sites() -> None:
    async with world(box=False) as here:
        profile = here.device()
        ids = [f"s-{n:03}" for n in range(30)]  # more grants than fit into the first frame
        for site in ids:
            grant = here.grant(profile.key.thumbprint, site=site)
            profile.put(msgspec.structs.replace(profile.get("s-home"), site=site, grant=grant, addresses=()))
        async with here.client(profile, "cloud", ready_s=0) as client:
            await until(client, lambda: all(client.status(site).path is Path.CLOUD for site in ids))
            assert here.cloud.accepted == 1
            wanted = tuple(sorted([*ids, "s-home"]))
            await soon(
                lambda: isinstance(last := here.cloud.backend.asked[-1], wire.Follow) and last.sites == wanted
            )


async def test_a_grant_past_half_its_life_is_renewed_on_connect() -> None:
    async with world() as here:
        profile = here.device()
        old = here.grant(profile.key.thumbprint, now_ms=SystemClock().now_ms() - 4 * DAY_MS)
        profile.put(msgspec.structs.replace(profile.get("s-home"), grant=old))
        async with here.client(profile, "lan"):
            await soon(lambda: profile.get("s-home").grant != old)
        again = Profile(profile.folder).get("s-home").grant
        assert not renewal_due(again, SystemClock().now_ms())


async def test_a_fresh_grant_is_left_alone() -> None:
    async with world() as here, here.client(here.device(), "lan") as client:
        # A question sent afterwards is answered: whatever the client wanted to ask, it has asked by then.
        here.box.backend.rows["sessions"] = []
        assert await client.query("s-home", "sessions") == []
        assert not [asked for asked in here.box.backend.asked if isinstance(asked, wire.Renew)]


@pytest.mark.parametrize("via", ["lan", "cloud"])
async def test_an_expired_grant_of_a_known_key_is_renewed_on_the_way_in(via: Via) -> None:
    async with world() as here:
        here.site.happen(ChargerAdopted(charger="CP1"))
        profile = here.device()
        old = here.grant(profile.key.thumbprint, now_ms=SystemClock().now_ms() - 9 * DAY_MS)
        profile.put(msgspec.structs.replace(profile.get("s-home"), grant=old))
        async with here.client(profile, via) as client:
            assert list(client.view("s-home").chargers) == ["CP1"]
        assert profile.get("s-home").grant != old


def no_cloud(_: Claims) -> wire.Granted:
    raise error(Code.CLOUD_UNREACHABLE)


async def test_where_the_boxs_cloud_is_away_the_device_asks_it_itself() -> None:
    async with world() as here:
        here.box.backend.renewed = no_cloud
        profile = here.device()
        old = here.grant(profile.key.thumbprint, now_ms=SystemClock().now_ms() - 4 * DAY_MS)
        profile.put(msgspec.structs.replace(profile.get("s-home"), grant=old))
        patient = msgspec.structs.replace(FAST, cloud_delay_s=60.0)
        async with here.client(profile, pace=patient) as client:
            await soon(lambda: profile.get("s-home").grant != old)
            assert client.status("s-home").path is Path.LAN
        assert here.cloud.accepted == 1


async def test_an_expired_grant_that_nobody_renews_is_named_as_the_reason() -> None:
    async with world() as here:
        here.box.backend.renewed = here.cloud.backend.renewed = None
        old = here.grant(
            Profile(here.folder / "phone").key.thumbprint, now_ms=SystemClock().now_ms() - 9 * DAY_MS
        )
        async with here.client(here.device(grant=old)) as client:
            with pytest.raises(PlugsideError) as failed:
                await client.shown("s-home")
            assert failed.value.code is Code.GRANT_EXPIRED


async def test_a_withdrawn_right_is_told_and_the_view_stays() -> None:
    async with world(cloud=False) as here:
        here.site.happen(ChargerAdopted(charger="CP1"))
        profile = here.device()
        async with here.client(profile) as client:
            here.box.verifier.revoked = frozenset({trust.revoked_key(profile.key.thumbprint)})
            here.box.backend.cut_all(Code.REVOKED)
            await until(client, lambda: Path.LAN in client.status("s-home").failures)
            assert wrong(client.status("s-home").failures[Path.LAN]) is Code.REVOKED
            assert list(client.view("s-home").chargers) == ["CP1"]


async def test_a_link_that_answers_nothing_is_given_up() -> None:
    quick = msgspec.structs.replace(FAST, ping_every_s=0.02)
    async with world(cloud=False) as here, here.client(here.device(), pace=quick) as client:
        first = client._sites["s-home"].lan.open
        assert first is not None
        first._session.ask = lambda message: None  # type: ignore[method-assign]
        assert (await first.closed()).code is Code.NO_PATH
        await until(client, lambda: client.status("s-home").path is Path.LAN)


async def test_a_box_that_shows_nothing_is_no_path_until_it_does() -> None:
    async with world() as here:
        here.site.happen(ChargerAdopted(charger="CP1"))
        here.box.backend.declines_follow = True
        async with here.client(here.device()) as client:
            assert list(client.view("s-home").chargers) == ["CP1"]  # by the cloud
            here.box.backend.declines_follow = False
            await until(client, lambda: client.status("s-home").path is Path.LAN)


async def test_the_copys_age_is_told_while_the_box_is_away() -> None:
    async with world(box=False) as here:
        here.cloud.backend.online = False
        async with here.client(here.device()) as client:
            status = client.status("s-home")
            assert status.path is Path.CLOUD
            assert not status.online
            assert status.age_ms >= 60_000
            here.cloud.backend.online = True
            for peer in here.cloud.backend.peers:
                peer.send(wire.Presence(site="s-home", online=True, at="2026-01-01T00:00:00Z"))
            await until(client, lambda: client.status("s-home").online)
            assert client.status("s-home").age_ms == 0


async def test_a_consumer_that_falls_behind_is_told_to_look_again() -> None:
    hub = Hub()
    slow, other = hub.changes(), hub.changes()
    for _ in range(BEHIND_MAX):
        hub.publish(Change(site="a", kind="fact"))
    hub.publish(Change(site="b", kind="fact"))
    assert [await anext(slow), await anext(slow)] == [
        Change(site="a", kind="snapshot"),
        Change(site="b", kind="snapshot"),
    ]
    waiting = anext(slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await waiting
    hub.publish(Change(site="c", kind="path"))
    assert (await anext(slow)).site == "c"  # a wait that was cancelled lost nothing
    del other
    hub.publish(Change(site="d", kind="path"))

"""Exports of a box without internet: taken once, whole or in pieces; what is wrong is refused by name."""

from __future__ import annotations

import msgspec
import pytest

from cloud.service import Cloud
from common import sync
from common.client.local import local
from common.errors import Code, PlugsideError, Refused
from common.sync import bundle
from common.trust import b64
from tests.cloud.parts import FakeBox, claims
from tests.cloud.test_boxkeys import Rotating
from tests.store.box import Box
from tests.sync.world import Row


@pytest.fixture
async def shut_in(cloud: Cloud) -> FakeBox:
    """A box that was taken in and then never dialled."""
    box = FakeBox(cloud.url)
    await box.join(cloud, "Cellar")
    for number in range(30):
        box.ledger.charge(f"s{number}", number * 1000, number * 1000 + 500)
    return box


def batch_of(ledger: Box, rows: list[Row]) -> sync.Batch:
    return sync.Batch(
        link=0,
        epoch=ledger.journal.epoch,
        from_seq=rows[0].seq,
        records=tuple(sync.Record(r.seq, r.uid, r.salt, r.record, r.inner) for r in rows),
        chain_end=rows[-1].chain,
    )


def exported(box: FakeBox, *, after: int = 0, size: int = 20, **other: object) -> bytes:
    """What `plugside-edge export --after` writes."""
    rows = box.ledger.journal.rows[after:]
    head = bundle.BundleHead(
        **{
            "site": box.site,
            "epoch": box.ledger.journal.epoch,
            "first_seq": after + 1,
            "last_seq": after + len(rows),
            "chain_end": rows[-1].chain,
            "instance_id": box.instance,
            **other,
        }
    )
    parts = [
        bundle.sign_part(head.site, batch_of(box.ledger, rows[at : at + size]), box.identity)
        for at in range(0, len(rows), size)
    ]
    return bundle.pack(bundle.sign_head(head, box.identity), parts)


async def ledger(cloud: Cloud, box: FakeBox) -> set[str]:
    assert cloud._store is not None
    return set(await cloud._store.ledger(box.site))


async def test_a_bundle_arrives_as_over_a_tunnel_and_only_once(cloud: Cloud, shut_in: FakeBox) -> None:
    data = exported(shut_in)
    taken = await cloud.bundles.take(data, "Cellar")
    assert (taken.hwm, taken.last_seq, taken.quarantined) == (90, 90, ())
    assert len(await ledger(cloud, shut_in)) == 30
    assert taken.new == 90
    again = await cloud.bundles.take(data, shut_in.site)
    assert again == msgspec.structs.replace(taken, new=0)
    assert cloud._store is not None
    assert (await cloud._store.chain_state(shut_in.site)).intact
    assert len((await cloud._store.samples(claims(shut_in.site), "s1")).rows) == 1


async def test_the_next_one_begins_where_the_cloud_is(cloud: Cloud, shut_in: FakeBox) -> None:
    await cloud.bundles.take(exported(shut_in), shut_in.site)
    shut_in.ledger.charge("later", 90_000, 91_000)
    taken = await cloud.bundles.take(exported(shut_in, after=90), shut_in.site)
    assert taken.hwm == 93
    assert "later" in await ledger(cloud, shut_in)


async def test_a_file_of_a_box_of_years_begins_where_its_journal_does(cloud: Cloud, shut_in: FakeBox) -> None:
    journal = shut_in.ledger.journal
    journal.begins_after = 512
    journal.rotate("2-b")
    taken = await cloud.bundles.take(exported(shut_in, first_seq=513, begins_after=512), shut_in.site)
    assert (taken.hwm, taken.quarantined) == (602, ())
    assert len(await ledger(cloud, shut_in)) == 30
    assert cloud._store is not None
    assert (await cloud._store.chain_state(shut_in.site)).intact


async def test_a_tunnel_goes_on_where_a_bundle_ended(cloud: Cloud, shut_in: FakeBox) -> None:
    await cloud.bundles.take(exported(shut_in), shut_in.site)
    async with shut_in.connected():
        assert shut_in.drained


async def refused(cloud: Cloud, data: bytes, site: str) -> PlugsideError:
    with pytest.raises(PlugsideError) as why:
        await cloud.bundles.take(data, site)
    assert why.value.hint
    return why.value


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
async def test_a_file_that_was_cut_is_refused_whole(cloud: Cloud, shut_in: FakeBox, share: float) -> None:
    data = exported(shut_in)
    why = await refused(cloud, data[: int(len(data) * share)], shut_in.site)
    assert (why.code, why.detail) == (Code.BAD_BUNDLE, bundle.CUT)
    assert await ledger(cloud, shut_in) == set()


async def test_a_gap_names_what_to_export(cloud: Cloud, shut_in: FakeBox) -> None:
    why = await refused(cloud, exported(shut_in, after=30), shut_in.site)
    assert why.code is Code.BAD_BUNDLE
    assert "--after 0" in why.hint


async def test_a_restored_box_is_told_to_begin_a_new_epoch(cloud: Cloud, shut_in: FakeBox) -> None:
    await cloud.bundles.take(exported(shut_in), shut_in.site)
    journal = shut_in.ledger.journal
    del journal.rows[60:]
    for number in range(20):
        shut_in.ledger.charge(f"after-restore-{number}", 0, 1)
    why = await refused(cloud, exported(shut_in), shut_in.site)
    assert "--new-epoch" in why.hint
    shut_in.ledger.rotate()
    taken = await cloud.bundles.take(exported(shut_in), shut_in.site)
    assert taken.hwm == len(journal.rows)
    assert len(await ledger(cloud, shut_in)) == 50, "what the restored box forgot stays in the cloud"
    old = FakeBox(cloud.url, site=shut_in.site)
    old.identity, old.instance, old.ledger = shut_in.identity, shut_in.instance, Box(shut_in.site)
    old.ledger.charge("s0", 0, 500)
    why = await refused(cloud, exported(old), shut_in.site)
    assert "has left" in why.detail


async def test_another_sites_or_boxes_file_is_refused(cloud: Cloud, shut_in: FakeBox) -> None:
    data = exported(shut_in)
    assert (await refused(cloud, data, "Elsewhere")).code is Code.WRONG_SITE
    stranger = FakeBox(cloud.url)
    stranger.ledger.charge("x", 0, 1)
    assert (await refused(cloud, exported(stranger), stranger.site)).code is Code.UNKNOWN_SITE
    forged = exported(stranger, site=shut_in.site)
    found = await refused(cloud, forged, shut_in.site)
    assert (found.code, found.detail) == (Code.BAD_BUNDLE, bundle.CHANGED)
    copy = exported(shut_in, instance_id="another folder")
    await cloud.bundles.take(data, shut_in.site)
    assert "copy" in (await refused(cloud, copy, shut_in.site)).detail
    assert await ledger(cloud, shut_in) == {f"s{number}" for number in range(30)}


async def test_one_changed_byte_anywhere_is_found(cloud: Cloud, shut_in: FakeBox) -> None:
    data = bytearray(exported(shut_in, size=90))
    for at in range(len(bundle.MAGIC), len(data), len(data) // 40):
        data[at] ^= 0x10
        with pytest.raises(PlugsideError):
            await cloud.bundles.take(bytes(data), shut_in.site)
        data[at] ^= 0x10
    assert await ledger(cloud, shut_in) == set()
    assert (await cloud.bundles.take(bytes(data), shut_in.site)).hwm == 90


async def test_poison_and_kinds_of_tomorrow_hold_up_nothing(cloud: Cloud, shut_in: FakeBox) -> None:
    shut_in.ledger.write_record("poison", b"no record at all")
    record = msgspec.json.encode(
        {"uid": "new", "kind": "session_paused", "v": 3, "at": "", "clock": "synced", "body": {"x": 1}}
    )
    shut_in.ledger.write_record("new", record)
    shut_in.ledger.charge("behind", 90_000, 91_000)
    taken = await cloud.bundles.take(exported(shut_in), shut_in.site)
    assert taken.quarantined == (91,)
    assert "behind" in await ledger(cloud, shut_in)


async def test_a_bundle_goes_over_the_local_socket_and_over_http(cloud: Cloud, shut_in: FakeBox) -> None:
    import httpx

    head, parts = bundle.unpack(exported(shut_in))
    async with local(cloud._settings.socket_path) as operator:
        told = await operator.manage("import", {"head": b64(head), "part": b64(parts[0])})
        assert told["hwm"] == 20
        with pytest.raises(Refused):
            await operator.manage("import", {"head": b64(head), "part": b64(head)})
    async with httpx.AsyncClient() as client:
        url = f"{cloud.url}/v1/sites/{shut_in.site}/bundles"
        answer = await client.post(url, content=exported(shut_in))
        assert (answer.status_code, answer.json()["hwm"]) == (200, 90)
        cut = await client.post(url, content=exported(shut_in)[:-3])
        assert (cut.status_code, cut.json()["code"]) == (400, "bad_bundle")
        assert (await client.post(url, content=b"x" * (1024 * 1024 + 1))).status_code == 413


async def test_a_file_brings_a_rotation_and_one_of_before_is_taken_for_a_day(cloud: Cloud) -> None:
    box = Rotating(cloud.url)
    await box.join(cloud, "Cellar")
    box.ledger.charge("s1", 0, 500)
    before = exported(box)
    assert (await cloud.bundles.take(before, "Cellar")).new == 3
    held = box.rotate()
    box.ledger.charge("s2", 1000, 1500)
    told = exported(box, rotations=box.rotations)
    assert (await cloud.bundles.take(told, "Cellar")).new == 3
    assert cloud._store is not None
    site = await cloud._store.site("Cellar")
    assert site is not None
    assert (site.public, site.former) == (box.identity.public, held.public)
    assert (await cloud.bundles.take(told, "Cellar")).new == 0
    assert (await cloud.bundles.take(before, "Cellar")).new == 0
    await cloud._store.rotate_box(msgspec.structs.replace(site, former_until_ms=0), held=site.public)
    late = await refused(cloud, before, "Cellar")
    assert late.code is Code.KEY_REPLACED
    assert "export again" in late.hint
    # A chain that somebody put into a file of the true box is not what that box has signed.
    thief = Rotating(cloud.url)
    thief.site = box.site
    thief.rotate()
    forged = await refused(cloud, exported(box, rotations=thief.rotations), "Cellar")
    assert forged.code is Code.BAD_BUNDLE

"""Whose box a site has: the operator's word alone puts one in another one's place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from cloud.boxkeys import BoxKeys
from cloud.joining import _REFUSED_MAX
from cloud.service import Cloud
from cloud.store.rows import SiteRow
from common import sync, trust
from common.client.local import local
from common.errors import Code, Refused
from common.keystore import generate_identity
from tests.cloud.parts import CLOCK, FakeBox, join, until
from tests.cloud.test_boxkeys import acts
from tests.cloud.test_cli import Shell
from tests.cloud.test_tunnel import last_word


@pytest.fixture
def shell(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(cloud, capsys)


async def box_of(cloud: Cloud, site: str) -> str:
    async with local(cloud._settings.socket_path) as operator:
        return next(row["box"] for row in await operator.query("sites") if row["site"] == site)


async def test_a_name_that_a_site_has_is_refused_to_who_types_it(
    cloud: Cloud, box: FakeBox, shell: Shell
) -> None:
    other = FakeBox(cloud.url)
    code, out, err = await shell("site", "add", "Home", other.pair())
    assert (code, out) == (2, "")
    assert 'plugside-cloud site add "Home" CODE --replace' in err
    assert "choose another name" in err
    assert (await other.ask_in()).status_code == 202, "its code was not taken: typed right, it still is good"


async def test_a_box_that_claims_anothers_site_is_refused_and_whoever_waits_for_it_hears_why(
    cloud: Cloud, box: FakeBox, shell: Shell
) -> None:
    other = FakeBox(cloud.url, site=box.site)
    typed = other.pair()
    asked = []

    async def answered() -> bool:
        asked.append(await other.ask_in())
        return asked[-1].status_code != 202

    async with asyncio.TaskGroup() as tasks:
        adding = tasks.create_task(shell("site", "add", "Work", typed))
        await until(answered)
        code, _, err = await adding
    assert asked[-1].status_code == 400
    for hint in (asked[-1].json()["hint"], err):
        assert 'plugside-cloud site add "Home" CODE --replace' in hint
    assert code == 2
    assert await box_of(cloud, box.site) == box.identity.fingerprint
    await other.ask_in()
    (detail,) = await acts(cloud, "site_refused")
    assert other.identity.fingerprint in detail, "once, however often it asks"
    # The same code, typed as it has to be: the box never stopped asking.
    async with local(cloud._settings.socket_path) as operator:
        await operator.manage("site_add", {"name": "Home", "code": typed, "replace": True})
        assert await operator.query("joining", {"box": other.identity.fingerprint}) == []
    assert (await other.ask_in()).status_code == 200
    assert await box_of(cloud, box.site) == other.identity.fingerprint


async def test_of_two_boxes_that_claim_one_new_site_the_second_takes_nobodys_place(cloud: Cloud) -> None:
    first = FakeBox(cloud.url)
    second = FakeBox(cloud.url, site=first.site)
    async with local(cloud._settings.socket_path) as operator:
        for name, box in (("Home", first), ("Work", second)):
            await operator.manage("site_add", {"name": name, "code": box.pair()})
    answers = await asyncio.gather(first.ask_in(), second.ask_in())
    assert 200 in [answer.status_code for answer in answers]
    placed = await box_of(cloud, first.site)
    for box in (first, second, first):
        assert (await box.ask_in()).status_code == (200 if box.identity.fingerprint == placed else 400)
    assert await box_of(cloud, first.site) == placed


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("name", ["Home", "Renamed"])
async def test_the_same_box_joins_again_as_often_as_it_likes(
    cloud: Cloud, box: FakeBox, name: str, replace: bool
) -> None:
    if replace and name != "Home":
        name = box.site  # a site is replaced by its name or id
    phone = await join(cloud, "Home")
    async with box.connected():
        await box.join(cloud, name, replace=replace)
    assert await box_of(cloud, box.site) == box.identity.fingerprint
    async with box.connected(), phone.link() as app:
        assert app.sites[box.site].key == box.identity.fingerprint


async def test_a_box_with_another_key_comes_back_by_the_operators_word(cloud: Cloud, box: FakeBox) -> None:
    """Its key was rotated while it belonged to no cloud, or its disk is from before a rotation."""
    box.identity = box.signer = generate_identity()
    with pytest.raises(Refused, match="--replace"):
        await box.join(cloud)
    await box.join(cloud, replace=True)
    async with box.connected():
        assert cloud.hub.link(box.site)


async def test_a_site_that_is_called_like_anothers_id_is_not_that_one(cloud: Cloud) -> None:
    box, named_alike = FakeBox(cloud.url), FakeBox(cloud.url)
    async with local(cloud._settings.socket_path) as operator:
        await operator.manage("site_add", {"name": "Mine", "code": box.pair()})
    await named_alike.join(cloud, box.site)
    assert (await box.ask_in()).status_code == 200
    assert cloud._store is not None
    row = await cloud._store.site(box.site)
    assert row is not None
    assert (row.name, row.retired, row.succession) == ("Mine", (), "")


class Meanwhile(BoxKeys):
    """Something happens between what a key is believed and what follows from it."""

    def __init__(self, cloud: Cloud, happens: Callable[[], Awaitable[None]]) -> None:
        super().__init__(cloud.edges._shared.store, cloud.accounts, CLOCK)
        self._happens = happens

    async def believed(self, site: SiteRow, key: str, told: Sequence[str]) -> SiteRow:
        row = await super().believed(site, key, told)
        await self._happens()
        return row


async def test_a_tunnel_that_speaks_while_its_box_is_replaced_brings_nobody_back(
    cloud: Cloud, box: FakeBox
) -> None:
    """It names another issuer's key at the moment in which the site gets its new box."""
    spare = FakeBox(cloud.url, site=box.site)
    keys = Meanwhile(cloud, lambda: spare.join(cloud, replace=True))
    cloud.edges._shared = msgspec.structs.replace(cloud.edges._shared, boxkeys=keys)
    voucher = trust.vouch(box.identity, spare.issuer.public, box.site)
    named = {"issuer": voucher.issuer, "vouching": voucher.signature}

    def hello(challenge: sync.Challenge) -> sync.TunnelHello:
        return box.hello(challenge.nonce, **named)

    assert (await last_word(box, hello)).code == Code.UNTRUSTED_PEER
    assert await box_of(cloud, box.site) == spare.identity.fingerprint


async def test_who_is_told_of_refusals_and_how_many_are_remembered(cloud: Cloud, box: FakeBox) -> None:
    phone = await join(cloud, "Home")
    async with phone.link() as app:
        with pytest.raises(Refused) as no:
            await app.query("joining", {"box": box.identity.fingerprint})
    assert no.value.code is Code.NOT_PERMITTED
    others = [FakeBox(cloud.url, site=box.site) for _ in range(_REFUSED_MAX + 1)]
    async with local(cloud._settings.socket_path) as operator:
        for number, other in enumerate(others):
            await operator.manage("site_add", {"name": f"Work {number}", "code": other.pair()})
            with pytest.raises(Refused):
                await cloud.joining.enrol(other.request())
        told = [await operator.query("joining", {"box": other.identity.fingerprint}) for other in others]
    assert [len(rows) for rows in told] == [0] + [1] * _REFUSED_MAX

"""Group 24: screenshots of invites, invites that raise themselves, codes of who was thrown out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from common import trust
from common.domain import Role
from common.errors import Code, PlugsideError
from common.trust.invites import DEVICES_OF_ONE_MAX, OF_ONE_MAX, PREFIX
from tests.box.phones import Phone, place


async def redeem(phone: Phone, text: str) -> None:
    async with phone.link(invite=trust.Invite.from_text(text).secret, grants=()) as link:
        phone.grant = link.granted[0].grant


async def declined(phone: Phone, text: str) -> None:
    with pytest.raises(PlugsideError) as no:
        await redeem(phone, text)
    assert no.value.code is Code.BAD_INVITE


async def test_a24_a_screenshot_is_worth_nothing_once_the_invite_was_used(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        text, principal = site.authority.invite(Role.DRIVER, ("CP1",), 3_600_000)
        honest, thief = Phone(site), Phone(site)
        await redeem(honest, text)
        for _ in range(3):
            await declined(thief, text)
        async with honest.link():
            pass
        await declined(honest, text)  # spent: its key has used its grant
        assert honest.claims.principal == principal
        assert len(site.authority.devices.of(principal)) == 1


async def test_a24_of_many_who_bring_it_at_once_one_comes_in(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        for _ in range(3):
            text, principal = site.authority.invite(Role.DRIVER, ("CP1",), 3_600_000)
            racers = [Phone(site) for _ in range(8)]
            ends = await asyncio.gather(*(redeem(one, text) for one in racers), return_exceptions=True)
            lost = [end for end in ends if end is not None]
            assert all(isinstance(no, PlugsideError) and no.code is Code.BAD_INVITE for no in lost), lost
            # A key that is not confirmed yet may be told the same; but one alone counts afterwards.
            assert len(site.authority.devices.of(principal)) == 1
            inside = 0
            for one in racers:
                if one.grant:
                    with suppress(PlugsideError):
                        async with one.link():
                            inside += 1
            assert inside == 1


async def test_a24_an_invite_says_nothing_about_what_it_gives(tmp_path: Path) -> None:
    """Role, chargers, caps and principal are at its maker; the text holds a secret and where to bring it."""
    async with place(tmp_path) as (site, _):
        text, principal = site.authority.invite(Role.DRIVER, ("CP1",), 3_600_000)
        ticket = msgspec.json.decode(trust.unb64(text.removeprefix(PREFIX)))
        assert not {"driver", "CP1", principal} & set(map(str, ticket))
        for more in (["operator"], [{"role": "installer"}], [True, "own"]):
            raised = PREFIX + trust.b64(msgspec.json.encode([*ticket, *more]))
            phone = Phone(site)
            try:
                await redeem(phone, raised)
            except PlugsideError as no:
                assert no.code is Code.BAD_INVITE  # noqa: PT017 - read or not, it gives no more
            else:
                assert (phone.claims.role, phone.claims.chargers) == (Role.DRIVER, ("CP1",))
                break
        for changed in (trust.b64(b"x" * 16), "", text[:-4], text.upper()):
            with pytest.raises(PlugsideError):
                await redeem(Phone(site), PREFIX + changed if not changed.startswith(PREFIX) else changed)


async def test_a24_a_code_for_a_further_device_is_as_single_as_an_invite(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        driver = await Phone(site).join()
        async with driver.link() as link:
            made = await link.manage("device_add")
        tablet, thief = Phone(site), Phone(site)
        await redeem(tablet, made["invite"])
        await declined(thief, made["invite"])
        assert tablet.claims.principal == driver.claims.principal
        assert tablet.claims.role is driver.claims.role
        async with tablet.link() as link:
            with pytest.raises(PlugsideError) as no:
                await link.manage("invite", {"role": "operator"})
            assert no.value.code is Code.NOT_PERMITTED


async def test_a24_who_is_thrown_out_comes_back_by_no_code_made_before(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        driver, honest = await Phone(site).join(), await Phone(site).join()
        async with driver.link() as link:
            waiting = (await link.manage("device_add"))["invite"]
        site.authority.withdrawals.revoke([trust.revoked_principal(driver.claims.principal)])
        await declined(Phone(site), waiting)
        async with honest.link():
            pass


async def test_a24_nobody_pushes_others_out_by_asking_for_codes(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        waiting, _who = site.authority.invite(Role.DRIVER, None, 3_600_000)
        honest, driver = await Phone(site).join(), await Phone(site).join()
        async with driver.link() as link:
            for _ in range(OF_ONE_MAX + 2):
                code = (await link.manage("device_add"))["invite"]
        theirs = [one for one in site.authority.invites.open if one.principal == driver.claims.principal]
        assert len(theirs) == OF_ONE_MAX
        # Redeemed again and again, for keys that never come: still no more than a person has.
        for _ in range(DEVICES_OF_ONE_MAX + 2):
            async with driver.link() as link:
                code = (await link.manage("device_add"))["invite"]
            await redeem(Phone(site), code)
        assert len(site.authority.devices.of(driver.claims.principal)) == DEVICES_OF_ONE_MAX
        assert len(site.authority.invites.records) < 2 * OF_ONE_MAX + 3
        await redeem(Phone(site), waiting)
        async with honest.link() as link:
            await link.renew(honest.grant)

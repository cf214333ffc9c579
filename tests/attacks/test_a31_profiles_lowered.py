"""Group 31: a charger of profile 2 on plain ws; forged X-Forwarded-Proto; a lower profile by command. Nothing
but somebody at the box lowers a profile, and only TLS is TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import wire
from common.commands import Adjust, Adopt, Configure, Name, Secure
from common.domain import Role
from common.errors import Code, Refused
from common.facts import SecurityNoted
from common.policy import Claims
from edge.core import inputs
from tests.box.support import eventually
from tests.chargers.secured import basic, secure_box
from tests.core.world import SITE, Site

FORGED = [
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Proto": "wss", "X-Forwarded-Ssl": "on", "X-Forwarded-For": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1;proto=https"},
    {"X-Client-Cert": "-----BEGIN CERTIFICATE-----", "X-SSL-Client-Verify": "SUCCESS"},
    {"Front-End-Https": "on", "X-Forwarded-Host": "box"},
]


async def test_a31_only_tls_is_tls_whatever_a_header_says(tmp_path: Path) -> None:
    async with secure_box(tmp_path) as box:
        await box.adopt("CP1", profile=2)
        password = await box.password("CP1")
        for forged in FORGED:
            headers = {**basic("CP1", password), **forged}
            assert await box.status("CP1", additional_headers=headers) == 403
        await eventually(lambda: "tls_wanted" in {n.what for n in box.of(SecurityNoted)}, "a note")
        async with box.dial("CP1", password, tls=box.trusting()) as charger:
            assert await charger.alive()
            # its own session is not disturbed by a plain one of the same name and password
            assert await box.status("CP1", password) == 403
            assert await charger.alive()
        # Nor does TLS make a charger of a lower profile more than it is.
        await box.adopt("CP2", profile=1)
        other = await box.password("CP2")
        assert await box.status("CP2", other, tls=box.trusting()) == 403
        assert await box.status("CP2", other) == 101


async def test_a31_a_restart_forgets_no_profile(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1", profile=1)
        password = await box.password("CP1")
        assert await box.status("CP1", password) == 101
    async with secure_box(tmp_path, ocpps="") as box:
        assert await box.status("CP1") == 401
        assert await box.status("CP1", password) == 101


LOWERING = {
    "told so": (Name.SECURE, Secure(profile=0)),
    "by hand": (Name.SECURE, Secure(profile=0, by_hand=True)),
    "by hand, one down": (Name.SECURE, Secure(profile=1, by_hand=True)),
    "as configuration": (Name.CONFIGURE, Configure("SecurityProfile", "0")),
    "in another case": (Name.CONFIGURE, Configure("securityPROFILE ", "0")),
    "2.x": (Name.CONFIGURE, Configure("SecurityCtrlr.SecurityProfile", "0")),
    "a password of theirs": (Name.CONFIGURE, Configure("AuthorizationKey", "00" * 16)),
    "2.x, a password": (Name.CONFIGURE, Configure("SecurityCtrlr.BasicAuthPassword", "00" * 16)),
    "as what its model needs": (Name.ADJUST, Adjust("settings", {"SecurityProfile": "0"})),
    "adopted anew": (Name.ADOPT, Adopt("x", profile=0)),
}


@pytest.mark.parametrize("role", [Role.DRIVER, Role.OPERATOR, Role.INSTALLER])
@pytest.mark.parametrize("how", LOWERING)
def test_a31_no_command_from_afar_lowers_it(role: Role, how: str) -> None:
    name, args = LOWERING[how]
    site = Site().ready()
    local = Claims(site=SITE, principal="local", role=Role.LOCAL)
    site.command(Name.SECURE, Secure(profile=2, by_hand=True), id="up", claims=local)
    site.feed(inputs.StationConnected(charger="CP1", protocol="ocpp1.6", profile=2, credential="pw"))
    claims = Claims(site=SITE, principal="mallory", role=role)
    asked = site.command(name, args, claims=claims, expires_ms=site.now + 60_000)
    security = site.state.look("CP1").security
    assert (security.profile, security.to) == (2, None)
    assert not asked.requests, "the charger is told nothing"
    if name is not Name.ADOPT:
        assert asked.progress[0].stage == "refused"
    # Who stands at the box may.
    site.command(Name.SECURE, Secure(profile=1, by_hand=True), id="down", claims=local)
    assert site.state.look("CP1").security.profile == 1


async def test_a31_no_password_leaves_the_box_but_to_who_stands_there(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1", profile=1)
        here = box.site.authority.site
        ask = wire.Manage(id="1", site=here, name="charger_password", args={"charger": "CP1"})
        for role in (Role.DRIVER, Role.OPERATOR, Role.INSTALLER):
            claims = Claims(site=here, principal="mallory", role=role)
            with pytest.raises(Refused) as refused:
                await box.site.management.answer(ask, claims)
            assert refused.value.code is Code.NOT_PERMITTED
        assert len(await box.password("CP1")) == 32

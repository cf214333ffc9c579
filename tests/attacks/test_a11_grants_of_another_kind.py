"""Group 11: grants of another type, for another site, with a list of sites, with an issuer that begins alike;
without an end; with times that are text, negative, huge or a fraction; with members that nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from common.domain import Role
from common.errors import Code, Refused
from common.policy import Claims
from common.trust import unb64
from tests.box.phones import CLOCK, Phone, place, refused
from tests.trust.cast import CLOUD_ISSUER, DAY_MS, NOW_MS, ONLINE, SITE, grant, verifier

MISSING = object()
NOW_S = NOW_MS // 1000


def signed(typ: Any = "plugside-grant+jwt", **changes: Any) -> str:
    """Truly signed by the cloud's key: what a hostile holder of it could make, or another of its uses."""
    payload = msgspec.json.decode(unb64(grant().split(".")[1])) | changes
    payload = {name: value for name, value in payload.items() if value is not MISSING}
    headers = {"kid": CLOUD_ISSUER.kid, "typ": typ}
    return jwt.api_jws.encode(msgspec.json.encode(payload), ONLINE.private, "EdDSA", headers)


OTHERS = {
    "an id token": signed("JWT"),
    "an access token": signed("at+jwt"),
    "its type in capitals": signed("PLUGSIDE-GRANT+JWT"),
    "sites as a list": signed(aud=[SITE]),
    "every site": signed(aud="*"),
    "an issuer that begins alike": signed(iss=CLOUD_ISSUER.id[:-1]),
    "an issuer that goes on": signed(iss=CLOUD_ISSUER.id + "/x"),
    "issuers as a list": signed(iss=[CLOUD_ISSUER.id]),
    "no end": signed(exp=MISSING),
    "no beginning": signed(iat=MISSING),
    "an end as text": signed(exp=str(NOW_S + 60)),
    "an end that is a fraction": signed(exp=NOW_S + 60.5),
    "a negative end": signed(exp=-1),
    "an end in the year 10000": signed(exp=253_402_300_800),
    "an end of 2^64": signed(exp=2**64 - 1),
    "an end of 1e308": signed(exp=1e308),
    "a life of eight days": signed(exp=NOW_S + 8 * DAY_MS // 1000),
    "an end before its beginning": signed(exp=NOW_S - 1),
    "nobody": signed(sub=""),
    "no key": signed(cnf=MISSING),
    "an empty key": signed(cnf={"jkt": ""}),
    "two keys": signed(cnf={"jkt": "a", "kid": "b"}),
    "a role that is none": signed(role="admin"),
    "local presence": signed(role="local"),
    "a limit that nobody knows": signed(lim={"chf": 5}),
    "a limit that is negative": signed(lim={"energy_wh": -1}),
    "an owner who is a driver": signed(own=True),
    "a member that nobody knows": signed(admin=True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a11_a_grant_of_another_kind_counts_for_nothing(name: str) -> None:
    with pytest.raises(Refused) as no:
        verifier().claims(OTHERS[name], NOW_MS, SITE)
    assert no.value.code in (Code.BAD_GRANT, Code.WRONG_SITE)


def test_a11_what_a_writer_of_json_doubles_is_read_once_and_the_same_by_all() -> None:
    """A member twice: whichever of them counts, both sides read the same bytes the same way, signed."""
    payload = msgspec.json.encode(msgspec.json.decode(unb64(grant().split(".")[1])))
    doubled = payload[:-1] + b',"role":"installer"}'
    headers = {"kid": CLOUD_ISSUER.kid, "typ": "plugside-grant+jwt"}
    token = jwt.api_jws.encode(doubled, ONLINE.private, "EdDSA", headers)
    with pytest.raises(Refused) as no:
        verifier().claims(token, NOW_MS, SITE)
    # The last one counts, and a driver's week is longer than an installer's right may be.
    assert no.value.code is Code.BAD_GRANT


async def test_a11_a_grant_for_another_site_opens_nothing_here(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        phone = Phone(site).granted_by(cloud)
        true = phone.grant
        elsewhere = Claims(site="s-elsewhere", principal="p", role=Role.INSTALLER, key=phone.key.thumbprint)
        phone.grant = cloud.grant(elsewhere, CLOCK.now_ms(), "g")
        await refused(phone, Code.WRONG_SITE)
        phone.grant = true
        async with phone.link() as link:
            assert list(link.sites) == [site.authority.site]

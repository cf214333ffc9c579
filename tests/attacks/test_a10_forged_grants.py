"""Group 10: algorithms and key ids of the attacker's choice: `none`, the issuer's public key as HMAC secret,
another curve, none at all; a `kid` that is a path or SQL; headers that name a key to fetch or to believe."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from common.domain import Role
from common.errors import Code, Refused
from common.keystore import generate_identity, generate_issuer
from common.trust import b64, unb64
from tests.box.phones import Phone, place, refused
from tests.trust.cast import CLOUD_ISSUER, NOW_MS, ONLINE, SITE, grant, verifier

PAYLOAD: dict[str, Any] = msgspec.json.decode(unb64(grant().split(".")[1]))
HEADER = {"alg": "EdDSA", "typ": "plugside-grant+jwt", "kid": CLOUD_ISSUER.kid}


def raw(header: dict[str, Any], signature: bytes = b"", payload: dict[str, Any] | None = None) -> str:
    """A token put together by hand."""
    parts = [b64(json.dumps(part).encode()) for part in (header, payload or PAYLOAD)]
    return ".".join([*parts, b64(signature)])


def hmaced(algorithm: str, secret: bytes) -> str:
    header = HEADER | {"alg": algorithm}
    covered = raw(header).rpartition(".")[0]
    return f"{covered}.{b64(hmac.digest(secret, covered.encode(), hashlib.sha256))}"


def signed(**header: Any) -> str:
    """Truly signed by the cloud's key, under another header."""
    headers = {"typ": "plugside-grant+jwt", "kid": CLOUD_ISSUER.kid} | header
    return jwt.api_jws.encode(msgspec.json.encode(PAYLOAD), ONLINE.private, "EdDSA", headers)


def by_es256() -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Any = load_pem_private_key(generate_identity().to_pem(), None)
    headers = {"typ": "plugside-grant+jwt", "kid": CLOUD_ISSUER.kid}
    return jwt.api_jws.encode(msgspec.json.encode(PAYLOAD), key, "ES256", headers)


FORGED = {
    "none": raw(HEADER | {"alg": "none"}),
    "None": raw(HEADER | {"alg": "None"}),
    "none, with a signature": raw(HEADER | {"alg": "none"}, b"x" * 64),
    "HS256 with the public key's bytes": hmaced("HS256", unb64(ONLINE.public)),
    "HS256 with the public key's text": hmaced("HS256", ONLINE.public.encode()),
    "HS256 with its id": hmaced("HS256", CLOUD_ISSUER.kid.encode()),
    "ES256": by_es256(),
    "no algorithm": raw({name: value for name, value in HEADER.items() if name != "alg"}, b"x" * 64),
    "two algorithms": raw(HEADER | {"alg": ["EdDSA", "none"]}, b"x" * 64),
    "another issuer's signature": jwt.api_jws.encode(
        msgspec.json.encode(PAYLOAD), generate_issuer().private, "EdDSA", HEADER
    ),
    "a kid that is a path": signed(kid="../../keys/issuer.pem"),
    "a kid that is SQL": signed(kid="' OR 1=1 --"),
    "a kid of 5 KB": signed(kid="k" * 5000),
    "a kid that is a number": raw(HEADER | {"kid": 1}, b"x" * 64),
    "no kid": raw({name: value for name, value in HEADER.items() if name != "kid"}, b"x" * 64),
    "jku": signed(jku="https://evil.example/keys"),
    "jwk": signed(jwk={"kty": "OKP", "crv": "Ed25519", "x": generate_issuer().public}),
    "x5u": signed(x5u="https://evil.example/cert"),
    "crit": signed(crit=["exp"]),
    "a zipped payload": signed(zip="DEF"),
    "nothing": "",
    "two dots": "..",
    "four parts": grant() + ".x",
    "padded": grant() + "==",
    "white space": grant().replace(".", " ."),
    "7 KB": grant() + "A" * 7000,
}


@pytest.mark.parametrize("name", FORGED)
def test_a10_a_forged_grant_counts_for_nothing(name: str) -> None:
    for ask in (verifier().claims, lambda token, _now, site: verifier().renewable(token, site)):
        with pytest.raises(Refused) as no:
            ask(FORGED[name], NOW_MS, SITE)
        assert no.value.code is Code.BAD_GRANT


def test_a10_and_the_true_one_still_counts() -> None:
    assert verifier().claims(grant(), NOW_MS, SITE).role is Role.DRIVER


async def test_a10_at_a_running_box_none_of_them_opens_a_link(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        phone = await Phone(site).join()
        true = phone.grant
        header, payload, signature = true.split(".")
        raised = msgspec.json.decode(unb64(payload)) | {"role": "installer"}
        forged = {
            "none": f"{b64(json.dumps(HEADER | {'alg': 'none'}).encode())}.{payload}.",
            "the role raised": f"{header}.{b64(msgspec.json.encode(raised))}.{signature}",
            "cut": true[:-10],
        }
        for phone.grant in forged.values():
            await refused(phone, Code.BAD_GRANT)
        phone.grant = true
        async with phone.link():
            pass

"""Grants: what is believed, until when, and everything that is not.

Tried: algorithms and headers of the attacker's choice, other types and sites, times that are missing or
absurd, revoked keys, issuers that claim more than they may, and keys past their own end.
"""

from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import Role
from common.errors import Code, PlugsideError, Refused
from common.keystore import generate_issuer
from common.trust import (
    LIFETIMES_MS,
    Issuing,
    TrustSet,
    Verifier,
    b64,
    box_issuer,
    revoked_grant,
    revoked_key,
    revoked_principal,
    unb64,
)
from common.trust import grants as module
from tests.trust.cast import (
    BOX,
    BOX_ISSUING,
    CLOUD_ISSUER,
    CLOUD_ISSUING,
    DAY_MS,
    NOW_MS,
    ONLINE,
    PHONE,
    ROOT,
    SITE,
    TRUST,
    flipped,
    grant,
    verifier,
)


def refusal(token: str, now_ms: int = NOW_MS, site: str | None = SITE, by: Verifier | None = None) -> Code:
    with pytest.raises(Refused) as raised:
        (by or verifier()).claims(token, now_ms, site)
    return raised.value.code


def forged(header: dict[str, Any] | None = None, key: Any = ONLINE.private, **changes: Any) -> str:
    """A token signed by the true key, with any header and payload: what a hostile issuer could make."""
    payload = msgspec.json.decode(unb64(grant().split(".")[1])) | changes
    payload = {name: value for name, value in payload.items() if value is not ...}
    algorithm = (header or {}).get("alg", "EdDSA")
    headers = {"typ": "plugside-grant+jwt", "kid": CLOUD_ISSUER.kid} | (header or {})
    return jwt.api_jws.encode(msgspec.json.encode(payload), key, algorithm, headers)


def test_a_grant_says_what_it_permits() -> None:
    claims = verifier().claims(grant(chargers=("CP1", "CP2")), NOW_MS, SITE)
    assert (claims.site, claims.principal, claims.role) == (SITE, "driver-1", Role.DRIVER)
    assert claims.chargers == ("CP1", "CP2")
    assert claims.key == PHONE.thumbprint
    assert claims.grant == "grant-1"
    assert claims.expires_ms == NOW_MS + 7 * DAY_MS
    assert claims.renew_after_ms == NOW_MS + 7 * DAY_MS // 2
    assert not claims.grace


def test_no_charger_named_is_every_charger_and_an_empty_list_is_none() -> None:
    assert verifier().claims(grant(), NOW_MS, SITE).chargers is None
    assert verifier().claims(grant(chargers=()), NOW_MS, SITE).chargers == ()


@pytest.mark.parametrize("role", list(LIFETIMES_MS))
def test_each_role_has_its_life_and_no_more(role: Role) -> None:
    token = grant(role=role, lifetime_ms=100 * DAY_MS)
    end_ms = NOW_MS + LIFETIMES_MS[role]
    assert verifier().claims(token, end_ms - 1, SITE).role is role
    assert refusal(token, end_ms) is Code.GRANT_EXPIRED
    assert refusal(token, end_ms + 1000) is Code.GRANT_EXPIRED


def test_a_shorter_life_is_kept() -> None:
    token = grant(lifetime_ms=60_000)
    assert verifier().claims(token, NOW_MS + 59_999, SITE)
    assert refusal(token, NOW_MS + 60_000) is Code.GRANT_EXPIRED


def test_grace_is_for_drivers_has_an_end_and_is_shown() -> None:
    kind = verifier(grace_ms=7 * DAY_MS)
    driver, operator = grant(), grant(role=Role.OPERATOR)
    assert not kind.claims(driver, NOW_MS + 7 * DAY_MS - 1, SITE).grace
    late = kind.claims(driver, NOW_MS + 7 * DAY_MS, SITE)
    assert late.grace
    assert late.expires_ms == NOW_MS + 14 * DAY_MS
    assert refusal(driver, NOW_MS + 14 * DAY_MS, by=kind) is Code.GRANT_EXPIRED
    assert refusal(operator, NOW_MS + DAY_MS, by=kind) is Code.GRANT_EXPIRED


def test_an_ended_grant_may_be_renewed_but_not_a_wrong_one() -> None:
    judge = verifier()
    assert judge.renewable(grant(), SITE).principal == "driver-1"
    for token in (flipped(grant(), 300), forged(aud="elsewhere")):
        with pytest.raises(Refused):
            judge.renewable(token, SITE)


def test_what_begins_later_is_not_valid_yet_but_a_little_skew_is_forgiven() -> None:
    token = grant(now_ms=NOW_MS + 5 * 60_000)
    assert verifier().claims(token, NOW_MS, SITE)
    assert refusal(token, NOW_MS - 1) is Code.GRANT_EXPIRED, "to be renewed by whoever gave it"
    assert refusal(grant(now_ms=NOW_MS + 80 * DAY_MS)) is Code.GRANT_EXPIRED
    assert refusal(grant(), 0) is Code.GRANT_EXPIRED  # a clock in 1970


def test_a_grant_is_for_one_site() -> None:
    assert refusal(grant(), site="site-2") is Code.WRONG_SITE
    assert verifier().claims(grant(site="site-2"), NOW_MS).site == "site-2"


@given(st.integers(min_value=0))
def test_any_flipped_character_is_refused(position: int) -> None:
    assert refusal(flipped(grant(), position)) is Code.BAD_GRANT


@given(st.text(max_size=300) | st.binary(max_size=300).map(b64))
def test_no_text_is_more_than_refused(token: str) -> None:
    assert refusal(token) is Code.BAD_GRANT


SPELLINGS = {
    "nothing": "",
    "three nothings": "..",
    "a lone surrogate": "\ud800.a.b",
    "padding": grant() + "=",
    "a fourth part": grant() + ".",
    "a line break": grant().replace(".", ".\n", 1),
    "a space": " " + grant(),
    "too long": grant() + "A" * 7000,
    "no parts": "[" * 5000,
    "deep": b64(b"[" * 3000) + "." + b64(b"{}") + "." + b64(b"0"),
}


@pytest.mark.parametrize("case", list(SPELLINGS))
def test_other_spellings_are_refused(case: str) -> None:
    assert refusal(SPELLINGS[case]) is Code.BAD_GRANT


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "plugside-grant+JWT"},
        {"typ": None},
        {"kid": "../../etc/passwd"},
        {"kid": "' OR 1=1 --"},
        {"kid": ROOT.kid},
        {"jku": "https://evil.example/keys"},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": generate_issuer().public}},
        {"x5u": "https://evil.example/cert"},
        {"crit": ["exp"], "exp": 1},
    ],
)
def test_a_header_says_three_things_and_nothing_else(header: dict[str, Any]) -> None:
    assert refusal(forged(header)) is Code.BAD_GRANT


def test_only_the_one_algorithm_counts() -> None:
    head, body, _ = grant().split(".")
    none = b64(msgspec.json.encode({"alg": "none", "typ": "plugside-grant+jwt", "kid": CLOUD_ISSUER.kid}))
    assert refusal(f"{none}.{body}.") is Code.BAD_GRANT
    assert refusal(f"{head}.{body}.") is Code.BAD_GRANT
    # The oldest trick: HMAC with the public key, which everybody has.
    assert refusal(forged({"alg": "HS256"}, unb64(ONLINE.public))) is Code.BAD_GRANT
    assert refusal(forged({"alg": "ES256"}, PHONE._private)) is Code.BAD_GRANT
    named_eddsa = forged({"alg": "HS256"}, unb64(ONLINE.public)).split(".")
    assert refusal(f"{head}.{named_eddsa[1]}.{named_eddsa[2]}") is Code.BAD_GRANT


IAT = NOW_MS // 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": ...},
        {"iat": ...},
        {"nbf": ...},
        {"sub": ...},
        {"cnf": ...},
        {"cnf": {"jkt": ""}},
        {"cnf": {"jkt": "x", "jwk": {}}},
        {"sub": ""},
        {"aud": [SITE]},
        {"aud": None},
        {"exp": str(IAT + 60)},
        {"exp": -1},
        {"exp": 0},
        {"exp": 2**63},
        {"exp": 10**30},
        {"exp": float(IAT + 60)},
        {"exp": True},
        {"iat": IAT - 8 * 86400},  # a life of more than seven days
        {"exp": IAT},
        {"exp": IAT + 7 * 86400 + 1},
        {"iss": CLOUD_ISSUER.id + "x"},
        {"iss": CLOUD_ISSUER.id[:-1]},
        {"iss": BOX.fingerprint},
        {"role": "local"},
        {"role": "owner"},
        {"role": "operator"},  # with a driver's seven days
        {"chargers": "CP1"},
        {"limit_wh": 1000},  # a limit that this build does not know
    ],
)
def test_a_truly_signed_payload_is_still_judged(changes: dict[str, Any]) -> None:
    assert refusal(forged(**changes)) is Code.BAD_GRANT


def test_the_forgery_of_the_tests_is_good_when_nothing_is_changed() -> None:
    assert verifier().claims(forged(), NOW_MS, SITE).principal == "driver-1"


def test_a_box_issues_for_its_own_site_and_no_installer() -> None:
    judge = verifier()
    assert judge.claims(grant(BOX_ISSUING, role=Role.OPERATOR), NOW_MS, SITE).issuer == BOX.fingerprint
    for changes in ({"role": Role.INSTALLER}, {"role": Role.LOCAL}, {"site": "site-2"}):
        with pytest.raises(Refused):
            grant(BOX_ISSUING, **changes)
    # The same from a box that does not keep to it.
    free = Issuing(
        key=BOX_ISSUING.key,
        issuer=msgspec.structs.replace(BOX_ISSUING.issuer, roles=CLOUD_ISSUER.roles, site=None),
    )
    assert refusal(grant(free, role=Role.INSTALLER)) is Code.BAD_GRANT
    assert refusal(grant(free, site="site-2"), site="site-2") is Code.WRONG_SITE
    assert refusal(grant(free, site="site-2"), site=None) is Code.WRONG_SITE


def test_a_box_does_not_speak_for_the_cloud_nor_for_another_box() -> None:
    other = box_issuer(PHONE.fingerprint, generate_issuer().public, SITE)
    posing = Issuing(
        key=BOX_ISSUING.key, issuer=msgspec.structs.replace(BOX_ISSUING.issuer, id=CLOUD_ISSUER.id)
    )
    assert refusal(grant(posing)) is Code.BAD_GRANT
    stranger = Issuing(key=BOX_ISSUING.key, issuer=other)
    assert refusal(grant(stranger)) is Code.BAD_GRANT


def test_an_online_key_signs_nothing_past_its_end() -> None:
    late_ms = CLOUD_ISSUER.not_after_ms + 1000
    with pytest.raises(Refused):
        grant(now_ms=late_ms)
    stubborn = Issuing(key=ONLINE, issuer=msgspec.structs.replace(CLOUD_ISSUER, not_after_ms=2**62))
    assert refusal(grant(stubborn, now_ms=late_ms), late_ms) is Code.BAD_GRANT


@pytest.mark.parametrize(
    "entry",
    [revoked_grant("grant-1"), revoked_principal("driver-1"), revoked_key(PHONE.thumbprint)],
    ids=["grant", "principal", "key"],
)
def test_what_is_revoked_ends_at_once_although_it_was_known(entry: str) -> None:
    judge = verifier()
    assert judge.claims(grant(), NOW_MS, SITE)
    judge.revoked = frozenset({entry})
    assert refusal(grant(), by=judge) is Code.REVOKED
    with pytest.raises(Refused):
        judge.renewable(grant(), SITE)
    judge.revoked = frozenset({revoked_grant("another")})
    assert judge.claims(grant(), NOW_MS, SITE)


def test_an_issuer_that_is_dropped_is_not_believed_from_memory() -> None:
    judge = verifier()
    token = grant()
    assert judge.claims(token, NOW_MS, SITE)
    judge.trust = TrustSet([BOX_ISSUING.issuer])
    assert refusal(token, by=judge) is Code.BAD_GRANT
    judge.trust = TrustSet([msgspec.structs.replace(CLOUD_ISSUER, not_after_ms=NOW_MS + 365 * DAY_MS)])
    assert judge.claims(token, NOW_MS, SITE)
    # Shorter-lived than when it was checked: judged anew, not from memory.
    judge.trust = TrustSet([msgspec.structs.replace(CLOUD_ISSUER, not_after_ms=NOW_MS - 1000)])
    assert refusal(token, by=judge) is Code.BAD_GRANT


def test_a_known_grant_still_ends() -> None:
    judge, token = verifier(), grant()
    assert judge.claims(token, NOW_MS, SITE)
    assert refusal(token, NOW_MS + 7 * DAY_MS, by=judge) is Code.GRANT_EXPIRED


def test_memory_is_bounded_and_an_old_entry_is_only_checked_again() -> None:
    judge = verifier()
    tokens = [grant(grant_id=f"g{number}") for number in range(module.CACHE_MAX + 5)]
    for token in tokens:
        judge.claims(token, NOW_MS, SITE)
    assert len(judge._cache) == module.CACHE_MAX
    assert judge.claims(tokens[0], NOW_MS, SITE).grant == "g0"


def test_a_wrong_grant_takes_no_memory() -> None:
    judge = verifier()
    with pytest.raises(PlugsideError):
        judge.claims(flipped(grant(), 200), NOW_MS, SITE)
    assert judge._cache == {}


def test_two_issuers_side_by_side() -> None:
    assert {issuer.id for issuer in TRUST.issuers} == {CLOUD_ISSUER.id, BOX.fingerprint}
    judge = verifier()
    assert judge.claims(grant(CLOUD_ISSUING), NOW_MS, SITE).issuer == CLOUD_ISSUER.id
    assert judge.claims(grant(BOX_ISSUING), NOW_MS, SITE).issuer == BOX.fingerprint

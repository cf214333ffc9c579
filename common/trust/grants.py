"""Grants: a right of one key at one site, signed by an issuer, with an end (design §10).

A grant is a JWT (RFC 7519) whose signature alone is left to PyJWT. Header, algorithm, times, audience,
issuer, role and key binding are judged here, against times that the caller gives; so a box decides the same
offline, and a test decides it without a clock. Unknown claims are refused: a limit that this build does not
understand must not be ignored. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Literal

import msgspec

from common.caps import Caps
from common.domain import Role
from common.errors import Code, Refused
from common.policy import Claims
from common.trust.issuers import Issuer, TrustSet
from common.trust.keys import IssuerKey, ed25519_public, unb64
from common.trust.revocations import (
    Withdrawn,
    entry_hash,
    revoked_grant,
    revoked_issuer_key,
    revoked_key,
    revoked_principal,
)

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

#: The longest life of a grant by role (design §10). A verifier believes no longer one.
LIFETIMES_MS = {Role.DRIVER: 7 * _DAY_MS, Role.OPERATOR: 24 * _HOUR_MS, Role.INSTALLER: 8 * _HOUR_MS}
#: How much later than ours an issuer's clock may be. An end is judged to the millisecond all the same.
SKEW_MS = 5 * 60_000
#: Ten times a usual grant; a driver with a hundred named chargers fits.
GRANT_BYTES_MAX = 6 * 1024
#: Verified grants kept: more than a box has links (256), with room for several sites a phone.
CACHE_MAX = 1024

TYPE = "plugside-grant+jwt"
ALGORITHM = "EdDSA"

_Seconds = Annotated[int, msgspec.Meta(ge=1, le=253_402_300_799)]  # until the year 9999


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing else may stand there: `jku`, `jwk`, `x5u`, `crit` ask a verifier to be clever."""

    alg: Literal["EdDSA"]
    typ: Literal["plugside-grant+jwt"]
    kid: str


class _Confirmation(msgspec.Struct, forbid_unknown_fields=True):
    jkt: str


class _Payload(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    iss: str
    aud: str
    sub: str
    role: Role
    iat: _Seconds
    nbf: _Seconds
    exp: _Seconds
    jti: str
    cnf: _Confirmation
    chargers: tuple[str, ...] | None = None
    lim: Caps | None = None
    own: bool = False


_header_decoder = msgspec.json.Decoder(_Header)
_payload_decoder = msgspec.json.Decoder(_Payload)


class Issuing(msgspec.Struct, frozen=True, kw_only=True):
    """The private side of an issuer: its key, and what verifiers know about it."""

    key: IssuerKey
    issuer: Issuer


def issue_grant(
    issuing: Issuing,
    *,
    site: str,
    principal: str,
    role: Role,
    key: str,
    grant_id: str,
    now_ms: int,
    chargers: tuple[str, ...] | None = None,
    lifetime_ms: int | None = None,
    caps: Caps | None = None,
    owner: bool = False,
) -> str:
    """Sign a grant for the key with thumbprint `key`. Returns the JWT.

    chargers: None = every charger of the site. lifetime_ms: at most, and usually, the role's own.
    Raises Refused(not_permitted) for what this issuer may not give.
    """
    import jwt

    issuer = issuing.issuer
    if role not in LIFETIMES_MS or role not in issuer.roles:
        raise Refused(Code.NOT_PERMITTED, f"this issuer gives no {role} grants")
    if issuer.site is not None and issuer.site != site:
        raise Refused(Code.WRONG_SITE, site)
    if now_ms > issuer.not_after_ms:
        raise Refused(Code.NOT_PERMITTED, "the signing key has run out")
    if owner and not (role is Role.OPERATOR and issuer.owners):
        raise Refused(Code.NOT_PERMITTED, "an owner is an operator of the cloud's making")
    life_ms = min(LIFETIMES_MS[role], lifetime_ms if lifetime_ms is not None else LIFETIMES_MS[role])
    issued_s = now_ms // 1000
    payload = _Payload(
        iss=issuer.id,
        aud=site,
        sub=principal,
        role=role,
        iat=issued_s,
        nbf=issued_s,
        exp=issued_s + life_ms // 1000,
        jti=grant_id,
        cnf=_Confirmation(key),
        chargers=chargers,
        lim=caps,
        own=owner,
    )
    headers = {"typ": TYPE, "kid": issuer.kid}
    return jwt.api_jws.encode(msgspec.json.encode(payload), issuing.key.private, ALGORITHM, headers)


class _Checked(msgspec.Struct, frozen=True):
    """A grant whose signature is good: what was verified once and need not be again."""

    kid: str
    issuer: Issuer
    issued_ms: int
    begins_ms: int
    claims: Claims
    entries: tuple[str, ...]  #: the revocation entries by which it could be withdrawn
    hashes: tuple[bytes, ...]  #: the same, as lists hold them


class Verifier:
    """Judges grants against issuers and revocations. One for a whole process; every link asks it.

    A signature is checked once and remembered (bounded by `CACHE_MAX`, oldest out first); times, site,
    issuer and revocation are judged each time, so nothing outlives its end by being known.
    """

    def __init__(self, trust: TrustSet, *, revoked: frozenset[str] = frozenset(), grace_ms: int = 0) -> None:
        """grace_ms: how long after its end a driver's grant still counts, flagged (design §10: offline)."""
        import jwt  # noqa: F401 - loaded now, so that the first tap does not wait for it

        self.trust = trust
        self.revoked = revoked  #: entries, wherever the grant is for
        self.withdrawals = Withdrawn()  #: numbered lists of issuers, a site each
        self.grace_ms = grace_ms
        #: Whether the time is known well enough for rights that last hours; else drivers alone are taken.
        self.sure: Callable[[], bool] = lambda: True
        #: Told when a known issuer has signed something; returns the time as it is known then.
        self.heard: Callable[[int], int] = lambda _: 0
        self._cache: dict[bytes, _Checked] = {}

    def claims(self, token: str, now_ms: int, site: str | None = None) -> Claims:
        """What this grant permits now. `site` None = whichever site it names.

        Within the grace, `claims.grace` is set and `expires_ms` is the grace's end. Raises Refused:
        bad_grant, grant_expired, revoked, wrong_site, or clock_unproven for staff.
        """
        checked = self._judge(token, site)
        known = checked.claims
        if checked.begins_ms > now_ms:
            now_ms = max(now_ms, self.heard(checked.issued_ms))
            if checked.begins_ms > now_ms + SKEW_MS:
                # Its issuer had another clock, or has the right one back: renewed as one that has ended.
                raise Refused(Code.GRANT_EXPIRED, "its time has not come; is the clock right?")
        if known.role is not Role.DRIVER and not self.sure():
            raise Refused(Code.CLOCK_UNPROVEN)
        if now_ms < known.expires_ms:
            return known
        grace_end_ms = known.expires_ms + self.grace_ms
        if known.role is not Role.DRIVER or now_ms >= grace_end_ms:
            raise Refused(Code.GRANT_EXPIRED)
        return msgspec.structs.replace(known, expires_ms=grace_end_ms, grace=True)

    def renewable(self, token: str, site: str | None = None) -> Claims:
        """The same for a grant that is to be renewed: its end may have passed, nothing else may be wrong.

        Whether the key is still known is for the issuer's own table. Raises as `claims` does.
        """
        return self._judge(token, site).claims

    def withdrawn(self, claims: Claims) -> bool:
        """Whether these rights, shown before, have been withdrawn since."""
        entries = _entries(claims)
        return not self.revoked.isdisjoint(entries) or self.withdrawals.covers(
            claims.site, map(entry_hash, entries)
        )

    def _judge(self, token: str, site: str | None) -> _Checked:
        """Everything but its times."""
        digest = sha256(token.encode(errors="surrogatepass")).digest()
        known = self._cache.get(digest)
        if known is None or self.trust.issuer(known.kid, known.claims.site) != known.issuer:
            known = self._verify(token)  # new, or what is known of its issuer has changed
            while len(self._cache) >= CACHE_MAX:
                del self._cache[next(iter(self._cache))]
            self._cache[digest] = known
        claims = known.claims
        if not self.revoked.isdisjoint(known.entries) or self.withdrawals.covers(claims.site, known.hashes):
            raise Refused(Code.REVOKED)
        if site is not None and claims.site != site:
            raise Refused(Code.WRONG_SITE)
        return known

    def _verify(self, token: str) -> _Checked:
        import jwt

        kid, payload = _take_apart(token)
        issuer = self.trust.issuer(kid, payload.aud)
        if issuer is None:
            raise Refused(Code.BAD_GRANT, "its issuer is not known here")
        try:
            # The bytes were read strictly above; PyJWT is asked about the signature and nothing else.
            jwt.api_jws.decode(token, ed25519_public(issuer.public), [ALGORITHM])
        except (jwt.PyJWTError, ValueError):
            raise Refused(Code.BAD_GRANT) from None
        return _within(issuer, payload)


def _take_apart(token: str) -> tuple[str, _Payload]:
    """Key id and payload, both not yet believed. Raises Refused(bad_grant)."""
    if len(token) > GRANT_BYTES_MAX:
        raise Refused(Code.BAD_GRANT, f"a grant is at most {GRANT_BYTES_MAX} bytes")
    try:
        header, payload, signature = token.split(".")
        unb64(signature)
        return _header_decoder.decode(unb64(header)).kid, _payload_decoder.decode(unb64(payload))
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        raise Refused(Code.BAD_GRANT) from None


def _within(issuer: Issuer, payload: _Payload) -> _Checked:
    """Whether a truly signed payload is within what its issuer may say. Raises Refused(bad_grant)."""
    longest_ms = LIFETIMES_MS.get(payload.role)
    if payload.iss != issuer.id or longest_ms is None or payload.role not in issuer.roles:
        raise Refused(Code.BAD_GRANT, "its issuer may not give it")
    if issuer.site is not None and payload.aud != issuer.site:
        raise Refused(Code.WRONG_SITE)
    if payload.own and not (payload.role is Role.OPERATOR and issuer.owners):
        raise Refused(Code.BAD_GRANT, "its issuer may not give it")
    issued_ms, expires_ms = payload.iat * 1000, payload.exp * 1000
    if issued_ms > issuer.not_after_ms:
        raise Refused(Code.BAD_GRANT, "its issuer's key had run out")
    if not issued_ms < expires_ms <= issued_ms + longest_ms or not payload.sub or not payload.cnf.jkt:
        raise Refused(Code.BAD_GRANT)
    claims = Claims(
        site=payload.aud,
        principal=payload.sub,
        role=payload.role,
        chargers=payload.chargers,
        key=payload.cnf.jkt,
        grant=payload.jti,
        issuer=issuer.id,
        expires_ms=expires_ms,
        renew_after_ms=(issued_ms + expires_ms) // 2,
        owner=payload.own,
        caps=payload.lim,
    )
    entries = (*_entries(claims), revoked_issuer_key(issuer.kid))
    hashes = tuple(map(entry_hash, entries))
    return _Checked(
        issuer.kid, issuer, issued_ms, max(issued_ms, payload.nbf * 1000), claims, entries, hashes
    )


def _entries(claims: Claims) -> tuple[str, ...]:
    """By which entries these rights could be withdrawn."""
    return revoked_grant(claims.grant), revoked_principal(claims.principal), revoked_key(claims.key)

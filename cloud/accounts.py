"""Accounts: which boxes and people belong to this cloud, and what each may do (design §8, §10).

    a box      taken in by the code that it shows: `cloud.joining`
    a person   an invite is minted here (`invite`) and redeemed here, once, by a key (`redeem`)
    a right    a grant signed by the online key, renewed here while its key is known (`renew`)
    a reader   a bearer token, for a request that a device's key has signed (`token`)

Names are in one table; everything else knows pseudonyms. `forget` empties that, ends the rights, and leaves
the ledger as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from cloud.access import access, at_site
from cloud.keyring import Keyring
from cloud.store.ports import Store
from cloud.store.rows import ActRow, DeviceRow, SiteRow, TokenRow
from cloud.tokens import (
    TOKEN_LIFE_MS,
    TOKEN_PREFIX,
    TOKEN_SKEW_MS,
    TokenAnswer,
    TokenRequest,
    token_hash,
    token_message,
)
from cloud.withdrawals import Withdrawals
from common import trust, wire
from common.caps import Caps
from common.domain import Role, from_iso, iso
from common.errors import Code, Refused, error
from common.policy import Claims
from common.ports import Clock, Ids
from common.trust.invites import SECRET_BYTES, InviteRecord

log = logging.getLogger("plugside.accounts")

WAITS = "an operator made at the box waits for the owner's word"
#: Token requests remembered for as long as they could be replayed.
_SEEN_MAX = 4096


class Accounts:
    """See the module. Call `open` before anything else."""

    def __init__(self, store: Store, keyring: Keyring, clock: Clock, ids: Ids) -> None:
        self._store = store
        self.keyring = keyring
        self._clock = clock
        self._ids = ids
        self._seen: dict[str, int] = {}
        self.url = ""  #: where this cloud is reached; set once its listener is bound
        self.verifier = trust.Verifier(trust.TrustSet())
        self.withdrawals = Withdrawals(store, keyring, self.verifier, clock)
        self.capped: Callable[[str, str], None] = lambda _, __: None  #: told of a grant with caps that is new
        self.tell_boxes: Callable[[tuple[str, ...]], None] = lambda _: None
        self.box_hears: Callable[[str], bool] = lambda _: False  #: whether a site's box is connected

    async def open(self) -> None:
        """Learn whom to believe."""
        sites = await self._store.sites()
        issuers = [trust.box_issuer(site.origin, site.issuer, site.id) for site in sites]
        self.verifier.trust = trust.TrustSet([*self.keyring.issuers, *issuers])
        await self.withdrawals.open()

    async def renew_keys(self) -> None:
        """Look after the online key."""
        if self.keyring.renew():
            await self._keys_changed("root is here")

    async def install_keys(self, signed: trust.SignedKeySet, actor: str) -> None:
        """Use the key set that the root has signed.

        Raises RemoteFault(untrusted_peer), Refused(bad_request).
        """
        self.keyring.install(signed)
        await self._keys_changed(actor)

    async def _keys_changed(self, actor: str) -> None:
        await self.open()
        self.tell_boxes(self.statements)
        await self.note("keys_changed", actor=actor, detail=f"set {self.keyring.keys.number}")

    @property
    def identity(self) -> trust.IdentityKey:
        return self.keyring.identity

    @property
    def statements(self) -> tuple[str, ...]:
        """What a box is told of this cloud's keys at every welcome."""
        return (self.keyring.statement,)

    @property
    def root_is_here(self) -> bool:
        return self.keyring.root_is_here

    async def note(self, what: str, *, site: str = "", actor: str = "", detail: str = "") -> None:
        """Write down what this cloud did. Never with a name in it."""
        row = ActRow(
            id=self._ids.uid(), at_ms=self._clock.now_ms(), site=site, actor=actor, what=what, detail=detail
        )
        await self._store.note(row)

    # --- people --------------------------------------------------------------------------------------------

    async def invite(
        self,
        site: SiteRow,
        role: Role,
        *,
        name: str,
        chargers: tuple[str, ...] | None,
        life_ms: int,
        actor: str,
        caps: Caps | None = None,
        owner: bool = False,
        principal: str = "",
    ) -> dict[str, Any]:
        """Mint an invite to this site. Returns its text, for eyes that may see it, and whom it makes.

        principal: whose further device it brings in; empty = somebody new.
        """
        principal = principal or f"p-{self._ids.token(8).hex()}"
        invite, record = trust.mint_invite(
            self._ids.token(SECRET_BYTES),
            server=self.identity.fingerprint,
            site=site.id,
            role=role,
            principal=principal,
            now_ms=self._clock.now_ms(),
            life_ms=life_ms,
            chargers=chargers,
            urls=(self.url,),
            caps=caps,
            owner=owner,
        )
        await self._store.add_invite(record, name)
        await self.note("invite", site=site.id, actor=actor, detail=f"{role.value} {principal}")
        return {
            "invite": invite.to_text(),
            "site": site.id,
            "name": site.name,
            "principal": principal,
            "role": role.value,
            "chargers": None if chargers is None else list(chargers),
            "expires_at": iso(invite.expires_ms),
        }

    async def redeem(self, secret: str, key: str, label: str = "") -> wire.Granted:
        """Turn an invite into a grant for the proved key `key`. Raises Refused(bad_invite)."""
        now_ms = self._clock.now_ms()
        record = await self._store.redeem(
            trust.invite_hash(secret), lambda known: trust.redeem(known, secret, key, now_ms), now_ms, label
        )
        await self.note("redeemed", site=record.site, actor=record.principal, detail=f"key {key}")
        granted = await self._grant(record.site, record.principal, record, key)
        if record.caps is not None:
            self.capped(record.site, granted.grant)
        return granted

    async def authenticated(self, claims: Claims) -> None:
        """A key has shown its grant: the invite that brought it in is spent."""
        await self._store.spend_invites(claims.site, claims.key)

    def doubtful(self, claims: Claims) -> bool:
        """Whether this right may wait for the owner's word: an operator's of the box's making does."""
        return claims.role is Role.OPERATOR and claims.issuer != self.keyring.issuing.issuer.id

    async def let_in(self, claims: Claims) -> None:
        """Raises Refused(not_permitted) for who waits for the owner's word: nothing is theirs."""
        if self.doubtful(claims):
            device = await self._store.device(claims.site, claims.key)
            if device is None or device.pending:
                raise Refused(Code.NOT_PERMITTED, WAITS)

    async def renew(self, claims: Claims) -> wire.Granted:
        """A fresh grant with the rights that its key has now. Raises Refused(revoked)."""
        device = await self._store.device(claims.site, claims.key)
        if device is None or device.principal != claims.principal:
            raise Refused(Code.REVOKED, "this device is not known here any more")
        if device.pending:
            raise Refused(Code.NOT_PERMITTED, WAITS)
        return await self._grant(claims.site, device.principal, device, claims.key)

    async def grant_to(self, device: DeviceRow) -> str:
        """A grant with the rights of a key that is known. Raises Refused(revoked)."""
        return (await self._grant(device.site, device.principal, device, device.key)).grant

    async def renew_for_box(self, site: str, grant: str) -> str:
        """The same for a key that is at the site's box and has no way to us. Raises Refused."""
        return (await self.renew(self.verifier.renewable(grant, site))).grant

    async def _grant(
        self, site: str, principal: str, right: InviteRecord | DeviceRow, key: str
    ) -> wire.Granted:
        now_ms = self._clock.now_ms()
        row = await self._store.site(site)
        assert row is not None, "rights are given at a site that is there"
        grant = trust.issue_grant(
            self.keyring.issuing,
            site=site,
            principal=principal,
            role=right.role,
            key=key,
            grant_id=self._ids.uid(),
            now_ms=now_ms,
            chargers=right.chargers,
            caps=at_site(right.caps, row, now_ms),
            owner=right.owner,
        )
        claims = self.verifier.claims(grant, now_ms, site)
        return wire.Granted(
            grant=grant,
            site=self.access(row, claims, online=True),
            cloud=self.url,
            cloud_key=self.identity.fingerprint,
        )

    async def forget(self, principal: str, actor: str) -> int:
        """Remove whoever stands behind a pseudonym, and their rights. Returns how many rows went."""
        sites = await self._store.sites_of(principal)
        gone = await self._store.forget(principal)
        for site in sites or {row.id for row in await self._store.sites()}:
            await self.withdrawals.withdraw(site, {trust.revoked_principal(principal)})
        await self.note("forget", actor=actor, detail=principal)
        return gone

    # --- readers -------------------------------------------------------------------------------------------

    async def token(self, request: TokenRequest) -> TokenAnswer:
        """A bearer token for whoever holds the grant's key. Raises Refused with what is wrong."""
        now_ms = self._clock.now_ms()
        claims = self.verifier.claims(request.grant, now_ms)
        await self.let_in(claims)
        try:
            signer, signed_ms = trust.thumbprint(request.key), from_iso(request.at)
        except ValueError:
            raise Refused(Code.BAD_REQUEST, "`key` is a P-256 point and `at` a time") from None
        if signer != claims.key:
            raise Refused(Code.BAD_SIGNATURE, "signed by another key than the grant's")
        message = token_message(self.identity.fingerprint, request.at, request.grant)
        trust.verify_identity(request.key, request.signature, trust.Purpose.TOKEN, message)
        if abs(signed_ms - now_ms) > TOKEN_SKEW_MS:
            raise Refused(Code.EXPIRED, f"the time here is {iso(now_ms)}")
        self._once(request.signature, now_ms)
        return await self.issue_token(claims)

    def _once(self, signature: str, now_ms: int) -> None:
        """A request that was seen is not answered again while its time would still be taken."""
        for seen, until_ms in list(self._seen.items()):
            if until_ms <= now_ms:
                del self._seen[seen]
        if signature in self._seen:
            raise Refused(Code.ID_REUSE, "this request was answered already")
        if len(self._seen) >= _SEEN_MAX:
            raise error(Code.BUSY, "too many tokens at once")
        self._seen[signature] = now_ms + 2 * TOKEN_SKEW_MS

    async def issue_token(self, claims: Claims) -> TokenAnswer:
        """A token with these rights. It reads and nothing else."""
        now_ms = self._clock.now_ms()
        secret = TOKEN_PREFIX + trust.b64(self._ids.token(32))
        row = TokenRow(
            hash=token_hash(secret),
            site=claims.site,
            principal=claims.principal,
            role=claims.role,
            chargers=claims.chargers,
            expires_ms=now_ms + TOKEN_LIFE_MS,
        )
        await self._store.add_token(row, now_ms)
        return TokenAnswer(
            token=secret, site=claims.site, role=claims.role.value, expires_at=iso(row.expires_ms)
        )

    async def reader(self, token: str) -> Claims:
        """What a bearer token may read. Raises Refused(grant_expired)."""
        now_ms = self._clock.now_ms()
        row = await self._store.token(token_hash(token), now_ms)
        if row is None or self.verifier.withdrawn(
            Claims(site=row.site, principal=row.principal, role=row.role)
        ):
            raise Refused(
                Code.GRANT_EXPIRED, "the token is not known here", hint="Ask for a new one at /v1/token."
            )
        return Claims(
            site=row.site,
            principal=row.principal,
            role=row.role,
            chargers=row.chargers,
            expires_ms=row.expires_ms,
        )

    def access(self, site: SiteRow, claims: Claims, *, online: bool) -> wire.SiteAccess:
        """A site as a link's welcome and a grant name it."""
        return access(site, claims, self.withdrawals.carried(site.id), online=online)

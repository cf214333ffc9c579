"""The box's authority: who it is, whom it believes, whom it lets in.

    keys      its identity (P-256) and its own issuer (Ed25519), made at first start, never leave the folder
    trust     the cloud's root and key set, once a cloud has taken the box in; always its own issuer
    invites   minted here, redeemed here, with or without internet (design §10)
    tags      keyed hashes, so that no fact holds a raw tag

Files are small documents of the keystore; facts of what changed go through the gateway like all others.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from common import sync, trust, wire
from common.caps import Caps
from common.clock import local_offset_min
from common.domain import Role, iso
from common.errors import Code, PlugsideError, Refused, RemoteFault
from common.facts import AuthorizationChanged
from common.keystore import Keystore
from common.policy import Claims
from common.ports import Clock, Ids
from common.trust.enrolment import BOX_CODE_LIFE_MS
from edge.devices import Devices, Made
from edge.identity import Identity
from edge.invites import Invites
from edge.sitefile import SiteFile
from edge.withdrawals import Withdrawals

#: Certificate hashes in a QR or an invite: today's and what follows until it is redeemed; the proof has all.
SHOWN_CERTIFICATES = 3
#: Drivers keep what they have for so long while no cloud can be reached (design §10), shown and audited.
OFFLINE_GRACE_MS = 7 * 24 * 3_600_000


class TrustDocument(msgspec.Struct, kw_only=True):
    """The cloud that took the box in, on disk as cloud.json."""

    url: str
    root: str
    keys: trust.SignedKeySet
    number: int
    cloud: str  #: fingerprint of the cloud's identity


class Authority:
    """See the module. `granted` is told of each new right, as a fact body."""

    def __init__(self, store: Keystore, *, name: str, clock: Clock, ids: Ids) -> None:
        """name: what people call the site; empty = as its cloud does."""
        self._store = store
        self._named_here = bool(name)
        self._clock = clock
        self._ids = ids
        self.keys = Identity(store)
        self._issuer_key = store.issuer("issuer")
        self.document = SiteFile(store, ids, self.keys.origin, name)
        self.keys.belongs_to(self.site)
        self._cloud = store.load("cloud", TrustDocument)
        self.invites = Invites(store, clock)
        self._own = self._issuer(self.site)
        self._code: trust.BoxCode | None = None
        self.granted: Callable[[AuthorizationChanged], None] = lambda _: None
        self.addresses: tuple[str, ...] = ()
        self.certificates: tuple[str, ...] = ()
        self.vacant: Callable[[], bool] = lambda: False  #: whether there is nothing here of a site's own
        self.moved: Callable[[str], None] = lambda _: None  #: told of the site that the box now is
        self.asks = ""  #: the cloud that is asked to take the box in; empty = none is
        self.verifier = trust.Verifier(self._trust_set(), grace_ms=OFFLINE_GRACE_MS)
        self.devices = Devices(store, clock)
        self.withdrawals = Withdrawals(
            store, self.verifier, clock, issuing=lambda: self._issuing, site=lambda: self.site
        )

    # --- who the box is ----------------------------------------------------------------------------------

    @property
    def site(self) -> str:
        """The site's id."""
        return self.document.site

    @property
    def name(self) -> str:
        """What people call the site."""
        return self.document.name

    @property
    def edge_id(self) -> str:
        """The fingerprint of the box's identity key."""
        return self.identity.fingerprint

    @property
    def identity(self) -> trust.IdentityKey:
        """The key that the box proves itself with now."""
        return self.keys.key

    @property
    def issuer_id(self) -> str:
        """The issuer that grants and lists of the box name: its first key, whatever it has now."""
        return self._own.id

    def rotate_key(self) -> trust.Rotation:
        """Go on with a new identity key; a pairing code on show is void. Raises as `Identity.rotate`."""
        self._code = None
        return self.keys.rotate(self.site, self._clock.now_ms())

    @property
    def instance(self) -> str:
        """Which data folder this is."""
        return self.document.instance

    @property
    def cloud_url(self) -> str:
        """The cloud that took the box in; empty while none has."""
        return self._cloud.url if self._cloud else ""

    # --- whom it believes --------------------------------------------------------------------------------

    def _trust_set(self) -> trust.TrustSet:
        issuers = [self._own]
        if self._cloud is not None:
            keys = trust.open_key_set(self._cloud.keys, self._cloud.root, at_least=self._cloud.number)
            issuers += trust.cloud_issuers(keys)
        return trust.TrustSet(issuers)

    def _issuer(self, site: str) -> trust.Issuer:
        return trust.box_issuer(self.keys.origin, self._issuer_key.public, site)

    def claims_of(self, grant: str, now_ms: int) -> Claims:
        """What a grant permits at this site now. Raises Refused."""
        return self.verifier.claims(grant, now_ms, self.site)

    def reaches_cloud(self, reached: bool) -> None:
        """Whether the cloud is there to renew grants: grace is only for while it is not."""
        self.verifier.grace_ms = 0 if reached else OFFLINE_GRACE_MS

    def learn(self, statements: tuple[str, ...]) -> None:
        """Take over a newer key set of our cloud; anything else is ignored."""
        if self._cloud is None:
            return
        for statement in statements:
            try:
                signed = msgspec.json.decode(statement, type=trust.SignedKeySet)
                keys = trust.open_key_set(signed, self._cloud.root, at_least=self._cloud.number)
            except (msgspec.DecodeError, PlugsideError):
                continue
            if keys.number > self._cloud.number:
                self._believe(msgspec.structs.replace(self._cloud, keys=signed, number=keys.number))

    def release(self, by: str) -> None:
        """Belong to no cloud any more, and let in nobody who was let in before.

        by: who says so. Their link is to hear the answer; an owner's right ends with the cloud that made it.
        """
        self._store.remove("cloud")
        self._cloud = None
        self.verifier.trust = self._trust_set()
        gone = {device.principal for device in self.devices} | {r.principal for r in self.invites.records}
        self.withdrawals.revoke({trust.revoked_principal(principal) for principal in gone - {by}})

    def _believe(self, cloud: TrustDocument) -> None:
        """On disk first: a key set that a restart forgets could be rolled back."""
        self._store.save("cloud", cloud)
        self._cloud = cloud
        self.verifier.trust = self._trust_set()

    # --- joining a cloud ---------------------------------------------------------------------------------

    def pair(self) -> trust.BoxCode:
        """A fresh pairing code, good for 15 minutes; an earlier one is void."""
        self._code = trust.BoxCode(
            secret=trust.b64(self._ids.token(16)),
            server=self.edge_id,
            expires_ms=(self._clock.now_ms() + BOX_CODE_LIFE_MS) // 1000 * 1000,
            addresses=self.addresses,
            certificates=self.certificates[:SHOWN_CERTIFICATES],
        )
        return self._code

    def enrolment(self) -> trust.EnrolRequest | None:
        """What to ask a cloud while a pairing code is shown; None otherwise."""
        if self._code is None or self._clock.now_ms() >= self._code.expires_ms:
            return None
        return trust.request_enrolment(self.identity, self._issuer_key.public, self.site, self._code.secret)

    def enrolled(self, answer: trust.EnrolAnswer, request: trust.EnrolRequest, url: str) -> None:
        """Believe the cloud that proved to have our code; take another box's place if that was asked for.

        Raises RemoteFault(untrusted_peer), Refused(not_permitted): this box has a ledger of its own.
        """
        if self._code is None:
            raise RemoteFault(Code.UNTRUSTED_PEER, "nobody is asked to take this box in")
        bundle, keys = trust.open_enrolment(answer, request, self._code.secret)
        if bundle.site != self.site:
            self._move(bundle.site)
        self._believe(
            TrustDocument(
                url=bundle.url or url,
                root=bundle.root,
                keys=bundle.keys,
                number=keys.number,
                cloud=bundle.cloud,
            )
        )
        self._code = None
        if bundle.name and not self._named_here:
            self.document.rename(bundle.name)

    def _move(self, site: str) -> None:
        """Be another site's box from now on: its new one."""
        if not self.vacant():
            raise Refused(
                Code.NOT_PERMITTED,
                f"this box has chargers or sessions of site {self.site}; it cannot become {site}",
                hint="Take a box with an empty data folder to replace another one.",
            )
        # The site first: with it and no cloud the same code works again, the other way round nothing does.
        self.document.move(site)
        self.keys.belongs_to(site)
        self._own = self._issuer(site)
        self.moved(site)

    def hello(self, nonce: str, host: str, **standing: object) -> sync.TunnelHello:
        """The tunnel's hello, signed over the cloud's challenge. `standing`: the other fields."""
        voucher = trust.vouch(self.identity, self._issuer_key.public, self.site)
        fields: dict[str, object] = {
            "site": self.site,
            "instance_id": self.instance,
            "key": self.identity.public,
            "issuer": voucher.issuer,
            "vouching": voucher.signature,
            "addresses": self.addresses,
            "certificates": self.certificates,
            "rotations": self.keys.statements,
            "signature": trust.sign_tunnel(self.identity, nonce, host),
            **standing,
        }
        return msgspec.convert(fields, sync.TunnelHello)

    # --- letting people in -------------------------------------------------------------------------------

    def invite(
        self,
        role: Role,
        chargers: tuple[str, ...] | None,
        life_ms: int,
        caps: Caps | None = None,
        principal: str = "",
        until_ms: int = 0,
    ) -> tuple[str, str]:
        """Mint an invite; returns its text and the principal that it makes, or brings another key of.

        until_ms: by when each grant that comes of it has ended, where that is told.
        """
        principal = principal or f"p-{self._ids.token(8).hex()}"
        invite, record = trust.mint_invite(
            self._ids.token(16),
            server=self.edge_id,
            site=self.site,
            role=role,
            principal=principal,
            now_ms=self._clock.now_ms(),
            life_ms=life_ms,
            chargers=chargers,
            addresses=self.addresses,
            certificates=self.certificates[:SHOWN_CERTIFICATES],
            caps=caps,
        )
        self.invites.add(record, until_ms)
        return invite.to_text(), principal

    def redeem(self, secret: str, key: str) -> wire.Granted:
        """Turn an invite into a grant for the key with this thumbprint. Raises Refused(bad_invite)."""
        known = self.invites.find(secret)
        if known is None:
            raise Refused(Code.BAD_INVITE)
        record = trust.redeem(known, secret, key, self._clock.now_ms())
        if record != known:
            # The fact first: what cannot be written down is not granted, and the same key asks again.
            self.granted(
                AuthorizationChanged(
                    principal=record.principal,
                    change="granted",
                    role=record.role,
                    chargers=record.chargers,
                    key=key,
                    caps=record.caps,
                )
            )
            self.invites.replace(known, record)
        right = Made(role=record.role, chargers=record.chargers, caps=record.caps)
        return self.grant(record.principal, right, key, self.invites.until_ms(record))

    def authenticated(self, claims: Claims, label: str = "") -> None:
        """A key showed its grant: it is known here, and the invite that brought it in is spent."""
        if claims.key:
            self.devices.seen(claims, label)
        self.invites.authenticated(claims.key)

    def withdrawn(self, claims: Claims) -> bool:
        """Whether these rights, shown before, have been withdrawn since."""
        return self.verifier.withdrawn(claims)

    @property
    def _issuing(self) -> trust.Issuing:
        return trust.Issuing(key=self._issuer_key, issuer=self._own)

    def grant(self, principal: str, right: Made, key: str, until_ms: int = 0) -> wire.Granted:
        """Sign a grant of this site, which ends by `until_ms` where that is told. Raises Refused."""
        now_ms = self._clock.now_ms()
        if 0 < until_ms < now_ms + 1000:
            raise Refused(Code.GRANT_EXPIRED, "the cloud's right behind it has run out")
        caps = right.caps
        token = trust.issue_grant(
            self._issuing,
            site=self.site,
            principal=principal,
            role=right.role,
            key=key,
            grant_id=self._ids.uid(),
            now_ms=now_ms,
            chargers=right.chargers,
            lifetime_ms=until_ms - now_ms if until_ms else None,
            caps=caps and msgspec.structs.replace(caps, offset_min=local_offset_min(now_ms)),
        )
        claims = self.verifier.claims(token, now_ms, self.site)
        self.devices.seen(claims, here=True, until_ms=until_ms)
        return self.handed_on(token, claims)

    def handed_on(self, token: str, claims: Claims) -> wire.Granted:
        """A grant, and what its holder needs to find the site."""
        cloud = self._cloud
        return wire.Granted(
            grant=token,
            site=self.access(claims),
            cloud=cloud.url if cloud else "",
            cloud_key=cloud.cloud if cloud else "",
        )

    def access(self, claims: Claims) -> wire.SiteAccess:
        """The site as a link's welcome names it."""
        local = claims.role is Role.LOCAL
        return wire.SiteAccess(
            site=self.site,
            name=self.name,
            role=claims.role.value,
            principal=claims.principal,
            expires_at="" if local else iso(claims.expires_ms),
            key=self.edge_id,
            addresses=self.addresses,
            certificates=self.certificates,
            owner=claims.owner,
            grace=claims.grace,
            caps=claims.caps,
            revocations=() if local else self.withdrawals.carried,
        )

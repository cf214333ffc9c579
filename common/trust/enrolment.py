"""Enrolment: how a box and a cloud come to trust each other, over a network that neither trusts.

The box shows a pairing code (its fingerprint, a one-time secret, where it is); the operator gives the code to
their cloud. The box then asks the cloud to take it in. The cloud knows from the code which key must have
signed; the box knows from the answer's MAC that whoever answers has the code. The secret itself never
travels; `pair` is a hash of it, by which the cloud finds the code.

    box                                              cloud (has the code from its operator)
    EnrolRequest{voucher, pair, signature} ────────▶ check_enrolment
    open_enrolment ◀──────────────────────────────── EnrolAnswer{bundle, mac}

Later each tunnel opens with a challenge that the box signs (`sign_tunnel`). Pure.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

import msgspec

from common.errors import Code, Refused, RemoteFault
from common.trust.invites import Invite
from common.trust.issuers import Issuer, KeySet, SignedKeySet, Voucher, check_voucher, open_key_set, vouch
from common.trust.keys import IdentityKey, Purpose, b64, fingerprint, lines, unb64, verify_identity

BOX_PREFIX = "plugsidebox1_"
#: How long a pairing code is good: the walk from the box to the operator's desk.
BOX_CODE_LIFE_MS = 15 * 60_000


class BoxCode(Invite, frozen=True, kw_only=True):
    """A box's pairing code: an invite whose maker is the box (`server` is its fingerprint).

    A cloud takes the box in by it; it lets no person in.
    """

    @property
    def pair(self) -> str:
        """By which the cloud finds this code when the box asks."""
        return pair_id(self.secret)

    def to_text(self, prefix: str = BOX_PREFIX) -> str:
        return super().to_text(prefix)

    @classmethod
    def from_text(cls, text: str, prefix: str = BOX_PREFIX) -> BoxCode:
        """Read `to_text`. Raises Refused(bad_invite)."""
        return cls(**msgspec.structs.asdict(Invite.from_text(text, prefix)))


def pair_id(secret: str) -> str:
    """A public name of a secret, hex."""
    return sha256(b"plugside-pair-id|" + secret.encode(errors="surrogatepass")).hexdigest()


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The box asks a cloud to take it in."""

    voucher: Voucher  #: the box's identity key, its issuer key and its site
    pair: str
    signature: str


class EnrolledBox(msgspec.Struct, frozen=True, kw_only=True):
    """What a cloud keeps of a box that it has taken in."""

    site: str
    box: str  #: identity fingerprint
    public: str  #: identity public key
    issuer: Issuer


class TrustBundle(msgspec.Struct, frozen=True, kw_only=True):
    """What a box keeps of its cloud."""

    site: str
    root: str  #: the cloud's root public key
    keys: SignedKeySet
    url: str  #: the cloud's base URL
    cloud: str  #: fingerprint of the cloud's identity key, for phones to pin
    name: str = ""  #: what the cloud's operator calls the site
    replaces: bool = False  #: the box is to take another one's place: `site` is that one's


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud's answer: the bundle's exact bytes, and the proof that it has the box's code."""

    bundle: str
    mac: str


_bundle_decoder = msgspec.json.Decoder(TrustBundle)


def request_enrolment(identity: IdentityKey, issuer: str, site: str, secret: str) -> EnrolRequest:
    """Built by the box. issuer: its Ed25519 public key. secret: from the code it shows."""
    voucher, pair = vouch(identity, issuer, site), pair_id(secret)
    signature = identity.sign(Purpose.ENROL, _request_message(voucher, pair))
    return EnrolRequest(voucher=voucher, pair=pair, signature=signature)


def _request_message(voucher: Voucher, pair: str) -> bytes:
    return lines(voucher.box, voucher.issuer, voucher.site, pair)


def check_enrolment(request: EnrolRequest, code: BoxCode, now_ms: int) -> EnrolledBox:
    """Judged by the cloud, with the code that `request.pair` names.

    Raises Refused: bad_invite (another box's code, or past its end), bad_signature; RemoteFault(protocol).
    """
    issuer = check_voucher(request.voucher)
    verify_identity(
        request.voucher.box, request.signature, Purpose.ENROL, _request_message(request.voucher, request.pair)
    )
    same_code = hmac.compare_digest(request.pair.encode(errors="surrogatepass"), code.pair.encode())
    if not same_code or issuer.id != code.server or now_ms >= code.expires_ms:
        raise Refused(Code.BAD_INVITE, "the pairing code is not this box's, or has run out")
    return EnrolledBox(site=request.voucher.site, box=issuer.id, public=request.voucher.box, issuer=issuer)


def answer_enrolment(bundle: TrustBundle, request: EnrolRequest, secret: str) -> EnrolAnswer:
    """Built by the cloud, once the box is stored. secret: from the operator's copy of the code."""
    body = msgspec.json.encode(bundle)
    return EnrolAnswer(bundle=b64(body), mac=_mac(secret, request, body))


def open_enrolment(answer: EnrolAnswer, request: EnrolRequest, secret: str) -> tuple[TrustBundle, KeySet]:
    """Judged by the box: whether the answer is for its request and from one who has the code.

    Raises RemoteFault(untrusted_peer); then nothing of the answer may be kept.
    """
    try:
        body = unb64(answer.bundle)
        right = hmac.compare_digest(
            _mac(secret, request, body).encode(), answer.mac.encode(errors="surrogatepass")
        )
        if not right:
            raise RemoteFault(Code.UNTRUSTED_PEER, "the cloud that answered does not have this pairing code")
        bundle = _bundle_decoder.decode(body)
        unb64(bundle.root)
    except (ValueError, RecursionError):
        raise RemoteFault(Code.UNTRUSTED_PEER, "the cloud's answer could not be read") from None
    if bundle.site != request.voucher.site and not bundle.replaces:
        raise RemoteFault(Code.UNTRUSTED_PEER, "the cloud's answer is for another site")
    return bundle, open_key_set(bundle.keys, bundle.root)


def _mac(secret: str, request: EnrolRequest, body: bytes) -> str:
    """HMAC-SHA-256 over request and bundle, under a key that is derived for this use alone."""
    key = hmac.digest(unb64(secret), b"plugside-enrol-mac-v1", "sha256")
    asked = sha256(msgspec.json.encode(request)).digest()
    return b64(hmac.digest(key, asked + body, "sha256"))


def _tunnel_message(nonce: str, host: str, box: str) -> bytes:
    return lines(nonce, host.lower(), box)


def sign_tunnel(identity: IdentityKey, nonce: str, host: str) -> str:
    """The box's answer to the cloud's challenge. host: the host name that the box dialled.

    With the host in it, a challenge passed on from another host's tunnel is worth nothing there.
    """
    return identity.sign(Purpose.TUNNEL, _tunnel_message(nonce, host, identity.fingerprint))


def check_tunnel(public: str, signature: str, nonce: str, host: str) -> None:
    """Judged by the cloud. public: the box's stored key. host: the cloud's own name.

    Raises Refused(bad_signature).
    """
    try:
        message = _tunnel_message(nonce, host, fingerprint(public))
    except (ValueError, RemoteFault):
        raise Refused(Code.BAD_SIGNATURE) from None
    verify_identity(public, signature, Purpose.TUNNEL, message)

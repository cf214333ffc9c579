"""Trust: who a key is, what it may do, and whether these bytes are really from it. One door to the package.

Identity is a key, rights are grants (design §10). Nothing here reads a clock, a file or a random source:
times are arguments, secrets and keys are handed in (`common.keystore` makes and keeps them).

    keys         P-256 identities and Ed25519 issuers: sign, verify, fingerprint, thumbprint
    issuers      which issuer keys count: the cloud's key set under its root, a box's own issuer
    grants       a right, signed, expiring, bound to a key; the verifier that every link asks
    envelope     a signed command as one opaque string
    handshake    the exact bytes that both ends of an app link sign
    invites      one-time secrets that bring a new key in
    revocations  numbered lists of what was withdrawn, which anybody may carry
    enrolment    how a box and a cloud come to trust each other, and the tunnel's challenge
    succession   a cloud's word that a site has another box now
    rotation     a box's own word that it goes on with another key
    heads        where a site's chain is, under its box's signature
    receipts     one session's records, signed by its box, checked by anybody without a network

`cryptography` and PyJWT are loaded when the first key is used, not when this is imported.
"""

from common.trust.enrolment import (
    BoxCode,
    EnrolAnswer,
    EnrolledBox,
    EnrolRequest,
    TrustBundle,
    answer_enrolment,
    check_enrolment,
    check_tunnel,
    open_enrolment,
    request_enrolment,
    sign_tunnel,
)
from common.trust.envelope import OpenedCommand, fingerprint_of, open_command, open_envelope, seal
from common.trust.grants import LIFETIMES_MS, Issuing, Verifier, issue_grant
from common.trust.handshake import Transcript
from common.trust.heads import check_head, sign_head
from common.trust.invites import Invite, InviteRecord, invite_hash, mint_invite, redeem, spend
from common.trust.issuers import (
    Issuer,
    KeySet,
    OnlineKey,
    SignedKeySet,
    TrustSet,
    Voucher,
    box_issuer,
    check_voucher,
    cloud_issuers,
    open_key_set,
    sign_key_set,
    vouch,
)
from common.trust.keys import (
    IdentityKey,
    IssuerKey,
    Purpose,
    b64,
    fingerprint,
    thumbprint,
    unb64,
    verify_identity,
    verify_issuer,
)
from common.trust.revocations import (
    RevocationList,
    Withdrawn,
    entry_hash,
    kept_list,
    newest_lists,
    open_list,
    revoked_grant,
    revoked_issuer_key,
    revoked_key,
    revoked_principal,
    sign_list,
)
from common.trust.rotation import Rotation, followed, rotate
from common.trust.succession import open_succession, succeed

__all__ = [
    "LIFETIMES_MS",
    "BoxCode",
    "EnrolAnswer",
    "EnrolRequest",
    "EnrolledBox",
    "IdentityKey",
    "Invite",
    "InviteRecord",
    "Issuer",
    "IssuerKey",
    "Issuing",
    "KeySet",
    "OnlineKey",
    "OpenedCommand",
    "Purpose",
    "RevocationList",
    "Rotation",
    "SignedKeySet",
    "Transcript",
    "TrustBundle",
    "TrustSet",
    "Verifier",
    "Voucher",
    "Withdrawn",
    "answer_enrolment",
    "b64",
    "box_issuer",
    "check_enrolment",
    "check_head",
    "check_tunnel",
    "check_voucher",
    "cloud_issuers",
    "entry_hash",
    "fingerprint",
    "fingerprint_of",
    "followed",
    "invite_hash",
    "issue_grant",
    "kept_list",
    "mint_invite",
    "newest_lists",
    "open_command",
    "open_enrolment",
    "open_envelope",
    "open_key_set",
    "open_list",
    "open_succession",
    "redeem",
    "request_enrolment",
    "revoked_grant",
    "revoked_issuer_key",
    "revoked_key",
    "revoked_principal",
    "rotate",
    "seal",
    "sign_head",
    "sign_key_set",
    "sign_list",
    "sign_tunnel",
    "spend",
    "succeed",
    "thumbprint",
    "unb64",
    "verify_identity",
    "verify_issuer",
    "vouch",
]

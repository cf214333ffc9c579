"""Who plays in the tests of trust and of the app link: keys, issuers, a fixed time, grants to order."""

from __future__ import annotations

from typing import Any

import msgspec

from common import commands
from common.commands import Command, Name
from common.domain import Role, Target
from common.keystore import generate_identity, generate_issuer
from common.trust import (
    IdentityKey,
    Issuer,
    Issuing,
    OnlineKey,
    TrustSet,
    Verifier,
    box_issuer,
    cloud_issuers,
    issue_grant,
    open_key_set,
    sign_key_set,
)

NOW_MS = 1_800_000_000_000
DAY_MS = 24 * 3_600_000
SITE = "site-1"

PHONE, STRANGER, BOX, CLOUD = (generate_identity() for _ in range(4))

ROOT, ONLINE = generate_issuer(), generate_issuer()
KEY_SET = sign_key_set(ROOT, 1, [OnlineKey(public=ONLINE.public, not_after_ms=NOW_MS + 90 * DAY_MS)])
(CLOUD_ISSUER,) = cloud_issuers(open_key_set(KEY_SET, ROOT.public))
CLOUD_ISSUING = Issuing(key=ONLINE, issuer=CLOUD_ISSUER)

BOX_ISSUER_KEY = generate_issuer()
BOX_ISSUER: Issuer = box_issuer(BOX.fingerprint, BOX_ISSUER_KEY.public, SITE)
BOX_ISSUING = Issuing(key=BOX_ISSUER_KEY, issuer=BOX_ISSUER)

TRUST = TrustSet([CLOUD_ISSUER, BOX_ISSUER])


def verifier(**options: Any) -> Verifier:
    """A verifier that believes cloud and box."""
    return Verifier(TRUST, **options)


def grant(issuing: Issuing = CLOUD_ISSUING, **changes: Any) -> str:
    """A driver's grant for PHONE at SITE, now; with these changes."""
    wanted: dict[str, Any] = {
        "site": SITE,
        "principal": "driver-1",
        "role": Role.DRIVER,
        "key": PHONE.thumbprint,
        "grant_id": "grant-1",
        "now_ms": NOW_MS,
    }
    return issue_grant(issuing, **(wanted | changes))


def command(**changes: Any) -> Command:
    """A start at SITE; with these changes."""
    start = Command(
        site=SITE,
        id="0190d3a2-0000-7000-8000-000000000001",
        name=Name.START,
        target=Target("CP1"),
        expires_at="2027-01-15T08:00:30.000Z",
    )
    return msgspec.structs.replace(start, **changes)


def payload(**changes: Any) -> bytes:
    """The bytes of `command`."""
    return commands.encode(command(**changes))


def flipped(text: str, position: int) -> str:
    """`text` with another character at one place, of the same alphabet where it has one."""
    position %= len(text)
    return text[:position] + ("B" if text[position] == "A" else "A") + text[position + 1 :]


def halves_swapped_sign(key: IdentityKey, signature: str) -> str:
    """The other valid form of an ECDSA signature: (r, n−s)."""
    from common.trust import b64, unb64

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    raw = unb64(signature)
    s = order - int.from_bytes(raw[32:], "big")
    return b64(raw[:32] + s.to_bytes(32, "big"))

"""A charger's own certificate: it asks for one, an authority signs or there is none (quirk 110).

    SignCertificate ──▶ accepted only if an authority is at hand ──▶ (it signs) ──▶ sent ──▶ installed | not
                    └─▶ refused: an answer, never silence

The authority is a port of the shell (`edge.chargers.ports`), so whether there is one comes with the input,
and what it made comes back as one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from common import facts
from common.ports import Ids
from edge.core import inputs
from edge.core.state import SiteState

#: A refusal is told so often at most; some chargers ask again at once.
REFUSED_AGAIN_MS: Final = 600_000
#: The whitepaper's bound on a chain, in characters (§5.1).
CHAIN_CHARS_MAX: Final = 10_000
#: Renewals take place long before the old certificate's end: nothing is lost by asking the charger again.
DELIVERY_MS: Final = 3_600_000
NO_AUTHORITY: Final = "no certificate authority is at hand"
_PREFIX: Final = "certificate."
_DETAIL_CHARS: Final = 200


def asked(state: SiteState, given: inputs.CertificateAsked, now_ms: int) -> inputs.Decision:
    """A charger wants a certificate."""
    if given.authority:
        body = facts.CertificateChanged(charger=given.charger, change="asked", sha256=_digest(given.csr))
        return inputs.Decision(facts=(body,), reply=inputs.CertificateReply(accepted=True))
    refused = inputs.CertificateReply(accepted=False)
    last_ms = state.look(given.charger).signing_ms
    if last_ms and now_ms < last_ms + REFUSED_AGAIN_MS:
        return inputs.Decision(reply=refused)
    body = facts.CertificateChanged(charger=given.charger, change="refused", detail=NO_AUTHORITY)
    return inputs.Decision(facts=(body,), reply=refused)


def made(state: SiteState, given: inputs.CertificateMade, now_ms: int, ids: Ids) -> inputs.Decision:
    """The authority is done: the charger gets its chain, or it is kept why there is none."""
    if not given.chain or len(given.chain) > CHAIN_CHARS_MAX:
        reason = given.reason or f"the chain has more than {CHAIN_CHARS_MAX} characters"
        failed = facts.CertificateChanged(
            charger=given.charger, change="failed", detail=reason[:_DETAIL_CHARS]
        )
        return inputs.Decision(facts=(failed,))
    request = inputs.Request(
        id=_PREFIX + ids.uid(),
        charger=given.charger,
        action=inputs.DeliverCertificate(given.chain),
        priority=inputs.PRIORITY_HOUSEKEEPING,
        expires_ms=now_ms + DELIVERY_MS,
    )
    sent = facts.CertificateChanged(charger=given.charger, change="sent", sha256=_digest(given.chain))
    return inputs.Decision(facts=(sent,), requests=(request,))


def delivered(given: inputs.CallEnded) -> inputs.Decision:
    """The charger took its certificate, or did not."""
    if not given.request.startswith(_PREFIX):
        return inputs.NOTHING
    change = "installed" if given.answer == "accepted" else "not_installed"
    detail = "" if given.answer == "accepted" else (given.detail or given.answer)[:_DETAIL_CHARS]
    body = facts.CertificateChanged(charger=given.charger, change=change, detail=detail)
    return inputs.Decision(facts=(body,))


def changed(state: SiteState, body: facts.CertificateChanged, at_ms: int) -> None:
    if body.change == "refused":
        state.station(body.charger).signing_ms = at_ms


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

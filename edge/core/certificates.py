"""A charger's own certificate: it asks for one, an authority signs or there is none (quirk 110).

    SignCertificate ──▶ accepted only if an authority is at hand ──▶ (it signs) ──▶ sent ──▶ installed | not
                    └─▶ refused: an answer, never silence

The authority is a port of the shell (`edge.chargers.ports`), so whether there is one comes with the input,
and what it made comes back as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from common import facts
from common.domain import from_iso, iso
from common.ports import Ids
from edge.core import inputs
from edge.core.state import NEVER, Draft, Security, SiteState, Station

#: A refusal is told so often at most; some chargers ask again at once.
REFUSED_AGAIN_MS: Final = 600_000
#: The whitepaper's bound on a chain, in characters (§5.1).
CHAIN_CHARS_MAX: Final = 10_000
#: Renewals take place long before the old certificate's end: nothing is lost by asking the charger again.
DELIVERY_MS: Final = 3_600_000
#: So long before its certificate's end a charger is told to ask for the next one, then once a day.
RENEW_BEFORE_MS: Final = 30 * 24 * 3_600_000
RENEW_AGAIN_MS: Final = 24 * 3_600_000
#: Whoever could be the charger while it dialled without TLS must not leave with a certificate of it.
TLS_FROM: Final = 2
NOT_PROVEN: Final = "it has to be at security profile 2 first: without TLS anybody may have asked"
NO_AUTHORITY: Final = "no certificate authority is at hand"
_PREFIX: Final = "certificate."
_RENEWAL: Final = "renewal."
_DETAIL_CHARS: Final = 200


def asked(state: SiteState, given: inputs.CertificateAsked, now_ms: int) -> inputs.Decision:
    """A charger wants a certificate."""
    over_tls = state.look(given.charger).security.profile >= TLS_FROM
    if given.authority and over_tls:
        body = facts.CertificateChanged(charger=given.charger, change="asked", sha256=_digest(given.csr))
        return inputs.Decision(facts=(body,), reply=inputs.CertificateReply(accepted=True))
    refused = inputs.CertificateReply(accepted=False)
    last_ms = state.look(given.charger).signing_ms
    if last_ms and now_ms < last_ms + REFUSED_AGAIN_MS:
        return inputs.Decision(reply=refused)
    why = NO_AUTHORITY if over_tls or not given.authority else NOT_PROVEN
    body = facts.CertificateChanged(charger=given.charger, change="refused", detail=why)
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
    sent = facts.CertificateChanged(
        charger=given.charger,
        change="sent",
        sha256=_digest(given.chain),
        until=iso(given.until_ms) if given.until_ms else "",
    )
    return inputs.Decision(facts=(sent,), requests=(request,))


def delivered(given: inputs.CallEnded) -> inputs.Decision:
    """The charger took its certificate, or did not."""
    if not given.request.startswith(_PREFIX):
        return inputs.NOTHING
    change = "installed" if given.answer == "accepted" else "not_installed"
    detail = "" if given.answer == "accepted" else (given.detail or given.answer)[:_DETAIL_CHARS]
    body = facts.CertificateChanged(charger=given.charger, change=change, detail=detail)
    return inputs.Decision(facts=(body,))


# --- renewal -----------------------------------------------------------------------------------------------


def _renewal_ms(security: Security, after_ms: int) -> int:
    """When the charger should next be told to ask for another certificate."""
    if not security.until_ms:
        return NEVER
    first_ms = security.until_ms - RENEW_BEFORE_MS
    if after_ms < first_ms:
        return first_ms
    return first_ms + ((after_ms - first_ms) // RENEW_AGAIN_MS + 1) * RENEW_AGAIN_MS


def due(state: SiteState, draft: Draft, now_ms: int, ids: Ids) -> None:
    """Have chargers ask for their next certificate before theirs runs out."""
    for charger, station in state.stations.items():
        if station.online and _renewal_ms(station.security, state.seen_ms) <= now_ms:
            draft.requests.append(
                inputs.Request(
                    id=_RENEWAL + ids.uid(),
                    charger=charger,
                    action=inputs.Trigger("certificate", None, extended=True),
                    priority=inputs.PRIORITY_HOUSEKEEPING,
                    expires_ms=now_ms + DELIVERY_MS,
                )
            )


def timers(state: SiteState, station: Station) -> Iterator[int]:
    """When one should be told so."""
    if station.online:
        yield _renewal_ms(station.security, state.seen_ms)


# --- applying ----------------------------------------------------------------------------------------------


def changed(state: SiteState, body: facts.CertificateChanged, at_ms: int) -> None:
    station = state.station(body.charger)
    match body.change:
        case "refused":
            station.signing_ms = at_ms
        case "sent":
            station.security.sent_until_ms = from_iso(body.until) if body.until else 0
        case "installed":
            station.security.until_ms = station.security.sent_until_ms
            state.arm(_renewal_ms(station.security, state.seen_ms))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""Chargers' security on this site's side: who may come in, and what leaves for a charger that is to change.

    core ─▶ request by name ─▶ `SecurityDesk` fills in the secret ─▶ listener
    listener ─▶ who is it? ─▶ `SiteGuard`: profiles from the facts, passwords and certificates from here

The core decides, and its facts hold names; what is secret is in `credentials` and `siteca`, and passes here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
from websockets.frames import CloseCode

from common.errors import PlugsideError
from common.facts import ChargerAdopted, ChargerSecured, Fact, SecurityNoted
from edge.chargers.connection import ChargerConnection
from edge.chargers.credentials import Credentials
from edge.chargers.ports import Gateway, ReplyTo
from edge.chargers.proving import Certificate, Proof, names
from edge.core.inputs import Booted, CallEnded, Input, Note, Request, SetPassword, TrustSite
from edge.core.state import SiteState

if TYPE_CHECKING:
    from edge.chargers.siteca import SiteCa

log = logging.getLogger("plugside.chargers")

NO_TLS = "this box has no TLS port for chargers: start it with `run --ocpps HOST:PORT`"


class SiteGuard:
    """`proving.Guard`. ca: None where the site has no authority."""

    def __init__(self, state: Callable[[], SiteState], credentials: Credentials, ca: SiteCa | None) -> None:
        self._state, self._credentials, self._ca = state, credentials, ca

    def taken(self, charger: str) -> frozenset[int]:
        security = self._state().look(charger).security
        return frozenset({security.profile, security.profile if security.to is None else security.to})

    def knows(self, charger: str) -> bool:
        return self._credentials.has(charger)

    def fitting(self, charger: str, presented: Sequence[bytes]) -> str:
        return self._credentials.fitting(charger, presented)

    def owns(self, charger: str, certificate: Certificate) -> bool:
        serial = plain_serial(str(certificate.get("serialNumber", "")))
        ours = self._ca is not None and self._ca.owns(charger, certificate)
        return ours and self._credentials.holds(charger, serial)

    def came_in(self, charger: str, proof: Proof) -> None:
        if proof.credential:
            self._credentials.came_in(charger, proof.credential)
        if proof.serial:
            self._credentials.showed(charger, plain_serial(proof.serial))


def plain_serial(told: str) -> str:
    """A serial number as `siteca` tells it: `ssl` pads it to whole bytes."""
    return told.lstrip("0").upper()


class Requests(Protocol):
    """Where calls go on to."""

    def send(self, request: Request) -> None: ...


class SecurityDesk:
    """`gateway.Requests` in front of another: a password or a root is filled in where one is named.

    `committed` is fed by the bus: a password that was refused is good for nothing any more.
    """

    def __init__(
        self, inner: Requests, gateway: Gateway, credentials: Credentials, ca: SiteCa | None
    ) -> None:
        self._inner, self._gateway = inner, gateway
        self._credentials, self._ca = credentials, ca

    def send(self, request: Request) -> None:
        """Send a request."""
        action = request.action
        if isinstance(action, SetPassword):
            try:
                password = self._credentials.offer(request.charger, action.credential, sent=True)
            except PlugsideError as failed:
                self._end(request, "error", failed.message)
                return
            request = msgspec.structs.replace(request, action=SetPassword(action.credential, password))
        elif isinstance(action, TrustSite):
            if self._ca is None:
                self._end(request, "no_tls", NO_TLS)
                return
            trusted = TrustSite(action.kind, self._ca.root(action.kind))
            request = msgspec.structs.replace(request, action=trusted)
        self._inner.send(request)

    def committed(self, fact: Fact) -> None:
        """Bring the passwords up to a fact."""
        body = fact.body
        if isinstance(body, ChargerSecured) and body.change == "refused" and body.credential:
            self._credentials.withdraw(body.charger, body.credential)
        elif isinstance(body, ChargerAdopted) and body.removed:
            self._credentials.forget(body.charger)

    def _end(self, request: Request, answer: str, why: str) -> None:
        ended = CallEnded(
            charger=request.charger,
            request=request.id,
            command=request.command,
            answer=answer,
            detail=why,
            context=request.context,
        )
        # in a turn of its own: this may run inside the gateway's, which takes one input at a time
        asyncio.get_running_loop().call_soon(_submit, self._gateway, ended)


class SerialCheck:
    """`ports.Gateway` around the site's own: who proved itself as the charger of a serial number, and boots
    with another one, is not let go on (quirk 111).

    present: a charger's connection; disconnect: closes it.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.present: Callable[[str], ChargerConnection | None] = lambda _: None
        self.disconnect: Callable[[str, int, str], None] = lambda *_: None

    @property
    def accepting(self) -> bool:
        """As the site's."""
        return self._gateway.accepting

    def submit(self, given: Input, reply_to: ReplyTo | None = None) -> None:
        """Take an input; see `ports.Gateway`."""
        if isinstance(given, Booted) and self._is_another(given):
            log.warning("%s: boots with another serial number than its certificate has", given.charger)
            what = SecurityNoted(what="wrong_serial", charger=given.charger, detail=given.serial[:64])
            self._gateway.submit(Note(body=what))
            reason = "the serial number is not the certificate's"
            asyncio.get_running_loop().call_soon(
                self.disconnect, given.charger, CloseCode.POLICY_VIOLATION, reason
            )
            return
        self._gateway.submit(given, reply_to)

    def _is_another(self, booted: Booted) -> bool:
        present = self.present(booted.charger)
        if present is None or present.proof.profile != 3 or present.certificate is None:
            return False
        _, common, _ = names(present.certificate)
        return common.casefold() != booted.charger.casefold() and common != booted.serial


def _submit(gateway: Gateway, given: Input) -> None:
    try:
        gateway.submit(given)
    except PlugsideError as broken:
        log.error("the end of a request was not taken: %s", broken)  # noqa: TRY400

"""Chargers' certificate requests between the charger side and the site's authority (quirk 110).

Stands where the gateway is for the listener: it lets everything through, tells the core with each request
whether an authority is at hand, and has it sign once the charger has heard "accepted". What comes of it is an
input again. One request a charger at a time; another one meanwhile is refused, and the charger asks again.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from common.errors import Code, PlugsideError, Refused
from common.supervise import Supervisor
from edge.chargers.ports import CertificateAuthority, Gateway, Issued, ReplyTo
from edge.core.inputs import CertificateAsked, CertificateMade, CertificateReply, Input, Reply

log = logging.getLogger("plugside.chargers")

#: An authority of this site signs within milliseconds; one elsewhere gets this long, in s.
SIGN_S = 60.0
#: A request by the whitepaper: 5500 characters. Chargers with long chains of extensions send some more.
CSR_CHARS_MAX = 16 * 1024


class NoAuthority:
    """The authority of a site that has none."""

    ready = False

    async def sign(self, charger: str, csr: str) -> Issued:  # noqa: ARG002
        """Raises Refused: there is nobody to sign."""
        raise Refused(Code.NOT_PERMITTED, "this site has no certificate authority")


class CertificateDesk:
    """`ports.Gateway` around the site's own; see the module."""

    def __init__(self, gateway: Gateway, authority: CertificateAuthority, tasks: Supervisor) -> None:
        self._gateway, self._authority, self._tasks = gateway, authority, tasks
        self._signing: set[str] = set()

    @property
    def accepting(self) -> bool:
        """As the site's."""
        return self._gateway.accepting

    def submit(self, given: Input, reply_to: ReplyTo | None = None) -> None:
        """Take an input; see `ports.Gateway`."""
        if isinstance(given, CertificateAsked):
            free = given.charger not in self._signing and len(given.csr) <= CSR_CHARS_MAX
            given = msgspec.structs.replace(given, authority=free and self._authority.ready)
            if reply_to is not None:
                reply_to = _Signs(self, given, reply_to)
        self._gateway.submit(given, reply_to)

    def begin(self, asked: CertificateAsked) -> None:
        """Have a request signed that was accepted."""
        self._signing.add(asked.charger)
        try:
            self._tasks.spawn(f"certificate for {asked.charger}", self._sign(asked))
        except PlugsideError as busy:
            self._made(CertificateMade(charger=asked.charger, reason=str(busy)))

    async def _sign(self, asked: CertificateAsked) -> None:
        made = CertificateMade(charger=asked.charger, reason="the authority failed")
        try:
            async with asyncio.timeout(SIGN_S):
                issued = await self._authority.sign(asked.charger, asked.csr)
            made = CertificateMade(charger=asked.charger, chain=issued.chain, until_ms=issued.until_ms)
        except PlugsideError as refused:
            made = CertificateMade(charger=asked.charger, reason=refused.message)
        except TimeoutError:
            made = CertificateMade(charger=asked.charger, reason="the authority did not answer in time")
        finally:
            self._made(made)

    def _made(self, made: CertificateMade) -> None:
        self._signing.discard(made.charger)
        try:
            self._gateway.submit(made)
        except PlugsideError as broken:
            log.error("%s: its certificate was not taken: %s", made.charger, broken)  # noqa: TRY400


class _Signs:
    """The `ReplyTo` of a request: once the charger is told that it is accepted, it is signed."""

    def __init__(self, desk: CertificateDesk, asked: CertificateAsked, inner: ReplyTo) -> None:
        self._desk, self._asked, self._inner = desk, asked, inner
        self._accepted = False

    def render(self, reply: Reply) -> bytes:
        self._accepted = isinstance(reply, CertificateReply) and reply.accepted
        return self._inner.render(reply)

    def send(self, payload: bytes) -> None:
        self._inner.send(payload)
        if self._accepted:
            self._accepted = False
            self._desk.begin(self._asked)

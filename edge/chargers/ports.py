"""What the charger side needs from the site: the one loop, and where a reply goes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from edge.core.inputs import Input, Reply


class ReplyTo(Protocol):
    """Where the reply to a charger's call goes. Both are synchronous, cheap, and never raise for the link."""

    def render(self, reply: Reply) -> bytes:
        """Return the reply's exact payload bytes, to be stored with the facts. Called when it is decided."""

    def send(self, payload: bytes) -> None:
        """Send these payload bytes, rendered or stored. Called after the commit; a second one is ignored.

        If the connection is gone this does nothing: the charger repeats its call on the next one.
        """


class Issued(NamedTuple):
    """What an authority has signed: a PEM chain, leaf first; when that runs out (UTC, ms; 0: not known)."""

    chain: str
    until_ms: int = 0


class CertificateAuthority(Protocol):
    """Who signs chargers' certificate requests: the site's own authority, or nobody."""

    @property
    def ready(self) -> bool:
        """Whether `sign` would take a request now. A charger is told so at once."""

    async def sign(self, charger: str, csr: str) -> Issued:
        """The chain for a charger's request (PEM; by an older whitepaper the DER in hex).

        It has to see for itself that the request is that charger's. Raises PlugsideError with the reason.
        """


class Gateway(Protocol):
    """The site's one loop, as chargers see it."""

    @property
    def accepting(self) -> bool:
        """Whether what chargers say can be written down. If not, upgrades are refused (503)."""

    def submit(self, given: Input, reply_to: ReplyTo | None = None) -> None:
        """Take an input: decide it at once, in order; reply after its commit. Raises if it cannot."""

"""Whether a dial is its charger's: OCPP's security profiles, judged before any frame (quirks 105, 106, 111).

A charger has one profile, kept as facts; while it moves up, the next one is taken, too. The port says whether
there is TLS, so 0 and 1 come to the plain one and 2 and 3 to the other; nothing that the peer claims counts.
Pure: who knows passwords and profiles is a `Guard`.
"""

from __future__ import annotations

import binascii
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from edge.chargers.reasons import Reason

#: As `ssl` tells a peer's certificate (`getpeercert`).
Certificate = Mapping[str, Any]

_PLAIN: Final = frozenset({0, 1})
_TLS: Final = frozenset({2, 3})


class Proof(NamedTuple):
    """Under which profile a charger comes in, and with which password or certificate."""

    profile: int
    credential: str = ""
    serial: str = ""  #: of the certificate


class Guard(Protocol):
    """Who knows how chargers prove themselves. Ids as the site spells them."""

    def taken(self, charger: str) -> frozenset[int]:
        """The security profiles under which it may come in now."""

    def knows(self, charger: str) -> bool:
        """Whether there is any password of it."""

    def fitting(self, charger: str, presented: Sequence[bytes]) -> str:
        """The name of the password that one of these is, "" if none."""

    def owns(self, charger: str, certificate: Certificate) -> bool:
        """Whether a certificate that the site's authority has signed is this charger's."""

    def came_in(self, charger: str, proof: Proof) -> None:
        """It is let in, by this."""


class Open:
    """The guard of a site where nothing has to be proven."""

    def taken(self, charger: str) -> frozenset[int]:  # noqa: ARG002
        return frozenset({0})

    def knows(self, charger: str) -> bool:  # noqa: ARG002
        return False

    def fitting(self, charger: str, presented: Sequence[bytes]) -> str:  # noqa: ARG002
        return ""

    def owns(self, charger: str, certificate: Certificate) -> bool:  # noqa: ARG002
        return False

    def came_in(self, charger: str, proof: Proof) -> None:
        """Nothing is kept."""


def presented(token: bytes | None, identity: str) -> tuple[bytes, ...]:
    """Return what a Basic token may mean as this charger's password, () if its user is another.

    The user name may hold colons and the password any byte, so the identity itself tells where one ends; a
    password of raw bytes may come as its hex text (quirk 8).
    """
    prefix = identity.encode().lower() + b":"
    if token is None or token[: len(prefix)].lower() != prefix or len(token) == len(prefix):
        return ()
    given = token[len(prefix) :]
    try:
        return given, binascii.unhexlify(given)
    except (binascii.Error, ValueError):
        return (given,)


def prove(
    guard: Guard, charger: str, token: bytes | None, *, tls: bool, certificate: Certificate | None
) -> Proof | Reason:
    """Return what a dial has proven, or why it is refused. token: of Basic authentication."""
    taken = guard.taken(charger)
    here = taken & (_TLS if tls else _PLAIN)
    if not here:
        return Reason.TLS_NOT_WANTED if tls else Reason.TLS_WANTED
    if 3 in here and certificate is not None and guard.owns(charger, certificate):
        return Proof(3, serial=str(certificate.get("serialNumber", "")))
    if here & {1, 2}:
        name = guard.fitting(charger, presented(token, charger))
        if name:
            return Proof(2 if tls else 1, name)
    if 0 in here:
        return Proof(0)
    if here == {3}:
        return Reason.WRONG_CERTIFICATE if certificate is not None else Reason.NO_CERTIFICATE
    return Reason.WRONG_PASSWORD if guard.knows(charger) else Reason.NO_PASSWORD_KNOWN


def names(certificate: Certificate) -> tuple[str, str, str]:
    """Return a certificate's organisation, common name and charger (its URI), "" where it has none."""
    subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
    uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    return subject.get("organizationName", ""), subject.get("commonName", ""), uris[0] if uris else ""


def is_near(address: str, networks: Sequence[str] = ()) -> bool:
    """Whether an address may be of the site's own network: where plain OCPP may come from (quirk 106).

    networks: those that are, as CIDR; none = every address that is not a public one.
    """
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True  # a socket of this machine has none
    mapped = getattr(peer, "ipv4_mapped", None)
    peer = mapped or peer
    if networks:
        return peer.is_loopback or any(peer in ipaddress.ip_network(one) for one in networks)
    return not peer.is_global

"""TLS for links: the box's own certificates towards the LAN, pinned by key; WebPKI towards the cloud.

On the LAN no certificate authority is asked: the client takes any certificate, remembers its hash, and the
app link's handshake proves that the box's identity key stands behind that very certificate. Both ends must
therefore know which certificate a connection uses, also while the box changes to the next one: each has a
context of its own, chosen when a connection begins.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from common.errors import Code, LocalFault


class ServerTls:
    """The certificates of a TLS listener. `context` is what to listen with."""

    def __init__(self, pem: Path, certificate_hash: str) -> None:
        """pem: private key and certificate in one file. certificate_hash: SHA-256 of its DER, hex."""
        self.context = _server_context(pem)
        self._hashes = {id(self.context): certificate_hash}
        self._current = self.context
        # Kept, so that an id above stays the id of the context it was given for.
        self._contexts = [self.context]
        self.context.sni_callback = self._choose
        self._named: dict[str, ssl.SSLContext] = {}

    def use(self, pem: Path, certificate_hash: str) -> None:
        """Serve this certificate from the next connection on; open ones keep theirs."""
        if self._hashes[id(self._current)] == certificate_hash:
            return
        self._current = _server_context(pem)
        self._contexts.append(self._current)
        self._hashes[id(self._current)] = certificate_hash

    def binding(self, connection: object) -> str:
        """The hash of the certificate that this connection uses. connection: its `ssl_object`."""
        if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
            return ""
        # Under a name that an authority vouches for, the browser has judged the certificate: no binding.
        return self._hashes.get(id(connection.context), "")

    def use_named(self, cert: Path, key: Path, names: Iterable[str]) -> None:
        """Serve this certificate to whoever asks for one of its names, from the next connection on.

        cert: the chain (PEM). names: as in its SAN, in lower case. Raises LocalFault(bad_settings).
        """
        context = _server_context(cert, key)
        self._named = dict.fromkeys(names, context)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        # Called in every TLS 1.3 handshake, also of clients that send no server name.
        asked = (name or "").lower()
        named = self._named.get(asked) or self._named.get(f"*.{asked.partition('.')[2]}")
        connection.context = named or self._current


def _server_context(pem: Path, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a resumed connection would show no certificate to bind to
    try:
        context.load_cert_chain(pem, key)
    except (OSError, ssl.SSLError) as unusable:
        raise LocalFault(Code.BAD_SETTINGS, f"the certificate in {pem} cannot be used: {unusable}") from None
    return context


def certificate_names(cert: Path) -> tuple[str, ...]:
    """The DNS names of a certificate (PEM), in lower case. Raises LocalFault(bad_settings)."""
    from cryptography import x509

    try:
        first = x509.load_pem_x509_certificate(cert.read_bytes())
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as unusable:
        raise LocalFault(Code.BAD_SETTINGS, f"the certificate in {cert} cannot be used: {unusable}") from None
    found = tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))
    if not found:
        raise LocalFault(Code.BAD_SETTINGS, f"the certificate in {cert} names no host")
    return found


@lru_cache(maxsize=1)
def pinned_context() -> ssl.SSLContext:
    """For a client on the LAN: encrypts, and leaves trust to the handshake of the app link."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def peer_hash(connection: object) -> str:
    """SHA-256 (hex) of the certificate that the server showed. connection: the client's `ssl_object`."""
    if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
        return ""
    certificate = connection.getpeercert(binary_form=True)
    return sha256(certificate).hexdigest() if certificate else ""

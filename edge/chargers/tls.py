"""A charger's TLS port: what became of a connection that never got as far as a request, for the installer.

How it is counted, looked at and wrapped is `common.link.opening`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from common.link import opening
from common.link.opening import Broken, Spawn
from edge.chargers.connection import ChargerConnection
from edge.chargers.reasons import Reason

REASONS = {Broken.SILENT: Reason.SILENT, Broken.PLAIN: Reason.PLAIN_ON_TLS, Broken.TLS: Reason.TLS_FAILED}


class TlsOpening(opening.TlsOpening):
    """Stands for a `ChargerConnection` (`inner`) until its TLS handshake is done.

    `refused` is told why it never came to that: the reason, the connection, and OpenSSL's words if there are.
    """

    def __init__(
        self,
        inner: ChargerConnection,
        context: ssl.SSLContext,
        spawn: Spawn,
        refused: Callable[[Reason, ChargerConnection, str], None],
        *,
        within_s: float,
    ) -> None:
        def broken(why: Broken, early: bytes, words: str) -> None:
            if why is not Broken.TLS:
                inner.first = early
            refused(REASONS[why], inner, words)

        super().__init__(inner, context, spawn, broken, within_s=within_s)
        self.inner = inner


__all__ = ["Spawn", "TlsOpening"]

"""Which version of OCPP a connection speaks, and whether its frames are compressed.

Chosen anew for each connection and kept nowhere: a charger may probe with one version and then dial with
another (quirk 3). A charger's pin comes first (its model's, or its installer's), then our order; a charger's
own order says nothing, since clients were seen to make it up by chance (quirk 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from edge.chargers.dialect import Dialect

#: Without context takeover: broken implementations of it exist (quirk 17), and its windows would cost every
#: idle charger more than all the rest of its connection. Frames here are of 1 KiB, so small windows will do.
_COMPRESSION: Final = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=12,
    client_max_window_bits=12,
    compress_settings={"memLevel": 5},
)


class Versions:
    """The dialects of a listener, in our order; the first is spoken where none is offered (quirk 1).

    `pinned` returns the version that a charger should speak though it offers others, "" for none.
    """

    def __init__(self, dialects: Sequence[Dialect], pinned: Callable[[str], str]) -> None:
        self._dialects = {dialect.subprotocol.casefold(): dialect for dialect in dialects}
        self._without_offer = dialects[0]
        self._pinned = pinned

    def choose(self, charger: str, offered: Sequence[str]) -> str | None:
        """Return the token to answer with, exactly as the charger wrote it; None if none is ours."""
        tokens = {_plain(token): token for token in reversed(offered)}
        pin = f"ocpp{self._pinned(charger)}".casefold()
        order = sorted(self._dialects, key=lambda name: name != pin)
        return next((tokens[name] for name in order if name in tokens), None)

    def dialect(self, offered: Sequence[str], chosen: str | None) -> Dialect | None:
        """Return what to speak on a connection; None where it offered versions and none is ours."""
        return self._dialects.get(_plain(chosen or "")) if offered else self._without_offer

    def extensions(self, charger: str, offered: Sequence[str]) -> list[ServerPerMessageDeflateFactory]:
        """Return what a connection may negotiate: compression where its version asks for it (quirk 17)."""
        dialect = self.dialect(offered, self.choose(charger, offered))
        return [_COMPRESSION] if dialect is not None and dialect.compresses else []

    @property
    def names(self) -> str:
        """For people: the versions that this box speaks."""
        return ", ".join(dialect.subprotocol for dialect in self._dialects.values())


def _plain(token: str) -> str:
    """Return a subprotocol's name without the case and the `J` that some add (quirk 4)."""
    return token.strip().casefold().removesuffix("j")

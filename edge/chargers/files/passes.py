"""Who may fetch or send which file: addresses that cannot be guessed, each for one command of one charger.

An address is a keyed hash of the command, so nothing has to be kept: it is good while the command is open and
its call has left, and worth nothing before and afterwards, also across a restart. Pure.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256

import msgspec

from common.commands import Name
from edge.core.state import Order, SiteState

#: The steps during which a charger may come for the file.
_OPEN_STEPS = {"signed": "firmware", "plain": "firmware", "log": "upload", "diagnostics": "upload"}


class Pass(msgspec.Struct, frozen=True):
    """What an address stands for."""

    kind: str  #: firmware | upload
    charger: str
    command: str
    file: str  #: the firmware's SHA-256


class Passes:
    """`secret`: of this box, at least 16 bytes. `state`: the site's, as it is when it is asked for."""

    def __init__(self, secret: bytes, state: Callable[[], SiteState]) -> None:
        self._secret = secret
        self._state = state

    def token(self, command: str) -> str:
        """The unguessable part of a command's address: 43 characters of base64url."""
        digest = hmac.digest(self._secret, b"plugside-file|" + command.encode(), sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def find(self, token: str) -> Pass | None:
        """What an address stands for now, None if for nothing."""
        given = token.encode()
        found = None
        for order in self._open():
            if hmac.compare_digest(self.token(order.id).encode(), given):
                found = order
        if found is None:
            return None
        return Pass(_OPEN_STEPS[found.step], found.charger, found.id, str(found.args.get("file", "")))

    def address_of(self, charger: str) -> str:
        """From where this charger is connected, or was last."""
        known = self._state().view.chargers.get(charger)
        return known.address if known is not None else ""

    def _open(self) -> Iterator[Order]:
        state = self._state()
        for station in state.stations.values():
            for order_id in station.orders:
                order = state.orders[order_id]
                if order.name in (Name.UPDATE_FIRMWARE, Name.FETCH_DIAGNOSTICS) and order.step in _OPEN_STEPS:
                    yield order

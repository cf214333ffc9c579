"""Who comes in: every handshake's decision, with its reason written down.

    TCP ─▶ pace, count ─▶ HTTP request ─▶ identity ─▶ adopted? ─▶ proven? ─▶ clone? ─▶ 101 ─▶ `listener`
                           400, 426        404        404    401, 403, 429   409

Who is refused is refused in the handshake (quirk 16): a charger keeps what it has queued, and dials again.
An unknown one is put into a bounded queue, from which an installer may adopt it. What never became a request
is explained from its first bytes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Protocol

from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from common.domain import CHARGER_ID_RULE
from common.facts import ChargerAdopted, SecurityNoted
from edge.chargers.admission import (
    AdoptionQueue,
    Buckets,
    Patience,
    Swaps,
    Waiting,
    basic_token,
    identity_of,
    named_by,
    user_names,
)
from edge.chargers.connection import ChargerConnection
from edge.chargers.doorbook import Doorbook
from edge.chargers.firstbytes import unparsed
from edge.chargers.proving import Guard, Proof, prove
from edge.chargers.reasons import REASONS, Reason
from edge.core.inputs import Input, Note, StationWaiting

#: Who proves nothing may not come in, but for what may be mended by another user or password, or later.
_STATUS = {
    **dict.fromkeys(
        (Reason.IDENTITY_MISMATCH, Reason.WRONG_PASSWORD, Reason.NO_PASSWORD_KNOWN), HTTPStatus.UNAUTHORIZED
    ),
    Reason.TOO_MANY_TRIES: HTTPStatus.TOO_MANY_REQUESTS,
}

log = logging.getLogger("plugside.chargers")


class House(Protocol):
    """What the doorman asks the listener."""

    def receives(self, charger: str) -> bool:
        """Whether this charger may come in now, as far as the box is concerned."""

    def present(self, charger: str) -> ChargerConnection | None:
        """The charger's connection, if it is here."""

    def submit(self, given: Input) -> bool:
        """Hand an input to the gateway; False if it was not taken."""


class Doorman:
    """Decides on handshakes. `adopted`, `guard`, `near`: see `listener`."""

    def __init__(
        self,
        house: House,
        book: Doorbook,
        *,
        mono_ms: Callable[[], int],
        now_ms: Callable[[], int],
        adopted: Callable[[str], str | None],
        guard: Guard,
        near: Callable[[str], bool],
        adopt_any_max: int,
        probe_s: float,
        connections_max: int,
        buckets: Buckets,
    ) -> None:
        self.book = book
        self._house, self._mono_ms, self._now_ms = house, mono_ms, now_ms
        self._adopted, self._guard, self._near = adopted, guard, near
        self._patience = Patience()
        self._adopt_any_left, self._probe_s = adopt_any_max, probe_s
        self._connections: dict[ChargerConnection, None] = {}  # in the order in which they came
        self._connections_max, self._buckets = connections_max, buckets
        self._queue = AdoptionQueue()
        self._swaps: dict[str, Swaps] = {}

    def waiting(self) -> Iterator[Waiting]:
        """Go through the chargers that dialled and are not adopted, in order of their last dial."""
        return iter(self._queue)

    # ------------------------------------------------------------------------------------------- connections

    def entered(self, connection: ChargerConnection) -> bool:
        """Pace an address and count its connection; see `connection.Door`."""
        if not self._buckets.take(connection.peer, self._mono_ms()):
            self.book.refused(Reason.DIALS_TOO_OFTEN, connection.peer)
        elif len(self._connections) >= self._connections_max and not self._made_room():
            self.book.refused(Reason.TOO_MANY_CONNECTIONS, connection.peer)
        else:
            self._connections[connection] = None
            return True
        return False

    def _made_room(self) -> bool:
        """Turn out whoever has waited longest to say what they want, of the address with most of these.

        So strangers who hold every place lose one to each charger that dials, and lose no charger theirs.
        """
        silent = [one for one in self._connections if one.request is None]
        if not silent:
            return False
        crowds = Counter(one.peer for one in silent)
        most = max(crowds.values())
        out = next(one for one in silent if crowds[one.peer] == most)
        out.explained = True
        self.book.refused(Reason.TOO_MANY_CONNECTIONS, out.peer)
        out.turn_out()
        self.left(out)
        return True

    def left(self, connection: ChargerConnection) -> None:
        """Count a connection's end, and explain one that never was a request; see `connection.Door`."""
        self._connections.pop(connection, None)
        if connection.request is None and not connection.explained:
            self.book.refused(unparsed(connection.first), connection.peer, first=connection.first)

    def close(self) -> None:
        """Drop who has not said yet what they want; the listener closes the others."""
        for connection in list(self._connections):
            connection.turn_out()

    def without_tls(self, why: Reason, ws: ChargerConnection, words: str) -> None:
        """A connection to the TLS port did not come to TLS; words: OpenSSL's, if it has any."""
        ws.explained = True
        self.book.refused(why, ws.peer, first=ws.first, detail=words)

    # ------------------------------------------------------------------------------------------- handshakes

    async def admit(self, ws: ChargerConnection, request: HttpRequest) -> Response | None:
        """Decide on a handshake: None lets it go on, and `ws.charger` is then the identity as stored."""
        token = basic_token(request.headers.get_all("Authorization"))
        named = named_by(request.path, token and token.partition(b":")[0])
        identity = identity_of(named)
        if not _asks_for_websocket(request):
            self._not_a_websocket(ws, request, identity)
            return None  # websockets tells a browser what this is (426)
        if not (ws.tls or self._near(ws.peer)):
            self._refused(ws, Reason.NOT_NEAR, charger=identity or "")
            return ws.respond(HTTPStatus.FORBIDDEN, REASONS[Reason.NOT_NEAR].sentence + "\n")
        if not self._house.receives(identity or ""):
            self.book.refused(Reason.NOT_ACCEPTING, ws.peer, charger=identity or "")
            return _busy(ws)
        if identity is None:
            return self._misnamed(ws, named)
        stored = self._adopted(identity) or self._adopt(identity)
        if stored is None:
            return self._wait(ws, identity, request)
        if token is not None and not user_names(token, stored):
            return self._not_proven(ws, stored, Reason.IDENTITY_MISMATCH)
        proof = self._proof(ws, stored, token)
        if isinstance(proof, Reason):
            return self._not_proven(ws, stored, proof)
        ws.proof = proof
        if not await self._may_replace(stored, ws.peer, proven=proof.profile > 0):
            self._refused(ws, Reason.CLONE, charger=stored)
            self._note("charger_clone", stored, ws.peer)
            return ws.respond(HTTPStatus.CONFLICT, "Another charger with this identity is connected.\n")
        ws.charger = stored
        return None

    def let_in(self, ws: ChargerConnection) -> None:
        """The connection that was admitted is its charger's now."""
        self._guard.came_in(ws.charger, ws.proof)
        self._patience.proved(ws.peer, ws.charger)
        self._queue.leave(ws.charger)
        self.book.let_in(ws.charger, ws.peer)
        self._swaps.setdefault(ws.charger, Swaps()).came(ws.peer, self._mono_ms())
        ws.forget_first()

    def malformed(self, ws: ChargerConnection) -> None:
        """An admitted charger's WebSocket headers are not in order."""
        self._refused(ws, Reason.BAD_HANDSHAKE, charger=ws.charger)

    def without_version(self, ws: ChargerConnection) -> None:
        """An admitted charger offers no version of ours."""
        self._refused(ws, Reason.NO_COMMON_VERSION, charger=ws.charger, offered=", ".join(ws.offered))

    def _refused(
        self, ws: ChargerConnection, why: Reason, *, charger: str = "", named: bytes = b"", offered: str = ""
    ) -> None:
        self.book.refused(why, ws.peer, charger=charger, named=named, offered=offered, first=ws.first)
        ws.forget_first()

    def _not_a_websocket(self, ws: ChargerConnection, request: HttpRequest, identity: str | None) -> None:
        soap = request.method == "POST" or "SOAPAction" in request.headers
        self._refused(ws, Reason.SOAP if soap else Reason.NO_UPGRADE, charger=identity or "")

    def _misnamed(self, ws: ChargerConnection, named: bytes) -> Response:
        unnamed = Reason.NOT_AN_IDENTITY if named else Reason.NO_IDENTITY
        self._refused(ws, Reason.RAW_SPACE if named and ws.mended else unnamed, named=named)
        rule = f"The URL must end in the charger's identity: {CHARGER_ID_RULE}.\n"
        return ws.respond(HTTPStatus.NOT_FOUND, rule)

    def _not_proven(self, ws: ChargerConnection, stored: str, why: Reason) -> Response:
        self._refused(ws, why, charger=stored)
        self._note(why.value, stored, ws.peer)
        status = _STATUS.get(why, HTTPStatus.FORBIDDEN)
        response = ws.respond(status, REASONS[why].sentence + "\n")
        if status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="OCPP"'
        elif (left_ms := self._patience.waits_ms(ws.peer, stored, self._mono_ms())) > 0:
            response.headers["Retry-After"] = str(left_ms // 1000 + 1)
        return response

    def _proof(self, ws: ChargerConnection, stored: str, token: bytes | None) -> Proof | Reason:
        now_ms = self._mono_ms()
        if self._patience.waits_ms(ws.peer, stored, now_ms):
            return Reason.TOO_MANY_TRIES  # whatever it brings: nothing is told by how long this takes
        proof = prove(self._guard, stored, token, tls=ws.tls, certificate=ws.certificate)
        if proof is Reason.WRONG_PASSWORD and token is not None:
            self._patience.failed(ws.peer, stored, now_ms)
        return proof

    def _adopt(self, identity: str) -> str | None:
        if not self._adopt_any_left:
            return None
        self._adopt_any_left -= 1
        self._house.submit(Note(body=ChargerAdopted(charger=identity)))
        return identity

    def _wait(self, ws: ChargerConnection, identity: str, request: HttpRequest) -> Response:
        """Put an unknown charger into the adoption queue."""
        offered = ", ".join(request.headers.get_all("Sec-WebSocket-Protocol"))[:64]
        protocol = offered if offered.isprintable() else ""
        pushed_out = self._queue.dialled(identity, ws.peer, protocol, self._now_ms())
        if self.book.waits(identity, ws.peer, offered, ws.first, pushed_out):
            self._house.submit(StationWaiting(charger=identity, address=ws.peer, protocol=protocol))
        ws.forget_first()
        return ws.respond(HTTPStatus.NOT_FOUND, "This charger has not been adopted by the site yet.\n")

    async def _may_replace(self, charger: str, address: str, *, proven: bool) -> bool:
        """Return whether a connection may take the place of the charger's present one, if there is one."""
        present = self._house.present(charger)
        if present is None:
            return True
        if present.peer != address and not proven and await present.answers_ping(self._probe_s):
            return False  # it is alive, and nothing shows that the newcomer is more it than it is
        return self._swaps[charger].admit(address, self._mono_ms())

    def _note(self, what: str, charger: str, address: str) -> None:
        if self.book.noted(what, charger, address):
            self._house.submit(Note(body=SecurityNoted(what=what, charger=charger, address=address)))


def _asks_for_websocket(request: HttpRequest) -> bool:
    upgrade = ",".join(request.headers.get_all("Upgrade")).casefold()
    connection = ",".join(request.headers.get_all("Connection")).casefold()
    return request.method == "GET" and "websocket" in upgrade and "upgrade" in connection


def _busy(ws: ChargerConnection) -> Response:
    response = ws.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Nothing can be written down now.\n")
    response.headers["Retry-After"] = "30"
    return response

"""The server's end of an app link. The same machine at the box (LAN, local socket) and at the cloud.

    hello ─▶ HELLO ── proof signed and sent ─▶ PROVED ── auth with a live grant ─▶ OPEN ─▶ CLOSED
                                                │  ▲                                ▲
                                                │  └ redeem: answered by the shell   │
                                                └─ auth, grants run out ─▶ KEYED ────┘  (renew, then auth)

The server speaks for itself first; a client's grant is asked for only after that. `ALLOWED` says what may
come when. A message that does not belong ends the link with a reason; a request that may not be granted is
refused and changes nothing. `receive` raises nothing, whatever the peer sends. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import msgspec

from common import wire
from common.appsession.events import (
    Authenticated,
    Carried,
    Closed,
    CommandAsked,
    Event,
    Followed,
    ManageAsked,
    QueryAsked,
    RedeemAsked,
    RenewAsked,
)
from common.domain import Path, iso
from common.errors import Code, PlugsideError, Refused, RemoteFault, error
from common.policy import Claims
from common.trust import IdentityKey, Purpose, Transcript, Verifier, open_command, thumbprint, verify_identity
from common.trust.handshake import is_nonce

#: Messages before authentication: hello, a few grants or invites that fail, one that does not.
PRE_AUTH_MESSAGES_MAX = 8
#: Sites on one link: an operator of several hundred follows them in pages of the cloud's own API.
SITES_MAX = 256
#: Lists of withdrawn rights that one frame may bring: those of all its sites.
CARRIED_LISTS_MAX = 32
#: Rows of one page.
QUERY_LIMIT_MAX = 500
#: Characters of an id that a client makes up (a UUID has 36).
ID_CHARS_MAX = 64
_CLIENT_CHARS_MAX = 64


class State(Enum):
    """How far a link has come."""

    HELLO = "hello"
    PROVED = "proved"
    KEYED = "keyed"
    OPEN = "open"
    CLOSED = "closed"


_ASKS = {wire.Follow, wire.SendCommand, wire.Query, wire.Manage}
ALLOWED: dict[State, set[type]] = {
    State.HELLO: {wire.Hello},
    State.PROVED: {wire.Auth, wire.Redeem, wire.Ping},
    State.KEYED: {wire.Auth, wire.Redeem, wire.Renew, wire.Ping},
    State.OPEN: {wire.Auth, wire.Redeem, wire.Renew, wire.Ping, *_ASKS},
    State.CLOSED: set(),
}


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What all links of one listener share."""

    identity: IdentityKey
    verifier: Verifier
    path: Path
    site: str | None = None  #: the box's own; None at the cloud, which serves many
    rotations: tuple[str, ...] = ()  #: how the box came to this identity, for apps that pinned one before it


class ServerSession:
    """One link, from its first frame to its last. Not reusable."""

    def __init__(
        self,
        serving: Serving,
        *,
        nonce: str,
        certificates: tuple[str, ...] = (),
        binding: str = "",
        local: Claims | None = None,
        waits: Callable[[str], bool] = lambda _key: False,
    ) -> None:
        """nonce: 32 fresh random bytes, base64url. certificates: served now and next, SHA-256 hex.

        binding: the one in use on this link, where the transport has one. local: the rights of whoever
        could open the transport at all (the box's own socket); no grant is asked for then. waits: whether
        the holder of a key has failed too often to be looked at now.
        """
        self.state = State.HELLO
        self.client = ""  #: what the app calls itself; for logs, cut and cleaned
        self._serving = serving
        self._nonce = nonce
        self._certificates = certificates
        self._binding = binding
        self._local = local
        self._clock = "synced"
        self._transcript: Transcript | None = None
        self._key = ""  # thumbprint, once it is proved
        self._grants: dict[str, str] = {}  # site → token
        self._claims: dict[str, Claims] = {}
        self._out: list[bytes] = []
        self._early = 0
        self._declined = False
        self._waits = waits
        self._handlers: dict[type, Callable[[Any, int], list[Event]]] = {
            wire.Hello: self._hello,
            wire.Auth: self._auth,
            wire.Redeem: self._redeem,
            wire.Renew: self._renew,
            wire.Follow: self._follow,
            wire.SendCommand: self._command,
            wire.Query: self._query,
            wire.Manage: self._manage,
            wire.Ping: self._ping,
        }

    @property
    def claims(self) -> Mapping[str, Claims]:
        """The rights on this link by site, as they were when last shown."""
        return self._claims

    @property
    def key(self) -> str:
        """The thumbprint of the client's key, once it was proved to be there."""
        return self._key

    def declined(self) -> bool:
        """Whether what was shown since the last call was refused for what it is. Rights that have merely run
        out are not that."""
        was, self._declined = self._declined, False
        return was

    def data_to_send(self) -> list[bytes]:
        """Frames that the session itself answers with, in order; each is given once."""
        frames, self._out = self._out, []
        return frames

    def receive(self, frame: bytes, now_ms: int, clock: str = "synced") -> list[Event]:
        """Take one frame. clock: how far `now_ms` can be believed (`ports.Clock.quality`).

        Returns what the shell has to act on. After `Closed` every frame is ignored.
        """
        if self.state is State.CLOSED:
            return []
        self._clock = clock
        if self.state is not State.OPEN:
            self._early += 1
            if len(frame) > wire.PRE_AUTH_BYTES_MAX:
                return self._end(Code.TOO_LARGE)
            if self._early > PRE_AUTH_MESSAGES_MAX:
                return self._end(Code.PROTOCOL, "too many messages before authentication")
        elif len(frame) > wire.CLIENT_BYTES_MAX:
            return self._end(Code.TOO_LARGE)
        try:
            message = wire.client_decoder.decode(frame)
        except (ValueError, RecursionError):  # not JSON, not UTF-8, not one of ours, too deep
            return self._end(Code.PROTOCOL, "a message could not be read")
        if type(message) not in ALLOWED[self.state]:
            return self._end(Code.PROTOCOL, "a message came out of turn")
        try:
            return self._handlers[type(message)](message, now_ms)
        except Refused as refusal:
            self._declined = refusal.code not in {Code.GRANT_EXPIRED, Code.BUSY}
            self._refuse(refusal, getattr(message, "id", ""))
            return []
        except PlugsideError as fault:
            return self._end(fault.code, fault.detail)

    def tick(self, now_ms: int) -> list[Event]:
        """Judge the link's grants again; call it now and then. One that has ended or was withdrawn ends the
        link: the client comes back with what still counts. One that is in its grace from now on is told."""
        if self.state is not State.OPEN:
            return []
        before = {site for site, claims in self._claims.items() if claims.grace}
        try:
            for site in self._grants:
                self._rights(site, now_ms)
        except Refused as ended:
            return self._end(ended.code)
        begins = {site for site, claims in self._claims.items() if claims.grace} - before
        return [Authenticated(tuple(self._claims.values()))] if begins else []

    def close(self, code: Code, detail: str = "") -> list[Event]:
        """End the link from our side, with a reason for the client."""
        return [] if self.state is State.CLOSED else self._end(code, detail)

    # --- the handshake -------------------------------------------------------------------------------------

    def _hello(self, message: wire.Hello, now_ms: int) -> list[Event]:
        version = next((v for v in wire.VERSIONS if v in message.versions), None)
        if version is None:
            return self._end(Code.UNSUPPORTED_VERSION)
        if not is_nonce(message.nonce) or len(message.versions) > 16:
            return self._end(Code.PROTOCOL, "a hello without a nonce of 32 bytes")
        self.client = "".join(c for c in message.client[:_CLIENT_CHARS_MAX] if c.isprintable())
        identity = self._serving.identity
        transcript = Transcript(
            offered=message.versions,
            version=version,
            client_nonce=message.nonce,
            server_nonce=self._nonce,
            server=identity.fingerprint,
            path=self._serving.path,
            certificates=self._certificates,
            binding=self._binding,
        )
        time = iso(now_ms)
        proof = wire.Proof(
            version=version,
            nonce=self._nonce,
            server=identity.fingerprint,
            key=identity.public,
            certificates=self._certificates,
            path=self._serving.path.value,
            time=time,
            clock=self._clock,
            signature=identity.sign(Purpose.SERVER_PROOF, transcript.proof(time, self._clock)),
            rotations=self._serving.rotations,
        )
        self._transcript, self.state = transcript, State.PROVED
        self._send(proof)
        return []

    def _auth(self, message: wire.Auth, now_ms: int) -> list[Event]:
        if self._local is not None:
            self._claims = {self._local.site: self._local}
            self.state = State.OPEN
            return [Authenticated((self._local,))]
        key = self._signer(
            message.key, message.signature, Purpose.CLIENT_AUTH, lambda t, k: t.auth(k, message.grants)
        )
        if self._key and key != self._key:
            raise RemoteFault(Code.PROTOCOL, "a link has one key")
        self._key = key
        if self._waits(key):
            raise error(Code.BUSY)
        grants, expired = self._judge_grants(message.grants, key, now_ms)
        if not grants and self.state is not State.OPEN:
            # A known key whose rights have run out may renew them here, and only that.
            self.state = State.KEYED if expired else self.state
            raise Refused(Code.GRANT_EXPIRED if expired else Code.BAD_GRANT)
        for site, (token, claims) in grants.items():
            self._grants[site], self._claims[site] = token, claims
        self.state = State.OPEN
        shown = Authenticated(tuple(self._claims.values()))
        # A stranger's are not looked at; ours are before the welcome, which then holds the newest.
        carried = message.revocations[:CARRIED_LISTS_MAX]
        return [Carried(carried), shown] if carried else [shown]

    def _judge_grants(
        self, tokens: tuple[str, ...], key: str, now_ms: int
    ) -> tuple[dict[str, tuple[str, Claims]], bool]:
        """What counts among the grants shown, by site, and whether some that do not have only run out.

        One bad grant does not spoil the others: a driver of three sites is not locked out of two because
        the third withdrew. Raises the first refusal when none counts and none has merely run out.
        """
        good: dict[str, tuple[str, Claims]] = {}
        expired, first = False, None
        for token in tokens:
            try:
                claims = self._serving.verifier.claims(token, now_ms, self._serving.site)
                if claims.key != key:
                    raise Refused(Code.BAD_SIGNATURE, "the grant is for another key")  # noqa: TRY301
                good[claims.site] = (token, claims)
            except Refused as refusal:
                first = first or refusal
                expired = expired or refusal.code is Code.GRANT_EXPIRED
        if len(self._grants.keys() | good.keys()) > SITES_MAX:
            raise Refused(Code.BAD_REQUEST, f"a link carries at most {SITES_MAX} sites")
        if first is not None and not good and not expired:
            raise first
        return good, expired

    def _redeem(self, message: wire.Redeem, _now_ms: int) -> list[Event]:
        key = self._signer(
            message.key, message.signature, Purpose.CLIENT_REDEEM, lambda t, k: t.redeem(k, message.secret)
        )
        return [RedeemAsked(message, key)]

    def _renew(self, message: wire.Renew, _now_ms: int) -> list[Event]:
        claims = self._serving.verifier.renewable(message.grant, self._serving.site)
        if claims.key != self._key:
            raise Refused(Code.BAD_GRANT, "the grant is for another key")
        return [RenewAsked(message, claims)]

    def _signer(
        self, public: str, signature: str, purpose: Purpose, covered: Callable[[Transcript, str], bytes]
    ) -> str:
        """The thumbprint of the key that signed this link's transcript. A wrong signature ends the link."""
        assert self._transcript is not None, "no handshake message is let through before the hello"
        try:
            key = thumbprint(public)
            verify_identity(public, signature, purpose, covered(self._transcript, key))
        except (ValueError, Refused):
            raise RemoteFault(Code.BAD_SIGNATURE, "it is not of this link") from None
        return key

    # --- an open link --------------------------------------------------------------------------------------

    def _rights(self, site: str, now_ms: int) -> Claims:
        """This link's rights at a site, judged now. Raises Refused."""
        if self._local is not None and not self._local.site:
            # The cloud's own socket: whoever may open it speaks for every site.
            return msgspec.structs.replace(self._local, site=site)
        if site not in self._claims:
            raise Refused(Code.UNKNOWN_SITE)
        if self._local is not None:
            return self._local
        claims = self._serving.verifier.claims(self._grants[site], now_ms, site)
        self._claims[site] = claims
        return claims

    def _follow(self, message: wire.Follow, now_ms: int) -> list[Event]:
        sites = tuple(dict.fromkeys(message.sites))
        for site in sites:
            self._rights(site, now_ms)
        since = {site: message.since[site] for site in sites if site in message.since}
        return [Followed(sites, since)]

    def _command(self, message: wire.SendCommand, now_ms: int) -> list[Event]:
        _bounded(message.id)
        if message.grant and self._local is None:
            claims = self._serving.verifier.claims(message.grant, now_ms, message.site)
            if claims.key != self._key:
                raise Refused(Code.BAD_GRANT, "the grant is for another key")
        else:
            claims = self._rights(message.site, now_ms)
            message = msgspec.structs.replace(message, grant=self._grants.get(message.site, ""))
        opened = open_command(message.envelope, claims, command_id=message.id)
        return [CommandAsked(message, claims, opened.payload, opened.command)]

    def _query(self, message: wire.Query, now_ms: int) -> list[Event]:
        _bounded(message.id)
        if not 1 <= message.limit <= QUERY_LIMIT_MAX:
            raise Refused(Code.BAD_REQUEST, f"a page has 1 to {QUERY_LIMIT_MAX} rows")
        return [QueryAsked(message, self._rights(message.site, now_ms))]

    def _manage(self, message: wire.Manage, now_ms: int) -> list[Event]:
        _bounded(message.id)
        return [ManageAsked(message, self._rights(message.site, now_ms))]

    def _ping(self, message: wire.Ping, _now_ms: int) -> list[Event]:
        self._send(wire.Pong(at=message.at))
        return []

    # --- answers -------------------------------------------------------------------------------------------

    def _send(self, message: wire.Message) -> None:
        self._out.append(wire.encode(message))

    def _refuse(self, refusal: Refused, request_id: str) -> None:
        self._send(
            wire.Refusal(
                id=request_id[:ID_CHARS_MAX],
                code=refusal.code,
                message=refusal.message,
                hint=refusal.hint,
            )
        )

    def _end(self, code: Code, detail: str = "") -> list[Event]:
        self.state = State.CLOSED
        reason = error(code, detail)
        self._send(wire.Bye(code=code, message=reason.message, hint=reason.hint))
        return [Closed(code, detail)]


def _bounded(request_id: str) -> None:
    if not 0 < len(request_id) <= ID_CHARS_MAX:
        raise Refused(Code.BAD_REQUEST, f"an id has 1 to {ID_CHARS_MAX} characters")

"""The client's end of an app link: proves the server, shows its grants only then, and drops what is old.

    hello ─▶ AWAIT_PROOF ── proof checked against the pinned identity ─▶ AWAIT_WELCOME ── welcome ─▶ OPEN

No grant and no invite leaves before the server has signed this link's transcript with the key that was
pinned when the device was paired. `Positions` holds, over all links of one client, how far each site has
been shown, so that a change of path never shows an older state. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum

import msgspec

from common import wire
from common.appsession.events import Closed
from common.domain import Path
from common.errors import Code, LocalFault, PlugsideError, RemoteFault
from common.trust import IdentityKey, Purpose, Rotation, Transcript, fingerprint, followed, verify_identity
from common.trust.handshake import CERTIFICATES_MAX, is_hash, is_nonce


class State(Enum):
    """How far a link has come."""

    START = "start"
    AWAIT_PROOF = "await_proof"
    AWAIT_WELCOME = "await_welcome"
    OPEN = "open"
    CLOSED = "closed"


class Positions:
    """How far each site has been shown, as (epoch, seq). Shared by the links of one client."""

    def __init__(self) -> None:
        self._at: dict[str, tuple[str, int]] = {}
        self._from_box: set[str] = set()

    def admits(self, message: wire.Snapshot | wire.FactMessage) -> bool:
        """Whether this is news; if so it is the new position.

        Within an epoch, `seq` decides. Numbers are never compared across epochs: a fact of another epoch
        waits for its snapshot; a snapshot of an older epoch is old, and where the epochs do not say which
        is older, the box's own word is not replaced by a copy.
        """
        known = self._at.get(message.site)
        if isinstance(message, wire.FactMessage):
            if known is None or known[0] != message.epoch or message.seq <= known[1]:
                return False
        elif known is not None:
            older = (
                message.seq < known[1] if known[0] == message.epoch else self._superseded(message, known[0])
            )
            if older:
                return False
        self._at[message.site] = (message.epoch, message.seq)
        if isinstance(message, wire.Snapshot):
            (self._from_box.add if message.source == "edge" else self._from_box.discard)(message.site)
        return True

    def _superseded(self, message: wire.Snapshot, epoch: str) -> bool:
        if _is_earlier(message.epoch, epoch) or _is_earlier(epoch, message.epoch):
            return _is_earlier(message.epoch, epoch)
        return message.source != "edge" and message.site in self._from_box

    def forget(self, site: str) -> None:
        """Begin anew with this site: whatever is said next is news."""
        self._at.pop(site, None)

    def since(self, sites: Iterable[str]) -> dict[str, tuple[str, int]]:
        """What to put into `follow`, so that only what is missing is sent."""
        return {site: self._at[site] for site in sites if site in self._at}


def _is_earlier(epoch: str, other: str) -> bool:
    """Whether the names say that this epoch came before the other one."""
    mine, others = _counter(epoch), _counter(other)
    return mine is not None and others is not None and mine < others


def _counter(epoch: str) -> int | None:
    """The counter of an epoch's name, `<counter>-<random>` (design §4)."""
    number, dash, _ = epoch.partition("-")
    return int(number) if dash and number.isascii() and number.isdigit() and len(number) < 19 else None


class ClientSession:
    """One link, from its first frame to its last. Not reusable.

    Call `hello`, send `data_to_send`, feed `receive`. Once proved, the session by itself redeems the invite
    or shows the grants that it was made with, and shows a grant that comes in answer to `redeem` or `renew`.
    """

    def __init__(
        self,
        *,
        nonce: str,
        path: Path,
        server: str | None,
        key: IdentityKey | None = None,
        grants: tuple[str, ...] = (),
        invite: str = "",
        device: str = "",
        binding: str = "",
        positions: Positions | None = None,
        client: str = "",
        carried: tuple[str, ...] = (),
        site: str = "",
        rotation: int = 0,
        gone: Collection[str] = (),
    ) -> None:
        """nonce: 32 fresh random bytes, base64url. server: the pinned identity fingerprint; None only on the
        local socket, where the file's place is the proof. binding: SHA-256 hex of the certificate that the
        transport saw, or empty. invite: a secret to redeem instead of showing grants. carried: lists of
        withdrawn rights to bring; those that do not fit into the first frame follow the welcome. site: whose
        box this must be, where that is known; rotation: the number of the statement by which `server` was
        pinned, 0 = by none; gone: fingerprints that were the box's and are not any more.
        """
        if path is not Path.LOCAL and (server is None or key is None):
            raise LocalFault(Code.NOT_PAIRED)
        self.state = State.START
        self.proof: wire.Proof | None = None  #: what the server signed, once it was checked
        self.welcome: wire.Welcome | None = None
        self.rotated: tuple[Rotation, ...] = ()  #: how the one who was pinned came to the key that it proved
        self.grants = grants
        self.positions = positions if positions is not None else Positions()
        self._nonce = nonce
        self._path = path
        self._server, self._site = server, site
        self._rotation, self._gone = rotation, gone
        self._key = key
        self._invite = invite
        self._device = device
        self._binding = binding
        self._client = client
        self._carried = list(carried)
        self._transcript: Transcript | None = None
        self._followed: dict[
            str, tuple[str, int]
        ] = {}  #: where each site was when it was asked to be followed
        self._out: list[bytes] = []

    def data_to_send(self) -> list[bytes]:
        """Frames to send, in order; each is given once."""
        frames, self._out = self._out, []
        return frames

    def receive(self, frame: bytes) -> list[wire.ServerMessage | Closed]:
        """Take one frame. Returns the messages that count, `Closed` last if it is over; raises nothing.

        Snapshots and facts that are older than what was shown are dropped.
        """
        if self.state is State.CLOSED:
            return []
        try:
            if len(frame) > wire.SERVER_BYTES_MAX:
                raise RemoteFault(Code.TOO_LARGE)
            message = wire.server_decoder.decode(frame)
            self._advance(message)
        except PlugsideError as fault:
            return self._end(fault.code, fault.detail)
        except (ValueError, RecursionError):
            return self._end(Code.PROTOCOL, "a message could not be read")
        if isinstance(message, wire.Snapshot):
            self._look_for_loss(message)
        if isinstance(message, wire.Snapshot | wire.FactMessage) and not self.positions.admits(message):
            return []
        if isinstance(message, wire.Bye):
            return self._bye(message)
        return [message]

    # --- what the client asks ------------------------------------------------------------------------------

    def hello(self) -> None:
        """Open the conversation."""
        assert self.state is State.START, "one hello a link"
        self.state = State.AWAIT_PROOF
        self._send(wire.Hello(nonce=self._nonce, client=self._client))

    def show(self, *grants: str) -> None:
        """Show these grants (again): after a renewal, or for more sites than fit into one frame."""
        transcript = self._proved()
        if self._key is None:
            self._send(wire.Auth())
            return
        signature = self._key.sign(Purpose.CLIENT_AUTH, transcript.auth(self._key.thumbprint, grants))
        shown = wire.Auth(grants=grants, key=self._key.public, signature=signature)
        self._send(msgspec.structs.replace(shown, revocations=self._lists_beside(shown)))

    def _lists_beside(self, shown: wire.Auth) -> tuple[str, ...]:
        """Lists that fit into the frame, and are not brought again."""
        frame_max = wire.CLIENT_BYTES_MAX if self.state is State.OPEN else wire.PRE_AUTH_BYTES_MAX
        room = frame_max - len(wire.encode(shown)) - len(',"revocations":[]')
        taken = []
        for one in tuple(self._carried):
            if len(one) + 3 <= room:
                room -= len(one) + 3
                taken.append(one)
                self._carried.remove(one)
        return tuple(taken)

    def redeem(self, secret: str, device: str = "") -> None:
        """Turn an invite's secret into a grant for this key."""
        transcript = self._proved()
        assert self._key is not None, "an invite is redeemed for a key"
        signature = self._key.sign(Purpose.CLIENT_REDEEM, transcript.redeem(self._key.thumbprint, secret))
        self._send(wire.Redeem(secret=secret, key=self._key.public, signature=signature, device=device))

    def renew(self, grant: str) -> None:
        """Ask for a fresh grant in place of this one."""
        self._proved()
        self._send(wire.Renew(grant=grant))

    def ask(self, message: wire.Follow | wire.SendCommand | wire.Query | wire.Manage | wire.Ping) -> None:
        """Send a request on the open link."""
        if self.state is not State.OPEN:
            raise LocalFault(Code.NOT_PAIRED, "the link is not open")
        self._send(message)

    def follow(self, *sites: str) -> None:
        """Follow these sites from where they were last shown."""
        self._followed = self.positions.since(sites)
        self.ask(wire.Follow(sites=sites, since=self._followed))

    # --- what the server says ------------------------------------------------------------------------------

    def _look_for_loss(self, snapshot: wire.Snapshot) -> None:
        """A box that answers from before what was shown already has lost that: its card was put back.

        What is shown comes from its disk, so it cannot merely be behind; and no fact of it will come that
        fits what was shown. It may even be back in an earlier epoch, when its cloud lost the later one, too.
        """
        epoch, seq = self._followed.pop(snapshot.site, ("", 0))
        lost = snapshot.seq < seq if snapshot.epoch == epoch else _is_earlier(snapshot.epoch, epoch)
        if self._path is Path.LAN and lost:
            self.positions.forget(snapshot.site)

    def _advance(self, message: wire.ServerMessage) -> None:
        """Bring the handshake forward. Raises RemoteFault on what does not belong."""
        if isinstance(message, wire.Bye | wire.Pong):
            return
        if self.state is State.AWAIT_PROOF:
            if not isinstance(message, wire.Proof):
                raise RemoteFault(Code.PROTOCOL, "the server did not prove itself first")
            self._check_proof(message)
            self.proof, self.state = message, State.AWAIT_WELCOME
            if self._invite:
                self.redeem(self._invite, self._device)
            else:
                self.show(*self.grants)
        elif self.state is State.START or isinstance(message, wire.Proof):
            raise RemoteFault(Code.PROTOCOL, "a message came out of turn")
        elif isinstance(message, wire.Welcome):
            self.welcome, self.state = message, State.OPEN
            if self._carried and self._key is not None:
                self.show(*self.grants)
                self._carried.clear()  # what fits into no frame is the tunnel's business
        elif isinstance(message, wire.Granted):
            self.grants = (message.grant,)
            self.show(message.grant)
        elif self.state is State.AWAIT_WELCOME and not isinstance(message, wire.Refusal):
            raise RemoteFault(Code.PROTOCOL, "a message came before the welcome")

    def _check_proof(self, proof: wire.Proof) -> None:
        """Whether the one who answers is the one we paired with. Raises RemoteFault."""
        if proof.version not in wire.VERSIONS:
            raise RemoteFault(Code.UNSUPPORTED_VERSION)
        sound = (
            is_nonce(proof.nonce)
            and proof.path == self._path
            and len(proof.certificates) <= CERTIFICATES_MAX
            and all(is_hash(certificate) for certificate in proof.certificates)
        )
        if not sound:
            raise RemoteFault(Code.PROTOCOL, "the server's proof is not one")
        if self._binding and self._binding not in proof.certificates:
            raise RemoteFault(Code.UNTRUSTED_PEER, "the certificate in use is not one that the server names")
        transcript = Transcript(
            offered=wire.VERSIONS,
            version=proof.version,
            client_nonce=self._nonce,
            server_nonce=proof.nonce,
            server=proof.server,
            path=self._path,
            certificates=proof.certificates,
            binding=self._binding,
        )
        try:
            named = fingerprint(proof.key)
            message = transcript.proof(proof.time, proof.clock)
            verify_identity(proof.key, proof.signature, Purpose.SERVER_PROOF, message)
        except (ValueError, PlugsideError):
            raise RemoteFault(Code.UNTRUSTED_PEER) from None
        if named != proof.server:
            raise RemoteFault(Code.UNTRUSTED_PEER)
        if self._server is not None and named != self._server:
            self.rotated = self._follow(proof, self._server)
        self._transcript = transcript

    def _follow(self, proof: wire.Proof, pinned: str) -> tuple[Rotation, ...]:
        """How the box that was pinned came to the key that it has proved. Raises RemoteFault."""
        if self._path is not Path.LAN or not proof.rotations:
            raise RemoteFault(Code.UNTRUSTED_PEER)
        return followed(
            proof.rotations,
            pinned=pinned,
            key=proof.key,
            site=self._site,
            after=self._rotation,
            gone=self._gone,
        )

    def _proved(self) -> Transcript:
        """The transcript that was proved. Nothing that needs it can be sent before."""
        if self._transcript is None or self.state in {State.START, State.AWAIT_PROOF, State.CLOSED}:
            raise LocalFault(Code.INTERNAL, "the server has not proved itself")
        return self._transcript

    def _send(self, message: wire.Message) -> None:
        self._out.append(wire.encode(message))

    def _bye(self, message: wire.Bye) -> list[wire.ServerMessage | Closed]:
        # Words are shown to a person: only from one that has proved who they are.
        proved = self.proof is not None
        self.state = State.CLOSED
        self._out.clear()
        return (
            [message, Closed(_code(message.code), message.message)]
            if proved
            else [Closed(_code(message.code))]
        )

    def _end(self, code: Code, detail: str) -> list[wire.ServerMessage | Closed]:
        self.state = State.CLOSED
        self._out.clear()
        return [Closed(code, detail)]


def _code(text: str) -> Code:
    try:
        return Code(text)
    except ValueError:
        return Code.PROTOCOL

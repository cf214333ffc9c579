"""The tunnel's messages (design §9): what site box and cloud say to each other over one WebSocket.

MessagePack, one message a binary frame, structs tagged by `kind`. MessagePack because a record has to arrive
as the exact bytes that were hashed, whatever they hold: a record that no JSON reader understands must still
be a record, so that it can be quarantined instead of breaking the link that carries it.

    edge                              cloud
          ◀────────────────────────── challenge
    hello ──────────────────────────▶
          ◀────────────────────────── welcome        (or bye)
    batch ──────────────────────────▶                durable lane: one in flight, ≤ 64 KiB
          ◀────────────────────────── ack | nack
    live_snapshot, live_fact ───────▶                live lane: never waits for the durable one
          ◀────────────────────────── relay, ask
    progress, answer ───────────────▶

Evolution is additive: new fields have defaults, unknown fields are skipped.
"""

from __future__ import annotations

import zlib
from typing import Annotated, Any

import msgspec

from common import wire
from common.caps import Charge
from common.errors import Code, RemoteFault
from common.trust.recovery import Sealed
from common.view import View

#: Tunnel protocol versions this build speaks, best first.
VERSIONS = (1,)

#: Records in one batch: beyond 200, measured, compression gains nothing more.
BATCH_RECORDS_MAX = 200
#: One durable frame (design §9): at 20 kbit/s it holds up a command by about 25 s at worst, and never more.
BATCH_BYTES_MAX = 64 * 1024
#: The same before it is packed, which leaves a third: 200 usual records, and the frame stays far below.
BATCH_UNPACKED_BYTES_MAX = 112 * 1024
#: What a packed batch may come to: that, and what one record may be more. Nobody makes us unpack a bomb.
PACKED_BYTES_MAX = 160 * 1024
#: Before the hello is believed: a hello with its certificates and addresses.
HELLO_BYTES_MAX = 16 * 1024
#: Largest frame after that; a site's snapshot is the only thing that comes near.
TUNNEL_BYTES_MAX = wire.SERVER_BYTES_MAX


#: A name, a number or a time of the cloud's, as the box writes it down: no fact may be larger than facts are.
_Word = Annotated[str, msgspec.Meta(max_length=128)]


class TunnelMessage(msgspec.Struct, tag_field="kind", frozen=True, omit_defaults=True, kw_only=True):
    """Base of all messages of the tunnel."""


# --- edge → cloud ------------------------------------------------------------------------------------------


class TunnelHello(TunnelMessage, tag="hello", frozen=True, kw_only=True):
    """First message, and again after the epoch was rotated (same link, same signature).

    `signature` is by the edge's identity key over the challenge (`common.trust`), so that a hello cannot be
    relayed to another cloud or replayed on another link.
    """

    versions: tuple[int, ...] = VERSIONS
    site: str
    epoch: str
    last_seq: int
    instance_id: str  #: of the data folder; differs on a cloned card
    boot_id: str
    wall: str  #: site time, ISO 8601
    clock: str = "floor"  #: synced | floor
    key: str  #: the edge's identity public key
    rotations: tuple[str, ...] = ()  #: how it came to that key, from its first one (`common.trust.rotation`)
    issuer: str = ""  #: the public key that signs the grants made at the box
    vouching: str = ""  #: the edge key's word for `issuer`
    addresses: tuple[str, ...] = ()  #: host:port of its LAN listener
    certificates: tuple[str, ...] = ()  #: SHA-256 of the TLS certificates it serves now and next, hex
    software: str = ""
    inherits: bool = False  #: it has nothing of the site yet, or lost something: what is the site's estate?
    last_link: int = 0  #: the highest `link_epoch` that this box was ever welcomed with
    #: The epoch's first record is the one behind this number: what is older had left the journal before.
    begins_after: Annotated[int, msgspec.Meta(ge=0)] = 0
    signature: str = ""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One fact as journaled. `record=None` is a tombstone: the content is gone, its place in the chain stays.

    `inner` goes along although it could be computed, so that one damaged record can be told from a forked
    journal: the first is quarantined, the second needs a new epoch.
    """

    seq: int
    uid: str
    salt: bytes
    record: bytes | None
    inner: bytes


class Batch(TunnelMessage, tag="batch", frozen=True, kw_only=True):
    """Consecutive records of one epoch from `from_seq` on. `chain_end`: the chain after the last of them."""

    link: int  #: the welcome's link_epoch
    epoch: str
    from_seq: int
    records: tuple[Record, ...]
    chain_end: bytes
    at: str = ""  #: site time of the signature
    signature: str = ""  #: the box's, of `chain_end` (`common.trust.heads`); empty from a box that signs none


class Packed(TunnelMessage, tag="packed", frozen=True, kw_only=True):
    """A batch in fewer bytes (zlib over its frame), for a cloud that said `packs`; `decode_edge` opens it."""

    data: bytes


class LiveSnapshot(TunnelMessage, tag="live_snapshot", frozen=True, kw_only=True):
    """The whole site as it is now; live facts after `seq` follow without a gap."""

    epoch: str
    seq: int
    view: View
    at: str  #: site time


class LiveFact(TunnelMessage, tag="live_fact", frozen=True, kw_only=True):
    """One fact, sent once its commit is on the box's disk; the same record comes again in a batch."""

    epoch: str
    seq: int
    record: bytes


class Keep(TunnelMessage, tag="keep", frozen=True, kw_only=True):
    """Secrets of the site, sealed to its recovery key: for the box that will take this one's place."""

    sealed: Sealed


Step = wire.Accepted | wire.Refusal | wire.Confirmed | wire.Settled


class Progress(TunnelMessage, tag="progress", frozen=True, kw_only=True):
    """What became of a relayed command: exactly what a client on the LAN would be told."""

    ref: str
    message: Step


class Answer(TunnelMessage, tag="answer", frozen=True, kw_only=True):
    """The answer to `ask`."""

    ref: str
    message: wire.Page | wire.Refusal


class Renew(TunnelMessage, tag="renew", frozen=True, kw_only=True):
    """A grant of the cloud's, perhaps ended, whose key is at the box now: what has its holder today?

    For a cloud that `renews`. What is granted is for that key, so the box asks for nothing of its own.
    """

    ref: str
    grant: str


# --- cloud → edge ------------------------------------------------------------------------------------------


class Challenge(TunnelMessage, tag="challenge", frozen=True, kw_only=True):
    """First message on the link. `nonce`: 32 random bytes, base64url, for `trust.sign_tunnel`."""

    nonce: str


class TunnelWelcome(TunnelMessage, tag="welcome", frozen=True, kw_only=True):
    """The cloud's mark, from which the edge resumes. `chain_at_hwm` is what tells a restored box."""

    version: int
    link_epoch: int  #: fences everything said on earlier links of this site
    epoch: str  #: of the hello that this answers
    hwm: int  #: highest seq of this epoch that is in the cloud's database
    chain_at_hwm: bytes
    superseded: bool = False  #: this site has gone on to another epoch since: rotate
    incarnation: _Word = ""  #: changes when the cloud's own database was restored
    time: _Word = ""  #: cloud time, ISO 8601
    box: _Word = ""  #: the fingerprint that is the site's here: the box's new key, once it is confirmed
    former_until: _Word = ""  #: the hello's key was given up: until when it is heard all the same, ISO 8601
    estate: tuple[bytes, ...] = ()  #: for who `inherits`: records that a site goes on with, oldest first
    trust: tuple[str, ...] = ()  #: signed statements of the cloud's current keys (`common.trust`)
    revocations: tuple[str, ...] = ()  #: lists of what is withdrawn at the site (`common.trust.revocations`)
    hears: bool = False  #: `Statements` may come from the box, too
    #: For who `inherits`: by principal, what those with caps have charged lately, the oldest first.
    charges: dict[str, tuple[Charge, ...]] = {}
    sealed: tuple[Sealed, ...] = ()  #: for who `inherits`: what boxes before it have sealed, the latest first
    sealed_number: int = 0  #: of what is kept for this site, the highest
    packs: bool = False  #: batches may come as `Packed`
    renews: bool = False  #: grants may come to be renewed
    max_records: int = BATCH_RECORDS_MAX
    max_bytes: int = BATCH_BYTES_MAX


class Ack(TunnelMessage, tag="ack", frozen=True, kw_only=True):
    """Everything up to `hwm` is committed, or quarantined in the same commit."""

    link: int
    epoch: str
    hwm: int
    quarantined: tuple[int, ...] = ()
    retry_after_ms: int = 0  #: back-pressure: how long to wait before the next batch


class Nack(TunnelMessage, tag="nack", frozen=True, kw_only=True):
    """Nothing of the batch was applied. `expected`: the seq to go on with."""

    link: int
    epoch: str
    expected: int
    reason: str = "gap"  #: gap | chain (the edge's history is another one: rotate) | busy
    retry_after_ms: int = 0


class Relay(TunnelMessage, tag="relay", frozen=True, kw_only=True):
    """A client's signed command, untouched. The edge alone decides; `ref` names who waits for progress."""

    ref: str
    command: wire.SendCommand


class Ask(TunnelMessage, tag="ask", frozen=True, kw_only=True):
    """The cloud itself asks for what only the box knows. `what`: ledger (for reconciliation) | health."""

    ref: str
    query: wire.Query


class Renewed(TunnelMessage, tag="renewed", frozen=True, kw_only=True):
    """The answer to `renew`: a grant, or why there is none."""

    ref: str
    grant: str = ""
    refusal: wire.Refusal | None = None


class Statements(TunnelMessage, tag="statements", frozen=True, kw_only=True):
    """Signed statements that changed while the link stands: keys from the cloud, withdrawn rights from both.

    A box sends it to a cloud that `hears`: its own list, and the cloud's where the cloud has lost it.
    """

    trust: tuple[str, ...] = ()
    revocations: tuple[str, ...] = ()
    #: From the cloud: grants of those at the site who have caps, for what their cards are good for.
    #: Each is for its holder's key, and opens nothing without that.
    rights: tuple[str, ...] = ()


class TunnelBye(TunnelMessage, tag="bye", frozen=True, kw_only=True):
    """Last message before either side closes, with the reason."""

    code: str
    message: str
    hint: str = ""


EdgeMessage = (
    TunnelHello
    | Batch
    | Packed
    | LiveSnapshot
    | LiveFact
    | Progress
    | Answer
    | Keep
    | Renew
    | Statements
    | TunnelBye
)
CloudMessage = Challenge | TunnelWelcome | Ack | Nack | Relay | Ask | Renewed | Statements | TunnelBye

_encoder = msgspec.msgpack.Encoder()
_edge_decoder = msgspec.msgpack.Decoder(EdgeMessage)
_cloud_decoder = msgspec.msgpack.Decoder(CloudMessage)


def encode(message: TunnelMessage) -> bytes:
    """One frame."""
    return _encoder.encode(message)


def decode_edge(frame: bytes | str) -> EdgeMessage:
    """Read a frame that an edge sent. Raises RemoteFault(protocol)."""
    message: EdgeMessage = _decode(_edge_decoder, frame)
    return _unpacked(message) if isinstance(message, Packed) else message


def pack(batch: Batch) -> bytes:
    """A batch as a packed frame: about a third of its bytes. Records are alike; their hashes are not."""
    return encode(Packed(data=zlib.compress(encode(batch), 6)))


def _unpacked(packed: Packed) -> Batch:
    opener = zlib.decompressobj()
    try:
        frame = opener.decompress(packed.data, PACKED_BYTES_MAX)
    except zlib.error as damaged:
        raise RemoteFault(Code.PROTOCOL, f"a packed batch: {damaged}") from None
    if opener.unconsumed_tail or not opener.eof:
        raise RemoteFault(Code.PROTOCOL, "a packed batch is cut, or larger than any batch")
    batch = _decode(_edge_decoder, frame)
    if not isinstance(batch, Batch):
        raise RemoteFault(Code.PROTOCOL, "only batches are packed")
    return batch


def decode_cloud(frame: bytes | str) -> CloudMessage:
    """Read a frame that a cloud sent. Raises RemoteFault(protocol)."""
    message: CloudMessage = _decode(_cloud_decoder, frame)
    return message


def _decode(decoder: msgspec.msgpack.Decoder[Any], frame: bytes | str) -> Any:
    if isinstance(frame, str):
        raise RemoteFault(Code.PROTOCOL, "the tunnel carries binary frames")
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError) as unreadable:
        raise RemoteFault(Code.PROTOCOL, str(unreadable)) from None


def choose_version(offered: tuple[int, ...]) -> int:
    """The best version both sides speak. Raises RemoteFault(unsupported_version)."""
    for version in VERSIONS:
        if version in offered:
            return version
    raise RemoteFault(Code.UNSUPPORTED_VERSION, f"offered {list(offered)}, known {list(VERSIONS)}")

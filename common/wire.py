"""The app link's messages (design §6): one schema for LAN, cloud and local socket.

JSON objects tagged by `kind`, one a frame. `docs` of each message: who sends it and when. Client → server is
`ClientMessage`, server → client is `ServerMessage`. Binary values are base64url without padding.

    client                         server
    hello ───────────────────────▶
          ◀─────────────────────── proof        (identity first: no grant has left the phone yet)
    auth | redeem ───────────────▶
          ◀─────────────────────── welcome | granted | refused
    follow ──────────────────────▶
          ◀─────────────────────── snapshot, then facts, with no gap
    command ─────────────────────▶
          ◀─────────────────────── accepted | refused, confirmed, settled
    query ───────────────────────▶
          ◀─────────────────────── page
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from common.caps import Caps
from common.view import View

#: Protocol versions this build speaks, best first.
VERSIONS = (1,)

#: Largest frame before authentication, so that strangers cost little: a hello or an auth with its grants.
PRE_AUTH_BYTES_MAX = 16 * 1024
#: Largest frame a client may send afterwards.
CLIENT_BYTES_MAX = 64 * 1024
#: Largest frame a server may send: the snapshot of a site of several hundred chargers.
SERVER_BYTES_MAX = 4 * 1024 * 1024


#: A whole number that every client can hold exactly (JavaScript's safe integers).
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Message(msgspec.Struct, tag_field="kind", frozen=True, omit_defaults=True, kw_only=True):
    """Base of all messages of the app link."""


# --- client → server ---------------------------------------------------------------------------------------


class Hello(Message, tag="hello", frozen=True, kw_only=True):
    """First message. `nonce` is 32 random bytes."""

    versions: tuple[Count, ...] = VERSIONS
    nonce: str
    client: str = ""  #: for logs: name and version of the app


class Auth(Message, tag="auth", frozen=True, kw_only=True):
    """Grants (one a site) and the proof that their key is here. Empty on the local socket."""

    grants: tuple[str, ...] = ()
    key: str = ""  #: the device's public key, uncompressed P-256 point
    signature: str = ""
    revocations: tuple[str, ...] = ()  #: lists that it carries, signed in themselves


class Redeem(Message, tag="redeem", frozen=True, kw_only=True):
    """Turn an invite into a grant for this key. Signed like `auth`, so an invite is never spent on a key
    that is not there; the same key may redeem again when the answer was lost."""

    secret: str
    key: str
    signature: str
    device: str = ""


class Renew(Message, tag="renew", frozen=True, kw_only=True):
    """Ask for a fresh grant in place of one that is past half its life (or expired, key known)."""

    grant: str


class Follow(Message, tag="follow", frozen=True, kw_only=True):
    """Follow these sites. A later follow replaces the earlier one. `since` = {site: [epoch, seq]}."""

    sites: tuple[str, ...]
    since: dict[str, tuple[str, Count]] = {}


class SendCommand(Message, tag="command", frozen=True, kw_only=True):
    """A signed command (`common.trust.seal`) beside the grant that permits it. On the local socket the
    envelope is the bare payload and the grant is empty."""

    id: str  #: the command's own id, repeated so that answers can be matched before it is opened
    site: str
    envelope: str
    grant: str = ""


class Query(Message, tag="query", frozen=True, kw_only=True):
    """Read what is not live. `what`: sessions | session | meter | audit | invites | health …"""

    id: str
    site: str
    what: str
    args: dict[str, Any] = {}
    after: str = ""  #: the `next` of the page before
    limit: int = 100


class Manage(Message, tag="manage", frozen=True, kw_only=True):
    """Administration that is not a command to a charger (pair, invite, forget, tags …): never repeated."""

    id: str
    site: str
    name: str
    args: dict[str, Any] = {}


class Ping(Message, tag="ping", frozen=True, kw_only=True):
    """Liveness on transports that have none of their own."""

    at: Count = 0


ClientMessage = Hello | Auth | Redeem | Renew | Follow | SendCommand | Query | Manage | Ping

# --- server → client ---------------------------------------------------------------------------------------


class Proof(Message, tag="proof", frozen=True, kw_only=True):
    """Who serves: its identity key over both nonces and its certificate list, before any grant is sent."""

    version: int
    nonce: str
    server: str  #: fingerprint of the identity key; what the client pinned
    key: str  #: the identity public key, uncompressed P-256 point
    certificates: tuple[str, ...] = ()  #: SHA-256 of the TLS certificates it serves now and next, hex
    path: str  #: lan | cloud | local
    time: str
    clock: str = "synced"
    signature: str
    #: How `key` came after the keys before it (`common.trust.rotation`), for who has pinned one of those.
    rotations: tuple[str, ...] = ()


class SiteAccess(Message, tag="site", frozen=True, kw_only=True):
    """One site that this link may follow."""

    site: str
    name: str = ""
    role: str
    principal: str
    online: bool = True
    expires_at: str = ""
    key: str = ""  #: the edge's identity fingerprint
    succession: str = ""  #: where the site's box was replaced: the cloud's signed word for `key`
    addresses: tuple[str, ...] = ()  #: where the edge can be reached on its LAN, host:port
    #: What a page pins: SHA-256 (hex) of what the edge serves now and next.
    certificates: tuple[str, ...] = ()
    owner: bool = False  #: an operator who may also release the box
    grace: bool = False  #: the grant has run out; it counts until `expires_at`, while no cloud can be reached
    caps: Caps | None = None  #: how much the right is for; the query `allowance` says what is left
    revocations: tuple[str, ...] = ()  #: the newest lists, to be kept and shown at the next `auth`
    zone: str = ""  #: its time zone (IANA), where its operator has named one


class Welcome(Message, tag="welcome", frozen=True, kw_only=True):
    """Authenticated. What this link may do from here. Said again when something of it has changed."""

    sites: tuple[SiteAccess, ...]
    time: str


class Granted(Message, tag="granted", frozen=True, kw_only=True):
    """The answer to `redeem` and `renew`: the grant and what is needed to find the site."""

    grant: str
    site: SiteAccess
    cloud: str = ""  #: the cloud's URL, when the site has one
    cloud_key: str = ""  #: the cloud's identity fingerprint


class Snapshot(Message, tag="snapshot", frozen=True, kw_only=True):
    """A site as this principal may see it. Facts after (`epoch`, `seq`) follow without a gap."""

    site: str
    epoch: str
    seq: int
    view: View
    at: str  #: site time of the snapshot
    age_ms: int = 0  #: how old it is, when the cloud shows its copy of an absent site
    source: str = "edge"  #: edge | copy


class FactMessage(Message, tag="fact", frozen=True, kw_only=True):
    """One fact. `record` is the journal's own bytes. Numbers may have gaps: what is not yours is left out."""

    site: str
    epoch: str
    seq: int
    record: msgspec.Raw


class Presence(Message, tag="presence", frozen=True, kw_only=True):
    """The cloud says whether a site's box is connected."""

    site: str
    online: bool
    at: str


class Accepted(Message, tag="accepted", frozen=True, kw_only=True):
    """The edge has the command in its journal."""

    id: str


class Confirmed(Message, tag="confirmed", frozen=True, kw_only=True):
    """The charger answered."""

    id: str
    answer: str
    detail: str = ""
    result: dict[str, Any] = {}


class Settled(Message, tag="settled", frozen=True, kw_only=True):
    """The command's one end: the effect was observed, or is known not to come, or stays unknown."""

    id: str
    outcome: str
    code: str = ""
    message: str = ""
    hint: str = ""
    session: str = ""
    result: dict[str, Any] = {}


class Refusal(Message, tag="refused", frozen=True, kw_only=True):
    """The answer to anything that is declined; `id` where the request had one."""

    id: str = ""
    code: str
    message: str
    hint: str = ""


class Page(Message, tag="page", frozen=True, kw_only=True):
    """Rows of a query. `next` empty = the end."""

    id: str
    rows: tuple[Any, ...]
    next: str = ""


class Managed(Message, tag="managed", frozen=True, kw_only=True):
    """The answer to `manage`."""

    id: str
    result: dict[str, Any] = {}


class Pong(Message, tag="pong", frozen=True, kw_only=True):
    at: int = 0


class Bye(Message, tag="bye", frozen=True, kw_only=True):
    """Last message before the server closes, with the reason."""

    code: str
    message: str
    hint: str = ""


ServerMessage = (
    Proof
    | Welcome
    | Granted
    | Snapshot
    | FactMessage
    | Presence
    | Accepted
    | Confirmed
    | Settled
    | Refusal
    | Page
    | Managed
    | Pong
    | Bye
)

_encoder = msgspec.json.Encoder()
client_decoder = msgspec.json.Decoder(ClientMessage)
server_decoder = msgspec.json.Decoder(ServerMessage)


def encode(message: Message) -> bytes:
    """One frame."""
    return _encoder.encode(message)

"""What the store hands out and takes in: plain data, no SQL."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from common import sync
from common.caps import Caps
from common.domain import MeterSample, Role
from common.reconcile import LedgerRow
from common.trust.rotation import kept

T = TypeVar("T")


class HelloNote(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the last hello of a box said about itself."""

    last_seq: int = 0
    boot_id: str = ""
    wall: str = ""
    clock: str = ""
    addresses: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    software: str = ""
    last_link: int = 0
    begins_after: int = 0  #: where the epoch's records begin
    past_boots: tuple[str, ...] = ()  #: processes of the box that were followed by another one


class SiteRow(msgspec.Struct, frozen=True, kw_only=True):
    """One site and its box."""

    id: str
    name: str
    box: str  #: identity fingerprint of the box
    public: str
    issuer: str  #: public key of the box's own issuer
    instance: str = ""
    link_epoch: int = 0
    epoch: str = ""
    hello: HelloNote = HelloNote()
    seen_ms: int = 0
    added_ms: int = 0
    zone: str = "UTC"  #: IANA time zone in which its months begin and end
    succession: str = ""  #: our signed word that `box` took another one's place; empty = it is the first
    rotations: tuple[str, ...] = ()  #: how the box came to its key, from its first (`common.trust.rotation`)
    former: str = ""  #: the public key that the box gave up last, and until when it is heard all the same
    former_until_ms: int = 0
    retired: tuple[str, ...] = ()  #: fingerprints that are the site's no more; none comes back by itself

    @property
    def origin(self) -> str:
        """The fingerprint of the box's first key: the name of its issuer."""
        return kept(self.rotations[0]).former if self.rotations else self.box


class PairingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A box's code that waits for the box."""

    pair: str
    code: str
    name: str
    expires_ms: int
    replaces: str = ""  #: the site whose box it takes the place of


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One key with a right at one site."""

    site: str
    key: str
    principal: str
    role: Role
    chargers: tuple[str, ...] | None = None
    source: str = "cloud"
    added_ms: int = 0
    caps: Caps | None = None
    owner: bool = False
    pending: bool = False  #: made at the box, and waits for the owner's word
    label: str = ""  #: what the device calls itself


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A link's beginning: its fence, and where the epoch stands."""

    link: int
    mark: sync.Mark
    superseded: bool
    restored: bool = False  #: this database turned out to be older than what the box was told


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """How far a box's records are here after a part of a bundle, and what of it was put aside."""

    mark: sync.Mark
    new: int = 0  #: records that were not here before
    quarantined: tuple[int, ...] = ()


class ViewCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A site's state as last seen. `view`: MessagePack of `common.view.View`."""

    epoch: str
    seq: int
    at_ms: int
    view: bytes


class SessionRow(LedgerRow, frozen=True, omit_defaults=True, kw_only=True):
    """One session with all that the cloud knows of it. Pseudonyms and tag references only."""

    first_at: str = ""
    transaction: str = ""
    principal: str | None = None
    tag_ref: str | None = None
    command: str | None = None
    authorization: str = "accepted"
    received_at: str = ""
    obtained: str = "measured"  #: measured | estimated | operator
    reason: str = ""
    stopped_by: str | None = None
    flags: tuple[str, ...] = ()
    corrected_started_at: str = ""  #: derived, where the box's clock was set later on; empty = as told
    corrected_ended_at: str = ""


class MeterRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One moment of a session's meter at one place of the charger."""

    session: str
    at: str
    context: str
    late: bool = False
    sample: MeterSample

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes two samples the same moment of the same meter, or the same piece of signed data."""
        return self.session, self.at, self.context, self.sample.location, self.sample.part


class MeterConflict(msgspec.Struct, frozen=True, kw_only=True):
    """A second value for a moment that has one: what the fact with this uid told, as it told it."""

    fact: str
    row: MeterRow


class FactRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored fact for people who look back. `record`: its exact bytes."""

    uid: str
    epoch: str
    seq: int
    record: msgspec.Raw


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A command that came through this cloud."""

    site: str
    id: str
    fingerprint: str
    principal: str
    name: str
    asked_ms: int
    expires_ms: int
    state: str = "asked"
    answer: str = ""


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token, by its hash: it reads, as its principal would, and nothing else."""

    hash: str
    site: str
    principal: str
    role: Role
    chargers: tuple[str, ...] | None
    expires_ms: int


class ActRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that this cloud did for somebody."""

    id: str
    at_ms: int
    site: str
    actor: str
    what: str
    detail: str = ""


class Matters(msgspec.Struct, frozen=True, kw_only=True):
    """What of a site's ledger waits for a person's decision, in numbers."""

    flagged: int = 0
    orphans: int = 0


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows; `next` continues after them, empty at the end."""

    rows: tuple[T, ...]
    next: str = ""


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of a site's earlier epochs come to, held against their hashes and chains."""

    epochs: int = 0
    records: int = 0
    without_chain: int = 0  #: epochs whose records moved before that was written down: hashes alone
    first_break: int = 0  #: seq of the first record that is missing or changed; 0 = there is none
    break_epoch: str = ""  #: in which epoch


class ChainState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the facts of a site's current epoch are all there, by their chain."""

    epoch: str
    hwm: int
    intact: bool
    first_break: int = 0  #: seq at which the chain stops to fit; 0 = nowhere
    quarantined: int = 0
    last_seq: int = 0  #: what the box said it had, at its last hello
    heads: int = 0  #: signed heads that are kept; those of this epoch were held against the chain
    aside: tuple[dict[str, Any], ...] = ()  #: of the quarantine the latest: epoch, seq, reason

    def told(self) -> dict[str, Any]:
        """For `compared` in a report."""
        return msgspec.structs.asdict(self)


class ClosedMonths(msgspec.Struct, frozen=True, kw_only=True):
    """The months that were exported. `changed`: whose lines are others now."""

    months: int
    unsealed: int  #: closed before there were seals: nothing is claimed about them
    changed: tuple[str, ...]

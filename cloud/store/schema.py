"""The cloud's tables, in words that SQLite and PostgreSQL both know. Migrations make them; this says what is.

Three groups. *Ledger*: what sites tell, keyed so that telling it again changes nothing. *Accounts*: sites,
keys, rights; `name` alone says who a pseudonym is, and may be emptied at any time. *Work*: commands on their
way, tokens, what this cloud itself did. Times ending in `_ms` are this cloud's, UTC milliseconds; other times
are text as the box told them. JSON stands in text columns.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _site() -> Column[str]:
    return Column("site", Text, ForeignKey("site.id"), primary_key=True)


# --- accounts ----------------------------------------------------------------------------------------------

site = Table(
    "site",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("box", Text, nullable=False),  # identity fingerprint
    Column("public", Text, nullable=False),  # identity public key
    Column("issuer", Text, nullable=False),  # the box's own issuer key
    Column(
        "instance", Text, nullable=False, default=""
    ),  # data folder that the box runs on; "" = not seen yet
    Column("link_epoch", BigInteger, nullable=False, default=0),
    Column("epoch", Text, nullable=False, default=""),  # the site's current journal epoch
    Column("hello", Text, nullable=False, default=""),  # the last hello: addresses, certificates, last_seq …
    Column("seen_ms", BigInteger, nullable=False, default=0),
    Column("added_ms", BigInteger, nullable=False),
    Column("zone", Text, nullable=False, default="UTC", server_default="UTC"),  # what a month is here (IANA)
    Column("succession", Text, nullable=False, default="", server_default=""),  # signed, for phones
    Column("rotations", Text, nullable=False, default="", server_default=""),  # the box's own chain of keys
    Column("former", Text, nullable=False, default="", server_default=""),  # public key that it gave up last
    Column("former_until_ms", BigInteger, nullable=False, default=0, server_default="0"),
    Column("retired", Text, nullable=False, default="", server_default=""),  # fingerprints given up, for good
)

# What a box has sealed for the one after it; the newest of each recovery key. Nobody here can open it.
sealed = Table(
    "sealed",
    metadata,
    _site(),
    Column("to", Text, primary_key=True),  # public half of the recovery key
    Column("number", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("kept_ms", BigInteger, nullable=False),
)

# A box's pairing code that the operator gave us; gone at its end, or once another box has the site.
pairing = Table(
    "pairing",
    metadata,
    Column("pair", Text, primary_key=True),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("replaces", Text, nullable=False, default="", server_default=""),  # the site whose box it replaces
)

invite = Table(
    "invite",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("site", Text, ForeignKey("site.id"), nullable=False, index=True),
    Column("role", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("chargers", Text),
    Column("expires_ms", BigInteger, nullable=False),
    Column("redeemed_by", Text, index=True),
    Column("spent", Boolean, nullable=False, default=False),
    Column("caps", Text),
    Column("owner", Boolean, nullable=False, default=False, server_default=false()),
)

# Keys that may hold a right at a site. `source`: cloud, or edge for a driver who joined at the box.
device = Table(
    "device",
    metadata,
    _site(),
    Column("key", Text, primary_key=True),  # thumbprint
    Column("principal", Text, nullable=False, index=True),
    Column("role", Text, nullable=False),
    Column("chargers", Text),
    Column("source", Text, nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("caps", Text),
    Column("owner", Boolean, nullable=False, default=False, server_default=false()),
    Column("pending", Boolean, nullable=False, default=False, server_default=false()),  # waits for the owner
    Column("label", Text, nullable=False, default="", server_default=""),  # what the device calls itself
)

# The one place where a pseudonym has a name. Emptying it breaks nothing.
name = Table(
    "name",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("name", Text, nullable=False),
)

# What was ever withdrawn, by this cloud or a site's box. Rows stay, so that no old record brings a key back.
withdrawn = Table(
    "withdrawn",
    metadata,
    Column("site", Text, primary_key=True),  # "" = everywhere
    Column("entry", Text, primary_key=True),  # `common.trust.revocations`
    Column("at_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),  # named in the site's list so long
)

# The newest list of withdrawn rights of each issuer: this cloud's own, and those of its boxes.
withdrawal = Table(
    "withdrawal",
    metadata,
    _site(),
    Column("issuer", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("list", Text, nullable=False),
)

# --- ledger ------------------------------------------------------------------------------------------------

sync_state = Table(
    "sync_state",
    metadata,
    _site(),
    Column("epoch", Text, primary_key=True),
    Column("hwm", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)

# Every record, by its own uid; (epoch, seq) is its latest place. No record = a tombstone.
fact = Table(
    "fact",
    metadata,
    _site(),
    Column("uid", Text, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("v", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("principal", Text),
    Column("charger", Text, nullable=False),
    Column("session", Text),
    Column("salt", LargeBinary, nullable=False),
    Column("inner", LargeBinary, nullable=False),
    Column("record", LargeBinary),
    Index("ix_fact_place", "site", "epoch", "seq"),
    Index("ix_fact_kind", "site", "kind", "at"),
    Index("ix_fact_session", "site", "session"),
)

session = Table(
    "session",
    metadata,
    _site(),
    Column("session", Text, primary_key=True),
    Column("first_at", Text, nullable=False),  # site time of its first fact: the order of pages
    Column("charger", Text, nullable=False),
    Column("evse", Integer, nullable=False),
    Column("connector", Integer, nullable=False),
    Column("transaction_id", Text, nullable=False),
    Column("principal", Text),
    Column("tag_ref", Text),
    Column("command", Text),
    Column("authorization", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("received_at", Text, nullable=False),
    Column("ended_at", Text, nullable=False),
    Column("meter_start_wh", Float),
    Column("meter_stop_wh", Float),
    Column("energy_wh", Float),
    Column("method", Text, nullable=False),
    Column("obtained", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("stopped_by", Text),
    Column("provisional", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("flags", Text, nullable=False),
    Index("ix_session_page", "site", "first_at", "session"),
    Index("ix_session_principal", "site", "principal", "first_at"),
)

meter = Table(
    "meter",
    metadata,
    _site(),
    Column("session", Text, primary_key=True),
    Column("at", Text, primary_key=True),
    Column("context", Text, primary_key=True),
    Column("location", Text, primary_key=True, server_default="outlet"),
    Column("part", Text, primary_key=True, server_default=""),  # which piece of signed data; "" = no piece
    Column("late", Boolean, nullable=False),
    Column("sample", Text, nullable=False),
)

# Another value for what a moment's row says already, with the fact that brought it: kept, never believed.
meter_conflict = Table(
    "meter_conflict",
    metadata,
    _site(),
    Column("session", Text, primary_key=True),
    Column("at", Text, primary_key=True),
    Column("context", Text, primary_key=True),
    Column("location", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("fact", Text, primary_key=True),
    Column("sample", Text, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    _site(),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("uid", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("inner", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# Where runs of an epoch's places went when a later epoch told the same records again (`cloud.store.epochs`).
moved = Table(
    "moved",
    metadata,
    _site(),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("to_epoch", Text, nullable=False),
    Column("to_seq", BigInteger, nullable=False),
)

# Where a site's chain was at a sync, signed by its box: what says later that history was not rewritten.
head = Table(
    "head",
    metadata,
    _site(),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("chain", LargeBinary, nullable=False),
    Column("at", Text, nullable=False),  # site time
    Column("key", Text, nullable=False),  # the box's public key then
    Column("signature", Text, nullable=False),
    Column("kept", Boolean, nullable=False),  # its batch held a session's start, end or revision
)

# What is billed: written once, never changed but for `month`, which the export that takes a line fills in.
charge_line = Table(
    "charge_line",
    metadata,
    _site(),
    Column("id", Text, primary_key=True),
    Column("session", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("corrects", Text),
    Column("charger", Text, nullable=False),
    Column("evse", Integer, nullable=False),
    Column("connector", Integer, nullable=False),
    Column("principal", Text),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("energy_milliwh", BigInteger, nullable=False),
    Column("total_milliwh", BigInteger, nullable=False),
    Column("obtained", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    UniqueConstraint("site", "session", "revision"),
    Index("ix_charge_line_month", "site", "month", "at_ms", "session", "revision"),
)

# Months that were exported; what comes for them later goes into the next.
closing = Table(
    "closing",
    metadata,
    _site(),
    Column("month", Text, primary_key=True),
    Column("zone", Text, nullable=False),
    Column("closed_ms", BigInteger, nullable=False),
    Column("seal", Text, nullable=False, default="", server_default=""),  # SHA-256 over its lines; "" = none
)

# The last state seen of a site, for when its box is away.
view = Table(
    "view",
    metadata,
    _site(),
    Column("epoch", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),  # when it was true, by this cloud's clock
    Column("view", LargeBinary, nullable=False),
)

# --- work --------------------------------------------------------------------------------------------------

command = Table(
    "command",
    metadata,
    _site(),
    Column("id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # asked | relayed | accepted | confirmed | settled | refused
    Column("answer", Text, nullable=False, default=""),  # the last step that the box told, as on the wire
)

token = Table(
    "token",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("site", Text, ForeignKey("site.id"), nullable=False),
    Column("principal", Text, nullable=False, index=True),
    Column("role", Text, nullable=False),
    Column("chargers", Text),
    Column("expires_ms", BigInteger, nullable=False),
)

# What this cloud did, and who asked for it: sites, invites, keys, forgetting.
act = Table(
    "act",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("site", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
)

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

"""What the journal hands out besides facts: sessions, commands, sync records, pages. Plain data.

A session row and a command row are projections: what the facts about one session or one command come to,
kept beside them in the same transaction so that a lookup is one index step (`edge.journal.projection` says
what each fact does to them). They extend what the core asks the journal for (`Known`, `RecalledCommand`),
so a recalled row is handed to the core as it is.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from common.domain import EnergyMethod, MeterSample
from common.facts import Fact
from common.reconcile import LedgerRow
from edge.core.inputs import Known, RecalledCommand

T = TypeVar("T")


class SessionRow(Known, frozen=True, kw_only=True):
    """One session as its facts leave it. `*_seq` are facts of the current epoch; 0 = not yet."""

    command: str | None = None
    tag_ref: str | None = None
    authorization: str = "accepted"
    started_at: str = ""
    energy_wh: float | None = None
    method: EnergyMethod = EnergyMethod.UNKNOWN
    reason: str = ""
    flags: tuple[str, ...] = ()
    started_seq: int = 0
    ended_seq: int = 0  #: the latest fact that closed or revised it
    last_seq: int = 0  #: the latest fact about it; for an open session only its start (samples go on)

    @property
    def state(self) -> str:
        """open | provisional | ended | revised."""
        if not self.ended:
            return "open"
        if self.provisional:
            return "provisional"
        return "revised" if self.revision else "ended"


class CommandRow(RecalledCommand, frozen=True, kw_only=True):
    """One command as its facts leave it. `*_seq` name the facts; 0 = has not happened."""

    id: str
    name: str = ""
    role: str = ""
    path: str = ""
    charger: str = ""
    accepted_seq: int = 0
    sent_seq: int = 0
    confirmed_seq: int = 0
    settled_seq: int = 0


class StoredRecord(msgspec.Struct, frozen=True):
    """A fact for the uplink. A tombstone has no record and no salt. `chain` is the chain after it."""

    seq: int
    uid: str
    salt: bytes
    record: bytes | None
    inner: bytes
    chain: bytes


class MeterRow(msgspec.Struct, frozen=True):
    """One sample of a session, with the fact that brought it. `late`: after the session's end."""

    seq: int
    received_at: str
    late: bool
    sample: MeterSample


class TagRow(msgspec.Struct, frozen=True):
    """A raw tag by its reference, and whose it is (None: shown at a charger, not assigned)."""

    ref: str
    tag: str
    principal: str | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger in numbers. `facts` counts tombstones too; `energy_wh` sums what ended sessions claim."""

    epoch: str
    first_seq: int
    last_seq: int
    facts: int
    open: int
    provisional: int
    ended: int
    revised: int
    orphans: int
    commands: int
    unsettled: int
    energy_wh: float


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows, and the cursor for those behind them (None: there are no more)."""

    rows: tuple[T, ...]
    next: int | None = None


class LedgerPage(msgspec.Struct, frozen=True):
    """Some sessions as reconciliation compares them; `next` continues behind them, empty at the end."""

    rows: tuple[LedgerRow, ...]
    next: str = ""


FactPage = Page[Fact]

#: Columns of the two projections, in the order of `session_values` and `command_values`.
SESSION_COLUMNS = (
    *("session", "charger", "evse", "connector", "transaction_id", "principal", "key", "weak", "boot"),
    *("ended", "provisional", "revision", "meter_start_wh", "meter_stop_wh", "ended_at", "command"),
    *("tag_ref", "authorization", "started_at", "energy_wh", "method", "reason", "flags"),
    *("started_seq", "ended_seq", "last_seq"),
)
COMMAND_COLUMNS = (
    *("id", "fingerprint", "state", "principal", "answer", "outcome", "code", "detail", "session"),
    *("result", "name", "role", "path", "charger"),
    *("accepted_seq", "sent_seq", "confirmed_seq", "settled_seq"),
)


def session_values(row: SessionRow) -> tuple[Any, ...]:
    """The row as SQL values, in the order of `SESSION_COLUMNS`."""
    return (
        *(row.session, row.charger, row.evse, row.connector, row.transaction, row.principal, row.key),
        *(row.weak, row.boot, row.ended, row.provisional, row.revision, row.meter_start_wh),
        *(row.meter_stop_wh, row.ended_at, row.command, row.tag_ref, row.authorization, row.started_at),
        *(row.energy_wh, row.method.value, row.reason, " ".join(row.flags)),
        *(row.started_seq, row.ended_seq, row.last_seq),
    )


def session_row(values: tuple[Any, ...]) -> SessionRow:
    """The row behind `session_values`."""
    fields = dict(zip(SESSION_COLUMNS, values, strict=True))
    fields["transaction"] = fields.pop("transaction_id")
    for flag in ("weak", "ended", "provisional"):
        fields[flag] = bool(fields[flag])
    fields["method"] = EnergyMethod(fields["method"])
    fields["flags"] = tuple(fields["flags"].split())
    return SessionRow(**fields)


def ledger_row(row: SessionRow) -> LedgerRow:
    """What reconciliation compares of a session."""
    return LedgerRow(**{name: getattr(row, name) for name in LedgerRow.__struct_fields__})


def command_values(row: CommandRow) -> tuple[Any, ...]:
    """The row as SQL values, in the order of `COMMAND_COLUMNS`."""
    return (
        *(row.id, row.fingerprint, row.state, row.principal, row.answer, row.outcome, row.code, row.detail),
        *(row.session, msgspec.json.encode(row.result), row.name, row.role, row.path, row.charger),
        *(row.accepted_seq, row.sent_seq, row.confirmed_seq, row.settled_seq),
    )


def command_row(values: tuple[Any, ...]) -> CommandRow:
    """The row behind `command_values`."""
    fields = dict(zip(COMMAND_COLUMNS, values, strict=True))
    fields["result"] = msgspec.json.decode(fields["result"])
    return CommandRow(**fields)

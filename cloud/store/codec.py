"""Between rows of `cloud.store.rows` and columns of `cloud.store.schema`: one place for each spelling."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row

from cloud.store.rows import (
    CommandRow,
    DeviceRow,
    HelloNote,
    MeterConflict,
    MeterRow,
    SessionRow,
    SiteRow,
    TokenRow,
)
from common import facts, sync
from common.caps import Caps
from common.domain import EnergyMethod, MeterSample, Role
from common.trust import InviteRecord

_json = msgspec.json.Encoder()
_note = msgspec.json.Decoder(HelloNote)
_sample = msgspec.json.Decoder(MeterSample)
_names = msgspec.json.Decoder(tuple[str, ...])
_caps = msgspec.json.Decoder(Caps)

#: Of a site: lists of what holds no blank.
_KEYS = ("rotations", "retired")
#: Columns whose name SQL has taken, and the field they stand for.
_RENAMED = {"transaction_id": "transaction"}


def to_json(value: Any) -> str:
    """A value as text for a JSON column."""
    return _json.encode(value).decode()


def chargers_out(chargers: tuple[str, ...] | None) -> str | None:
    """None stays None: it means all of them."""
    return None if chargers is None else to_json(chargers)


def chargers_in(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else _names.decode(text)


def fact_values(site: str, epoch: str, record: sync.Record, fact: facts.Fact | None) -> dict[str, Any]:
    """A record's row; without its fact a tombstone's."""
    body = fact.body if fact else None
    return {
        "site": site,
        "uid": record.uid,
        "epoch": epoch,
        "seq": record.seq,
        "kind": fact.kind if fact else "",
        "v": fact.v if fact else 0,
        "at": fact.at if fact else "",
        "principal": getattr(body, "principal", None),
        "charger": getattr(body, "charger", ""),
        "session": getattr(body, "session", None),
        "salt": record.salt,
        "inner": record.inner,
        "record": record.record if fact else None,
    }


def session_values(site: str, row: SessionRow) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.structs.asdict(row)
    for column, field in _RENAMED.items():
        values[column] = values.pop(field)
    values["site"] = site
    values["method"] = row.method.value
    values["flags"] = " ".join(row.flags)
    for derived in ("corrected_started_at", "corrected_ended_at"):
        del values[derived]
    return values


def session_row(row: Row[Any]) -> SessionRow:
    values = dict(row._mapping)
    del values["site"]
    for column, field in _RENAMED.items():
        values[field] = values.pop(column)
    values["method"] = EnergyMethod(values["method"])
    values["flags"] = tuple(values["flags"].split())
    return SessionRow(**values)


def meter_values(site: str, row: MeterRow) -> dict[str, Any]:
    return {
        "site": site,
        "session": row.session,
        "at": row.at,
        "context": row.context,
        "location": row.sample.location,
        "part": row.sample.part,
        "late": row.late,
        "sample": to_json(row.sample),
    }


def conflict_values(site: str, conflict: MeterConflict) -> dict[str, Any]:
    values = meter_values(site, conflict.row) | {"fact": conflict.fact}
    del values["late"]
    return values


def conflict_row(row: Row[Any]) -> MeterConflict:
    told = MeterRow(session=row.session, at=row.at, context=row.context, sample=_sample.decode(row.sample))
    return MeterConflict(fact=row.fact, row=told)


def meter_row(row: Row[Any]) -> MeterRow:
    return MeterRow(
        session=row.session, at=row.at, context=row.context, late=row.late, sample=_sample.decode(row.sample)
    )


def site_values(row: SiteRow) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(row),
        "hello": to_json(row.hello),
        **{name: " ".join(getattr(row, name)) for name in _KEYS},
    }


def hello_in(text: str) -> HelloNote:
    """What a box's last hello said; an empty one where none was heard."""
    return _note.decode(text) if text else HelloNote()


def site_row(row: Row[Any]) -> SiteRow:
    values = dict(row._mapping)
    values["hello"] = hello_in(values["hello"])
    for name in _KEYS:
        values[name] = tuple(values[name].split())
    return SiteRow(**values)


def device_values(row: DeviceRow) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), **_right_values(row)}


def device_row(row: Row[Any]) -> DeviceRow:
    return DeviceRow(**{**row._mapping, **_right_in(row)})


def invite_values(row: InviteRecord) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), **_right_values(row)}


def invite_row(row: Row[Any]) -> InviteRecord:
    return InviteRecord(**{**row._mapping, **_right_in(row)})


def _right_values(row: DeviceRow | InviteRecord) -> dict[str, Any]:
    return {
        "role": row.role.value,
        "chargers": chargers_out(row.chargers),
        "caps": to_json(row.caps) if row.caps is not None else None,
    }


def _right_in(row: Row[Any]) -> dict[str, Any]:
    return {
        "role": Role(row.role),
        "chargers": chargers_in(row.chargers),
        "caps": _caps.decode(row.caps) if row.caps is not None else None,
    }


def token_values(row: TokenRow) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "role": row.role.value, "chargers": chargers_out(row.chargers)}


def token_row(row: Row[Any]) -> TokenRow:
    values = dict(row._mapping)
    return TokenRow(**{**values, "role": Role(row.role), "chargers": chargers_in(row.chargers)})


def command_row(row: Row[Any]) -> CommandRow:
    return CommandRow(**row._mapping)

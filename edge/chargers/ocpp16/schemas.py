"""OCPP 1.6's schemas, for the check of whatever leaves (`shared.schemas`)."""

from __future__ import annotations

from typing import Final

from edge.chargers.shared.schemas import Kind, OutgoingInvalid, Schemas

__all__ = ["SCHEMAS", "Kind", "OutgoingInvalid", "check_outgoing"]

SCHEMAS: Final = Schemas("1.6", "v16", "")
check_outgoing = SCHEMAS.check

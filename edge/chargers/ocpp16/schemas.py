"""OCPP 1.6's schemas, for the check of whatever leaves (`shared.schemas`)."""

from __future__ import annotations

from edge.chargers.shared.schemas import Kind, OutgoingInvalid, Schemas

__all__ = ["Kind", "OutgoingInvalid", "check_outgoing"]

check_outgoing = Schemas("1.6", "v16", "").check

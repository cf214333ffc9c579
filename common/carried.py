"""What was counted for caps at the box before this one, as a fact of this one. A body of `facts`. Pure."""

from __future__ import annotations

from typing import ClassVar

from common.body import Body
from common.caps import Charge

#: Charges in one fact: with their usual 200 bytes it stays far below a record's limit.
CHARGES_MAX = 48


class AllowanceCarried(Body, frozen=True, kw_only=True):
    """Charges of one principal that another box has counted; those that are known here already count once."""

    KIND: ClassVar[str] = "allowance_carried"
    principal: str
    charges: tuple[Charge, ...] = ()

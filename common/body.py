"""What every fact's body is: a frozen struct with a stable kind, a version, and who may see it.

`facts` puts bodies into records; the bodies themselves stand there and in `upkeep`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec


class Audience(StrEnum):
    """Who may see a kind."""

    SITE = "site"
    OWNER = "owner"


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all bodies. `KIND` is the stable name on the wire, `V` its version."""

    KIND: ClassVar[str] = ""
    V: ClassVar[int] = 1
    AUDIENCE: ClassVar[Audience] = Audience.OWNER

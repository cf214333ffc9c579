"""What a box is told of those who have caps: rights for their cards, and what a box before it has counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from cloud.accounts import Accounts
from cloud.store.ports import Store
from cloud.store.rows import DeviceRow
from common.caps import PERIOD_MAX_MS, Charge
from common.domain import Role, iso
from common.errors import Refused

#: Rights that a box is told on each link: of the rest it hears from their own phones.
RIGHTS_MAX = 2048
#: In one frame, with their 700 bytes each: a command behind it does not wait for long.
RIGHTS_EACH = 16
#: What was told late may have begun earlier: so much more is looked at.
_LATE_MS = 24 * 3_600_000


async def charged(store: Store, site: str, now_ms: int) -> dict[str, tuple[Charge, ...]]:
    """By principal, what those with caps have charged at a site in the longest period."""
    return await store.charges(site, iso(max(0, now_ms - PERIOD_MAX_MS - _LATE_MS)))


async def capped(store: Store, accounts: Accounts, site: str) -> AsyncIterator[tuple[str, ...]]:
    """A grant of each driver with caps, for a key of theirs; some at a time."""
    of: dict[str, DeviceRow] = {}
    for device in await store.devices(site):  # the latest of each last
        if device.caps is not None and device.role is Role.DRIVER:
            of.pop(device.principal, None)
            of[device.principal] = device
    wanted = list(of.values())[-RIGHTS_MAX:]
    for first in range(0, len(wanted), RIGHTS_EACH):
        grants = []
        for device in wanted[first : first + RIGHTS_EACH]:
            with suppress(Refused):  # withdrawn, and its list is on the way too
                grants.append(await accounts.grant_to(device))
        yield tuple(grants)

"""What a box is told of those who have caps: rights for their cards, and what a box before it has counted."""

from __future__ import annotations

import logging

from cloud.accounts import Accounts
from cloud.store.ports import Store
from common.caps import PERIOD_MAX_MS, Charge
from common.domain import Role, iso
from common.errors import PlugsideError
from common.policy import Claims

log = logging.getLogger("plugside.edges")

#: Rights in one welcome, with their 700 bytes: of the rest the box hears from their own phones.
RIGHTS_MAX = 512
#: What was told late may have begun earlier: so much more is looked at.
_LATE_MS = 24 * 3_600_000


async def charged(store: Store, site: str, now_ms: int) -> dict[str, tuple[Charge, ...]]:
    """By principal, what those with caps have charged at a site in the longest period."""
    return await store.charges(site, iso(max(0, now_ms - PERIOD_MAX_MS - _LATE_MS)))


async def capped(store: Store, accounts: Accounts, site: str) -> tuple[str, ...]:
    """A grant of each driver with caps, for a key of theirs."""
    of: dict[str, str] = {}
    for device in await store.devices(site):  # the latest of each last
        if device.caps is not None and device.role is Role.DRIVER:
            of.pop(device.principal, None)
            of[device.principal] = device.key
    grants = []
    for principal, key in list(of.items())[-RIGHTS_MAX:]:
        claims = Claims(site=site, principal=principal, role=Role.DRIVER, key=key)
        if accounts.verifier.withdrawn(claims):
            continue
        try:
            grants.append((await accounts.renew(claims)).grant)
        except PlugsideError as gone:
            log.info("no right of %s for the box: %s", principal, gone)
    return tuple(grants)

"""How a right looks to whoever has it: the site in a welcome, and caps by the site's own clock."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from cloud.store.rows import SiteRow
from common import wire
from common.caps import Caps
from common.domain import iso
from common.policy import Claims


def access(site: SiteRow, claims: Claims, lists: tuple[str, ...], *, online: bool) -> wire.SiteAccess:
    """A site as a link's welcome and a grant name it. lists: of withdrawn rights, to be carried."""
    return wire.SiteAccess(
        site=site.id,
        name=site.name,
        role=claims.role.value,
        principal=claims.principal,
        online=online,
        expires_at=iso(claims.expires_ms),
        key=site.box,
        succession=site.succession,
        addresses=site.hello.addresses,
        certificates=site.hello.certificates,
        # What every site has at first says nothing of where it is.
        zone="" if site.zone == "UTC" else site.zone,
        owner=claims.owner,
        caps=claims.caps,
        revocations=lists,
    )


def at_site(caps: Caps | None, site: SiteRow, now_ms: int) -> Caps | None:
    """Caps by the site's own clock, as far as that is from UTC today."""
    if caps is None:
        return None
    here = datetime.fromtimestamp(now_ms // 1000, UTC).astimezone(ZoneInfo(site.zone)).utcoffset()
    return msgspec.structs.replace(caps, offset_min=int(here.total_seconds() // 60) if here else 0)

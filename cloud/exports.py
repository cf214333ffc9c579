"""Billing by the month: which lines there are to be, and when a month is closed for good (design §9).

    export(month) ─▶ is it over? ─▶ a line for whatever lacks one ─▶ close the month ─▶ its lines, for ever

A line belongs to the month in which its session ended, in the site's own time zone. A month is closed by its
first export and never changes afterwards: exported again, it has the same lines with the same ids. What comes
later for a closed month (a box that was away, a correction) goes into the next export as what it is, with its
session's own times. Exporting a month closes the months before it too, each with its own lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from cloud.charge_lines import ChargeLine, Standing, energy_wh, month_after
from cloud.store.ports import Store
from cloud.store.rows import Page, SiteRow
from common.domain import iso
from common.errors import Code, Refused
from common.policy import Claims
from common.ports import Clock

Plain = dict[str, Any]

#: Sessions that one transaction writes lines for: some 20 ms of the one writing connection.
STEP: Final = 200
#: Sessions that are named as waiting; their number is complete all the same.
WAITING_MAX: Final = 100

_MONTH: Final = re.compile(r"20[2-9]\d-(0[1-9]|1[0-2])")


def read_month(text: str) -> str:
    """A month as `YYYY-MM`. Raises Refused(bad_request)."""
    if not _MONTH.fullmatch(text):
        raise Refused(
            Code.BAD_REQUEST, f"{text[:20]!a} is no month", hint="Write it as 2026-11, from 2020 on."
        )
    return text


def read_zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises Refused(bad_request)."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not even a name; a folder of zones
        raise Refused(
            Code.BAD_REQUEST,
            f"this machine knows no time zone {name[:64]!a}",
            hint="Name one as Europe/Berlin, or UTC; on Debian they come with the package tzdata.",
        ) from None


def month_at(at_ms: int, zone: ZoneInfo) -> str:
    """The month of an instant in a zone."""
    return f"{datetime.fromtimestamp(at_ms / 1000, zone):%Y-%m}"


def end_of(month: str, zone: ZoneInfo) -> datetime:
    """The instant at which a month is over in a zone."""
    following = month_after(month)
    return datetime(int(following[:4]), int(following[5:]), 1, tzinfo=zone)


class Exports:
    """Closes months and tells their lines."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def export(self, site: SiteRow, month: str) -> Plain:
        """Close a month unless it is closed. Returns what is to be known beside its lines.

        Raises Refused: bad_request (no month, no such zone any more), month_open (it is not over there).
        """
        zone = read_zone(site.zone)
        now_ms = self._clock.now_ms()
        over = end_of(read_month(month), zone)
        if now_ms < over.timestamp() * 1000:
            raise Refused(
                Code.MONTH_OPEN, f"{month} lasts until {over.isoformat()}", hint="Export it when it is over."
            )
        count, waiting = await self._bill(site, lambda at_ms: month_at(at_ms, zone) <= month, now_ms)
        closed_now = await self._store.close_month(
            site.id, month, site.zone, lambda at_ms: month_at(at_ms, zone), now_ms
        )
        return {
            "site": site.id,
            "name": site.name,
            "month": month,
            "zone": site.zone,
            "closed_now": closed_now,
            "waiting_count": count,
            "waiting": waiting,
        }

    async def _bill(
        self, site: SiteRow, asked: Callable[[int], bool], now_ms: int
    ) -> tuple[int, list[Plain]]:
        """Lines for everything that can have one, in steps that let the boxes' batches by.

        Returns how many sessions wait for an operator among those that are `asked` for, and the first ones.
        """
        count, after = 0, ""
        named: list[Plain] = []
        while sessions := await self._store.unbilled(site.id, after=after, limit=STEP):
            for standing in await self._store.bill(site.id, sessions, now_ms):
                if asked(standing.at_ms):
                    count += 1
                    named += [_waiting(standing)] if len(named) < WAITING_MAX else []
            after = sessions[-1]
        return count, named

    async def lines(self, claims: Claims, month: str, *, after: str, limit: int) -> Page[Plain]:
        """A closed month's lines. Raises Refused: bad_request, month_open."""
        if read_month(month) > await self._store.closed_through(claims.site):
            raise Refused(Code.MONTH_OPEN, month)
        page = await self._store.charge_lines(claims, month, after=after, limit=limit)
        return Page(rows=tuple(_told(line) for line in page.rows), next=page.next)

    async def set_zone(self, site: SiteRow, name: str) -> Plain:
        """In which time zone the site's months begin and end from now on. Raises Refused(bad_request)."""
        read_zone(name)
        await self._store.set_zone(site.id, name)
        return {"site": site.id, "name": site.name, "zone": name}


def _told(line: ChargeLine) -> Plain:
    told: Plain = msgspec.structs.asdict(line)
    del told["at_ms"], told["energy_milliwh"], told["total_milliwh"]
    return told | {"energy_wh": energy_wh(line.energy_milliwh), "total_wh": energy_wh(line.total_milliwh)}


def _waiting(standing: Standing) -> Plain:
    row = standing.row
    return {
        "session": row.session,
        "charger": row.charger,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "written_at": iso(standing.at_ms),
        "why": standing.waiting,
    }

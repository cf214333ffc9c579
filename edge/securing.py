"""How chargers prove themselves, asked and set by people at the box: passwords to type in, what is known.

A password leaves the box once, for whoever stands in front of it (never over the cloud), and is good beside
the old one until the charger has come in with it. `ChargersPart` is what the box after this one needs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from common.desk import LOCAL_ONLY, STAFF, ChargerId, Plain, Request
from common.domain import iso
from common.errors import Code, Refused
from common.facts import ChargerSecured
from common.policy import Claims
from common.ports import Ids
from edge.chargers.credentials import Credentials, Passwords
from edge.gateway import Gateway

if TYPE_CHECKING:
    from edge.chargers.siteca import SiteCa


class _Charger(msgspec.Struct, forbid_unknown_fields=True):
    charger: ChargerId


class ChargerSecurity:
    """Answers `wire.Manage` about it."""

    def __init__(self, gateway: Gateway, credentials: Credentials, ids: Ids) -> None:
        self._gateway, self._credentials, self._ids = gateway, credentials, ids
        self.requests = {
            "charger_password": Request(_Charger, LOCAL_ONLY, self._password),
            "charger_security": Request(_Charger, STAFF, self._about),
        }

    def _adopted(self, charger: str) -> None:
        entry = self._gateway.state.view.chargers.get(charger)
        if entry is None or not entry.adopted:
            raise Refused(Code.UNKNOWN_CHARGER, charger)

    async def _password(self, args: _Charger, _: Claims) -> Plain:
        self._adopted(args.charger)
        name = self._ids.uid()
        profile = self._gateway.state.look(args.charger).security.profile
        await self._gateway.written(
            ChargerSecured(charger=args.charger, change="offered", profile=profile, credential=name)
        )
        return {"user": args.charger, "password": self._credentials.offer(args.charger, name)}

    async def _about(self, args: _Charger, _: Claims) -> Plain:
        self._adopted(args.charger)
        security = self._gateway.state.look(args.charger).security
        told: dict[str, Any] = {
            "charger": args.charger,
            "profile": security.profile,
            "to": security.to,
            "certificate_until": iso(security.until_ms) if security.until_ms else None,
        }
        made = self._credentials.about(args.charger)
        for name in ("used", "offered"):
            at_ms = made.get(f"{name}_ms")
            told[f"password_{name}"] = iso(at_ms) if at_ms is not None else None
        return told


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    passwords: dict[str, Passwords]
    profiles: dict[str, int]
    roots: dict[str, str] = {}


class ChargersPart:
    """`edge.recovery.Part`: chargers' passwords (as they can be checked), profiles, the site's authority."""

    name = "chargers"

    def __init__(
        self,
        gateway: Gateway,
        credentials: Credentials,
        ca: SiteCa | None,
        serve: Callable[[], Awaitable[None]],
    ) -> None:
        """serve: puts the box's own certificates under the authority that came back."""
        self._gateway, self._credentials, self._ca, self._serve = gateway, credentials, ca, serve

    def collect(self) -> bytes:
        profiles = {
            charger: station.security.profile
            for charger, station in sorted(self._gateway.state.stations.items())
            if station.security.profile
        }
        roots = self._ca.keys() if self._ca is not None else {}
        kept = _Kept(passwords=self._credentials.all(), profiles=profiles, roots=roots)
        return msgspec.json.encode(kept)

    async def restore(self, data: bytes) -> int:
        found = msgspec.json.decode(data, type=_Kept)
        if self._ca is not None and found.roots:
            self._ca.take(found.roots)
            await self._serve()
        count = self._credentials.take(found.passwords)
        for charger, profile in found.profiles.items():
            entry = self._gateway.state.view.chargers.get(charger)
            if entry is not None and entry.profile < profile:  # what was decided here since stands
                await self._gateway.written(ChargerSecured(charger=charger, change="set", profile=profile))
        return count

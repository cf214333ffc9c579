"""Rotation of the box's identity key: how it is asked for, written down and told (design §10).

request   at the box alone ─▶ `Identity.rotate` ─▶ links of the old key end ─▶ a fact
start     the fact that a crash has kept from being written
welcome   the cloud has confirmed the key: a fact; or it names another one: the box's own was given up
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from common import sync
from common.desk import LOCAL_ONLY, Plain, Request
from common.domain import iso
from common.errors import Code, Unavailable
from common.facts import SecurityNoted
from common.policy import Claims
from edge.apps import Apps
from edge.authority import Authority
from edge.gateway import Gateway
from edge.journal.journal import Journal

log = logging.getLogger("plugside.trust")

#: Kept in the journal: the number of the last rotation that is a fact.
_TOLD = "identity.told"


class _RotateKey(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Rekeying:
    """See the module. `leave` ends the tunnel, which comes back under the new key."""

    def __init__(self, authority: Authority, gateway: Gateway, journal: Journal, apps: Apps) -> None:
        self._authority = authority
        self._gateway = gateway
        self._journal = journal
        self._apps = apps
        self.former_until = ""  #: the cloud has another key for the site, and hears this one until then
        self.leave: Callable[[], None] = lambda: None
        self.requests = {"rotate_key": Request(_RotateKey, LOCAL_ONLY, self._rotate)}

    async def _rotate(self, _: _RotateKey, __: Claims) -> Plain:
        authority = self._authority
        done = authority.rotate_key()
        log.warning("the box's key is %s from now on, before %s", done.box, done.former)
        # Whoever is connected proved us by the old key: they come back, and follow, while both are in sight.
        self.leave()
        self._apps.cut_all(Code.SHUTTING_DOWN, local=False)
        try:
            await self.catch_up()
        except Unavailable as trouble:
            log.warning("that is written down at the next start: %s", trouble)
        return {
            "edge": done.box,
            "former": done.former,
            "number": done.number,
            "rotated_at": iso(done.at_s * 1000),
            "site": authority.site,
            "cloud": authority.cloud_url,
        }

    async def catch_up(self) -> None:
        """Write down each rotation that is no fact yet."""
        told = int(self._journal.get(_TOLD) or b"0")
        chain = [one for one in self._authority.keys.chain if one.number > told]
        for one in chain:
            detail = f"rotation {one.number}: {one.box}, before {one.former}"
            await self._gateway.written(SecurityNoted(what="key_rotated", detail=detail))
        if chain:
            await self._journal.set(_TOLD, str(chain[-1].number).encode())

    def welcomed(self, welcome: sync.TunnelWelcome) -> None:
        """Which key the cloud has for the site."""
        keys = self._authority.keys
        if keys.confirm(welcome.box):
            log.info("the cloud has confirmed the box's key %s", welcome.box)
            self._gateway.note(
                SecurityNoted(what="key_confirmed", detail=f"rotation {keys.number}: {welcome.box}")
            )
        if welcome.former_until and not self.former_until:
            log.error("this box's key was given up for %s: heard until %s", welcome.box, welcome.former_until)
            detail = f"{keys.key.fingerprint}, for {welcome.box}; heard until {welcome.former_until}"
            self._gateway.note(SecurityNoted(what="key_given_up", detail=detail))
        self.former_until = welcome.former_until

    def describe(self) -> dict[str, Any]:
        """The key, for people."""
        keys = self._authority.keys
        return {
            "number": keys.number,
            "rotated_at": iso(keys.chain[-1].at_s * 1000) if keys.chain else "",
            "confirmed": keys.confirmed,
            "former": list(keys.names[1:]),
            "given_up_until": self.former_until,
        }

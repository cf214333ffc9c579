"""Grants that a box brings for who is there and has no way to the cloud: renewed as on a link of theirs.

A tunnel has one. What is granted is for the key that the grant names, and at the tunnel's own site alone: a
box that asks for more than its visitors gets nothing that it could use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cloud.accounts import Accounts
from common import sync, wire
from common.errors import Code, PlugsideError, error

#: Grants of one box that wait to be renewed; more are refused (busy).
WAITING_MAX = 64


class BoxRenewals:
    """See the module. say: queues one message for the box."""

    def __init__(self, accounts: Accounts, say: Callable[[sync.TunnelMessage], None]) -> None:
        self._accounts = accounts
        self._say = say
        self._asked: asyncio.Queue[sync.Renew] = asyncio.Queue(WAITING_MAX)

    def take(self, asked: sync.Renew) -> None:
        """Never waits."""
        try:
            self._asked.put_nowait(asked)
        except asyncio.QueueFull:
            self._refuse(asked, error(Code.BUSY))

    async def run(self, site: str) -> None:
        """One after the other, until cancelled."""
        while True:
            asked = await self._asked.get()
            try:
                grant = await self._accounts.renew_for_box(site, asked.grant)
            except PlugsideError as declined:
                self._refuse(asked, declined)
            else:
                self._say(sync.Renewed(ref=asked.ref, grant=grant))

    def _refuse(self, asked: sync.Renew, why: PlugsideError) -> None:
        refusal = wire.Refusal(id=asked.ref, code=why.code, message=why.message, hint=why.hint)
        self._say(sync.Renewed(ref=asked.ref, refusal=refusal))

"""Phones at a box of this process, its cloud played by a test: who is let in, and who is not any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common import trust
from common.appsession import ClientSession
from common.budget import Rate
from common.caps import Caps
from common.client.connection import Connection
from common.client.handshake import authenticate
from common.clock import SystemClock, SystemIds
from common.domain import Path as LinkPath
from common.domain import Role
from common.errors import Code, PlugsideError
from common.keystore import generate_identity
from common.link.websocket import connect_websocket, lan_url
from common.policy import Claims
from common.threshold import Threshold
from common.trust import IdentityKey, RevocationList
from common.trust.revocations import KEPT_MS
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.cloud import FakeCloud
from tests.box.support import living

CLOCK, IDS = SystemClock(), SystemIds()


class Phone:
    """A key with a grant, and the lists that it carries."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.key: IdentityKey = generate_identity()
        self.grant = ""
        self.lists: tuple[str, ...] = ()

    @asynccontextmanager
    async def link(self, **shown: Any) -> AsyncIterator[Connection]:
        """An open link over the LAN."""
        authority = self.site.authority
        link = await connect_websocket(lan_url(authority.addresses[0]), LinkPath.LAN)
        session = ClientSession(
            nonce=trust.b64(IDS.token(32)),
            path=LinkPath.LAN,
            server=authority.edge_id,
            key=self.key,
            binding=link.binding,
            carried=self.lists,
            **({"grants": (self.grant,)} | shown),
        )
        async with Connection(await authenticate(link, session, CLOCK)) as connection:
            yield connection

    async def join(self, role: Role = Role.DRIVER) -> Phone:
        text, _ = self.site.authority.invite(role, None, 3_600_000)
        async with self.link(invite=trust.Invite.from_text(text).secret, grants=()) as link:
            self.grant = link.granted[0].grant
        return self

    @property
    def claims(self) -> Claims:
        return self.site.authority.claims_of(self.grant, CLOCK.now_ms())

    def granted_by(
        self, cloud: FakeCloud, role: Role = Role.DRIVER, *, caps: Caps | None = None, ago_ms: int = 0
    ) -> Phone:
        """With a grant of the cloud's, signed that long ago."""
        claims = Claims(
            site=self.site.authority.site,
            principal=IDS.uid(),
            role=role,
            key=self.key.thumbprint,
            caps=caps,
        )
        self.grant = cloud.grant(claims, CLOCK.now_ms() - ago_ms, IDS.uid())
        return self


def listed(cloud: FakeCloud, site: Site, number: int, *entries: str) -> RevocationList:
    """A list of the cloud's."""
    (issuer,) = trust.cloud_issuers(trust.open_key_set(cloud.keys(), cloud.root.public))
    now_ms = CLOCK.now_ms()
    return trust.sign_list(
        cloud.online,
        issuer,
        site=site.authority.site,
        number=number,
        at_ms=now_ms,
        entries={trust.entry_hash(entry): now_ms + KEPT_MS for entry in entries},
    )


@asynccontextmanager
async def place(
    folder: Path, *, dials: bool = False, failures_free: int = 10**6
) -> AsyncIterator[tuple[Site, FakeCloud]]:
    """A box that a cloud has taken in; `dials`: the tunnel stands, else the box is without internet."""
    cloud = FakeCloud()
    await cloud.start()
    given = {"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": folder}
    site = Site(EdgeSettings.load(given | ({"cloud": cloud.url} if dials else {})))
    # All attempts of a test come from one address within a second; each is looked at for what it is.
    plenty = Rate(10_000, 10_000)
    site.lan.threshold = Threshold(site.clock, everyone=plenty, each=plenty, failures_free=failures_free)
    cloud.take_in(site.authority)
    try:
        async with living(site):
            yield site, cloud
    finally:
        await cloud.stop()


async def refused(phone: Phone, code: Code = Code.REVOKED) -> None:
    """The box lets this phone in no more.

    A clock that has jumped by months is followed by certificates of the new time: a handshake that was begun
    before them is cut short by the phone, which is told none but the new ones.
    """
    async with asyncio.timeout(20):
        while True:
            with pytest.raises(PlugsideError) as no:
                async with phone.link():
                    pass
            if no.value.code is not Code.UNTRUSTED_PEER:
                break
    assert no.value.code is code, no.value

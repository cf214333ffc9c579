"""A daemon's own command line talks to the running daemon: the app link over its Unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path as FilePath

from common.appsession import ClientSession
from common.client.connection import Connection
from common.client.handshake import authenticate
from common.clock import SystemClock, SystemIds
from common.domain import Path
from common.link.unix import connect_unix
from common.trust import b64
from common.trust.handshake import NONCE_BYTES


@asynccontextmanager
async def local(socket: FilePath) -> AsyncIterator[Connection]:
    """A connection to the daemon that serves `socket`, as local presence: no key, no grant.

    Raises LocalFault(not_running) when nothing listens there, or it may not be opened by this user.
    """
    clock, ids = SystemClock(), SystemIds()
    link = await connect_unix(socket)
    session = ClientSession(nonce=b64(ids.token(NONCE_BYTES)), path=Path.LOCAL, server=None)
    opened = await authenticate(link, session, clock)
    async with Connection(opened, clock=clock, ids=ids) as connection:
        yield connection

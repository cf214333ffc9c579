"""The way from a subcommand to the running box: its local socket, wherever that is."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.client.connection import Connection
from common.client.local import local
from common.errors import CATALOGUE, Code, PlugsideError, Refused

#: Where the unit puts the socket (systemd/plugside-edge.service); tried when nothing else is said.
UNIT_SOCKET = Path("/run/plugside-edge/edge.sock")


#: The catalogue's step is a driver's; who is at the box can look, and adopt.
_LOOK = "`plugside-edge chargers list` shows every charger, also those that wait to be adopted."


@asynccontextmanager
async def connect(args: argparse.Namespace) -> AsyncIterator[Connection]:
    """A link to the running box: --socket, the environment, the data folder's, or the unit's."""
    try:
        async with local(_socket(args)) as box:
            yield box
    except PlugsideError as failed:
        if failed.code is Code.UNKNOWN_CHARGER and failed.hint == CATALOGUE[Code.UNKNOWN_CHARGER][1]:
            failed.hint = _LOOK
        raise


def unknown(charger: str) -> Refused:
    """That no charger is called so, for who is at the box."""
    return Refused(Code.UNKNOWN_CHARGER, charger, hint=_LOOK)


def _socket(args: argparse.Namespace) -> Path:
    given = getattr(args, "socket", None) or os.environ.get("PLUGSIDE_EDGE_SOCKET")
    if given:
        return Path(given)
    data = getattr(args, "data", None) or os.environ.get("PLUGSIDE_EDGE_DATA")
    return Path(data) / "edge.sock" if data else UNIT_SOCKET

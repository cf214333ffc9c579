"""The way from a subcommand to the running box: its local socket, wherever that is."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from common.client.connection import Connection
from common.client.local import local

#: Where the unit puts the socket (systemd/plugside-edge.service); tried when nothing else is said.
UNIT_SOCKET = Path("/run/plugside-edge/edge.sock")


def connect(args: argparse.Namespace) -> AbstractAsyncContextManager[Connection]:
    """A link to the running box: --socket, the environment, the data folder's, or the unit's."""
    given = getattr(args, "socket", None) or os.environ.get("PLUGSIDE_EDGE_SOCKET")
    if given:
        return local(Path(given))
    data = getattr(args, "data", None) or os.environ.get("PLUGSIDE_EDGE_DATA")
    if data:
        return local(Path(data) / "edge.sock")
    return local(UNIT_SOCKET)

"""How every subcommand of `plugside-cloud` but `run` finds the running cloud."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from common.client.connection import Connection
from common.client.local import local

#: Where the unit puts the socket (systemd/plugside-cloud.service); tried when nothing else is said.
UNIT_SOCKET = Path("/run/plugside-cloud/cloud.sock")


def connect(args: argparse.Namespace) -> AbstractAsyncContextManager[Connection]:
    """A link to the running cloud: --socket, the environment, the data folder's, or the unit's."""
    given = getattr(args, "socket", None) or os.environ.get("PLUGSIDE_CLOUD_SOCKET")
    if given:
        return local(Path(given))
    data = getattr(args, "data", None) or os.environ.get("PLUGSIDE_CLOUD_DATA")
    if data:
        return local(Path(data) / "cloud.sock")
    return local(UNIT_SOCKET)

"""Tells systemd how a daemon is: ready, alive, stopping. The few lines of sd_notify(3) that we need.

Both daemons use it from their composition roots: `READY=1` once the listeners are bound, `WATCHDOG=1` for as
long as what the watchdog stands for still answers, `STOPPING=1` at the end. Without systemd (a terminal, the
demo, a test) every call is a quiet no. It takes the environment as an argument and knows no event loop.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

# The manager reads its socket at once. If its queue is full all the same, a daemon's loop may be held for
# this long and no longer; the next WATCHDOG=1 is the second try.
SEND_TIMEOUT_S = 0.2


def notify(state: str, *, environ: Mapping[str, str]) -> bool:
    """Send `state` to the service manager; True if it was handed over.

    state: assignments as in sd_notify(3), separated by newlines, for example "READY=1\\nSTATUS=serving".
    Never put a peer's text into it: a newline there would be an assignment of the peer's.
    False: no manager asked for it (NOTIFY_SOCKET is unset or of a kind that we do not speak), or it could
    not be reached. Never raises for what the manager does: a daemon must not die of that.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux's abstract namespace: the first byte of the name is NUL
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(SEND_TIMEOUT_S)
        try:
            channel.connect(address)
            channel.sendall(state.encode())
        except OSError:
            return False
    return True


def watchdog_interval_s(environ: Mapping[str, str], *, pid: int | None = None) -> float | None:
    """Seconds between two WATCHDOG=1, or None when nobody waits for them.

    Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) recommends: one message may come late. A WATCHDOG_PID
    that names another process means that the wait is not for us. pid: ours, unless given.
    """
    watched = environ.get("WATCHDOG_PID")
    if watched is not None and watched != str(os.getpid() if pid is None else pid):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    return int(text) / 2 / 1_000_000

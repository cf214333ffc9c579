"""Under which names a box is asked: its addresses and its name on the LAN, never a name of the internet's.

A page whose own name is made to lead to the box (DNS rebinding) has that name in its `Host` header, and its
browser takes the box for the page's own server. So a name that the box does not have gets 421. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container


def is_ours(authority: str, names: Container[str] = ()) -> bool:
    """Whether a `Host` (or `:authority`) is an address, `localhost`, a `.local` name, or one of `names`."""
    host = host_of(authority)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or (host.endswith(".local") and len(host) > len(".local")) or host in names
    return True


def host_of(authority: str) -> str:
    """The host of `host:port`, lower case, without brackets; "" when it is not one."""
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host = authority
    elif not (port.isascii() and port.isdigit()):
        return ""
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1].lower()
    # User info, paths, lists: nothing that is only a host's name.
    return host.lower() if host and not set(host) & set(":@/, \\") else ""

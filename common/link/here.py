"""Which addresses this machine has at this moment: interfaces come and go."""

from __future__ import annotations

import ipaddress
import socket


def is_here(address: str) -> bool:
    """Whether this machine has the address now."""
    try:
        version = ipaddress.ip_address(address).version
        with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True

"""mDNS: tells phones on the LAN that a box is here. A hint, never an identity, never on the fast path.

A `_plugside._tcp` service named by the edge's key, with a TXT record that holds no person and no site name;
and one for each key that it had before, because a phone that was away looks for the one that it pinned.
Runs as a supervised room: when it fails, control goes on and addresses from QR and cloud still work.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from common.errors import Code, error
from common.link.here import is_here

if TYPE_CHECKING:
    from zeroconf import IPVersion
    from zeroconf.asyncio import AsyncServiceInfo

log = logging.getLogger("plugside.discovery")

SERVICE = "_plugside._tcp.local."
#: How often the interfaces are looked at, in s: a cable that was pulled is back within seconds.
LOOK_EVERY_S = 10.0


def service_info(edge_id: str, port: int, addresses: list[str], now: str = "") -> AsyncServiceInfo:
    """What is announced: protocol version, the edge's fingerprint, nothing personal.

    now: for a key that the box had before, the one that it has; a hint like all the rest.

    The host name comes from the key, so two boxes never claim the same one: zeroconf would let them.
    """
    from zeroconf.asyncio import AsyncServiceInfo

    host = f"plugside-{edge_id[:8]}"
    packed = [ipaddress.ip_address(address).packed for address in addresses]
    return AsyncServiceInfo(
        SERVICE,
        f"{host}.{SERVICE}",
        port=port,
        addresses=packed,
        properties={"v": "1", "id": edge_id, "ws": str(port), **({"now": now} if now else {})},
        server=f"{host}.local.",
    )


async def announce(
    ids: Callable[[], tuple[str, ...]],
    port: int,
    interfaces: tuple[str, ...],
    changed: Callable[[], None] = lambda: None,
) -> None:
    """Announce until cancelled, on the given interfaces only; takes the goodbye back at the end.

    ids: the box's fingerprints, the present one first. On those interfaces that are here: one that comes,
    goes, returns or gets another address is noticed, and `changed` is called; so is another key. Raises
    Unavailable when none is here.
    """
    while True:
        here = present(interfaces)
        if not here:
            raise error(Code.NO_PATH, f"this box has no address of {', '.join(interfaces)} now")
        changed()
        named = ids()
        async with _announced(named, port, here):
            while (ids(), present(interfaces)) == (named, here):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(LOOK_EVERY_S)


def present(interfaces: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses of these that this machine has now: each is one itself, or an interface by its name."""
    return tuple(
        address
        for named in interfaces
        for address in ((named,) if _is_address(named) else _addresses_of(named))
        if is_here(address)
    )


def _is_address(named: str) -> bool:
    try:
        ipaddress.ip_address(named)
    except ValueError:
        return False
    return True


def _addresses_of(name: str) -> Iterator[str]:
    """An interface's addresses, without those that mean nothing beyond their link."""
    import ifaddr  # with zeroconf, once the box serves already

    for adapter in ifaddr.get_adapters():
        for own in adapter.ips:
            address = own.ip if isinstance(own.ip, str) else own.ip[0]
            if adapter.name == name and not ipaddress.ip_address(address).is_link_local:
                yield address


@asynccontextmanager
async def _announced(ids: tuple[str, ...], port: int, interfaces: tuple[str, ...]) -> AsyncIterator[None]:
    # Loaded once the box serves already: that takes some 25 ms of a start.
    from zeroconf.asyncio import AsyncZeroconf

    announcer = AsyncZeroconf(interfaces=list(interfaces), ip_version=_versions(interfaces))
    try:
        here = list(interfaces)
        infos = [
            service_info(ids[0], port, here),
            *(service_info(id_, port, here, ids[0]) for id_ in ids[1:]),
        ]
        # The name is unique by key, so probing for a conflict (1.2 s) finds nothing but our own last run.
        for done in [await announcer.async_register_service(i, cooperating_responders=True) for i in infos]:
            await done
        log.info("announced %s on %s", infos[0].name, ", ".join(interfaces))
        yield
    finally:
        await announcer.async_close()


def _versions(interfaces: tuple[str, ...]) -> IPVersion:
    from zeroconf import IPVersion

    kinds = {ipaddress.ip_address(address).version for address in interfaces}
    if kinds == {4}:
        return IPVersion.V4Only
    return IPVersion.V6Only if kinds == {6} else IPVersion.All


def lan_addresses(interfaces: tuple[str, ...], lan_host: str) -> list[str]:
    """Addresses a phone may try: those of the interfaces, else the listening one, else the machine's own.

    Link-local ones are left out: a URL cannot carry their zone. An address that is named is told though it is
    not here now; what is named by its interface is told as it is now.
    """
    named = [one for one in interfaces if _is_address(one)]
    named += present(tuple(one for one in interfaces if one not in named))
    if named:
        return [one for one in named if not ipaddress.ip_address(one).is_link_local]
    if lan_host and not ipaddress.ip_address(lan_host).is_unspecified:
        return [lan_host]
    found = _outgoing_address()
    return [found] if found else ["127.0.0.1"]


def _outgoing_address() -> str | None:
    # Connecting a UDP socket sends nothing; it only asks the kernel which address it would send from.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1: never a real host
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address

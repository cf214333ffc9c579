"""mDNS: which boxes are on this network, and where a box that we know has gone.

A hint, never an identity: whatever is found is dialled like any other address and has to prove itself. Never
on the fast path: a browse takes a second, a known address a few milliseconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from common.link.here import is_here

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

log = logging.getLogger("plugside.client")

SERVICE = "_plugside._tcp.local."
#: How long a search for a known box may take: three mDNS questions, a second apart (RFC 6762 §5.2).
SEARCH_S = 3.0
#: Boxes listened to in one search; a flood of forged names ends here.
FOUND_MAX = 64
_DETAILS_MS = 1500

_EDGE_ID = re.compile(r"[a-z2-7]{32}")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One announcement."""

    edge: str  #: the fingerprint that it claims
    now: str = ""  #: it had that key before, and claims to have this one since
    addresses: tuple[str, ...]  #: host:port


def instance_of(edge: str) -> str:
    """The mDNS name that a box announces itself by: its host name comes from its key."""
    return f"plugside-{edge[:8]}.{SERVICE}"


def interfaces_for(given: tuple[str, ...] | None, addresses: Iterable[str]) -> tuple[str, ...] | None:
    """On which interfaces to look for a box that was last seen at `addresses`. None = all, () = nowhere.

    given: what the person said; None = they said nothing. A box that was only ever on this machine (a test, a
    demo) is not asked for on the network.
    """
    if given is not None:
        return given
    hosts = [address.rpartition(":")[0].strip("[]") for address in addresses]
    return ("127.0.0.1",) if hosts and all(map(_is_loopback, hosts)) else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def browse(
    interfaces: tuple[str, ...] | None, seconds: float = SEARCH_S, *, edge: str = ""
) -> AsyncGenerator[Found, None]:
    """Announcements as they come, for `seconds`. interfaces: addresses to speak on; None = all.

    edge: look for this box; its name is asked for at once, and only what claims to be it is told.
    """
    if interfaces is not None and not (interfaces := tuple(filter(is_here, interfaces))):
        return
    from zeroconf import Error, InterfaceChoice
    from zeroconf.asyncio import AsyncZeroconf

    try:
        multicast = AsyncZeroconf(interfaces=InterfaceChoice.All if interfaces is None else list(interfaces))
    except (OSError, Error) as failed:
        log.info("mDNS cannot be used here: %s", failed)
        return
    try:
        async with aclosing(_listen(multicast, seconds, edge)) as heard:
            async for found in heard:
                yield found
    except (OSError, Error) as failed:
        log.info("mDNS failed: %s", failed)
    finally:
        # Shielded: whoever gives a search up may do so twice, and the sockets are to be closed all the same.
        await asyncio.shield(multicast.async_close())


async def _listen(multicast: AsyncZeroconf, seconds: float, edge: str) -> AsyncGenerator[Found, None]:
    from zeroconf import BadTypeInNameException, DNSQuestionType, ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser

    names: asyncio.Queue[str] = asyncio.Queue()
    seen: set[str] = set()

    def see(name: str) -> None:
        if name not in seen and len(seen) < FOUND_MAX:
            seen.add(name)
            names.put_nowait(name)

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        del zeroconf, service_type  # called by these names
        if state_change is not ServiceStateChange.Removed:
            see(name)

    if edge:
        see(instance_of(edge))
    # Asked by multicast: an answer to us alone goes to port 5353 of this host, which another program may have
    # (a box on this machine, a system's own mDNS), and the kernel then gives it to one of them.
    browser = AsyncServiceBrowser(
        multicast.zeroconf, SERVICE, handlers=[changed], question_type=DNSQuestionType.QM
    )
    try:
        until = asyncio.get_running_loop().time() + seconds
        while True:
            # Not around the `yield`: a timeout there would hit whoever is being yielded to.
            try:
                async with asyncio.timeout_at(until):
                    info = await _details(multicast, name := await names.get())
            except TimeoutError:
                return
            except BadTypeInNameException:
                continue  # no box has such a name
            if info is None:
                # Perhaps it is only now coming up, or the answer was lost: once more, behind the others.
                names.put_nowait(name)
                continue
            found = _read(info.properties, info.parsed_addresses(), info.port)
            if found is not None and edge in {"", found.edge}:
                yield found
    finally:
        await browser.async_cancel()


async def _details(multicast: AsyncZeroconf, name: str) -> AsyncServiceInfo | None:
    """What is announced under a name; None if nobody answers. Raises BadTypeInNameException."""
    from zeroconf import DNSQuestionType
    from zeroconf.asyncio import AsyncServiceInfo

    info = AsyncServiceInfo(SERVICE, name)
    return info if await info.async_request(multicast.zeroconf, _DETAILS_MS, DNSQuestionType.QM) else None


def _read(properties: dict[bytes, bytes | None], hosts: list[str], port: int | None) -> Found | None:
    """What an announcement says, if it can be one of ours."""
    edge = (properties.get(b"id") or b"").decode("ascii", "replace")
    if not _EDGE_ID.fullmatch(edge) or not port:
        return None
    usable = [ipaddress.ip_address(host) for host in hosts]
    # A link-local address is no address without its zone, which an announcement cannot name.
    addresses = tuple(
        f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
        for host in usable
        if not host.is_link_local
    )
    now = (properties.get(b"now") or b"").decode("ascii", "replace")
    return Found(edge=edge, addresses=addresses, now=now) if addresses else None

"""Pairing: an invite becomes a grant for this device's key, at the box or cloud that made the invite.

The invite pins who may answer. All its addresses are tried at once; whoever cannot prove to be its maker gets
neither the secret nor anything else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from common import wire
from common.client.device import Device, Shown
from common.client.handshake import Opened
from common.client.profile import ADDRESSES_MAX, SiteEntry, rotated
from common.client.race import race
from common.domain import Path
from common.errors import Code, Refused, RemoteFault
from common.trust import BoxCode, Invite
from common.trust.enrolment import BOX_PREFIX

#: Told to the maker of the invite with the key, so that a person can tell their devices apart.
DEVICE_NAME_CHARS_MAX = 64


def read_invite(text: str) -> Invite:
    """An invite, or a box's own pairing code. Raises Refused(bad_invite) with what is wrong."""
    text = text.strip()
    return BoxCode.from_text(text) if text.startswith(BOX_PREFIX) else Invite.from_text(text)


async def redeem(device: Device, text: str, device_name: str, *, lan: bool, cloud: bool) -> SiteEntry:
    """Redeem an invite and store the site. lan, cloud: ways that may be used.

    Raises PlugsideError; nothing is stored then.
    """
    invite = read_invite(text)
    urls, addresses = invite.urls if cloud else (), invite.addresses if lan else ()
    shown = Shown(invite=invite.secret, name=device_name[:DEVICE_NAME_CHARS_MAX])

    async def dial(where: str) -> Opened:
        if where in urls:
            return await device.dial_cloud(where, invite.server, shown)
        return await device.dial_lan(where, invite.server, shown)

    def search() -> AsyncGenerator[str, None]:
        return device.search(invite.server, addresses)

    # Only a box announces itself on the LAN.
    where, opened = await race(
        (*urls, *addresses),
        dial,
        search if lan and (invite.addresses or not invite.urls) else None,
        search_after_s=device.pace.search_after_s,
    )
    try:
        entry = _entry(invite, where, opened)
        device.profile.put(entry, paired=True)
    finally:
        await opened.link.close()
    return entry


def _entry(invite: Invite, where: str, opened: Opened) -> SiteEntry:
    if not opened.granted:
        raise Refused(Code.BAD_INVITE, "its maker gave no grant")
    granted: wire.Granted = opened.granted[-1]
    by_cloud = opened.link.path is Path.CLOUD
    site = granted.site
    chain = opened.session.rotated
    if chain and chain[-1].site != site.site:
        raise RemoteFault(Code.UNTRUSTED_PEER, "the invite's maker is the box of another site")
    entry = SiteEntry(
        site=site.site,
        name=site.name,
        grant=granted.grant,
        role=site.role,
        principal=site.principal,
        box=site.key if by_cloud else invite.server,
        addresses=(site.addresses or invite.addresses)[:ADDRESSES_MAX],
        last_good="" if by_cloud else where,
        cloud_url=granted.cloud or (where if by_cloud else ""),
        cloud_key=invite.server if by_cloud else granted.cloud_key,
    )
    return rotated(entry, chain) if chain else entry

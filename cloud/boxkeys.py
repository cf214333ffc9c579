"""Whose key speaks for a site: the one that is stored, one that it was rotated to, or one given up lately.

    key is the site's               ─▶ as it is
    a chain leads from it to key    ─▶ the first to be confirmed wins: stored, signed on to phones, told once
    given up less than a day ago    ─▶ heard, and told that it was given up
    given up before, or a second    ─▶ refused by name, and flagged: somebody has a copy of the box's disk
    successor of one given up
    anything else                   ─▶ not this site's box

Our own placement (`Accounts.enrol`) outranks all of it: a key that was given up comes back by that alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from cloud.store.ports import Store
from cloud.store.rows import SiteRow
from common import trust
from common.domain import iso
from common.errors import Code, Refused, RemoteFault, Unavailable
from common.ports import Clock
from common.trust.rotation import OLD_KEPT_MS, kept, opened

if TYPE_CHECKING:
    from cloud.accounts import Accounts

log = logging.getLogger("plugside.edges")

#: Keys that a site gave up, as they are kept: rotations of all its boxes.
RETIRED_MAX = 64
#: Attempts that were flagged and are remembered, so that a box that comes again every minute is one line.
_FLAGGED_MAX = 1024
_REPLACED = "this site has another box now"
_AGAIN = (
    "An export from before: export again at the box. If this box was put back from an older copy:"
    " `plugside-edge release`, `plugside-edge pair`, and in the cloud"
    " `plugside-cloud site add NAME CODE --replace`. If it was not, somebody has a copy of its disk."
)


def judge(site: SiteRow, key: str, told: Sequence[str], now_ms: int) -> SiteRow:
    """The row as it is once this public key is believed; the same row where nothing changes. Pure.

    told: the chain that came with the key. Raises Refused(key_replaced), RemoteFault(untrusted_peer).
    """
    box = _name(key)
    if key == site.public:
        return _with_chain(site, told)
    if key == site.former and now_ms < site.former_until_ms:
        return site
    if any(one.former == box for one in map(kept, site.rotations)):
        raise Refused(Code.KEY_REPLACED, f"key {box[:8]} was given up for {site.box[:8]}", hint=_AGAIN)
    if not told:
        raise RemoteFault(Code.UNTRUSTED_PEER, _REPLACED)
    chain = opened(told, site=site.id)
    if chain[-1].new != key:  # the site's own statements are public: who tells them again is a stranger
        raise RemoteFault(Code.UNTRUSTED_PEER, _REPLACED)
    begins = next((at for at, one in enumerate(chain) if one.old == site.public), None)
    # What leads on from the site's key; where none of it does, all that is claimed.
    steps = chain[begins or 0 :]
    given_up = {one.box for one in steps} | (set() if begins is not None else {one.former for one in steps})
    if again := given_up & set(site.retired):
        # Named by the known key: who has that makes as many new ones as they like.
        raise Refused(Code.KEY_REPLACED, f"a successor of {min(again)[:8]}, which was given up", hint=_AGAIN)
    if begins is None:
        raise RemoteFault(Code.UNTRUSTED_PEER, _REPLACED)
    retired = [*site.retired, *(one.former for one in steps)]
    return msgspec.structs.replace(
        site,
        box=box,
        public=key,
        rotations=tuple(told),
        former=site.public,
        former_until_ms=now_ms + OLD_KEPT_MS,
        retired=tuple(dict.fromkeys(retired))[-RETIRED_MAX:],
    )


def taken_in(known: SiteRow | None, row: SiteRow, cloud: trust.IdentityKey, now_ms: int) -> SiteRow:
    """The row of a box that an operator took in; with our word for it where the site had another. Pure."""
    if known is None:
        return row
    if known.box == row.box:
        same = ("succession", "rotations", "former", "former_until_ms", "retired")
        return msgspec.structs.replace(row, **{name: getattr(known, name) for name in same})
    retired = (*(box for box in known.retired if box != row.box), known.box)
    placed = trust.succeed(cloud, row.id, row.box, now_ms)
    return msgspec.structs.replace(row, succession=placed, retired=retired[-RETIRED_MAX:])


def _with_chain(site: SiteRow, told: Sequence[str]) -> SiteRow:
    """How the box came to the key that it was enrolled with: its rights are issued under its first one."""
    if site.rotations or not told:
        return site
    chain = opened(told, site=site.id)
    if chain[-1].new != site.public:
        raise RemoteFault(Code.UNTRUSTED_PEER, "the box's rotations do not lead to its key")
    return msgspec.structs.replace(site, rotations=tuple(told))


def _name(key: str) -> str:
    try:
        return trust.fingerprint(key)
    except ValueError:
        raise RemoteFault(Code.UNTRUSTED_PEER, _REPLACED) from None


class BoxKeys:
    """`judge`, with what follows from it."""

    def __init__(self, store: Store, accounts: Accounts, clock: Clock) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._flagged: dict[tuple[str, str], None] = {}

    async def believed(self, site: SiteRow, key: str, told: Sequence[str]) -> SiteRow:
        """The site's row, this key being its box's: stored when this returns. The key has been proved.

        Raises Refused(key_replaced), RemoteFault(untrusted_peer), Unavailable: another tunnel was first.
        """
        now_ms = self._clock.now_ms()
        try:
            row = judge(site, key, told, now_ms)
        except Refused as replaced:
            await self._flag(site, key, replaced)
            raise
        if row == site:
            return site
        rotated = row.public != site.public
        if rotated:
            placed = trust.succeed(self._accounts.identity, site.id, row.box, now_ms)
            row = msgspec.structs.replace(row, succession=placed)
        if not await self._store.rotate_box(row, held=site.public):
            raise Unavailable(Code.BUSY, "the site's key was changed at this moment")
        await self._accounts.open()
        if rotated:
            log.info("the box of %s has another key: %s, before %s", site.name, row.box, site.box)
            detail = f"box {row.box}, before {site.box}; that one is heard until {iso(row.former_until_ms)}"
            await self._accounts.note("key_rotated", site=site.id, detail=detail)
        return row

    async def _flag(self, site: SiteRow, key: str, why: Refused) -> None:
        told = (site.id, why.detail)
        if told in self._flagged:
            return
        while len(self._flagged) >= _FLAGGED_MAX:
            del self._flagged[next(iter(self._flagged))]
        self._flagged[told] = None
        log.warning("%s: %s: a copy of its box's disk?", site.name, why.detail)
        await self._accounts.note(
            "key_refused", site=site.id, detail=f"box {trust.fingerprint(key)}: {why.detail}"
        )

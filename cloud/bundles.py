"""Bundles: records that a box sends in a file instead of over a tunnel (design §9). The same apply.

    file ─▶ whole? ─▶ head: whose? signed by that site's box? ─▶ part by part: signed? ─▶ store ─▶ mark

Who carries the file needs no right of their own: a bundle proves by the box's signature what it is, and what
is in the cloud already is skipped. A part that was applied stays applied when a later one is refused.
"""

from __future__ import annotations

import logging
from typing import Annotated

import msgspec

from cloud.boxkeys import BoxKeys
from cloud.counters import Counters
from cloud.store.ports import Store
from cloud.store.rows import HelloNote, Imported, SiteRow
from common import sync
from common.desk import LOCAL_ONLY, Plain, Request
from common.errors import Code, Refused
from common.policy import Claims
from common.ports import Clock
from common.sync import bundle
from common.trust import unb64
from common.trust.rotation import kept, opened

log = logging.getLogger("plugside.bundles")

#: Frames in the base64 of one message of the app link.
_Frame = Annotated[str, msgspec.Meta(max_length=bundle.FRAME_BYTES_MAX * 4 // 3 + 4)]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle came to. `hwm`: the site's records are here up to there."""

    site: str
    name: str
    epoch: str
    hwm: int
    last_seq: int  #: of the export that the head names
    new: int = 0  #: records that were not here before
    quarantined: tuple[int, ...] = ()


class _Import(msgspec.Struct, forbid_unknown_fields=True):
    """One page of a file: its head, and a part. Without one: whether it would be taken, and from where."""

    head: _Frame
    part: _Frame = ""


class Bundles:
    """Takes bundles; as a page of the app link (`request`) or whole (`take`)."""

    def __init__(self, store: Store, boxkeys: BoxKeys, counters: Counters, clock: Clock) -> None:
        self._store = store
        self._boxkeys = boxkeys
        self._counters = counters
        self._clock = clock
        self.request = Request(_Import, LOCAL_ONLY, self._page)

    async def take(self, data: bytes, site: str) -> Taken:
        """A whole bundle of the site with this name or id.

        Raises Refused: bad_bundle, unknown_site, unsupported_version; Unavailable.
        """
        head, parts = bundle.unpack(data)
        told, row = await self._head(head)
        if site not in (row.id, row.name):
            raise Refused(Code.WRONG_SITE, f"the file is of {row.name}")
        batches = [bundle.open_part(part, told, _key(told, row)) for part in parts]
        taken = await self._apply(row, told, None)
        new = 0
        quarantined: list[int] = []
        for batch in batches:
            taken = await self._apply(row, told, batch)
            new += taken.new
            quarantined += taken.quarantined
        taken = msgspec.structs.replace(taken, new=new, quarantined=tuple(quarantined))
        return _taken(row, told, taken)

    async def _page(self, args: _Import, claims: Claims) -> Plain:  # noqa: ARG002
        told, row = await self._head(_bytes(args.head))
        batch = bundle.open_part(_bytes(args.part), told, _key(told, row)) if args.part else None
        plain: Plain = msgspec.to_builtins(_taken(row, told, await self._apply(row, told, batch)))
        return plain

    async def _head(self, frame: bytes) -> tuple[bundle.BundleHead, SiteRow]:
        site = await self._store.site(bundle.read_head(frame).site)
        told = bundle.read_head(frame)
        if site is None or site.id != told.site:
            raise Refused(
                Code.UNKNOWN_SITE,
                told.site[:64],
                hint="This cloud has to take the box in first; is it the right cloud for this file?",
            )
        key = _key(told, site)
        told = bundle.open_head(frame, key)
        return told, await self._boxkeys.believed(site, key, told.rotations)

    async def _apply(self, site: SiteRow, head: bundle.BundleHead, batch: sync.Batch | None) -> Imported:
        note = HelloNote(
            last_seq=head.last_seq,
            boot_id=head.boot_id,
            wall=head.wall,
            clock=head.clock,
            software=head.software[:64],
            begins_after=head.begins_after,
        )
        done = await self._store.import_batch(
            site.id, head.epoch, head.instance_id, note, batch, self._clock.now_ms()
        )
        if batch is not None:
            self._counters.batch(len(batch.records), len(done.quarantined))
        for seq in done.quarantined:
            log.error("record %d of %s is in quarantine", seq, site.name)
        return done


def _key(head: bundle.BundleHead, site: SiteRow) -> str:
    """The public key that has to have signed: the one that the box's chain leads to, or the site's."""
    if head.rotations:
        return opened(head.rotations, site=site.id)[-1].new
    return kept(site.rotations[0]).old if site.rotations else site.public


def _taken(site: SiteRow, head: bundle.BundleHead, done: Imported) -> Taken:
    return Taken(
        site=site.id,
        name=site.name,
        epoch=head.epoch,
        hwm=done.mark.hwm,
        last_seq=head.last_seq,
        new=done.new,
        quarantined=done.quarantined,
    )


def _bytes(frame: str) -> bytes:
    try:
        return unb64(frame)
    except ValueError:
        raise Refused(Code.BAD_BUNDLE, "a frame is not base64url") from None

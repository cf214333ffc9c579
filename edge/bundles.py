"""Exports: the box's records for a file, page by page, each signed (design §9, `common.sync.bundle`).

The file is written by who asked (`plugside-edge export`): the daemon opens no path that a caller names. Pages
come from the journal's reader; what is committed when the first page is made is what the file will hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from common import sync
from common.desk import LOCAL_ONLY, Plain, Request
from common.domain import iso
from common.errors import Code, LocalFault, Refused
from common.policy import Claims
from common.ports import Clock
from common.sync import bundle
from common.trust import b64
from edge.authority import Authority
from edge.gateway import Gateway
from edge.journal.journal import Journal
from edge.overview import SOFTWARE


class _Export(msgspec.Struct, forbid_unknown_fields=True):
    """after: the last seq that the cloud has. epoch, up_to: from the answer before, for the next page."""

    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    epoch: str = ""
    up_to: Annotated[int, msgspec.Meta(ge=0)] = 0
    new_epoch: bool = False


class Exports:
    """Answers `wire.Manage` named `export`."""

    def __init__(
        self,
        authority: Authority,
        gateway: Gateway,
        journal: Journal,
        clock: Clock,
        *,
        connected: Callable[[], bool],
    ) -> None:
        """connected: whether a tunnel stands, which has its own idea of the epoch."""
        self._authority = authority
        self._gateway = gateway
        self._journal = journal
        self._clock = clock
        self._connected = connected
        self.request = Request(_Export, LOCAL_ONLY, self._page)

    async def _page(self, args: _Export, claims: Claims) -> Plain:  # noqa: ARG002
        """One page: `frames` (base64url; the first page begins with the head), `next` (0: that was all)."""
        if args.new_epoch and not args.epoch:
            if self._connected():
                raise Refused(
                    Code.BAD_REQUEST,
                    "the tunnel to the cloud stands and begins epochs by itself",
                    hint="Export without --new-epoch; what the cloud lacks is on its way to it already.",
                )
            await self._gateway.rotate_epoch()
        journal, frames = self._journal, []
        if not args.epoch:
            await journal.probe()
            args = self._settled(args)
            frames.append(self._head(args))
        if args.epoch != journal.epoch:
            raise Refused(Code.BAD_REQUEST, "a new epoch began meanwhile", hint="Export again.")
        end = args.after
        if args.after < args.up_to:
            rows = journal.records(
                args.after + 1,
                max_records=min(sync.BATCH_RECORDS_MAX, args.up_to - args.after),
                max_bytes=bundle.PART_BYTES_MAX,
            )
            if not rows:
                raise LocalFault(Code.INTERNAL, f"the journal does not hold seq {args.after + 1} any more")
            end = rows[-1].seq
            frames.append(self._part(rows))
        return {
            "frames": [b64(frame) for frame in frames],
            "epoch": args.epoch,
            "after": args.after,
            "up_to": args.up_to,
            "next": end if end < args.up_to else 0,
        }

    def _settled(self, args: _Export) -> _Export:
        """From where to where, now that the epoch is known. Raises Refused."""
        journal, up_to = self._journal, self._journal.committed_seq
        after = max(args.after, journal.begins_after)
        if after > up_to:
            raise Refused(
                Code.BAD_REQUEST,
                f"this journal ends at {up_to}, before {after}",
                hint="If it was restored from a backup, export with --new-epoch: everything goes again.",
            )
        if journal.chain_at(after) is None:
            raise Refused(
                Code.BAD_REQUEST,
                f"record {after + 1} has left this journal: what is older than two years is not kept",
                hint="If the cloud has it, name what the last import said with --after. If not, export with"
                " --new-epoch: everything that is kept.",
            )
        return msgspec.structs.replace(args, epoch=journal.epoch, after=after, up_to=up_to)

    def _head(self, args: _Export) -> bytes:
        reached = self._journal.chain_at(args.up_to)
        assert reached is not None, "what was just committed has a chain"
        head = bundle.BundleHead(
            site=self._authority.site,
            epoch=args.epoch,
            first_seq=args.after + 1,
            last_seq=args.up_to,
            chain_end=reached,
            instance_id=self._authority.instance,
            wall=iso(self._clock.now_ms()),
            clock=self._clock.quality,
            software=SOFTWARE,
            begins_after=self._journal.begins_after,
            rotations=self._authority.keys.statements,
        )
        return bundle.sign_head(head, self._authority.identity)

    def _part(self, rows: Sequence[sync.Stored]) -> bytes:
        batch = sync.Batch(
            link=0,
            epoch=self._journal.epoch,
            from_seq=rows[0].seq,
            records=tuple(sync.Record(r.seq, r.uid, r.salt, r.record, r.inner) for r in rows),
            chain_end=rows[-1].chain,
        )
        return bundle.sign_part(self._authority.site, batch, self._authority.identity)

"""The import part of the SQL store: what a box sends without a tunnel, into the same tables."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select, update

from cloud.store import codec, schema
from cloud.store.engine import Database, whole
from cloud.store.ingest import Ingest, read_mark
from cloud.store.rows import HelloNote, Imported
from common import sync
from common.errors import Code, Refused


class ImportPart:
    """`cloud.store.ports.ImportStore` on SQL."""

    _db: Database

    @whole
    async def import_batch(
        self,
        site: str,
        epoch: str,
        instance: str,
        note: HelloNote,
        batch: sync.Batch | None,
        now_ms: int,
    ) -> Imported:
        table = schema.site
        async with self._db.write() as tx:
            query = select(table.c.epoch, table.c.instance, table.c.hello).where(table.c.id == site)
            known: Any = (await tx.execute(query.with_for_update())).first()
            if known is None:
                raise Refused(Code.UNKNOWN_SITE)
            if known.instance and known.instance != instance:
                raise Refused(
                    Code.BAD_BUNDLE,
                    "this site's box runs on another data folder; the file is of a copy",
                    hint="Export on the site's own box. If it was replaced, add its site again first.",
                )
            mark = await read_mark(tx, site, epoch)
            if epoch != known.epoch and (mark is not None or _counter(epoch) < _counter(known.epoch)):
                raise Refused(
                    Code.BAD_BUNDLE,
                    f"it is of epoch {epoch}, which the box has left for {known.epoch}",
                    hint="Export on the box again; everything that this file holds is in the new one."
                    " If the box exports this epoch still, an older journal was put back: add --new-epoch.",
                )
            mark = mark or sync.first_mark(epoch, note.begins_after)
            imported = Imported(mark=mark)
            if batch is not None:
                ingest = Ingest(self._db, tx, site, now_ms)
                answer = await ingest.take(mark, batch)
                if isinstance(answer, sync.Decline):
                    raise _declined(answer, batch)
                new = answer.hwm - mark.hwm
                imported = Imported(mark=answer, new=new, quarantined=ingest.quarantined)
            last_heard = codec.hello_in(known.hello)
            kept = msgspec.structs.replace(
                last_heard,
                last_seq=note.last_seq,
                wall=note.wall,
                clock=note.clock,
                software=note.software,
                begins_after=note.begins_after,
            )
            changed = {"instance": instance, "epoch": epoch, "hello": codec.to_json(kept)}
            await tx.execute(update(table).where(table.c.id == site).values(**changed, seen_ms=now_ms))
        return imported


def _counter(epoch: str) -> int:
    """Which of a site's epochs it is: a box counts them (design §4)."""
    number = epoch.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 12 else 0


def _declined(why: sync.Decline, batch: sync.Batch) -> Refused:
    if why.reason == "gap":
        return Refused(
            Code.BAD_BUNDLE,
            f"it begins at record {batch.from_seq}, and the cloud has them up to {why.expected - 1}",
            hint=f"Run `plugside-edge export --after {why.expected - 1} FILE` on the box.",
        )
    return Refused(
        Code.BAD_BUNDLE,
        "it tells another history than the cloud has: the box was restored from a backup, or copied",
        hint="Run `plugside-edge export --new-epoch FILE` on the box: it sends everything that it has kept.",
    )

"""The journal's keeper: the room that keeps it within its quota, copies it, and looks whether it is whole.

    every few seconds   how full is it?  ─▶  thin, thin what the cloud has not, store less, let the ballast go
    once a day          what is older than it must be goes; a copy is made, three are kept
    once a week         the whole file and the whole chain are read

Everything that is left out is declared first, by a fact that is on disk before it goes (`common.thinning`).
Each step is one small transaction behind which the others take their turn.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from common.domain import iso
from common.errors import PlugsideError
from common.ports import Clock
from common.thinning import Thinned
from edge.gateway import Gateway
from edge.journal import backups, ballast, inspection, pruning, quota, thinning
from edge.journal.folder import Database
from edge.journal.journal import Journal
from edge.journal.quota import Level, Room
from edge.journal.thinning import Stage

log = logging.getLogger("plugside.journal")

#: How often the journal is measured, in s. A site writes some kB/s at the very most; what fills a disk within
#: seconds is somebody else, and then the ballast is let go when the journal next opens.
LOOK_EVERY_S = 5.0
#: The cloud's mark is written down at most every so many looks: it only spares samples after a restart.
WRITE_MARK_EVERY = 120
#: Between two steps of thinning, in s: others write in between.
PAUSE_S = 0.02
DAY_MS = 24 * 3_600_000
#: Retention: samples by age; whole facts and sessions by age; settled commands by the life of their ids (§7).
SAMPLES_MS = 90 * DAY_MS
FACTS_MS = 2 * 365 * DAY_MS
COMMANDS_MS = 30 * DAY_MS
CHECK_MS = 7 * DAY_MS
#: While samples are not written, how many were not is told so often.
TELL_UNSTORED_MS = 3_600_000
#: A stage that found nothing more looks again after so many facts.
AGAIN_AFTER = 4 * thinning.WINDOW

#: The ladder in order: what is taken, whether only from what the cloud has, and from which level on.
_LADDER = (
    (Stage.ROLL_UP, True, Level.THIN),
    (Stage.HALVE, True, Level.THIN),
    (Stage.HALVE, False, Level.THIN_UNACKED),
)
_DIARY = "keeper.diary"


class Diary(msgspec.Struct):
    """When what was last done (site time, ms), and the cloud's mark as last heard."""

    kept_ms: int = 0
    checked_ms: int = 0
    acked_epoch: str = ""
    acked_seq: int = 0


class _Progress(msgspec.Struct):
    """How far one stage has come through the journal."""

    at: int = 0
    found: int = 0  #: since it last began at the front
    idle_until: int = 0  #: nothing was left; not looked at before the journal has come so far


class Keeper:
    """See the module. acked: the cloud's mark as this process has heard it, None = not in this process.

    With no cloud everything counts as acknowledged: `acked` says so.
    """

    def __init__(
        self,
        gateway: Gateway,
        journal: Journal,
        clock: Clock,
        *,
        acked: Callable[[], int | None],
        quota_mib: int = 0,
    ) -> None:
        self.level = Level.FINE
        self.space: Room | None = None
        self._gateway, self._journal, self._clock = gateway, journal, clock
        self._acked, self._quota_mib = acked, quota_mib
        self._folder = journal.path.parent
        self._stages = {(stage, acked): _Progress() for stage, acked, _ in _LADDER}
        self._epoch = journal.epoch
        self._diary = Diary()
        self._written = Diary()
        self._looks = 0
        self._told_ms = 0

    # --- the room ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the journal until cancelled."""
        self._read_diary()
        while True:
            await self.look()
            if self._diary != self._written and self._looks % WRITE_MARK_EVERY == 0:
                await self._write_diary()
            self._looks += 1
            if self._clock.now_ms() - self._diary.kept_ms >= DAY_MS:
                await self.daily()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Measure, and do what the level asks for until it is enough or nothing is left that may go."""
        self.measure()
        self._keep_mark()
        self._hold_or_release_ballast()
        await self._store_less_or_all()
        fresh = True
        while self.level >= Level.THIN and self._gateway.accepting:
            if fresh:
                await self._snapshots()
                fresh = False
            if not await self._step():
                return
            self.measure()
            await asyncio.sleep(PAUSE_S)

    def measure(self) -> Level:
        """How full the journal is now."""
        pages, free, size = self._journal.pages()
        adopted = sum(entry.adopted for entry in self._gateway.state.view.chargers.values())
        log_file = Path(f"{self._journal.path}-wal")
        self.space = Room(
            quota=quota.quota_bytes(adopted, self._quota_mib),
            used=(pages - free) * size,
            reusable=free * size,
            log=log_file.stat().st_size if log_file.exists() else 0,
            disk_free=shutil.disk_usage(self._folder).free,
            ballast=ballast.held(self._folder),
        )
        before, self.level = self.level, quota.level(self.space, self.level)
        if before is not self.level:
            log.log(
                logging.WARNING if self.level > before else logging.INFO,
                "the journal is %.0f %% full (%s): %s",
                100 * self.space.fraction,
                "the disk is short" if self.space.disk_is_short else "its quota",
                self.level.name.lower().replace("_", " "),
            )
        return self.level

    def describe(self) -> dict[str, Any]:
        """For health: sizes in bytes."""
        if self.space is None:
            self.measure()
        space = self.space
        assert space is not None
        return {
            "level": self.level.name.lower(),
            "percent": round(100 * space.fraction, 1),
            "quota": space.quota,
            "used": space.used,
            "reusable": space.reusable,
            "log": space.log,
            "disk_free": space.disk_free,
            "disk_is_short": space.disk_is_short,
            "ballast": space.ballast,
            "sparse": self._gateway.sparse,
            "unstored": self._gateway.unstored,
            "backup": backups.newest(self._folder / backups.FOLDER),
            "damaged_sets": inspection.damaged_sets(self._folder),
            "replaced_sets": inspection.replaced_sets(self._folder),
        }

    # --- the ladder ----------------------------------------------------------------------------------------

    @property
    def mark(self) -> int:
        """The last fact that the cloud is known to have."""
        live = self._acked()
        if live is not None:
            return live
        return self._diary.acked_seq if self._diary.acked_epoch == self._journal.epoch else 0

    async def _snapshots(self) -> None:
        """What is thinned lies before both snapshots; they are brought up to now."""
        for _ in range(2):
            self._gateway.snapshot()
        await self._journal.probe()

    async def _step(self) -> bool:
        """One window of the first stage that has one. False: nothing is left."""
        if self._epoch != self._journal.epoch:
            self._epoch = self._journal.epoch
            self._stages = {key: _Progress() for key in self._stages}
        for stage, acked_only, least in _LADDER:
            progress = self._stages[stage, acked_only]
            if self.level < least or progress.idle_until > self._journal.committed_seq:
                continue
            up_to = self.mark if acked_only else self._journal.committed_seq
            if await self.thin(stage, progress, up_to, acked=acked_only):
                return True
        return False

    async def thin(self, stage: Stage, progress: _Progress, up_to: int, *, acked: bool) -> bool:
        """Thin the stage's next window. False: the stage has come to the end and finds nothing any more."""
        after = progress.at
        made = await self._journal.submit(lambda db: thinning.plan(db, stage, after, up_to))
        if made is None:
            again = progress.found > 0 and stage is Stage.HALVE
            idle = 0 if again else self._journal.committed_seq + AGAIN_AFTER
            progress.at, progress.found, progress.idle_until = 0, 0, idle
            return again
        progress.at = made.last
        if made.rows:
            await self._gateway.written(made.declaration(acked=acked))
            progress.found += await self._journal.submit(lambda db: thinning.carry_out(db, made))
            if self.space is not None and self.space.disk_is_short:
                await self._journal.submit(pruning.give_back)
        return True

    async def _store_less_or_all(self) -> None:
        """Samples between a session's ends are not written while there is hardly room: declared, counted."""
        gateway, now_ms = self._gateway, self._clock.now_ms()
        sparse = self.level >= Level.SPARSE
        hourly = sparse and gateway.unstored and now_ms - self._told_ms >= TELL_UNSTORED_MS
        if (sparse == gateway.sparse and not hourly) or not gateway.accepting:
            return
        count, since = gateway.unstored, iso(now_ms)
        await gateway.written(Thinned(reason="not_stored", count=count, since=since, over=not sparse))
        gateway.unstored -= count
        gateway.sparse, self._told_ms = sparse, now_ms

    def _hold_or_release_ballast(self) -> None:
        space = self.space
        assert space is not None
        if self.level >= Level.BALLAST:
            if space.disk_is_short and ballast.release(self._folder):
                log.error("the disk is full: the ballast was let go; free space on it now")
        elif self.level is Level.FINE and not space.ballast and space.disk_free >= 4 * quota.BALLAST_BYTES:
            ballast.take(self._folder, quota.BALLAST_BYTES)

    # --- once a day, once a week ---------------------------------------------------------------------------

    async def daily(self) -> None:
        """Remove what is too old, copy the journal, and once a week read all of it."""
        now_ms = self._clock.now_ms()
        first = not self._diary.kept_ms
        self._diary.kept_ms = now_ms
        if first:
            self._diary.checked_ms = now_ms
            await self._write_diary()
            return
        await self.retire(now_ms)
        try:
            await self.copy(self._folder / backups.FOLDER)
        except PlugsideError as failed:
            log.warning("no copy was made: %s", failed)  # the next day tries again; health shows its age
        if now_ms - self._diary.checked_ms >= CHECK_MS:
            await self.check()
            self._diary.checked_ms = now_ms
        await self._write_diary()

    async def retire(self, now_ms: int) -> None:
        """Remove samples after 90 days, facts and sessions after two years, command ids after 30 days."""
        await self._snapshots()
        old = await self._journal.submit(lambda db: pruning.last_before(db, now_ms - SAMPLES_MS))
        progress = _Progress()
        await _until_done(lambda: self.thin(Stage.RETENTION, progress, min(old, self.mark), acked=True))
        await self._all_of(pruning.forget_sessions, now_ms - FACTS_MS)
        await _until_done(lambda: self._cut(FACTS_MS))
        await self._all_of(pruning.forget_commands, now_ms - COMMANDS_MS)

    async def _all_of(self, remove: Callable[[Database, int], int], before_ms: int) -> None:
        up_to = await self._journal.submit(lambda db: pruning.last_before(db, before_ms))
        up_to = min(up_to, self.mark)
        if up_to:
            await _until_done(lambda: self._journal.submit(lambda db: remove(db, up_to)))

    async def _cut(self, older_ms: int) -> int:
        before_ms = self._clock.now_ms() - older_ms
        mark = self.mark

        def cut(db: Database) -> int:
            return pruning.cut(db, min(mark, pruning.last_before(db, before_ms)))

        return await self._journal.submit(cut)

    async def copy(self, folder: Path) -> tuple[Path, int]:
        """Copy the journal while it is written to; the file and its bytes. Raises LocalFault."""
        target = folder / backups.name_at(iso(self._clock.now_ms()))
        size = await asyncio.to_thread(backups.copy_of, self._journal.path, target)
        if folder == self._folder / backups.FOLDER:
            backups.keep_newest(folder)
        return target, size

    async def check(self) -> None:
        """Read the whole file and the whole chain. What is not as it was written ends the process: the next
        start sets the file aside and saves what still proves itself.
        """
        damage = await asyncio.to_thread(inspection.damage, self._journal.path)
        if damage:
            log.critical("the weekly check found damage: %s", damage)
            inspection.mark_suspect(self._folder, damage)
            self._gateway.give_up(RuntimeError(damage))

    # --- what it remembers ---------------------------------------------------------------------------------

    def _read_diary(self) -> None:
        known = self._journal.get(_DIARY)
        if known is not None:
            try:
                self._diary = msgspec.json.decode(known, type=Diary)
            except msgspec.DecodeError:
                self._diary = Diary()
        self._written = msgspec.structs.replace(self._diary)

    def _keep_mark(self) -> None:
        """Remember the cloud's mark: thinning goes by it when the box starts without a cloud."""
        live = self._acked()
        if live is not None:
            self._diary.acked_epoch, self._diary.acked_seq = self._journal.epoch, live

    async def _write_diary(self) -> None:
        self._written = msgspec.structs.replace(self._diary)
        await self._journal.set(_DIARY, msgspec.json.encode(self._diary))


async def _until_done(step: Callable[[], Awaitable[object]]) -> None:
    """Take steps, with pauses for everybody else, until one finds nothing to do."""
    while True:
        if not await step():
            return
        await asyncio.sleep(PAUSE_S)

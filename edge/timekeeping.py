"""The clock's watch: a system clock that is set becomes a fact, with both of its readings.

Times of facts never go back (`common.clock`). So that whoever reads them later can correct them all the same,
the step is written down: what was written in this boot before it is off by as much.

A boot outlives its processes: what one knew of the monotonic clock (`Boot`) the next one goes on from, so
that neither the time that it was away nor a step in that time is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from common.clock import Step, SystemClock
from common.desk import LOCAL_ONLY, Plain, Request
from common.domain import from_iso, iso
from common.errors import Code, Refused, Unavailable
from common.facts import ClockStepped
from common.policy import Claims
from edge.core.state import ClockTold, SiteState
from edge.gateway import Gateway
from edge.journal.journal import Journal
from edge.journal.recall import set_meta

log = logging.getLogger("plugside.clock")

#: How often the two clocks are compared, in s.
LOOK_EVERY_S = 5.0
#: Between two processes of a boot the clock may differ from the monotonic one by so much (ms) without a step.
STEP_MS = 2000
#: Under which name the journal keeps a `Boot`.
KEPT = "clock.boot"
_KERNELS_OWN = Path("/proc/sys/kernel/random/boot_id")


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one boot of the machine. `offset_ms`: `SystemClock.offset_ms`, as last known."""

    id: str
    since: str  #: of the last fact before it: what is later is of this boot
    offset_ms: int
    proven: bool = False  #: by tunnel or hand; the system clock is then believed only where it agrees


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    set: Annotated[str, msgspec.Meta(max_length=32)] = ""  #: ISO 8601, or `system`; empty = only tell


def boot_id(environ: Mapping[str, str], otherwise: str) -> str:
    """The machine's boot: as the service's unit names it (it hides the kernel's own file), or the kernel."""
    named = environ.get("PLUGSIDE_BOOT_ID", "")
    if not named:
        with contextlib.suppress(OSError):
            named = _KERNELS_OWN.read_text("ascii", "replace").strip()
    return named.replace("-", "")[:64] or otherwise


def begun(journal: Journal, boot: str, clock: SystemClock, state: SiteState) -> tuple[Boot, Step | None]:
    """`resumed` from what the journal keeps; a new boot is kept before any fact is. Raises LocalFault."""
    kept = journal.get(KEPT)
    known, missed = resumed(kept, boot, clock, state.view.at, state.clock_told)
    if missed is None:
        journal.write_now(lambda db: set_meta(db, KEPT, msgspec.json.encode(known)))
    return known, missed


def resumed(
    kept: bytes | None, boot: str, clock: SystemClock, last_at: str, told: ClockTold | None = None
) -> tuple[Boot, Step | None]:
    """The boot that this process is of; and the step of the clock that happened while none ran.

    kept: the last `Boot` that was kept. last_at: when the last fact was written; empty = there is none. The
    clock goes on behind that, and from `kept`, if it is this boot's. told: what the last fact of a step says:
    of a process that ended between the two, `kept` is older, and readers correct by what was told.
    """
    before: Boot | None = None
    with contextlib.suppress(msgspec.DecodeError):
        before = msgspec.json.decode(kept, type=Boot) if kept else None
    if told is not None and told.boot == boot:
        if before is None or before.id != boot:
            before = Boot(id=boot, since=told.since, offset_ms=told.offset_ms)
        before = msgspec.structs.replace(before, offset_ms=told.offset_ms)
    if last_at:
        clock.raise_floor(from_iso(last_at) + 1)  # what is written from here on is later than what was
    if before is None or before.id != boot:
        return Boot(id=boot, since=last_at or iso(0), offset_ms=clock.offset_ms()), None
    if before.proven:
        clock.prove(before.offset_ms + clock.mono_ms())
    clock.run_on(before.offset_ms)
    offset_ms, mono_ms = clock.offset_ms(), clock.mono_ms()
    now = msgspec.structs.replace(before, offset_ms=offset_ms)
    if abs(offset_ms - before.offset_ms) < STEP_MS:
        return now, None
    return now, Step(before.offset_ms + mono_ms, offset_ms + mono_ms, mono_ms)


class ClockWatch:
    """The room. boot, missed: as `resumed` says. keep: has the journal keep a boot."""

    def __init__(
        self,
        clock: SystemClock,
        gateway: Gateway,
        boot: Boot,
        missed: Step | None = None,
        *,
        keep: Callable[[bytes], None],
    ) -> None:
        self._clock, self._gateway, self._boot, self._keep = clock, gateway, boot, keep
        self._missed = missed
        self.request = Request(_Clock, LOCAL_ONLY, self._asked)

    async def run(self) -> None:
        """Watch until cancelled."""
        self.begin()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def begin(self) -> None:
        """Tell the step that no process saw."""
        missed, self._missed = self._missed, None
        if missed is not None:
            self._tell(missed)

    def look(self) -> None:
        """Compare once."""
        step = self._clock.stepped()
        if step is not None:
            self._tell(step)

    def proved(self, at_ms: int, by: str) -> bool:
        """The time was proven, by the tunnel or by hand; written down where it is a step. True if it was."""
        self.look()  # a setting that nobody has seen yet is none of the proof's doing
        step = self._clock.prove(at_ms)
        self._boot = msgspec.structs.replace(self._boot, proven=True)
        if step is not None:
            self._tell(step, f"proven_by_{by}")
        else:
            self._kept()
        return step is not None

    def told_by_cloud(self, time: str) -> None:
        """The tunnel proves the time: whoever welcomes us holds the name that we dialled."""
        with contextlib.suppress(ValueError):
            self.proved(from_iso(time), "tunnel")

    def heard(self, signed_ms: int) -> int:
        """A known issuer has signed something then: time is no earlier. Returns the time."""
        self.look()
        step = self._clock.hear(signed_ms)
        if step is not None:
            self._tell(step, "signed_later")
        return self._clock.now_ms()

    async def _asked(self, args: _Clock, _: Claims) -> Plain:
        """What time it is here, and how far that can be believed; set by somebody in front of the box."""
        if args.set == "system":
            at_ms = self._clock.system_ms()
        elif args.set:
            try:
                at_ms = from_iso(args.set)
            except ValueError as wrong:
                hint = "For example 2026-11-30T14:00:00Z."
                raise Refused(Code.BAD_REQUEST, f"{wrong}", hint=hint) from None
        stepped = bool(args.set) and self.proved(at_ms, "hand")
        return {
            "time": iso(self._clock.now_ms()),
            "clock": self._clock.quality,
            "sure": self._clock.sure,
            "system": iso(self._clock.system_ms()),
            "stepped": stepped,
        }

    def _kept(self) -> None:
        with contextlib.suppress(Unavailable):  # a journal without room has other worries
            self._keep(msgspec.json.encode(self._boot))

    def _tell(self, step: Step, reason: str = "") -> None:
        reason = reason or ("stepped_back" if step.after_ms < step.before_ms else "stepped_forward")
        log.warning("the clock was set from %s to %s: %s", iso(step.before_ms), iso(step.after_ms), reason)
        body = ClockStepped(
            before=iso(step.before_ms),
            after=iso(step.after_ms),
            reason=reason,
            boot=self._boot.id,
            mono_ms=step.mono_ms,
            since=self._boot.since,
        )
        with contextlib.suppress(Unavailable):
            self._gateway.note(body)
        self._boot = msgspec.structs.replace(self._boot, offset_ms=self._clock.offset_ms())
        self._kept()


def kept_in(journal: Journal) -> Callable[[bytes], None]:
    """For `ClockWatch.keep`: nobody waits for it, and that it failed is the journal's to tell."""

    def seen(done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()

    return lambda value: journal.set(KEPT, value).add_done_callback(seen)

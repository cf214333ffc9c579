"""The gateway: one loop a site. Input → decide → apply, no await between; outputs wait for the disk.

    charger message ─▶ backlog ─┐                        ┌─▶ reply to the charger
    call's end, command ────────┴▶ decide, apply ─▶ gate ┼─▶ request to a charger
                                        │                ├─▶ command progress to the app
                                        └─▶ journal ─────┴─▶ fact to followers (bus)
                                             commit opens the gate up to its seq

The order of decisions is `seq`. Every output is held until the commit of the seq that it depends on, then
released in seq order; only an urgent request (a stop, a lower limit) leaves at once (design §2, §5). Taps and
call results are decided when they arrive; chargers' messages wait in the backlog, which gets a budget a turn
of the event loop, so a flush of a hundred queues cannot hold up a driver.

When a commit fails, or memory can no longer be what the journal says, nothing more is acknowledged: `failed`
is set, the process ends, and memory is rebuilt from the journal at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from common import facts
from common.caps import Caps, Used, period_start_ms
from common.domain import iso
from common.errors import Code, PlugsideError, Unavailable
from common.facts import Fact
from common.policy import Claims
from common.ports import Clock, Ids
from edge.alarm import Alarm
from edge.bus import Bus, Follower, snapshot_frame
from edge.chargers.ports import ReplyTo
from edge.core import allowance, configuration, engine, inputs
from edge.core.engine import SiteState
from edge.gate import ENDS, Asked, Gate, Progress, Watchers, hand
from edge.held import Held
from edge.journal.journal import Journal
from edge.journal.rotation import Head
from edge.recall import recalled, reply_payload

log = logging.getLogger("plugside.gateway")

#: How long the backlog may keep the event loop in one turn, in seconds: a tap that arrives meanwhile waits
#: at most this much longer. 2 ms is a fiftieth of the 100 ms promise, and some dozens of messages, which then
#: are one commit.
BACKLOG_BUDGET_S = 0.002
#: Outputs that may wait for the disk before the backlog is held back: some seconds of a busy site on SD.
GATE_MAX = 8192
#: Chargers' messages that may wait to be decided: 64 for each of 500 chargers (a link is cut at 64 anyway).
BACKLOG_MAX = 32_000
#: A state snapshot for every so many facts: bounds what a restart must replay to well under a second.
SNAPSHOT_EVERY = 20_000


class Requests(Protocol):
    """Where calls to chargers leave: the charger listener."""

    def send(self, request: inputs.Request) -> None: ...


class Gateway:
    """See the module. Made by `edge.site`; used from the event loop's thread only."""

    def __init__(self, state: SiteState, journal: Journal, bus: Bus, clock: Clock, ids: Ids) -> None:
        self.state = state
        self.bus = bus
        self.failed: asyncio.Future[BaseException] | None = None
        self.decided = 0  #: inputs decided since start, for metrics
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._requests: Requests | None = None
        self._backlog: deque[tuple[inputs.Input, ReplyTo | None]] = deque()
        #: Set while the disk is nearly full: samples within a session are acknowledged and not written.
        self.sparse = False
        self.unstored = 0  #: messages that were acknowledged so since this was last set to 0
        self.first: Callable[[], None] = lambda: None  #: called at the start, to note what comes before all
        self.held = Held()
        self._gate = Gate()
        self._watchers = Watchers()
        self._pumping = False
        self._paused = False
        self._alarm = Alarm(lambda: engine.deadline(self.state), clock.now_ms, self._tick)
        self._snapshot_seq = journal.committed_seq
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- life ------------------------------------------------------------------------------------------

    def start(self, requests: Requests, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin deciding, on the running loop unless another is given. requests: where calls leave."""
        self._loop = loop or asyncio.get_running_loop()
        self.failed = self._loop.create_future()
        self._requests = requests
        self._journal.start(self._loop, self._committed, self.give_up)
        self.first()
        self._decide(inputs.Started(settings=dict(configuration.DEFAULTS)), None)

    async def stop(self) -> None:
        """Write what is pending and a snapshot; later inputs are ignored.

        What the journal has no room for is left: its senders were told nothing, and will repeat it.
        """
        while self._backlog and self._ready():
            self._pump()
            await (self._journal.probe() if len(self._gate) >= GATE_MAX else asyncio.sleep(0))
        self._paused = True
        self._alarm.stop()
        if self._loop is not None and not self._broken():
            try:
                self._write_snapshot()
                await self._journal.probe()
            except PlugsideError as failed:
                log.warning("no snapshot at the end, the next start takes longer: %s", failed)

    @property
    def accepting(self) -> bool:
        """Whether chargers may connect: false once nothing can be written (they keep what they queue)."""
        return self._loop is not None and not self._broken() and not self._paused

    def _ready(self) -> bool:
        """Whether a decision could be written down now. Asked before every decision: memory that has taken
        a fact which the journal then refuses would be wrong."""
        return not self._paused and not self._broken() and self._journal.room

    def _broken(self) -> bool:
        return self.failed is not None and self.failed.done()

    # --- what comes in ---------------------------------------------------------------------------------

    def submit(self, given: inputs.Input, reply_to: ReplyTo | None = None) -> None:
        """Take an input. Charger messages queue in order; everything else is decided at once.

        Raises Unavailable(journal_unavailable) when nothing can be written, and (busy) when the backlog is
        full: the link closes and the charger keeps its message.
        """
        if self._broken():
            raise Unavailable(Code.JOURNAL_UNAVAILABLE)
        if isinstance(given, inputs.CallEnded | inputs.Note) and self._ready():
            self._decide(given, reply_to)
            return
        if len(self._backlog) >= BACKLOG_MAX:
            raise Unavailable(Code.BUSY)
        self._backlog.append((given, reply_to))
        self._wake()

    def command(self, given: inputs.CommandReceived, progress: Progress) -> None:
        """Take a verified command; `progress` hears of every stage, each after it is on disk.

        Raises Unavailable as `submit` does.
        """
        if not self._ready():
            self._without_room(given, progress)
            return
        decision = self._decide(given, None, (given.id, progress))
        if not any(step.stage in ENDS for step in decision.progress if step.id == given.id):
            self._watchers.add(given.id, progress)

    def _without_room(self, given: inputs.CommandReceived, progress: Progress) -> None:
        """A stop waits for no disk: its call leaves, the command is decided when there is room."""
        now_ms = self._clock.now_ms()
        request = self.held.without_room(self.state, given, progress, now_ms, broken=self._broken())
        if request is not None:
            self._send(request)

    def _decide_held(self) -> None:
        if len(self.held) and self._ready():
            self.held.release(self.command)

    def note(self, body: facts.Body) -> None:
        """Journal something that a shell saw. Raises Unavailable as `submit` does."""
        self.submit(inputs.Note(body=body))

    async def written(self, body: facts.Body) -> None:
        """Journal a fact and return once it is on disk. Raises Unavailable; busy: nothing was written."""
        if not self._broken() and not self._ready():
            raise Unavailable(Code.BUSY)
        self.note(body)
        await self._journal.probe()

    def used(self, principal: str, caps: Caps) -> tuple[Used, int]:
        """What a principal has had in the present period of these caps, and when that began."""
        now_ms = self._clock.now_ms()
        return allowance.of(self.state, principal, caps, now_ms), period_start_ms(caps, now_ms)

    def forget_watcher(self, progress: Progress) -> None:
        """The app link behind `progress` is gone."""
        self._watchers.leave(progress)

    def follow(self, follower: Follower, claims: Claims) -> None:
        """Push a snapshot to `follower` and then every visible fact, with no gap between."""
        if self._broken():
            raise Unavailable(Code.JOURNAL_UNAVAILABLE)
        view = self.state.view
        frame = snapshot_frame(view, claims, iso(self._clock.now_ms()))
        self._hold(view.seq, lambda: follower.push(frame))
        self.bus.follow(follower, claims, view.epoch, view.seq)

    def when_committed(self, then: Callable[[], None]) -> None:
        """Call `then` once everything decided so far is on disk, in order with all other outputs."""
        self._hold(self.state.view.seq, then)

    # --- the backlog -----------------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._pumping and not self._paused and self._loop is not None:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Decide backlog for one budget, then let the event loop look at its sockets again."""
        self._pumping = False
        assert self._loop is not None
        until = self._loop.time() + BACKLOG_BUDGET_S
        with self._journal.one_group():
            while self._backlog and self._ready():
                if len(self._gate) >= GATE_MAX:
                    return  # the next commit wakes us
                given, reply_to = self._backlog.popleft()
                try:
                    self._decide(given, reply_to)
                except Exception:
                    # Its charger gets no answer and repeats it, or gives up; nobody waits behind it.
                    log.exception("%s could not be decided", type(given).__name__)
                if self._loop.time() >= until:
                    break
        if self._backlog and self._ready():
            self._wake()

    # --- one decision ----------------------------------------------------------------------------------

    def _decide(
        self, given: inputs.Input, reply_to: ReplyTo | None, asked: Asked | None = None
    ) -> inputs.Decision:
        """Raises what looking up or deciding raised, and then nothing has changed."""
        now_ms = self._clock.now_ms()
        state = self.state
        given = recalled(state, given, self._journal)
        if self.sparse and isinstance(given, inputs.MeterReported):
            given = msgspec.structs.replace(given, sparse=True)
        decision = engine.decide(state, given, now_ms, self._ids)
        self.unstored += decision.unstored
        replies: list[tuple[str, bytes]] = []
        payload = reply_payload(self._journal, decision.reply, reply_to, replies)
        self.decided += 1
        try:
            made = self._apply(decision.facts, now_ms) if decision.facts else ()
            engine.advance(state, now_ms)
            if made:
                self._journal.push(made, replies)
        except Exception as broken:
            # Memory may hold what the journal never will: only a new start makes them one again.
            self.give_up(broken)
            raise
        self._release_later(decision, made, payload, reply_to, asked)
        self._set_alarm()
        return decision

    def _apply(self, bodies: Sequence[facts.Body], now_ms: int) -> tuple[Fact, ...]:
        """Give the facts their place in the order and bring memory up to them."""
        state, at, clock = self.state, iso(now_ms), self._clock.quality
        made = []
        for body in bodies:
            fact = facts.make(
                epoch=state.view.epoch,
                seq=state.view.seq + 1,
                uid=self._ids.uid(),
                at=at,
                clock=clock,
                body=body,
            )
            engine.apply(state, fact)
            made.append(fact)
        return tuple(made)

    def _release_later(
        self,
        decision: inputs.Decision,
        made: tuple[Fact, ...],
        payload: bytes | None,
        reply_to: ReplyTo | None,
        asked: Asked | None,
    ) -> None:
        requests = decision.requests
        if requests:
            for request in requests:
                if request.urgent and not self.held.has_left(request):
                    self._send(request)
            requests = tuple(request for request in requests if not request.urgent)
        if not (made or requests or decision.progress or payload is not None):
            return
        told = [(step, self._watchers.of(step, asked)) for step in decision.progress]

        def release() -> None:
            if payload is not None and reply_to is not None:
                hand(reply_to.send, payload)
            for request in requests:
                self._send(request)
            for step, watchers in told:
                for watcher in watchers:
                    hand(watcher, step)
            for fact in made:
                self.bus.tell(fact)

        self._hold(self.state.view.seq, release)

    def _send(self, request: inputs.Request) -> None:
        assert self._requests is not None
        hand(self._requests.send, request)

    # --- the gate --------------------------------------------------------------------------------------

    def _hold(self, seq: int, release: Callable[[], None]) -> None:
        self._gate.hold(seq, self._journal.committed_seq, release)

    def _committed(self, seq: int) -> None:
        self._gate.open_to(seq)
        self._decide_held()
        if self._backlog:
            self._wake()
        if seq - self._snapshot_seq >= SNAPSHOT_EVERY and self._ready():
            self._write_snapshot()

    def snapshot(self) -> None:
        """Write a state snapshot now. Raises Unavailable as `submit` does."""
        if not self._ready():
            raise Unavailable(Code.BUSY)
        self._write_snapshot()

    def _write_snapshot(self) -> None:
        # Memory is ahead of the disk by what is in flight; the snapshot is queued behind exactly those facts.
        self._snapshot_seq = self.state.view.seq
        self._journal.put_snapshot(self.state.view.seq, engine.encode_state(self.state))

    def give_up(self, why: BaseException) -> None:
        """Acknowledge nothing more: the process ends, and a start rebuilds memory from the journal."""
        log.critical("nothing more can be written down (%s): nothing is acknowledged, the process ends", why)
        self._gate.clear()
        self._backlog.clear()
        hand(self.held.failed, self.state)  # memory may be what broke
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(why)

    def _tick(self) -> None:
        if self._ready():
            self._decide(inputs.Tick(), None)
        else:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._loop is not None and not self._broken():
            self._alarm.set(self._loop)

    # --- epochs ----------------------------------------------------------------------------------------

    async def rotate_epoch(self) -> None:
        """Let what is retained go on under a new epoch (design §9); followers get a fresh snapshot.

        Once begun it is carried to its end though the caller be cancelled: memory must not stay behind in
        the old epoch. Raises Unavailable or LocalFault when the journal cannot.
        """
        if not self._ready():
            raise Unavailable(Code.BUSY, "no epoch can be begun now")
        ahead = await self._journal.prepare_rotation()
        if not self._ready():
            raise Unavailable(Code.BUSY, "no epoch can be begun now")
        self._paused = True
        try:
            await self._journal.probe()
            rotation = self._journal.rotate_epoch(ahead)
        except BaseException:
            self._resume()
            raise
        rotation.add_done_callback(self._rotated)
        await asyncio.shield(rotation)

    def _rotated(self, rotation: asyncio.Future[Head]) -> None:
        """The journal has its new epoch, or none: bring memory and followers there."""
        failed = Unavailable(Code.SHUTTING_DOWN) if rotation.cancelled() else rotation.exception()
        if failed is not None:
            self.give_up(failed)
            return
        # Everything that was held is on disk: nothing was decided since. Its numbers are of the old epoch.
        self._gate.open()
        self.state.view.epoch = self._journal.epoch
        self.state.view.seq = self._journal.last_seq
        self._write_snapshot()
        self._resume()
        for follower, claims in self.bus.following():
            self.follow(follower, claims)

    def _resume(self) -> None:
        self._paused = False
        self._decide_held()
        self._wake()

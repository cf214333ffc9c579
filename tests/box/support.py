"""For the box's tests: a journal that commits when it is told to, and a gateway on virtual time around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import msgspec

from common import facts, wire
from common.commands import Args, Name, Start
from common.domain import ConnectorState, Path, Role, Target, iso
from common.errors import Code, Unavailable
from common.facts import Fact
from common.policy import Claims
from common.view import View
from edge.bus import Bus
from edge.chargers.ports import ReplyTo
from edge.core import inputs
from edge.core.engine import SiteState
from edge.core.inputs import Stamp
from edge.gateway import Gateway
from edge.journal.projection import command_after, session_after, touches_command, touches_session
from edge.journal.rows import CommandRow, SessionRow
from edge.site import Site
from tests.core.world import SITE, T0, CountingIds
from tests.sim.loop import SimLoop

EPOCH = "1-test"


class FakeClock:
    """Time that a test sets."""

    quality = "synced"

    def __init__(self, now_ms: int = T0) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now

    def mono_ms(self) -> int:
        return self.now


class FakeJournal:
    """What gateway and recall use of `edge.journal.Journal`. Nothing is on disk before `commit`."""

    def __init__(self) -> None:
        self.epoch = EPOCH
        self.last_seq = self.committed_seq = 0
        self.room = True
        self.facts: list[Fact] = []
        self.snapshots: list[tuple[int, bytes]] = []
        self.replies: dict[str, bytes] = {}
        self.refuses: PlugsideRefusal = None
        self._on_commit: Callable[[int], None] = lambda _: None
        self._on_failure: Callable[[BaseException], None] = lambda _: None
        self._sessions: dict[str, SessionRow] = {}
        self._commands: dict[str, CommandRow] = {}

    def start(
        self, _loop: Any, on_commit: Callable[[int], None], on_failure: Callable[[BaseException], None]
    ) -> None:
        self._on_commit, self._on_failure = on_commit, on_failure

    def push(self, made: Sequence[Fact], replies: Sequence[tuple[str, bytes]] = ()) -> None:
        if self.refuses is not None:
            raise self.refuses
        assert self.room, "pushed into a journal without room"
        for fact in made:
            assert fact.seq == self.last_seq + 1, "a fact out of order"
            self.last_seq = fact.seq
            self.facts.append(fact)
            self._project(fact)
        self.replies.update(replies)

    def one_group(self) -> nullcontext[None]:
        return nullcontext()

    def put_snapshot(self, seq: int, state: bytes) -> None:
        assert seq <= self.last_seq
        self.snapshots.append((seq, state))

    async def probe(self) -> None:
        self.commit()

    def commit(self, up_to: int | None = None) -> None:
        """Everything up to a seq (all, if none is named) is on disk now."""
        seq = self.last_seq if up_to is None else up_to
        if seq > self.committed_seq:
            self.committed_seq = seq
            self._on_commit(seq)

    def fail(self) -> None:
        """The disk is gone."""
        self.room = False
        self._on_failure(Unavailable(Code.JOURNAL_UNAVAILABLE, "disk I/O error"))

    def _project(self, fact: Fact) -> None:
        session, command = touches_session(fact), touches_command(fact)
        if session is not None and (row := session_after(self._sessions.get(session), fact)) is not None:
            self._sessions[session] = row
        if command is not None and (then := command_after(self._commands.get(command), fact)) is not None:
            self._commands[command] = then

    def recall_reply(self, key: str) -> bytes | None:
        return self.replies.get(key)

    def recall_command(self, command_id: str) -> CommandRow | None:
        return self._commands.get(command_id)

    def recall_session_by_key(self, key: str) -> SessionRow | None:
        return next((row for row in self._sessions.values() if row.key == key), None)

    def recall_session_by_transaction(self, charger: str, transaction: str) -> SessionRow | None:
        found = (r for r in self._sessions.values() if (r.charger, r.transaction) == (charger, transaction))
        return next(found, None)


PlugsideRefusal = Unavailable | ValueError | None


class Reply:
    """`ReplyTo` of one message: keeps what was sent, and in `order` when."""

    def __init__(self, name: str, order: list[Any]) -> None:
        self.name, self.sent = name, list[bytes]()
        self.rendered = 0
        self._order = order

    def render(self, reply: inputs.Reply) -> bytes:
        self.rendered += 1
        # Rendered twice it would not be the same bytes: a replay has to be the stored ones.
        return msgspec.json.encode([self.name, msgspec.to_builtins(reply)])

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)
        self._order.append(("reply", self.name))


class Watcher:
    """Who sent a command: keeps the stages that it was told."""

    def __init__(self, order: list[Any] | None = None) -> None:
        self.stages: list[str] = []
        self._order = order if order is not None else []

    def progress(self, step: inputs.CommandReply) -> None:
        self.stages.append(step.stage)
        self._order.append(("stage", step.stage))


class Follower:
    """An app that follows: what was pushed, decoded, with how far the disk was."""

    def __init__(self, journal: FakeJournal) -> None:
        self.snapshots: list[wire.Snapshot] = []
        self.seqs: list[int] = []
        self._journal = journal

    def push(self, frame: bytes) -> None:
        message = wire.server_decoder.decode(frame)
        assert isinstance(message, wire.Snapshot | wire.FactMessage)
        assert message.seq <= self._journal.committed_seq, "told before it was on disk"
        if isinstance(message, wire.Snapshot):
            self.snapshots.append(message)
            self.seqs.clear()
        else:
            assert self.snapshots, "a fact before the snapshot"
            self.seqs.append(message.seq)


class Box:
    """A gateway over a fake journal. `order` holds everything that left, in order."""

    def __init__(self) -> None:
        self.loop = SimLoop()
        self.clock = FakeClock()
        self.journal = FakeJournal()
        self.bus = Bus(SITE)
        self.order: list[Any] = []
        self.sent: list[inputs.Request] = []
        journal: Any = self.journal
        loop: Any = self.loop
        self.gateway = Gateway(
            SiteState(view=View(site=SITE)), journal, self.bus, self.clock, CountingIds(range(500, 600))
        )
        self.journal.start(None, lambda _: None, lambda _: None)
        self.gateway.start(self, loop)

    def send(self, request: inputs.Request) -> None:
        self.sent.append(request)
        self.order.append(("request", type(request.action).__name__))

    def turn(self) -> None:
        """Let the loop do what is ready."""
        self.loop.run_until(self.loop.now_ms)

    # --- a charger -----------------------------------------------------------------------------------------

    def feed(self, given: inputs.Input, name: str = "", *, at_once: bool = True) -> Reply:
        reply = Reply(name or type(given).__name__, self.order)
        to: ReplyTo = reply
        self.gateway.submit(given, to)
        if at_once:
            self.turn()
        return reply

    def ready(self, charger: str = "CP1") -> Box:
        """An adopted charger that is there, booted and free; all on disk."""
        self.gateway.note(facts.ChargerAdopted(charger=charger))
        self.feed(inputs.StationConnected(charger=charger, protocol="ocpp1.6"))
        self.feed(inputs.Booted(charger=charger, vendor="ACME"))
        self.feed(status(ConnectorState.PREPARING, charger))
        self.journal.commit()
        self.order.clear()
        self.sent.clear()
        return self

    def command(self, watcher: Watcher, **changed: Any) -> None:
        self.gateway.command(command(self.clock.now, **changed), watcher.progress)

    def answer(self, request: inputs.Request, answer: str = "accepted") -> None:
        ended = inputs.CallEnded(
            charger=request.charger, request=request.id, command=request.command, answer=answer
        )
        self.gateway.submit(ended)


def status(state: ConnectorState, charger: str = "CP1", evse: int = 1) -> inputs.StatusReported:
    return inputs.StatusReported(charger=charger, evse=evse, state=state)


def begin(tag_ref: str | None = "tag-a", at_ms: int = T0, **changed: Any) -> inputs.TransactionStarted:
    given: dict[str, Any] = {
        "charger": "CP1",
        "evse": 1,
        "tag_ref": tag_ref,
        "meter_start_wh": 1000.0,
        "started": Stamp(iso(at_ms), at_ms),
    }
    return inputs.TransactionStarted(**(given | changed))


def command(now_ms: int, **changed: Any) -> inputs.CommandReceived:
    args: Args = changed.pop("args", Start())
    name: Name = changed.pop("name", Name.START)
    given: dict[str, Any] = {
        "claims": driver(),
        "path": Path.LAN,
        "id": "cmd-1",
        "name": name,
        "target": Target("CP1", 1),
        "args": args,
        "expires_ms": now_ms + 15_000,
        "fingerprint": f"{name} {args}",
        "site": SITE,
    }
    return inputs.CommandReceived(**(given | changed))


def driver(principal: str = "p-driver", chargers: tuple[str, ...] | None = None) -> Claims:
    return Claims(site=SITE, principal=principal, role=Role.DRIVER, chargers=chargers, key=f"k-{principal}")


def operator() -> Claims:
    return Claims(site=SITE, principal="p-operator", role=Role.OPERATOR, key="k-operator")


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait for what tasks of this process will do."""
    try:
        async with asyncio.timeout(40):
            while not condition():  # noqa: ASYNC110 - many small states, none of which makes an event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


@asynccontextmanager
async def living(site: Site) -> AsyncIterator[None]:
    """A box that is open and runs within the block, and is closed afterwards; what ends it ends the block."""
    stop = asyncio.Event()
    try:
        await site.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(site.run(stop))
            try:
                yield
            finally:
                stop.set()
    finally:
        await site.close()

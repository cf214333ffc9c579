"""The box's end of the tunnel as `edge.uplink` keeps it, over a network that fails; any message may be lost,
and the link with it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from common import sync, trust
from common.domain import iso
from common.errors import PlugsideError, RemoteFault
from tests.sim.estate import When, carry

if TYPE_CHECKING:
    from tests.sim.box import Box
    from tests.sim.world import World

#: How long a statement is on its way, in s.
_SAYING_S = 0.05


class Tunnel:
    """See the module. One for a world: each life of the box has its own cursor, and begins with a hello."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.offline_until_ms = 0  #: the box reaches no cloud until then
        self._busy: Box | None = None  #: which life of it waits for its disk, between hello and batches

    @property
    def offline(self) -> bool:
        """Whether the site is cut off."""
        return self._world.loop.now_ms < self.offline_until_ms

    @property
    def stands(self) -> bool:
        box = self._world.box
        linked = bool(box.cursor.link) and box.cursor.link == self._world.cloud.link
        return box.alive and linked and self._busy is not box

    def cut(self, for_ms: int = 0) -> None:
        """The link is gone; the site is cut off for a while."""
        self.offline_until_ms = max(self.offline_until_ms, self._world.loop.now_ms + for_ms)
        self._world.box.cursor.disconnected()
        self._world.box.authority.reaches_cloud(False)

    def turn(self) -> None:
        """One exchange."""
        world = self._world
        if world.box.alive and not self.offline and not world.strikes("tunnel down", 0.2):
            cursor = world.box.cursor
            if not cursor.link and self._busy is not world.box:
                self._hello(cursor)
            ready = world.box.alive and cursor.link and self._busy is not world.box
            want = cursor.wanted(world.loop.now_ms) if ready else None
            if want is not None:
                rows = world.box.journal.records(want.from_seq, world.chance.randrange(1, want.max_records))
                self._batch(cursor, cursor.batch_of(rows))
        # A healed world has nothing to lose by looking less often.
        rest_s = 30 if world.settled else 10 if world.healing else 0.2
        world.loop.call_later(rest_s + world.chance.random(), self.turn)

    def _hello(self, cursor: sync.EdgeCursor) -> None:
        world = self._world
        box = world.box
        try:
            inherits = world.estates and box.inheritance.wanted
            welcome = world.cloud.welcome(cursor, f"life-{box.life}", inherits=inherits)
        except RemoteFault:
            world.told_of_a_copy()
            return
        box.watch.told_by_cloud(iso(world.true_ms()))
        world.list_came("tunnel", welcome.revocations)
        step = cursor.on_welcome(welcome, box.journal.chain_at(welcome.hwm))
        if isinstance(step, sync.Rotate):
            assert world.destroyed or world.copied, f"an epoch was given up without a reason: {step}"
            self._on_disk(box, box.inheritance.ask(), world.rotate)
            return
        self._on_disk(box, box.inheritance.settle(welcome), lambda: self._begun(box, welcome))
        if inherits:
            world.inherited(box)

    def _on_disk(self, box: Box, asked: Coroutine[When, None, None], then: Callable[[], None]) -> None:
        """What the link waits for before it goes on."""
        if not self._world.estates:
            asked.close()
            then()
            return

        def ended(failed: PlugsideError | None) -> None:
            self._busy = None
            if failed is not None:
                self.cut()
            elif self._world.box is box:
                then()

        self._busy = box
        carry(asked, ended)

    def _begun(self, box: Box, welcome: sync.TunnelWelcome) -> None:
        """The link stands, unless it was cut meanwhile."""
        world, cursor = self._world, box.cursor
        if not cursor.link:
            return
        box.authority.reaches_cloud(True)
        if world.agreed.caps:
            self._say(lambda: world.agreed.told(box))
        for text in box.authority.withdrawals.texts:
            if text not in welcome.revocations:
                self._say(lambda text=text: world.cloud.take((text,)))

    def _batch(self, cursor: sync.EdgeCursor, batch: sync.Batch) -> None:
        if self._world.strikes("batch lost", 0.1):
            self.cut()
            return
        answer = self._world.cloud.taken(batch)
        if answer is None or self._world.strikes("ack lost", 0.1):
            self.cut()
            return
        cursor.on_ack(answer, self._world.loop.now_ms)

    # --- statements ----------------------------------------------------------------------------------------

    def tell_cloud(self, one: trust.RevocationList) -> None:
        """`edge.rights.Rights.tell`."""
        self._say(lambda: self._world.cloud.take((one.text,)))

    def tell_box(self, one: trust.RevocationList) -> None:
        """A list of the cloud's is new."""
        self._say(lambda: self._world.list_came("tunnel", (one.text,)))

    def _say(self, arrive: Callable[[], None]) -> None:
        """Over this link or never: the next one begins with what both have."""
        cursor = self._world.box.cursor
        link = cursor.link

        def come() -> None:
            if self.stands and self._world.box.cursor is cursor and cursor.link == link:
                arrive()

        if self.stands:
            self._world.loop.call_later(_SAYING_S, come)

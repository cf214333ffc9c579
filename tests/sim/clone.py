"""A copy of the box's card in another box: the same keys, the same history, a life of its own.

It has no chargers; it dials the cloud, writes facts of its own and sends them, until one of the two is found
to be a copy. The real cursor, the cloud's real rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import facts, sync
from common.domain import iso
from common.errors import RemoteFault

if TYPE_CHECKING:
    from tests.sim.world import World


class Clone:
    """One copy's life, from when it is switched on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows = world.disk.image().rows
        self._cursor = sync.EdgeCursor(self._rows.epoch, len(self._rows.rows))
        self._boot = f"copy-{world.faults['card copied']}"
        self.alive = True
        world.loop.call_later(1, self._live)

    def _live(self) -> None:
        if self._world.healing or not self.alive:
            return
        self._write()
        try:
            self._sync()
        except RemoteFault:
            self.alive = False  # turned away: whoever made it learns that it is one
            return
        self._world.loop.call_later(1 + 10 * self._world.chance.random(), self._live)

    def _write(self) -> None:
        uid = f"copy-{self._world.chance.getrandbits(64):016x}"
        at = iso(self._world.true_ms())
        seq = len(self._rows.rows) + 1
        body = facts.SecurityNoted(what="copied")
        fact = facts.make(epoch=self._rows.epoch, seq=seq, uid=uid, at=at, clock="synced", body=body)
        self._rows.append(uid, fact.record)
        self._world.copied.add(uid)
        self._cursor.committed(seq, "session_ended", self._world.loop.now_ms)

    def _sync(self) -> None:
        world, cursor, rows = self._world, self._cursor, self._rows
        for _ in range(3):
            if cursor.link:
                break
            welcome = world.cloud.welcome(cursor, self._boot)
            step = cursor.on_welcome(welcome, rows.known_chain(welcome.hwm))
            if isinstance(step, sync.Rotate):
                rows.epochs += 1
                rows.rotate(f"{rows.epochs}-{world.chance.getrandbits(32):08x}")
                cursor.rotated(rows.epoch, len(rows.rows))
        want = cursor.wanted(world.loop.now_ms)
        if want is None:
            return
        batch = cursor.batch_of(rows.rows[want.from_seq - 1 :][: want.max_records])
        answer = world.cloud.taken(batch)
        if answer is None:
            cursor.disconnected()  # overtaken
        else:
            cursor.on_ack(answer, world.loop.now_ms)

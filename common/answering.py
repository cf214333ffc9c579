"""Answers to apps that take a moment: begun in turn, told when they are there, no link held up meanwhile.

One for each backend of an app link, at the box and at the cloud. Who floods it with questions waits for their
own answers; everybody else's come as before (`common.turns`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from common import wire
from common.applink import Peer
from common.budget import Rate
from common.errors import Code, PlugsideError, error
from common.ports import Clock
from common.supervise import Supervisor
from common.turns import Share, Turn, Turns

log = logging.getLogger("plugside.applink")

#: How fast requests of one key begin. Two years of a ledger are a few hundred pages; who reads more of them
#: than come at once has the rest a little slower, and is refused nothing.
PACE = Rate(per_s=50, burst=500)

Asked = Awaitable[wire.Message | None]


class Answering:
    """See the module."""

    def __init__(self, tasks: Supervisor, clock: Clock, share: Share, *, here: Share) -> None:
        """share, here: how much is answered at once, of apps and of whoever is there in person."""
        self._tasks = tasks
        self._clock = clock
        self._apps, self._here = Turns(share), Turns(here)
        self._due: asyncio.TimerHandle | None = None

    def answer(self, peer: Peer, name: str, request_id: str, asked: Asked) -> None:
        """Tell the peer this answer, when it is there; None tells nothing. Raises Unavailable(busy)."""
        asker, turns = _asker(peer), self._turns(peer)

        def begin() -> None:
            try:
                self._tasks.spawn(name, self._finish(peer, name, request_id, asked))
            except PlugsideError as full:
                turns.over(asker)
                drop(full)

        def drop(why: PlugsideError | None) -> None:
            _close(asked)
            if why is not None:
                peer.refuse(why, request_id)

        try:
            turns.ask(Turn(asker, peer, begin, drop))
        except PlugsideError:
            _close(asked)
            raise
        self._look()

    def leave(self, peer: Peer) -> None:
        """The peer is gone: nobody waits for what has not begun."""
        self._turns(peer).leave(peer, _asker(peer))

    def _turns(self, peer: Peer) -> Turns:
        return self._apps if peer.key else self._here

    def _look(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        now_s = self._clock.mono_ms() / 1000
        pauses_s = [s for turns in (self._apps, self._here) if (s := turns.look(now_s)) is not None]
        if pauses_s:
            self._due = asyncio.get_running_loop().call_later(min(pauses_s), self._look)

    async def _finish(self, peer: Peer, name: str, request_id: str, asked: Asked) -> None:
        try:
            message = await asked
            if message is not None:
                peer.send(message)
        except PlugsideError as declined:
            peer.refuse(declined, request_id)
        except Exception:
            log.exception("%s of %s failed", name, peer.address)
            peer.refuse(error(Code.INTERNAL), request_id)
        finally:
            self._turns(peer).over(_asker(peer))
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # nothing begins any more while the process ends
                self._look()


def _asker(peer: Peer) -> str:
    """A key has one share, whatever links it opens; whoever is there in person has one for each."""
    return peer.key or f"link {id(peer)}"


def _close(asked: Asked) -> None:
    """It is not going to be awaited."""
    close = getattr(asked, "close", None)
    if close is not None:
        close()

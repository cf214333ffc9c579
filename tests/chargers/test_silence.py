"""When a silent charger is taken for gone: `ChargerConnection.silence` with a clock that is told the time."""

import asyncio
from collections.abc import Callable

from edge.chargers.connection import ChargerConnection

SETTINGS = {"ping_after_s": 30, "gone_after_s": 90, "unponged_s": 900}


class Peer:
    """Stands for a connection. Each look at its clock is 30 s after the last; `pongs` tells for each ping."""

    def __init__(self, pongs: Callable[[int], bool], until: int = 10_000) -> None:
        self.loop = self
        self.heard_at = 0.0
        self.pings: list[asyncio.Future[float]] = []
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._now = 0.0
        self._pongs = pongs
        self._until = until
        self._waiting = 0
        self.waiting_max = 0

    def time(self) -> float:
        self._now += 30
        if self._now >= self._until:
            self.end.set_result(None)
        return self._now

    async def _pong_of_a_ping(self) -> asyncio.Future[float]:
        self.pings.append(asyncio.get_running_loop().create_future())
        if self._pongs(len(self.pings)):
            self.heard_at = self._now
            for ping in self.pings:  # a pong answers all pings before it
                if not ping.done():
                    ping.set_result(0.0)
        self.waiting_max = max(self.waiting_max, sum(not ping.done() for ping in self.pings))
        return self.pings[-1]

    async def silence(self) -> float | None:
        settings = SETTINGS | {"ping_after_s": 0}  # real time does not matter, the peer's does
        found: float | None = await ChargerConnection.silence(self, self.end, **settings)  # type: ignore[arg-type]
        return found


async def test_one_that_pongs_is_kept() -> None:
    assert await Peer(lambda _: True).silence() is None


async def test_one_that_ponged_before_is_gone_after_90_s() -> None:
    assert await Peer(lambda number: number <= 5).silence() == 90


async def test_one_that_never_ponged_is_given_the_time_of_its_heartbeats_and_costs_no_memory() -> None:
    peer = Peer(lambda _: False)
    assert await peer.silence() == 900
    assert peer.waiting_max == 3


async def test_the_end_of_the_link_ends_the_watch() -> None:
    peer = Peer(lambda _: False, until=300)
    assert await peer.silence() is None

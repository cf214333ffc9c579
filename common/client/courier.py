"""The courier: carries one command to its box, by whichever path works, with the same bytes each time.

    LAN silent for 800 ms before `accepted` ─▶ the same by the cloud as well, and the LAN is doubted
    the path dies                           ─▶ the same by the next one that is open or opens
    a path declines for itself (site_offline, busy) ─▶ the next one; the box alone can decline for good

The box recognises the id, so there is one effect at most, whatever is sent how often (design §7). Once it is
accepted, the courier goes on asking for the outcome until it is told, or cannot come any more.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum

from common import wire
from common.client.connection import Connection
from common.client.pace import Pace
from common.client.profile import Pending
from common.client.race import telling
from common.client.site import Site
from common.client.stages import StageMessage, Stages
from common.commands import CLASSES, Name
from common.domain import Path, Target
from common.errors import Code, PlugsideError, Unavailable, from_wire

#: Beyond its life, how long a command's outcome may take: the box waits 300 s for a charger that restarts.
OUTCOME_S = 600.0
#: Refusals that speak for one path, not for the box: the other path may still do it.
OF_THE_PATH = frozenset(
    {
        *(Code.SITE_OFFLINE, Code.BUSY, Code.SHUTTING_DOWN, Code.SLOW_READER, Code.NO_PATH),
        *(Code.UNKNOWN_SITE, Code.BAD_GRANT, Code.GRANT_EXPIRED),
    }
)


class Run(Stages):
    """One command on its way, as the app sees it. Await its stages; `path` is the one that answered first."""

    def __init__(self, command_id: str, site: str, name: Name, target: Target) -> None:
        super().__init__(command_id)
        self.site, self.name, self.target = site, name, target
        self.path: Path | None = None
        self.sent_by: list[Path] = []  #: each sending, in order

    @property
    def accepted_ms(self) -> float | None:
        """From the tap until the box had it in its journal."""
        return self.timings_ms.get("accepted")

    @property
    def confirmed_ms(self) -> float | None:
        """From the tap until the charger had answered, and this client knew."""
        return self.timings_ms.get("confirmed")

    @property
    def settled_ms(self) -> float | None:
        """From the tap to the end."""
        return self.timings_ms.get("settled")


class _Leg(Enum):
    CARRYING = "carrying"
    DECLINED = "declined"
    LOST = "lost"


class Courier:
    """Carries one run. `carry` returns when the run is over; it raises nothing but cancellation."""

    def __init__(self, site: Site, run: Run, pending: Pending, pace: Pace) -> None:
        self._site, self._run, self._pending, self._pace = site, run, pending, pace
        self._legs: dict[Connection, _Leg] = {}
        self._declined: list[PlugsideError] = []
        self._wake = asyncio.Event()
        self._last_sent_s = 0.0
        self._online = site.online
        self._since = site.kick()
        left_ms = pending.expires_ms - (site.now_ms() or 0)
        longest_ms = CLASSES[pending.name].ttl_ms
        # Never the box's word alone: a wrong clock there must not make us wait for a year.
        self._life_ends_s = time.monotonic() + min(max(left_ms, 0), longest_ms) / 1000

    async def carry(self) -> None:
        self._site.listeners.add(self._changed)
        try:
            while not self._run.is_over:
                pause_s = self._step()
                try:
                    async with asyncio.timeout(pause_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
        finally:
            self._site.listeners.discard(self._changed)
            self._site.wants_cloud = False

    def _changed(self) -> None:
        """A path has opened, failed or closed; or the cloud has told of the box."""
        if self._site.online and not self._online:
            # What the cloud could not deliver, or not hear the end of, it can now.
            self._legs = {link: leg for link, leg in self._legs.items() if link.path is not Path.CLOUD}
        self._online = self._site.online
        self._wake.set()

    def _step(self) -> float | None:
        """Do what is due. Returns how long nothing is, in seconds."""
        now_s = time.monotonic()
        carrying = [link for link, leg in self._legs.items() if leg is _Leg.CARRYING and link.fault is None]
        fresh = [link for link in self._site.open_ways if link not in self._legs]
        silence_ends_s = self._last_sent_s + self._pace.silence_s
        silent = bool(carrying) and not self._run.is_accepted and now_s >= silence_ends_s
        if fresh and (silent or not carrying):
            self._send(fresh[0])
            return self._pace.silence_s
        if silent:
            for link in carrying:
                link.doubt(self._pace.pong_within_s)
            self._site.want_cloud()
        ends_s = self._life_ends_s + (OUTCOME_S if self._run.is_accepted else 0.0)
        if now_s >= ends_s:
            self._run.fail(self._unknown())
        elif not carrying and not self._run.sent_by:
            self._give_up(None)
        elif not carrying and _Leg.LOST not in self._legs.values() and not self._run.is_accepted:
            self._give_up(telling(self._declined))
        due_s = ends_s if silent or not carrying or self._run.is_accepted else silence_ends_s
        return max(0.0, min(due_s, ends_s) - now_s)

    def _send(self, link: Connection) -> None:
        pending = self._pending
        message = wire.SendCommand(
            id=pending.id, site=pending.site, envelope=pending.envelope, grant=self._site.entry.grant
        )
        self._legs[link] = _Leg.CARRYING
        self._run.sent_by.append(link.path)
        self._last_sent_s = time.monotonic()
        link.send_command(message, lambda told: self._heard(link, told), lambda why: self._lost(link, why))

    def _heard(self, link: Connection, told: StageMessage) -> None:
        if isinstance(told, wire.Refusal):
            refusal = from_wire(told.code, told.message, told.hint)
            # What the box has accepted it does not refuse afterwards: then it is the path that speaks.
            if self._run.is_accepted or refusal.code in OF_THE_PATH:
                self._legs[link] = _Leg.DECLINED
                self._declined.append(refusal)
                self._wake.set()
                return
        self._run.path = self._run.path or link.path
        self._run.tell(told)
        self._wake.set()

    def _lost(self, link: Connection, why: PlugsideError) -> None:
        if why.code is Code.BUSY:  # it never left
            self._legs[link] = _Leg.DECLINED
            self._declined.append(why)
        else:
            self._legs[link] = _Leg.LOST
            self._since = self._site.kick()
        self._wake.set()

    def _give_up(self, declined: PlugsideError | None) -> None:
        """End it when every path has been tried in vain."""
        spent = [link for link, leg in self._legs.items() if leg is _Leg.DECLINED]
        hopeless = self._site.hopeless(self._since, spent)
        if hopeless is not None:
            self._run.fail(hopeless if declined is None else telling([declined, hopeless]))

    def _unknown(self) -> PlugsideError:
        if not self._run.sent_by:
            return self._site.failure()
        return Unavailable(
            Code.NO_PATH,
            "it was sent, and how it ended is not known",
            hint="Look at the charger's state before you try again.",
        )

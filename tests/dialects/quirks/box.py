"""The box of a trace: the real listener, links, dialects, gateway and core, over a disk that outlives it.

What is composed here is what `edge.site` composes. The disk is the simulation's: what was committed survives
a restart, what was only pushed does not. On a socket the same parts listen on loopback.
"""

from __future__ import annotations

import asyncio
import hmac
import random  # noqa: TID251 - seeded: a trace is the same each time
from collections.abc import Callable
from typing import Any

import msgspec

from common import facts
from common.facts import ChargerAdopted
from common.view import View, spelling
from edge import report
from edge.bus import Bus
from edge.chargers.credentials import Credential, Credentials, Passwords
from edge.chargers.listener import ChargerListener
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.ocpp201.dialect import Ocpp201
from edge.chargers.securing import SecurityDesk, SiteGuard
from edge.core import engine
from edge.core.state import SiteState
from edge.gateway import Gateway
from tests.sim.disk import Disk, SimJournal

SITE = "site-1"
#: Where time begins in every trace: 2025-06-15T12:00:00Z, in ms.
T0 = 1_749_988_800_000


def tag_ref(tag: str) -> str:
    """A reference that can be read in an expectation; the site's own is a keyed hash."""
    return f"tag:{tag}"


def raw_tag(ref: str) -> str:
    """The tag behind `tag_ref`."""
    return ref.removeprefix("tag:").upper()


class Clock:
    """The box's clock: the loop's time, on the calendar. `stepped_ms` is what a trace moved it by."""

    quality = "synced"

    def __init__(self) -> None:
        self.stepped_ms = 0

    def now_ms(self) -> int:
        return T0 + self.mono_ms() + self.stepped_ms

    def mono_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000) - _origin_ms()


def _origin_ms() -> int:
    """Virtual loops begin at 0; on the system's loop a trace begins whenever it was first asked."""
    loop = asyncio.get_running_loop()
    origin: int | None = getattr(loop, "_trace_origin_ms", None)
    if origin is None:
        origin = round(loop.time() * 1000)
        loop._trace_origin_ms = origin  # type: ignore[attr-defined]
    return origin


class Ids:
    """Ids from a seed, so that a trace is the same each time."""

    def __init__(self) -> None:
        self._chance = random.Random(1)

    def uid(self) -> str:
        return f"{self._chance.getrandbits(96):024x}"

    def token(self, size: int = 16) -> bytes:
        return self._chance.randbytes(size)

    def transaction(self) -> int:
        return self._chance.randrange(1, 2**31)

    def jitter(self) -> float:
        return self._chance.random()


class Vault:
    """Where a box keeps its secrets: outlives it, in memory."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}

    def load(self, name: str, shape: Any) -> Any:
        kept = self._documents.get(name)
        return None if kept is None else msgspec.json.decode(kept, type=shape)

    def save(self, name: str, document: Any) -> None:
        self._documents[name] = msgspec.json.encode(document)


def planted(name: str, password: bytes) -> Passwords:
    """A password that a charger has, as a box keeps it."""
    salt = "00" * 16
    digest = hmac.digest(bytes(16), password, "sha256").hex()
    return Passwords(used=Credential(name=name, salt=salt, digest=digest, made_ms=T0))


class Journal(SimJournal):
    """The simulated one, whose pending writes can be awaited, as a shutdown does."""

    async def probe(self) -> None:
        while self.committed_seq < self.last_seq:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.001)


class Box:
    """One life of the box's process over its disk."""

    def __init__(self, disk: Disk, clock: Clock, ids: Ids, vault: Vault, **settings: Any) -> None:
        loop: Any = asyncio.get_running_loop()
        self.journal = Journal(disk, loop, random.Random(2))
        state = recovered(disk)
        journal: Any = self.journal
        self.gateway = Gateway(state, journal, Bus(SITE), clock, ids)
        store: Any = vault
        self.credentials = Credentials(store, clock, ids)
        self.listener = ChargerListener(
            self.gateway,
            [Ocpp16(tag_ref, raw_tag=raw_tag), Ocpp201(tag_ref)],
            host="127.0.0.1",
            port=0,
            clock=clock,
            ids=ids,
            adopted=self._adopted,
            in_session=self._in_session,
            guard=SiteGuard(lambda: self.gateway.state, self.credentials, None),
            pinned=lambda charger: self.gateway.state.look(charger).tuning.traits.protocol,
            **settings,
        )

    def _adopted(self, identity: str) -> str | None:
        known = self.gateway.state.view
        entry = known.chargers.get(spelling(known, identity))
        return entry.id if entry is not None and entry.adopted else None

    def _in_session(self, charger: str) -> bool:
        entry = self.gateway.state.view.chargers.get(charger)
        return entry is not None and any(place.session for place in entry.connectors.values())

    def findings(self, charger: str) -> list[dict[str, Any]]:
        """What `plugside-edge chargers why` tells of one charger, or of everybody who was turned away."""
        view, listener = self.gateway.state.view, self.listener
        rows = list(report.chargers(view, listener)) if charger else list(report.dials(listener))
        return [told for row in rows if row["id"] == charger for told in row["why"]] if charger else rows

    def fail(self) -> None:
        """The disk fails."""
        self.journal.crash()
        self.gateway.give_up(OSError("the disk is gone"))
        self.listener.disconnect(reason="nothing can be written down now; dial again")

    async def start(self, adopt: tuple[str, ...] = ()) -> None:
        desk = SecurityDesk(self.listener, self.gateway, self.credentials, None)
        self.gateway.bus.tap(desk.committed)
        self.gateway.start(desk)
        for charger in adopt:
            self.gateway.note(ChargerAdopted(charger=charger))
        await self.listener.start()

    async def end(self) -> None:
        """Stop as an orderly shutdown does."""
        await self.listener.stop()
        await self.gateway.stop()
        self.journal.crash()

    async def crash(self, cut: Callable[[], None]) -> None:
        """kill -9: what was held back for the disk is never said, and every link goes."""
        self.journal.crash()
        assert self.gateway.failed is not None
        if not self.gateway.failed.done():
            self.gateway.failed.set_result(RuntimeError("kill -9"))
        cut()
        await self.listener.stop()
        await self.gateway.stop()


def recovered(disk: Disk) -> SiteState:
    """The state that the disk's facts give."""
    state, after = SiteState(view=View(site=SITE)), disk.facts
    if disk.snapshot is not None:
        seq, encoded = disk.snapshot
        state, after = engine.decode_state(encoded), disk.facts[seq:]
    for fact in after:
        engine.apply(state, facts.read(fact.epoch, fact.seq, fact.record))
    state.view.epoch, state.view.seq = disk.rows.epoch, len(disk.facts)
    return state


def sessions(disk: Disk) -> list[dict[str, Any]]:
    """Every session in order of its start, as its facts leave it: the ledger that a trace looks at.

    Fields of the later fact replace those of the earlier; flags add up; `samples` counts what is its own.
    """
    found: dict[str, dict[str, Any]] = {}
    for fact in disk.facts:
        body = fact.body
        uid = getattr(body, "session", None)
        if isinstance(body, facts.SessionStarted):
            found[body.session] = {"samples": 0, "ended_at": None, "flags": ()}
        if uid not in found:
            continue
        entry = found[uid]
        if isinstance(body, facts.MeterSampled):
            entry["samples"] += len(body.samples)
        elif isinstance(body, facts.SessionStarted | facts.SessionEnded | facts.SessionRevised):
            told = msgspec.structs.asdict(body)
            if isinstance(body, facts.SessionRevised):
                told = {key: value for key, value in told.items() if value not in (None, "")} | {
                    "energy_wh": body.energy_wh,
                    "provisional": False,
                }
            flags = tuple(dict.fromkeys((*entry["flags"], *told.pop("flags"))))
            entry |= {**told, "flags": flags}
    return [msgspec.to_builtins(entry) for entry in found.values()]

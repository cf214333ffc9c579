"""A box without sockets: real facts in the in-memory journal, sent by the real cursor into a store."""

from __future__ import annotations

from typing import Any

from cloud.store.ports import Store
from cloud.store.rows import HelloNote, SiteRow
from common import facts, sync
from common.domain import EnergyMethod, MeterSample, Role, iso
from common.policy import Claims
from tests.sync.world import Journal

T0_MS = 1_772_352_000_000  # 2026-03-01T08:00:00Z


def staff(site: str) -> Claims:
    return Claims(site=site, principal="op", role=Role.OPERATOR)


def driver(site: str, principal: str = "ann") -> Claims:
    return Claims(site=site, principal=principal, role=Role.DRIVER)


class Box:
    """`link` is the number of the link that it has open."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.journal = Journal("1-a")
        self.cursor = sync.EdgeCursor("1-a", 0)
        self.instance = "folder-1"
        self.minutes = 0
        self.made = 0

    async def settle_in(self, store: Store) -> None:
        """The cloud knows the site, and a link is open."""
        await store.put_site(
            SiteRow(
                id=self.site,
                name=f"Home {self.site}",
                box=f"box-{self.site}",
                public="p",
                issuer="i",
                added_ms=1,
            )
        )
        await self.connect(store)

    async def connect(self, store: Store) -> None:
        for _ in range(4):
            note = HelloNote(last_seq=len(self.journal.rows), addresses=("192.0.2.1:9443",))
            opened = await store.open_link(self.site, self.journal.epoch, self.instance, note, T0_MS)
            welcome = sync.TunnelWelcome(
                version=1,
                link_epoch=opened.link,
                epoch=self.journal.epoch,
                hwm=opened.mark.hwm,
                chain_at_hwm=opened.mark.chain,
                superseded=opened.superseded,
            )
            step = self.cursor.on_welcome(welcome, self.journal.known_chain(opened.mark.hwm))
            if isinstance(step, sync.Resume):
                return
            self.rotate()
        raise AssertionError("no epoch suits")

    def rotate(self) -> None:
        self.journal.epochs += 1
        self.journal.rotate(f"{self.journal.epochs}-a")
        self.cursor.rotated(self.journal.epoch, len(self.journal.rows))

    def write(self, body: facts.Body, *, uid: str = "") -> facts.Fact:
        """Journal one fact, a minute after the one before."""
        self.minutes += 1
        self.made += 1
        fact = facts.make(
            epoch=self.journal.epoch,
            seq=len(self.journal.rows) + 1,
            uid=uid or f"uid-{self.made:06}",
            at=iso(T0_MS + self.minutes * 60_000),
            clock="synced",
            body=body,
        )
        self.write_record(fact.uid, fact.record)
        return fact

    def write_record(self, uid: str, record: bytes) -> None:
        row = self.journal.append(uid, record)
        self.cursor.committed(row.seq, "session_ended", 0)

    def charge(self, session: str, start_wh: float, stop_wh: float, **more: Any) -> None:
        """One whole session."""
        self.start(session, start_wh, **more)
        self.sample(session, (start_wh + stop_wh) / 2)
        self.end(session, start_wh, stop_wh, **more)

    def start(self, session: str, start_wh: float, *, principal: str | None = "ann", **more: Any) -> None:
        begun = iso(T0_MS + (self.minutes + 1) * 60_000)
        self.write(
            facts.SessionStarted(
                session=session,
                charger=more.get("charger", "CP1"),
                evse=1,
                transaction="7",
                principal=principal,
                tag_ref="tag-1",
                started_at=begun,
                received_at=begun,
                meter_start_wh=start_wh,
            )
        )

    def sample(self, session: str, energy_wh: float, *, at: str | None = None, **more: Any) -> None:
        sample = MeterSample(at=at, energy_wh=energy_wh, **more)
        self.write(
            facts.MeterSampled(charger="CP1", evse=1, session=session, principal="ann", samples=(sample,))
        )

    def end(
        self, session: str, start_wh: float, stop_wh: float, *, principal: str | None = "ann", **more: Any
    ) -> None:
        ended = iso(T0_MS + (self.minutes + 1) * 60_000)
        self.write(
            facts.SessionEnded(
                session=session,
                charger=more.get("charger", "CP1"),
                evse=1,
                principal=principal,
                ended_at=ended,
                received_at=ended,
                meter_stop_wh=stop_wh,
                energy_wh=stop_wh - start_wh,
                method=EnergyMethod.REGISTER,
                reason="Local",
            )
        )

    def next_batch(self, *, most: int = 1000) -> sync.Batch | None:
        want = self.cursor.wanted(0)
        if want is None:
            return None
        rows = self.journal.rows[want.from_seq - 1 :][: min(most, want.max_records)]
        return self.cursor.batch_of(rows)

    async def drain(self, store: Store, *, most: int = 1000) -> list[sync.Ack]:
        """Send until nothing is left; the acks, in order."""
        acks: list[sync.Ack] = []
        while (batch := self.next_batch(most=most)) is not None:
            answer = await store.ingest(self.site, self.cursor.link, batch, None, T0_MS)
            if isinstance(answer, sync.Nack):
                if isinstance(self.cursor.on_nack(answer, 0), sync.Rotate):
                    self.rotate()
                    await self.connect(store)
                continue
            self.cursor.on_ack(answer, 0)
            acks.append(answer)
        assert self.cursor.backlog == 0
        return acks

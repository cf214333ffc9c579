"""The cloud of the simulation: its half of the sync over a database of dictionaries, and its real rules about
what is withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from cloud.store.rows import DeviceRow
from cloud.withdrawals import Withdrawals
from common import facts, sync, trust, wire
from common.errors import Refused
from tests.sim.estate import charges, estate
from tests.sim.keys import GUEST, OPERATOR, SITE, issuing, trusted_by_cloud

if TYPE_CHECKING:
    from tests.sim.world import World

T = TypeVar("T")


def done(asked: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to that waits for nothing."""
    try:
        asked.send(None)
    except StopIteration as over:
        value: T = over.value
        return value
    raise AssertionError("it waits for something that the simulation does not have")


class Rows:
    """What of `cloud.store.ports` the withdrawals use."""

    def __init__(
        self, entries: dict[str, int] | None = None, lists: dict[str, tuple[int, str]] | None = None
    ):
        self.entries = entries or {}
        self.lists = lists or {}

    def image(self) -> Rows:
        return Rows(dict(self.entries), dict(self.lists))

    async def withdraw(self, _site: str, entries: Collection[str], _now_ms: int, until_ms: int) -> None:
        self.entries.update(dict.fromkeys(entries, until_ms))

    async def withdrawn(self, _site: str, now_ms: int) -> dict[str, int]:
        return {entry: until_ms for entry, until_ms in self.entries.items() if until_ms > now_ms}

    async def revoked(self) -> dict[str, set[str]]:
        return {SITE: set(self.entries)} if self.entries else {}

    async def keep_withdrawal_list(self, _site: str, issuer: str, number: int, text: str) -> None:
        if number > self.lists.get(issuer, (0, ""))[0]:
            self.lists[issuer] = number, text

    async def withdrawal_lists(self) -> list[str]:
        return [text for _, text in self.lists.values()]

    async def sites(self) -> list[Any]:
        return [SimpleNamespace(id=SITE)]

    async def devices(self, site: str) -> list[DeviceRow]:
        return [
            DeviceRow(site=site, key=one.key.thumbprint, principal=one.principal, role=one.role)
            for one in (OPERATOR, GUEST)
        ]


class Cloud:
    """See the module. `image` and `restore`: of its database; its processes are never seen to end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.marks: dict[str, sync.Mark] = {}
        self.facts: dict[str, facts.Fact] = {}
        self.link = 0
        self.epoch = ""
        #: The process of the box that spoke last, and those before it.
        self.boots: tuple[str, tuple[str, ...]] = ("", ())
        self._rows = Rows()
        self._open()

    def now_ms(self) -> int:
        """`Clock`, as much as is asked here: a cloud's is right."""
        return self._world.true_ms()

    # --- its database --------------------------------------------------------------------------------------

    def image(self) -> tuple[Any, ...]:
        """A copy, to be put back."""
        return dict(self.marks), dict(self.facts), self.epoch, self.boots, self._rows.image()

    def restore(self, image: tuple[Any, ...]) -> None:
        """Links are gone with it; their numbers go on from above all that were ever given."""
        marks, told, self.epoch, self.boots, rows = image
        self.marks, self.facts, self._rows = dict(marks), dict(told), rows.image()
        self.link += 1
        self._open()

    def _open(self) -> None:
        self.verifier = trust.Verifier(trusted_by_cloud())
        here: Any = SimpleNamespace(issuing=issuing())
        rows: Any = self._rows
        clock: Any = self
        self._withdrawals = Withdrawals(rows, here, self.verifier, clock)
        self._withdrawals.changed = self._changed
        done(self._withdrawals.open())

    # --- facts ---------------------------------------------------------------------------------------------

    def welcome(self, cursor: sync.EdgeCursor, boot: str, *, inherits: bool = False) -> sync.TunnelWelcome:
        """The answer to a hello, with what the site goes on with for who `inherits`. Raises RemoteFault: one
        of two boxes is a copy."""
        last, past = self.boots
        self.boots = boot, sync.boots_after(past, last, boot)
        self.link += 1
        superseded = cursor.epoch in self.marks and cursor.epoch != self.epoch
        mark = self.marks.setdefault(cursor.epoch, sync.first_mark(cursor.epoch))
        if not superseded:
            self.epoch = cursor.epoch
        return sync.TunnelWelcome(
            version=1,
            link_epoch=self.link,
            epoch=cursor.epoch,
            hwm=mark.hwm,
            chain_at_hwm=mark.chain,
            superseded=superseded,
            revocations=self._withdrawals.texts(SITE),
            estate=estate(self.facts.values()) if inherits else (),
            charges=charges(self.facts.values(), self._world.agreed.caps) if inherits else {},
        )

    def has_adopted(self, charger: str) -> bool:
        """Whether it will hand this charger over."""
        bodies = (fact.body for fact in self.facts.values())
        return any(isinstance(body, facts.ChargerAdopted) and body.charger == charger for body in bodies)

    def taken(self, batch: sync.Batch) -> sync.Ack | None:
        """The cloud takes a batch; None: another box, or another link, has said hello since."""
        if batch.link != self.link:
            return None
        mark = self.marks[batch.epoch]
        verdict = sync.check(mark, batch)
        assert not isinstance(verdict, sync.Decline), "a batch that follows was declined"
        if isinstance(verdict, sync.Apply):
            for record in verdict.records:
                fact = sync.open_record(batch.epoch, record)
                assert isinstance(fact, facts.Fact), "the box sent poison"
                self.facts.setdefault(fact.uid, fact)
            mark = self.marks[batch.epoch] = verdict.mark
        return sync.ack(batch.link, mark)

    # --- rights --------------------------------------------------------------------------------------------

    def withdraw(self, entry: str) -> None:
        """An operator takes a right away."""
        done(self._withdrawals.withdraw(SITE, [entry]))

    def take(self, lists: Iterable[str]) -> None:
        """A box, or a phone, brings lists."""
        done(self._withdrawals.take(SITE, lists))

    @property
    def lists(self) -> tuple[str, ...]:
        """What phones are given to carry."""
        return self._withdrawals.carried(SITE)

    def knows(self, entry: str) -> bool:
        return self.verifier.withdrawals.covers(SITE, [trust.entry_hash(entry)])

    def allows(self, grant: str) -> bool:
        """Whether the holder of a grant is let in, or may have a new one in its place."""
        try:
            self.verifier.renewable(grant, SITE)
        except Refused:
            return False
        return True

    def passes_on(self, message: wire.SendCommand) -> bool:
        """Whether it carries a command to the box."""
        try:
            self.verifier.claims(message.grant, self.now_ms(), SITE)
        except Refused:
            return False
        return True

    def _changed(self, one: trust.RevocationList) -> None:
        self._world.tunnel.tell_box(one)

"""The store as the rest of the cloud knows it. One contract suite (tests/store) holds for every database.

Each method is one transaction. A write that raises has changed nothing. Writes are committed, synced to disk,
when they return: an answer that promises something is sent after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Protocol

from cloud.charge_lines import ChargeLine, Standing
from cloud.store.rows import (
    ActRow,
    ChainState,
    ClosedMonths,
    CommandRow,
    DeviceRow,
    Earlier,
    FactRow,
    HelloNote,
    Imported,
    Matters,
    MeterConflict,
    MeterRow,
    Opened,
    Page,
    PairingRow,
    SessionRow,
    SiteRow,
    TokenRow,
    ViewCopy,
)
from common import facts, sync
from common.caps import Charge
from common.policy import Claims
from common.reconcile import LedgerRow
from common.sought import ALL, Sought
from common.trust import InviteRecord
from common.trust.recovery import Sealed


class LedgerStore(Protocol):
    """What sites tell."""

    async def open_link(self, site: str, epoch: str, instance: str, note: HelloNote, now_ms: int) -> Opened:
        """A box has said hello: fence every earlier link, tell where its epoch stands.

        Raises Refused(unknown_site); RemoteFault(untrusted_peer) for another instance of the same box.
        """

    async def ingest(
        self, site: str, link: int, batch: sync.Batch, copy: ViewCopy | None, now_ms: int
    ) -> sync.Ack | sync.Nack:
        """Apply one batch once. Raises Refused(shutting_down) when the link is not the site's current one."""

    async def keep_view(self, site: str, copy: ViewCopy) -> None:
        """Remember the site's state; an older one never replaces a newer."""

    async def last_view(self, site: str) -> ViewCopy | None: ...

    async def sessions(
        self, claims: Claims, *, after: str = "", limit: int = 100, sought: Sought = ALL
    ) -> Page[SessionRow]:
        """Sessions that these claims may see, newest first, as far as they are `sought`."""

    async def session(self, claims: Claims, session: str) -> SessionRow | None: ...

    async def samples(
        self, claims: Claims, session: str, *, after: str = "", limit: int = 100
    ) -> Page[MeterRow]:
        """A session's meter, oldest first; empty for a session that these claims may not see."""

    async def conflicts(self, site: str) -> list[MeterConflict]:
        """Values that contradict a sample which is there: kept as told, never believed."""

    async def story(
        self, claims: Claims, session: str, *, after: str = "", limit: int = 100
    ) -> Page[FactRow]:
        """A session's facts but its samples, oldest first; empty where these claims may not see it."""

    async def audit(
        self, claims: Claims, kinds: Sequence[str] = (), *, after: str = "", limit: int = 100
    ) -> Page[FactRow]:
        """Who did what, newest first: facts of these kinds; none named = commands, rights, security."""

    async def told_since(
        self, site: str, kinds: Sequence[str], *, since: str = "", after: str = "", limit: int = 2000
    ) -> Page[FactRow]:
        """The site's facts of these kinds from a site time on, oldest first."""


class AuditStore(Protocol):
    """What reconciliation walks through."""

    async def ledger(self, site: str) -> dict[str, LedgerRow]:
        """All sessions as rows to reconcile, at once: for small ledgers."""

    async def owners(self, site: str, sessions: Sequence[str]) -> dict[str, str | None]:
        """Whose these sessions are, by the table that people read."""

    async def bygone(self, site: str, sessions: Sequence[str]) -> set[str]:
        """Those whose start no record of the site's current epoch tells: from before the present box."""

    def session_facts(self, site: str) -> AsyncIterator[facts.Fact]:
        """The stored facts that sessions are made from, in no order that means anything."""

    async def chain_state(self, site: str) -> ChainState:
        """Walk the chain of the site's current epoch over what is stored, through the box's heads of it."""

    async def earlier_epochs(self, site: str) -> Earlier:
        """Walk the chains of the site's epochs that are over, wherever their records are by now."""

    async def ledger_after(
        self, site: str, after: str, *, up_to: str | None = None, limit: int = 500
    ) -> list[LedgerRow]:
        """Sessions behind a uid, up to another one and with it, in their order (by code point)."""

    async def ledger_by_place(
        self, site: str, behind: LedgerRow | None, *, limit: int = 500
    ) -> list[LedgerRow]:
        """Sessions behind one in the order of `common.doubles.place_order`; None = from the first."""

    async def told(self, site: str, sessions: Sequence[str]) -> dict[str, list[facts.Fact]]:
        """The stored facts of these sessions, as far as they are there in full."""

    async def without_row(self, site: str, *, limit: int = 100) -> list[str]:
        """Sessions that facts tell of and that have no row."""


class ImportStore(Protocol):
    """What boxes send in files."""

    async def import_batch(
        self,
        site: str,
        epoch: str,
        instance: str,
        note: HelloNote,
        batch: sync.Batch | None,
        now_ms: int,
    ) -> Imported:
        """Apply a part of a bundle once, as `ingest` does; without one, say where the epoch stands.

        Raises Refused: unknown_site; bad_bundle (a gap before it, another history, a left epoch, a copy).
        """


class EstateStore(Protocol):
    """What a site goes on with."""

    async def estate(self, site: str) -> tuple[bytes, ...]:
        """Records for a box that takes another one's place: adopted chargers, sessions that are not over."""

    async def charges(self, site: str, since: str) -> dict[str, tuple[Charge, ...]]:
        """What those with caps have charged, of sessions that are over and were first told of since then."""

    async def keep_sealed(self, blob: Sealed, now_ms: int) -> None:
        """Keep what a box has sealed, in place of an earlier number for the same recovery key."""

    async def sealed(self, site: str) -> tuple[Sealed, ...]:
        """What boxes of this site have sealed: the newest of each recovery key, the latest first."""


class AccountStore(Protocol):
    """Sites, keys, rights, names."""

    async def add_pairing(self, row: PairingRow, now_ms: int) -> None:
        """Keep a box's code until its end; codes whose end has come go."""

    async def pairing(self, pair: str, now_ms: int) -> PairingRow | None: ...

    async def spend_pairings(self, but: PairingRow) -> None:
        """Codes for the same site are good for nothing more, but for this one."""

    async def put_site(self, row: SiteRow, *, held: str = "") -> bool:
        """Add a site, or where it still `held` this public key change its box; its ledger stays.

        False, and nothing is changed: it has another key, or a box already. Raises Refused(bad_request): name
        taken.
        """

    async def rotate_box(self, row: SiteRow, *, held: str) -> bool:
        """The site's box has the row's key now, if the site still `held` this public key; False if not."""

    async def site(self, name_or_id: str) -> SiteRow | None: ...

    async def sites(self) -> list[SiteRow]: ...

    async def add_invite(self, record: InviteRecord, name: str) -> None: ...

    async def redeem(
        self, hash_: str, change: Callable[[InviteRecord], InviteRecord], now_ms: int, label: str = ""
    ) -> InviteRecord:
        """Change an invite and enter its device, as one; label: what that calls itself.

        Raises Refused(bad_invite), and as `change` does.
        """

    async def spend_invites(self, site: str, key: str) -> None:
        """The key has used its grant: invites that brought it in are spent."""

    async def device(self, site: str, key: str) -> DeviceRow | None: ...

    async def devices(self, site: str) -> list[DeviceRow]: ...

    async def names(self, principals: set[str]) -> dict[str, str]: ...

    async def forget(self, principal: str) -> int:
        """Delete name, devices, invites and tokens of a principal. Returns how many rows went."""

    async def sites_of(self, principal: str) -> set[str]:
        """Where a principal has a device or an invite."""

    async def confirm(self, site: str, principal: str) -> int:
        """Devices of a principal that waited for the owner wait no more. Returns how many."""

    async def withdraw(self, site: str, entries: Collection[str], now_ms: int, until_ms: int) -> None:
        """Write down what is withdrawn at a site; devices, invites and tokens that it names go.

        until_ms: the site's list names it so long. The rows themselves stay.
        """

    async def withdrawn(self, site: str, now_ms: int) -> dict[str, int]:
        """Entries that a site's list has to name now, and until when."""

    async def revoked(self) -> dict[str, set[str]]:
        """Everything that was ever withdrawn, by site; "" = everywhere."""

    async def keep_withdrawal_list(self, site: str, issuer: str, number: int, text: str) -> None:
        """Keep an issuer's list for a site, in place of a lower one."""

    async def withdrawal_lists(self) -> list[str]: ...


class GlanceStore(Protocol):
    """What somebody who looks after many sites sees at once."""

    async def sites_run_by(self, key: str) -> list[SiteRow]:
        """The sites at which a key has a staff's right, by name."""

    async def marks(self, sites: Sequence[str]) -> dict[str, int]:
        """Of each site: how far its present epoch is here."""

    async def matters(self, sites: Sequence[str]) -> dict[str, Matters]:
        """Of each site that has any: what is flagged, and the orphans that nobody has decided on."""

    async def entrust(self, principal: str, sites: Sequence[str], now_ms: int) -> int:
        """Give a person's keys the right that they have at one site at these, too. Returns new rights.

        Raises Refused(bad_request): nobody of staff is known by that pseudonym.
        """

    async def open_invites(self, site: str, now_ms: int) -> list[InviteRecord]:
        """Invites that can still bring somebody in."""

    async def withdraw_invite(self, site: str, principal: str) -> bool:
        """An invite brings nobody in any more. False: there is none that is open."""


class WorkStore(Protocol):
    """Commands on their way, tokens, acts."""

    async def ask_command(self, row: CommandRow) -> CommandRow:
        """Write the command down. Returns the row that stands under its id: this one, or an earlier one."""

    async def command(self, site: str, command: str) -> CommandRow | None: ...

    async def step_command(self, row: CommandRow, state: str, answer: str) -> None:
        """A step forward of exactly this command (same fingerprint); a state never goes back."""

    async def add_token(self, row: TokenRow, now_ms: int) -> None: ...

    async def token(self, hash_: str, now_ms: int) -> TokenRow | None: ...

    async def note(self, row: ActRow) -> None: ...

    async def acts(self, *, site: str = "", after: str = "", limit: int = 100) -> Page[ActRow]:
        """What was done, newest first; of one site, if it is named."""


class ChargeStore(Protocol):
    """Charge lines and closed months."""

    async def unbilled(self, site: str, *, after: str = "", limit: int = 200) -> list[str]:
        """Ended sessions whose present revision is on no line, in the order of their uids."""

    async def bill(self, site: str, sessions: Sequence[str], now_ms: int) -> list[Standing]:
        """Write the lines that these sessions lack. Returns those that wait for an operator, with why."""

    async def close_month(
        self, site: str, month: str, zone: str, month_of: Callable[[int], str], now_ms: int
    ) -> bool:
        """Give the lines of this month and of those before their month, for good. False: it was closed.

        month_of: the month (`YYYY-MM`) of an instant at the site, which is in `zone`.
        """

    async def closed_through(self, site: str) -> str:
        """The latest month that was closed; empty = none."""

    async def charge_lines(
        self, claims: Claims, month: str, *, after: str = "", limit: int = 100
    ) -> Page[ChargeLine]:
        """A closed month's lines that these claims may see, in the order of their ends."""

    async def lines_of(self, site: str, sessions: Sequence[str]) -> dict[str, list[ChargeLine]]:
        """All lines of these sessions, by session; those that have none are left out."""

    async def stray_lines(self, site: str, *, limit: int = 100) -> list[ChargeLine]:
        """Lines of sessions that are not here."""

    async def closed_months(self, site: str) -> ClosedMonths:
        """Whether the lines of closed months are those that were exported."""

    async def set_zone(self, site: str, zone: str) -> None:
        """The time zone of a site's months from now on; months that are closed stay as they were."""


class Store(
    LedgerStore,
    AuditStore,
    ImportStore,
    EstateStore,
    AccountStore,
    GlanceStore,
    WorkStore,
    ChargeStore,
    Protocol,
):
    """All of it."""

    incarnation: str  #: changes when this database was made anew

    async def alive(self) -> None:
        """Answer from the database; raises when it does not."""

    async def close(self) -> None: ...

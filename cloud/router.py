"""The router: an app's signed command goes to its site's box, and what becomes of it comes back.

    app ─▶ command row in SQL ─▶ relay over the tunnel ─▶ the box decides ─▶ progress ─▶ app

The cloud decides nothing about a command: it carries the same signed bytes, and the box recognises a repeat.
A box that is away is said to be away, at once; a start is never kept for later. When a tunnel breaks, what
the box has not taken on is given back to its askers; what it has taken on is asked for again when it returns,
and the box answers from its journal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from cloud.counters import Counters
from cloud.store.ports import Store
from cloud.store.rows import CommandRow
from common import commands, sync, trust, wire
from common.domain import from_iso
from common.errors import Code, PlugsideError, Refused, Unavailable, error
from common.policy import Claims
from common.ports import Clock, Ids

log = logging.getLogger("plugside.router")

#: Commands under way for one app link; a person has one, an operator's script a few.
PER_PEER_MAX = 64
#: And so many stops and limits beside these: they do not wait until something else has ended.
URGENT_MAX = 256

_STATE = {
    wire.Accepted: "accepted",
    wire.Confirmed: "confirmed",
    wire.Settled: "settled",
    wire.Refusal: "refused",
}
_LAST = (wire.Settled, wire.Refusal)
_ORDER = ("", "accepted", "confirmed", "settled", "refused")
_step_decoder = msgspec.json.Decoder(sync.Step)


class Asker(Protocol):
    """Whoever sent a command (`common.applink.Peer`)."""

    def send(self, message: wire.Message) -> None: ...

    def refuse(self, refusal: PlugsideError, request_id: str = "") -> None: ...


class _Pending:
    """One command of one asker, on its way."""

    def __init__(self, asker: Asker, row: CommandRow, frame: sync.Relay) -> None:
        self.asker, self.row, self.frame = asker, row, frame
        self.told = ""  #: the last step that the asker was told


class Router:
    """See the module. `relay` and `connected_to` are given by the tunnels, `spawn` by the supervisor."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        clock: Clock,
        ids: Ids,
        spawn: Callable[[str, Coroutine[Any, Any, None]], object],
    ) -> None:
        self._store = store
        self._counters = counters
        self._clock = clock
        self._ids = ids
        self._spawn = spawn
        self._pending: dict[str, _Pending] = {}
        self._by_asker: dict[int, set[str]] = {}
        self.relay: Callable[[str, sync.Relay], None] = _no_tunnels
        self.online: Callable[[str], bool] = lambda _site: False

    # --- apps ----------------------------------------------------------------------------------------------

    def command(
        self,
        asker: Asker,
        message: wire.SendCommand,
        claims: Claims,
        payload: bytes,
        command: commands.Command,
    ) -> None:
        """Send a command on its way; answers follow. Raises Unavailable(busy) when too many are."""
        try:
            expires_ms = from_iso(command.expires_at)
        except ValueError:
            raise Refused(Code.BAD_REQUEST, "expires_at is not a time with its zone") from None
        urgent = commands.CLASSES[command.name].urgent
        most = PER_PEER_MAX + (URGENT_MAX if urgent else 0)
        if len(self._by_asker.get(id(asker), ())) >= most:
            raise error(Code.BUSY, f"{most} commands of this link are under way")
        row = CommandRow(
            site=command.site,
            id=command.id,
            fingerprint=trust.fingerprint_of(payload),
            principal=claims.principal,
            name=command.name.value,
            asked_ms=self._clock.now_ms(),
            expires_ms=expires_ms,
        )
        if not self.online(command.site):
            self._spawn(f"answer {command.id}", self._answer_stored(asker, row))
            return
        pending = _Pending(asker, row, sync.Relay(ref=self._ids.uid(), command=message))
        self._keep(pending)
        if urgent:
            # A stop does not wait for our disk; its row is written alongside.
            self._relay(pending)
            self._spawn(f"note {command.id}", self._note(row))
        else:
            self._spawn(f"relay {command.id}", self._note_and_relay(pending))

    def closed(self, asker: Asker) -> None:
        """The app has gone; its commands go on, and it finds their outcome in the facts."""
        for ref in self._by_asker.pop(id(asker), set()):
            self._pending.pop(ref, None)

    async def _answer_stored(self, asker: Asker, row: CommandRow) -> None:
        """The box is away: the stored end of this very command if there is one, else `site_offline`."""
        try:
            known = await self._store.command(row.site, row.id)
        except PlugsideError as trouble:
            asker.refuse(trouble, row.id)
            return
        same = known is not None and (known.fingerprint, known.principal) == (row.fingerprint, row.principal)
        if known is not None and same and known.state in ("settled", "refused"):
            asker.send(_step_decoder.decode(known.answer))
            return
        self._counters.commands["site_offline"] += 1
        asker.refuse(Unavailable(Code.SITE_OFFLINE), row.id)

    async def _note_and_relay(self, pending: _Pending) -> None:
        try:
            await self._store.ask_command(pending.row)
        except PlugsideError as trouble:
            self._drop(pending)
            pending.asker.refuse(trouble, pending.row.id)
            return
        self._relay(pending)

    async def _note(self, row: CommandRow) -> None:
        await self._store.ask_command(row)

    def _relay(self, pending: _Pending) -> None:
        if pending.frame.ref not in self._pending:
            return  # the asker left meanwhile
        try:
            self.relay(pending.row.site, pending.frame)
        except PlugsideError as away:
            self._drop(pending)
            self._counters.commands[away.code.value] += 1
            pending.asker.refuse(away, pending.row.id)

    # --- tunnels -------------------------------------------------------------------------------------------

    def progress(self, site: str, ref: str, message: sync.Step) -> None:
        """What the box says of a command: told to its asker once, written down."""
        pending = self._pending.get(ref)
        if pending is None or pending.row.site != site or message.id != pending.row.id:
            return
        state = _STATE[type(message)]
        if _ORDER.index(state) <= _ORDER.index(pending.told):
            return  # told again after a reconnection
        pending.told = state
        pending.asker.send(message)
        if isinstance(message, _LAST):
            self._drop(pending)
            end = message.outcome if isinstance(message, wire.Settled) else "refused"
            self._counters.commands[end] += 1
        answer = wire.encode(message).decode()
        self._spawn(f"step {pending.row.id}", self._store.step_command(pending.row, state, answer))

    def connected(self, site: str) -> None:
        """A box is back: ask it for what it had taken on."""
        for pending in [p for p in self._pending.values() if p.row.site == site]:
            self._relay(pending)

    def disconnected(self, site: str) -> None:
        """A tunnel is gone: what the box has not taken on is given back."""
        if self.online(site):
            return  # another tunnel has taken its place, and was asked again
        for pending in [p for p in self._pending.values() if p.row.site == site and not p.told]:
            self._drop(pending)
            self._counters.commands["site_offline"] += 1
            pending.asker.refuse(Unavailable(Code.SITE_OFFLINE), pending.row.id)

    @property
    def under_way(self) -> int:
        """Commands that wait for their end."""
        return len(self._pending)

    def _keep(self, pending: _Pending) -> None:
        self._pending[pending.frame.ref] = pending
        self._by_asker.setdefault(id(pending.asker), set()).add(pending.frame.ref)

    def _drop(self, pending: _Pending) -> None:
        self._pending.pop(pending.frame.ref, None)
        refs = self._by_asker.get(id(pending.asker))
        if refs is not None:
            refs.discard(pending.frame.ref)
            if not refs:
                del self._by_asker[id(pending.asker)]


def _no_tunnels(_site: str, _frame: sync.Relay) -> None:
    raise Unavailable(Code.SITE_OFFLINE)

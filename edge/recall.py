"""What left memory comes back from the journal: attached to an input before the core decides on it.

The core is pure, so it cannot read; it says which inputs it cannot judge from memory (`needs_recall`), and
the gateway's loop looks them up by primary key (microseconds) and hands the answer in as an argument.
`recover` is the same at the start of a process: the whole state out of the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from common.commands import Resolve
from common.errors import Code, LocalFault
from common.view import View
from edge.core import engine, inputs
from edge.core.engine import SiteState
from edge.core.estate import vacant
from edge.core.reports import TransactionEvent

if TYPE_CHECKING:
    from edge.chargers.ports import ReplyTo
    from edge.journal.journal import Journal

#: Inputs that name a transaction.
_NAMED = inputs.TransactionEnded | inputs.MeterReported | TransactionEvent


def recalled(state: SiteState, given: inputs.Input, journal: Journal) -> inputs.Input:
    """`given`, with what the journal knows of it when memory does not."""
    if not engine.needs_recall(state, given):
        return given
    if isinstance(given, inputs.CommandReceived):
        row = journal.recall_command(given.id)
        if row is not None:
            return msgspec.structs.replace(given, recalled=row)
        return _decided_on(given, given.args, journal) if isinstance(given.args, Resolve) else given
    if isinstance(given, inputs.TransactionStarted):
        session = journal.recall_session_by_key(engine.recall_key(state, given))
        return given if session is None else msgspec.structs.replace(given, recalled=session)
    if isinstance(given, _NAMED) and given.transaction is not None:
        session = journal.recall_session_by_transaction(given.charger, given.transaction)
        return given if session is None else msgspec.structs.replace(given, recalled=session)
    return given


def _decided_on(given: inputs.CommandReceived, args: Resolve, journal: Journal) -> inputs.CommandReceived:
    """A decision, with the session and the orphan that it is about as the journal has them."""
    known = journal.recall_session(args.session) if args.session else None
    orphan = journal.recall_orphan(given.target.charger, args.orphan) if args.orphan else None
    return msgspec.structs.replace(given, known=known, orphan=orphan)


def reply_payload(
    journal: Journal, reply: inputs.Reply | None, reply_to: ReplyTo | None, replies: list[tuple[str, bytes]]
) -> bytes | None:
    """The exact bytes to answer: the stored ones for a replay, else rendered now (and added to `replies`)."""
    if reply is None or reply_to is None:
        return None
    key = getattr(reply, "key", "")
    if key and getattr(reply, "replay", False):
        stored = journal.recall_reply(key)
        if stored is not None:
            return stored
    payload = reply_to.render(reply)
    if key:
        replies.append((key, payload))
    return payload


def recover(journal: Journal, site: str) -> SiteState:
    """The state that the journal's facts add up to: the newest snapshot and everything after it."""

    def readable(state: bytes) -> bool:
        try:
            engine.decode_state(state)
        except msgspec.DecodeError:
            return False
        return True

    snapshot, after = journal.recover(readable)
    state = engine.decode_state(snapshot[1]) if snapshot else SiteState(view=View(site=site))
    for fact in after:
        engine.apply(state, fact)
    state.view.epoch, state.view.seq = journal.epoch, journal.committed_seq
    if vacant(state):
        state.view.site = site  # a box that took another one's place before it had anything of its own
    if state.view.site != site:
        raise LocalFault(Code.FOLDER_UNUSABLE, f"this journal is of site {state.view.site}, not {site}")
    return state

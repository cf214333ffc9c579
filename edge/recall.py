"""What left memory comes back from the journal: attached to an input before the core decides on it.

The core is pure, so it cannot read; it says which inputs it cannot judge from memory (`needs_recall`), and
the gateway's loop looks them up by primary key (microseconds) and hands the answer in as an argument.
`recover` is the same at the start of a process: the whole state out of the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from common.errors import Code, LocalFault
from common.view import View
from edge.core import engine, inputs
from edge.core.engine import SiteState
from edge.core.reports import TransactionEvent

if TYPE_CHECKING:
    from edge.journal.journal import Journal

#: Inputs that name a transaction.
_NAMED = inputs.TransactionEnded | inputs.MeterReported | TransactionEvent


def recalled(state: SiteState, given: inputs.Input, journal: Journal) -> inputs.Input:
    """`given`, with what the journal knows of it when memory does not."""
    if not engine.needs_recall(state, given):
        return given
    if isinstance(given, inputs.CommandReceived):
        row = journal.recall_command(given.id)
        return given if row is None else msgspec.structs.replace(given, recalled=row)
    if isinstance(given, inputs.TransactionStarted):
        session = journal.recall_session_by_key(engine.recall_key(state, given))
        return given if session is None else msgspec.structs.replace(given, recalled=session)
    if isinstance(given, _NAMED) and given.transaction is not None:
        session = journal.recall_session_by_transaction(given.charger, given.transaction)
        return given if session is None else msgspec.structs.replace(given, recalled=session)
    return given


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
    if state.view.site != site:
        raise LocalFault(Code.FOLDER_UNUSABLE, f"this journal is of site {state.view.site}, not {site}")
    return state

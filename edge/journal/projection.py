"""What a fact does to the session row and the command row (pure), and what a fact is filed under.

Folding all facts of a journal with these functions gives exactly its two projection tables; a test holds
that as a law. `common.view` says the same for what people see of the present.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, cast

import msgspec

from common import facts, progress
from common.facts import Body, Fact
from edge.journal.rows import CommandRow, SessionRow

replace = msgspec.structs.replace

#: Kinds that change a session row; of meter samples only the late ones do.
SESSION_KINDS = frozenset(
    {
        facts.SessionStarted.KIND,
        facts.SessionLearned.KIND,
        facts.SessionEnded.KIND,
        facts.SessionRevised.KIND,
    }
)
COMMAND_KINDS = frozenset(
    {
        facts.CommandAccepted.KIND,
        facts.CommandSent.KIND,
        facts.CommandConfirmed.KIND,
        facts.CommandSettled.KIND,
    }
)
METER_KIND = facts.MeterSampled.KIND


def _getters(body: type[Body]) -> tuple[attrgetter[Any], ...]:
    return tuple(
        attrgetter(name) for name in ("session", "command", "charger") if name in body.__struct_fields__
    )


_SUBJECTS = {kind: _getters(body) for kind, body in facts.BODIES.items()}


def subject(fact: Fact) -> str:
    """What the fact is filed under: its session, else its command, else its charger, else nothing."""
    if not isinstance(fact.body, facts.UnknownBody):
        for get in _SUBJECTS[fact.kind]:
            if found := get(fact.body):
                return cast(str, found)
    return ""


def touches_session(fact: Fact) -> str | None:
    """The session whose row this fact changes, if any."""
    body = fact.body
    if isinstance(body, facts.MeterSampled):
        return body.session if body.late else None
    if isinstance(
        body, facts.SessionStarted | facts.SessionLearned | facts.SessionEnded | facts.SessionRevised
    ):
        return body.session
    return None


def touches_command(fact: Fact) -> str | None:
    """The command whose row this fact changes, if any."""
    body = fact.body
    if isinstance(
        body, facts.CommandAccepted | facts.CommandSent | facts.CommandConfirmed | facts.CommandSettled
    ):
        return body.command
    return None


def session_after(row: SessionRow | None, fact: Fact) -> SessionRow | None:
    """The session's row after `fact`. Without a row only a start makes one: the facts are the truth."""
    body = fact.body
    if isinstance(body, facts.SessionStarted):
        return _started(fact.seq, body)
    if row is None:
        return None
    if isinstance(body, facts.SessionEnded):
        return replace(
            row,
            ended=True,
            provisional=body.provisional,
            ended_at=body.ended_at,
            meter_stop_wh=body.meter_stop_wh,
            energy_wh=body.energy_wh,
            method=body.method,
            reason=body.reason,
            flags=_joined(row.flags, body.flags),
            ended_seq=fact.seq,
            last_seq=fact.seq,
        )
    if isinstance(body, facts.SessionLearned):
        return replace(row, **progress.told(body), last_seq=fact.seq)
    if isinstance(body, facts.SessionRevised):
        return _revised(row, fact.seq, body)
    return replace(row, last_seq=fact.seq)


def _started(seq: int, body: facts.SessionStarted) -> SessionRow:
    return SessionRow(
        session=body.session,
        charger=body.charger,
        evse=body.evse,
        connector=body.connector,
        transaction=body.transaction,
        principal=body.principal,
        key=body.key,
        weak=body.weak,
        boot=body.boot,
        meter_start_wh=body.meter_start_wh,
        command=body.command,
        tag_ref=body.tag_ref,
        authorization=body.authorization,
        started_at=body.started_at,
        flags=_joined((), body.flags),
        started_seq=seq,
        last_seq=seq,
    )


def _revised(row: SessionRow, seq: int, body: facts.SessionRevised) -> SessionRow:
    """A revision says the energy anew; an end or a stop value that it leaves out stays as it was."""
    return replace(
        row,
        revision=body.revision,
        principal=row.principal or body.principal,
        ended=row.ended or body.ended_at is not None,
        provisional=False,
        ended_at=body.ended_at or row.ended_at,
        meter_stop_wh=row.meter_stop_wh if body.meter_stop_wh is None else body.meter_stop_wh,
        energy_wh=body.energy_wh,
        method=body.method,
        reason=body.reason or row.reason,
        flags=_joined(row.flags, body.flags),
        ended_seq=seq,
        last_seq=seq,
    )


def _joined(before: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Flags in the order in which they came, each once; a flag is one word."""
    return tuple(dict.fromkeys("_".join(flag.split()) for flag in (*before, *more)))


def command_after(row: CommandRow | None, fact: Fact) -> CommandRow | None:
    """The command's row after `fact`. A settled command stays as it was settled: it has one end."""
    body, seq = fact.body, fact.seq
    if row is not None and row.state == "settled":
        return row
    if isinstance(body, facts.CommandAccepted):
        return CommandRow(
            id=body.command,
            fingerprint=body.fingerprint,
            state="accepted",
            principal=body.principal,
            session=body.session,
            name=body.name,
            role=body.role.value,
            path=body.path.value,
            charger=body.charger,
            accepted_seq=seq,
        )
    if isinstance(body, facts.CommandSettled):
        return _settled(row, seq, body)
    if row is None:
        return None
    if isinstance(body, facts.CommandSent):
        return replace(row, state="sent", sent_seq=seq)
    if isinstance(body, facts.CommandConfirmed):
        return replace(
            row,
            state="confirmed",
            answer=body.answer,
            detail=body.detail,
            result=body.result,
            confirmed_seq=seq,
        )
    return row


def _settled(row: CommandRow | None, seq: int, body: facts.CommandSettled) -> CommandRow:
    """The end; a refusal has no `command_accepted`, so it brings the fingerprint itself."""
    if row is None:
        row = CommandRow(
            id=body.command,
            fingerprint=body.fingerprint,
            state="settled",
            principal=body.principal,
            charger=body.charger,
        )
    return replace(
        row,
        state="settled",
        outcome=body.outcome,
        code=body.code,
        detail=body.detail or row.detail,
        session=body.session or row.session,
        result=body.result or row.result,
        settled_seq=seq,
    )

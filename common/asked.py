"""What people asked for and what became of it, from facts: commands with their outcome, who did what. Pure.

Box and cloud answer the queries `commands` and `audit` with these, so that an operator sees one shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from common import facts

#: What an operator reads to see who did what.
AUDIT_KINDS: Final = (
    facts.CommandAccepted.KIND,
    facts.CommandConfirmed.KIND,
    facts.CommandSettled.KIND,
    facts.AuthorizationChanged.KIND,
    facts.ChargerAdopted.KIND,
    facts.ClockStepped.KIND,
    facts.SecurityNoted.KIND,
    facts.OrphanRecorded.KIND,
    facts.OrphanResolved.KIND,
    facts.MeterDoubted.KIND,
)
#: What is told of a command after it was accepted.
ANSWERS: Final = (facts.CommandConfirmed.KIND, facts.CommandSettled.KIND)


def command_rows(accepted: Iterable[facts.Fact], answers: Iterable[facts.Fact]) -> list[dict[str, Any]]:
    """Commands in the order of `accepted`, each with what its `answers` came to.

    state: accepted | confirmed | settled. answer: what the charger said; outcome and code: how it ended.
    """
    rows: dict[str, dict[str, Any]] = {}
    for fact in accepted:
        body = fact.body
        if isinstance(body, facts.CommandAccepted):
            rows[body.command] = _begun(body, fact.at)
    for fact in answers:
        body = fact.body
        if isinstance(body, facts.CommandConfirmed | facts.CommandSettled) and body.command in rows:
            _answered(rows[body.command], body, fact.at)
    return list(rows.values())


def _begun(body: facts.CommandAccepted, at: str) -> dict[str, Any]:
    return {
        "command": body.command,
        "name": body.name,
        "charger": body.charger,
        "evse": body.evse,
        "principal": body.principal,
        "role": body.role.value,
        "path": body.path.value,
        "args": dict(body.args),
        "session": body.session,
        "at": at,
        "state": "accepted",
        "answer": "",
        "outcome": "",
        "code": "",
        "detail": "",
        "ended_at": "",
    }


def _answered(row: dict[str, Any], body: facts.CommandConfirmed | facts.CommandSettled, at: str) -> None:
    if isinstance(body, facts.CommandConfirmed):
        row["answer"] = body.answer
        if row["state"] == "accepted":
            row["state"] = "confirmed"
        return
    row |= {
        "state": "settled",
        "outcome": body.outcome,
        "code": body.code,
        "detail": body.detail,
        "session": body.session or row["session"],
        "ended_at": at,
    }

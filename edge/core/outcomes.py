"""What is told of a command: the charger's answer and the command's one end, as fact and as progress."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from common import facts
from common.errors import Code
from edge.core import inputs
from edge.core.state import Draft, Order

#: A charger's answer in words, and the size of one that fits a fact, in bytes of JSON.
DETAIL_CHARS_MAX: Final = 200
RESULT_BYTES_MAX: Final = 13 * 1024


def confirm(draft: Draft, order: Order, given: inputs.CallEnded) -> None:
    """The charger answered, or (`timeout`) it is known that it did not."""
    detail, result = given.detail[:DETAIL_CHARS_MAX], fitting(given.result)
    draft.facts.append(
        facts.CommandConfirmed(
            command=order.id,
            charger=order.charger,
            principal=order.principal,
            answer=given.answer,
            detail=detail,
            result=result,
        )
    )
    draft.progress.append(
        inputs.CommandReply(id=order.id, stage="confirmed", answer=given.answer, detail=detail, result=result)
    )


def fitting(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result that fits one fact: its parts in order as far as they do, `cut` = how many do not."""
    if len(msgspec.json.encode(result)) <= RESULT_BYTES_MAX:
        return result
    room, fitting = RESULT_BYTES_MAX - 64, {}
    for name, value in result.items():
        room -= len(msgspec.json.encode({name: value}))
        if room < 0:
            break
        fitting[name] = value
    return {**fitting, "cut": len(result) - len(fitting)}


def settle(
    draft: Draft,
    order: Order,
    outcome: str,
    code: Code | str = "",
    detail: str = "",
    *,
    session: str | None = None,
    result: dict[str, Any] | None = None,
    keep: bool = False,
) -> None:
    """The command's one end. `keep`: the result is no answer of the charger's, so it is kept with the end."""
    detail = detail[:DETAIL_CHARS_MAX]
    draft.facts.append(
        facts.CommandSettled(
            command=order.id,
            charger=order.charger,
            principal=order.principal,
            outcome=outcome,
            code=str(code),
            detail=detail,
            session=session,
            result=(result or {}) if keep else {},
        )
    )
    draft.progress.append(
        inputs.CommandReply(
            id=order.id,
            stage="settled",
            outcome=outcome,
            code=str(code),
            detail=detail,
            session=session,
            result=result or {},
        )
    )

"""The commander: one way in for every command, whoever asks and over whichever transport (design §2.4).

An app link has verified grant and signature by the time it hands a command over; for one that the cloud
passed on the same check is made here, since the cloud's word counts for nothing. The core judges rights and
preconditions. What comes back is told to the sender in the app link's own messages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from common import commands, trust, wire
from common.domain import Path, from_iso
from common.errors import Code, PlugsideError, Refused, error
from common.policy import Claims
from common.ports import Clock
from common.sync import Step
from edge import agreed
from edge.core import inputs
from edge.gateway import Gateway

log = logging.getLogger("plugside.commander")

Tell = Callable[[Step], None]


class Sender:
    """Who hears of a command's stages. One for each app link or tunnel relay; `gone` when it has left."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def progress(self, step: inputs.CommandReply) -> None:
        """A stage, after it is on disk."""
        self._tell(as_message(step))

    def refuse(self, command_id: str, refused: PlugsideError) -> None:
        """Declined before it reached the core."""
        self._tell(refusal(command_id, refused))


class Commander:
    """See the module. `claims_of` verifies a grant at a time and raises Refused."""

    def __init__(self, gateway: Gateway, claims_of: Callable[[str, int], Claims], clock: Clock) -> None:
        self._gateway = gateway
        self._claims_of = claims_of
        self._clock = clock

    def take(self, opened: trust.OpenedCommand, claims: Claims, path: Path, sender: Sender) -> None:
        """Take a command whose grant and signature are verified. Never raises: a refusal is told."""
        try:
            self._gateway.command(_input(opened, claims, path), sender.progress)
        except PlugsideError as refused:
            sender.refuse(opened.command.id, refused)
        except Exception:
            log.exception("command %s could not be decided", opened.command.id)
            sender.refuse(opened.command.id, error(Code.INTERNAL))

    def relayed(self, message: wire.SendCommand, sender: Sender) -> None:
        """Take what the cloud passed on: the same bytes as on the LAN, verified here as there."""
        try:
            claims = self._claims_of(message.grant, self._clock.now_ms())
            opened = trust.open_command(message.envelope, claims, command_id=message.id)
        except PlugsideError as refused:
            sender.refuse(message.id, refused)
            return
        agreed.learn(self._gateway, claims)
        self.take(opened, claims, Path.CLOUD, sender)

    def leave(self, sender: Sender) -> None:
        """The sender is gone; what it asked for goes on."""
        self._gateway.forget_watcher(sender.progress)


def _input(opened: trust.OpenedCommand, claims: Claims, path: Path) -> inputs.CommandReceived:
    command = opened.command
    try:
        expires_ms = from_iso(command.expires_at)
    except (ValueError, OverflowError) as wrong:
        raise Refused(Code.BAD_REQUEST, f"expires_at: {wrong}") from None
    return inputs.CommandReceived(
        claims=claims,
        path=path,
        id=command.id,
        name=command.name,
        target=command.target,
        args=commands.arguments(command.name, command.args),
        expires_ms=expires_ms,
        fingerprint=opened.fingerprint,
        site=command.site,
    )


def as_message(step: inputs.CommandReply) -> Step:
    """A stage as the app link tells it."""
    if step.stage == "accepted":
        return wire.Accepted(id=step.id)
    if step.stage == "confirmed":
        return wire.Confirmed(id=step.id, answer=step.answer, detail=step.detail, result=step.result)
    if step.stage == "refused":
        return refusal(step.id, error(Code(step.code), step.detail))
    message = hint = ""
    if step.code:
        why = error(Code(step.code), step.detail)
        message, hint = why.message, why.hint
    return wire.Settled(
        id=step.id,
        outcome=step.outcome,
        code=step.code,
        message=message,
        hint=hint,
        session=step.session or "",
        result=step.result,
    )


def refusal(request_id: str, refused: PlugsideError) -> wire.Refusal:
    """An error as the wire carries it."""
    return wire.Refusal(id=request_id, code=refused.code, message=refused.message, hint=refused.hint)

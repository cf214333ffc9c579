"""Commands that go by steps: firmware to a charger, a log from it, and "tell me now" (quirks 92, 96, 97).

    accepted ─▶ (firmware: no car charges) ─▶ step ─▶ step ─▶ the charger has agreed ─▶ seen, or `unknown`
                                               └ not supported: learned, and the next generation is tried

`steps` says which calls; `orders` hands each of these orders on to here. What a charger agrees to is not what
it does: firmware has succeeded when the charger says so or boots with another version, a log when it is on
this disk. Where a charger falls silent the command is `unknown` after a while, however well it began.
"""

from __future__ import annotations

from typing import Final

from common import commands, facts
from common.commands import Name
from common.domain import from_iso
from common.errors import Code, Refused, error
from edge.core import calls, inputs, outcomes, steps
from edge.core.state import Draft, Order, SiteState, Station

#: How long nothing may be heard before an agreed transfer is `unknown`. A log: a large one over a slow modem,
#: and all tries. Firmware: flashing, in which many chargers say nothing (quirk 97).
SILENT_MS: Final[dict[str, int]] = {Name.FETCH_DIAGNOSTICS: 20 * 60_000, Name.UPDATE_FIRMWARE: 60 * 60_000}
#: And in all, whatever is still told: no charger takes longer, and nobody waits for it.
WHOLE_MS: Final = 6 * 3600_000
#: For an answer to the last call that could leave; see `orders.ANSWER_WINDOW_MS`.
ANSWER_MS: Final = 40_000
#: A charger that says that it uploaded, and nothing is here: the last bytes may be on their way.
ARRIVAL_MS: Final = 60_000

_FAILED: Final[dict[str, Code]] = {
    "download_failed": Code.TRANSFER_FAILED,
    "upload_failed": Code.TRANSFER_FAILED,
    "invalid_signature": Code.FIRMWARE_FAILED,
    "install_failed": Code.FIRMWARE_FAILED,
}
_JOBS: Final = {"firmware": Name.UPDATE_FIRMWARE, "upload": Name.FETCH_DIAGNOSTICS}
_DETAIL_CHARS: Final = 200
_NEVER: Final = 2**62


# --- taking on ---------------------------------------------------------------------------------------------


def judge(state: SiteState, given: inputs.CommandReceived) -> None:
    """Whether such a command may be taken on. Raises PlugsideError."""
    station = state.look(given.target.charger)
    args = given.args
    if isinstance(args, commands.Trigger):
        if given.target.evse is not None and given.target.evse not in station.places:
            raise Refused(Code.UNKNOWN_CONNECTOR)
    elif any(order.name == given.name for order in _open(state, given.target.charger)):
        raise error(Code.BUSY, "the charger is at it already", hint="Wait until that one has ended.")
    elif not steps.speaks_http(station.abilities):
        raise Refused(Code.FTP_ONLY, station.abilities[steps.PROTOCOLS])
    if isinstance(args, commands.FetchDiagnostics):
        for text in filter(None, (args.since, args.until)):
            try:
                from_iso(text)
            except (ValueError, OverflowError) as wrong:
                raise Refused(Code.BAD_REQUEST, f"a time: {wrong}") from None
    if steps.following(args, station.abilities, "") is None:
        raise Refused(_nothing_left(given.name, args))


def begin(state: SiteState, draft: Draft, order: Order, now_ms: int) -> None:
    """Make the first call, if it may leave now."""
    if may_leave(state, order):
        _step(state, draft, order, "", now_ms)


def may_leave(state: SiteState, order: Order) -> bool:
    """Whether the first call may leave: the charger is there, and firmware waits until no car charges."""
    station = state.look(order.charger)
    if not station.online:
        return False
    return order.name != Name.UPDATE_FIRMWARE or not (_charging(station) or _starting(state, order.charger))


def _charging(station: Station) -> bool:
    return any(not session.ended for session in station.sessions.values())


def _starting(state: SiteState, charger: str) -> bool:
    return any(order.name == Name.START for order in _open(state, charger))


def _open(state: SiteState, charger: str) -> list[Order]:
    return [state.orders[order_id] for order_id in state.look(charger).orders]


def _step(state: SiteState, draft: Draft, order: Order, done: str, now_ms: int, **learned: str) -> bool:
    """Make the call after the step that is done; False if there is none."""
    args = commands.arguments(Name(order.name), order.args)
    step = steps.following(args, state.look(order.charger).abilities | learned, done)
    if step is not None:
        calls.send(state, draft, order, now_ms, step)
    return step is not None


def _nothing_left(name: str, args: commands.Args) -> Code:
    unsigned = isinstance(args, commands.UpdateFirmware) and not args.signed
    return Code.SIGNATURE_NEEDED if name == Name.UPDATE_FIRMWARE and unsigned else Code.CHARGER_NOT_SUPPORTED


# --- what the charger answers ------------------------------------------------------------------------------


def answered(state: SiteState, draft: Draft, order: Order, given: inputs.CallEnded, now_ms: int) -> None:
    """The call of a step came to an end. Other steps' late ends say nothing any more."""
    if given.request != f"{order.id}.{order.attempt}":
        return
    if given.answer in ("not_sent", "no_file"):
        late = Code.EXPIRED if now_ms >= order.expires_ms else Code.CHARGER_OFFLINE
        code = Code.UNKNOWN_FILE if given.answer == "no_file" else late
        outcomes.settle(draft, order, "failed", code, given.detail)
    elif order.step == steps.PROTOCOLS:
        _protocols(state, draft, order, given, now_ms)
    elif given.answer in ("accepted", "scheduled"):
        outcomes.confirm(draft, order, given)
        if order.name == Name.TRIGGER:
            outcomes.settle(draft, order, "succeeded")
    elif given.answer == "rejected":
        outcomes.confirm(draft, order, given)
        outcomes.settle(draft, order, "failed", Code.CHARGER_REJECTED, given.detail)
    elif given.answer in ("not_supported", "error") or (given.answer == "timeout" and order.step == "log"):
        _unsupported(state, draft, order, given, now_ms)
    elif given.answer == "timeout" and order.answer != "timeout":
        outcomes.confirm(draft, order, given)


def _protocols(state: SiteState, draft: Draft, order: Order, given: inputs.CallEnded, now_ms: int) -> None:
    """By what the charger moves files. One that does not tell is asked to move one, and will say."""
    told = steps.told_protocols(given.result) if given.answer == "accepted" else None
    learned: dict[str, str] = {}
    if told is not None:
        draft.facts.append(
            facts.CapabilityLearned(charger=order.charger, ability=steps.PROTOCOLS, value=told)
        )
        learned = {steps.PROTOCOLS: told}
    if not steps.speaks_http(learned):
        outcomes.settle(draft, order, "failed", Code.FTP_ONLY, told or "")
    elif given.answer == "lost":
        outcomes.settle(draft, order, "failed", Code.CHARGER_OFFLINE, given.detail)
    else:
        _step(state, draft, order, steps.PROTOCOLS, now_ms, **learned)


def _unsupported(state: SiteState, draft: Draft, order: Order, given: inputs.CallEnded, now_ms: int) -> None:
    """The charger does not know the call: the other generation's, if there is one. That it may not be asked
    so again is learned only from an answer that says so."""
    learned = {}
    if given.answer == "not_supported":
        draft.facts.append(facts.CapabilityLearned(charger=order.charger, ability=order.step, value="no"))
        learned = {order.step: "no"}
    newer = order.step in steps.NEWER or given.answer == "not_supported"
    if newer and _step(state, draft, order, order.step, now_ms, **learned):
        return
    outcomes.confirm(draft, order, given)
    if given.answer == "not_supported":
        args = commands.arguments(Name(order.name), order.args)
        outcomes.settle(draft, order, "failed", _nothing_left(order.name, args), given.detail)
    elif given.answer == "error":
        outcomes.settle(draft, order, "failed", Code.CHARGER_REJECTED, given.detail)


# --- what is observed --------------------------------------------------------------------------------------


def progressed(state: SiteState, given: inputs.ProgressReported) -> inputs.Decision:
    """The charger says how far it is. A repeat brings nothing; who asked for nothing is believed, too."""
    draft = Draft()
    station = state.look(given.charger)
    order = _order(state, given.charger, _JOBS[given.job])
    if order is not None and given.number not in (None, 0, -1, steps.number(order.id)):
        order = None  # of another request: kept on record, but it ends nothing
    before = station.update if given.job == "firmware" else station.upload
    if given.status in (before, "idle"):
        return inputs.NOTHING
    detail = given.detail[:_DETAIL_CHARS]
    if given.job == "firmware":
        draft.facts.append(facts.FirmwareChanged(charger=given.charger, status=given.status, detail=detail))
    else:
        draft.facts.append(
            facts.UploadChanged(
                charger=given.charger,
                status=given.status,
                command=order.id if order is not None else "",
                detail=detail,
            )
        )
    if order is not None and given.status == "installed":
        outcomes.settle(draft, order, "succeeded", detail="the charger says that it is installed")
    elif order is not None and (code := _FAILED.get(given.status)) is not None:
        outcomes.settle(draft, order, "failed", code, detail)
    return draft.decision()


def arrived(state: SiteState, given: inputs.FileArrived) -> inputs.Decision:
    """A log is here. That is what was asked for, whatever the charger says of it."""
    draft = Draft()
    received = facts.UploadChanged(
        charger=given.charger,
        status="received",
        command=given.command,
        file=given.file,
        name=given.name,
        size_bytes=given.size_bytes,
        sha256=given.sha256,
    )
    draft.facts.append(received)
    order = _order(state, given.charger, Name.FETCH_DIAGNOSTICS)
    if order is not None and order.id == given.command:
        result = {
            "file": given.file,
            "name": given.name,
            "size_bytes": given.size_bytes,
            "sha256": given.sha256,
        }
        outcomes.settle(draft, order, "succeeded", result=result, keep=True)
    return draft.decision(inputs.Acknowledged())


def taken(state: SiteState, given: inputs.FileTaken) -> inputs.Decision:
    """The charger has the firmware's last byte. What it makes of it, it will say."""
    if state.look(given.charger).update == "fetched":
        return inputs.NOTHING
    return inputs.Decision(facts=(facts.FirmwareChanged(charger=given.charger, status="fetched"),))


def booted(state: SiteState, draft: Draft, given: inputs.Booted) -> None:
    """A charger that boots with the firmware that was asked for, or just with another one, is updated."""
    order = _order(state, given.charger, Name.UPDATE_FIRMWARE)
    firmware = given.firmware
    if order is None or not firmware or order.answer not in ("accepted", "scheduled", "timeout"):
        return
    wanted = str(order.args.get("version", ""))
    if firmware == wanted or (not wanted and order.before and firmware != order.before):
        outcomes.settle(draft, order, "succeeded", detail=f"it runs {firmware} now")


def _order(state: SiteState, charger: str, name: Name) -> Order | None:
    """The open order of this name whose call has left: one at most (`judge`)."""
    return next((o for o in _open(state, charger) if o.name == name and o.attempt), None)


# --- time --------------------------------------------------------------------------------------------------


def end_ms(order: Order) -> int:
    """When the order ends if nothing more is heard."""
    if order.attempt == 0:
        return order.expires_ms
    silent_ms = SILENT_MS.get(order.name)
    if silent_ms is None or order.answer not in ("accepted", "scheduled", "timeout"):
        return max(order.expires_ms, order.sent_ms) + ANSWER_MS
    if order.status == "uploaded":
        return order.status_ms + ARRIVAL_MS
    return min(max(order.answered_ms, order.status_ms) + silent_ms, order.sent_ms + WHOLE_MS)


def due(state: SiteState, draft: Draft, order: Order, now_ms: int) -> None:
    """Give up what nothing more is heard of; begin what has waited."""
    if now_ms >= end_ms(order):
        if order.attempt == 0:
            outcomes.settle(draft, order, "failed", Code.EXPIRED)
        elif order.status == "uploaded":
            detail = "the charger says that it has sent it, but nothing arrived"
            outcomes.settle(draft, order, "failed", Code.TRANSFER_FAILED, detail)
        else:
            outcomes.settle(draft, order, "unknown", Code.CHARGER_TIMEOUT)
    elif order.attempt == 0 and now_ms >= state.look(order.charger).ready_ms:
        begin(state, draft, order, now_ms)


def timers(state: SiteState, order: Order) -> tuple[int, ...]:
    """When something of this order is due."""
    begins = order.attempt == 0 and may_leave(state, order)
    return (end_ms(order), state.look(order.charger).ready_ms if begins else _NEVER)


# --- applying ----------------------------------------------------------------------------------------------


def firmware_changed(state: SiteState, body: facts.FirmwareChanged, at_ms: int) -> None:
    state.station(body.charger).update = body.status
    _heard(state, body.charger, Name.UPDATE_FIRMWARE, body.status, at_ms)


def upload_changed(state: SiteState, body: facts.UploadChanged, at_ms: int) -> None:
    state.station(body.charger).upload = body.status
    _heard(state, body.charger, Name.FETCH_DIAGNOSTICS, body.status, at_ms)


def _heard(state: SiteState, charger: str, name: Name, status: str, at_ms: int) -> None:
    order = _order(state, charger, name)
    if order is not None:
        order.status, order.status_ms = status, at_ms
        state.arm(end_ms(order))


def learned(state: SiteState, body: facts.CapabilityLearned, at_ms: int) -> None:
    state.station(body.charger).abilities[body.ability] = body.value


def sent(state: SiteState, order: Order, body: facts.CommandSent) -> None:
    """A step's call is about to leave: what earlier steps were answered is over."""
    station = state.station(order.charger)
    order.step, order.answer, order.answered_ms = body.step, "", 0
    order.before = station.firmware
    if order.name == Name.UPDATE_FIRMWARE:
        station.update = ""
    elif order.name == Name.FETCH_DIAGNOSTICS:
        station.upload = ""


def calm(state: SiteState, charger: str, at_ms: int) -> None:
    """A session ended, or a start came to nothing: what waits for that may leave."""
    if any(order.attempt == 0 for order in _open(state, charger) if order.name in steps.STEPPED):
        state.arm(at_ms)


def started_anew(station: Station, body: facts.ChargerBooted) -> None:
    """Another firmware may be able to do other things."""
    if body.firmware and body.firmware != station.firmware:
        station.abilities.clear()
        station.firmware = body.firmware

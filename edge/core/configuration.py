"""Configuration: what each charger should be set to, and the procedure that brings it there at each boot.

    boot, quiet for a while ─▶ read in small batches ─▶ write what differs, one by one ─▶ done, until it boots

One call is out at a time, and it carries its procedure with it: `Setup` travels in the request and comes back
with its end, so there is no step to be forgotten, and a procedure whose boot is over ends by itself.

It always ends: each call takes something out of what is left to do, two calls without an answer end it, and
what is out of the list never comes back in one boot. It never loops over boots either: a setting that was
refused, or over which a charger fell silent or restarted (quirks 82, 83), is remembered for its model, and
each boot that follows another closely doubles the wait. It sends nothing while a car charges (design §2.3): a
session ends it, and its end begins it again. Settings have names of our own; dialects know the charger's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from common import facts
from common.ports import Ids
from common.tuning import ChargerConfigured, ModelLearned, SettingsWanted
from edge.core import inputs, models
from edge.core.state import Draft, SiteState, Station
from edge.core.tuning import HANGS_MAX, Model

#: Setting → the values that will do, the best one first (quirk 84). A list of measurands loses its members
#: one by one (quirk 83). Intervals in seconds.
DEFAULTS: Final[Mapping[str, tuple[str, ...]]] = {
    "sample_interval_s": ("30", "60"),
    "clock_aligned_interval_s": ("900", "0"),
    "sampled_measurands": ("energy,power,current", "energy,power", "energy,current", "energy"),
    "stop_measurands": ("",),  # a long list makes stops that do not fit a message (quirk 18)
    "heartbeat_interval_s": ("300", "60"),
    "ping_interval_s": ("30", "60"),
    "transaction_attempts": ("100", "10"),
    "transaction_retry_s": ("30", "60"),
    "connection_timeout_s": ("120",),
    "authorize_remote_starts": ("false",),
    "minimum_status_duration_s": ("0",),
}
#: Read beside them and never written: the highest stack level.
PROFILE_LEVEL_MAX: Final = "profile_level_max"
#: So are these: how many tags a local list takes, and one message to it.
LIST_MAXIMA: Final = ("list_max", "list_send_max")

#: From a Boot until the procedure begins: the charger's own first messages take some seconds.
AFTER_BOOT_MS: Final = 10_000
#: From a connection without a Boot (quirk 35: 10 to 60 s).
AFTER_CONNECT_MS: Final = 30_000
#: After a session, or a change of what is wanted.
AFTER_CHANGE_MS: Final = 5_000
#: A boot so soon after another is part of a storm (quirk 37); the wait doubles up to the longest.
STORM_MS: Final = 300_000
STORM_WAIT_MAX_MS: Final = 1_280_000
#: A call that could not leave by then, because a car came, is not worth making any more.
CALL_LIFE_MS: Final = 120_000
#: So many calls without an answer in a row end the procedure: a third would make the charger deaf.
SILENT_MAX: Final = 2
#: A charger's own values, in facts.
VALUE_CHARS_MAX: Final = 500
ANY: Final = "*"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """One procedure on its way. `reading`: what the call that is out asks for; else it writes `writing`."""

    boots: int
    begun_ms: int
    to_read: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    found: dict[str, tuple[str, bool]] = {}  #: setting → value, read only
    to_write: tuple[str, ...] = ()
    writing: str = ""
    value: str = ""
    singly: bool = False
    silent: int = 0
    wrote: bool = False


# --- what is wanted ----------------------------------------------------------------------------------------


def wanted(state: SiteState, station: Station) -> dict[str, tuple[str, ...]]:
    """What a charger should be set to: the site's, its policy for tags, its model's, its installer's."""
    if not state.wanted:
        return {}
    own = {name: (value,) for name, value in station.tuning.traits.settings.items()}
    return {**state.wanted, **state.offline.settings(), **own}


def told(state: SiteState, settings: Mapping[str, tuple[str, ...]]) -> list[facts.Body]:
    """What every charger should be set to, as the process that came up knows it."""
    known = dict(settings)
    return [SettingsWanted(settings=known)] if known != state.wanted else []


def _value(model: Model, name: str, values: tuple[str, ...]) -> str | None:
    """The best value that this model has not refused."""
    refused = model.refused.get(name, [])
    if ANY in refused or model.hangs.get(name, 0) >= HANGS_MAX:
        return None
    return next((value for value in values if value not in refused), None)


def same(one: str, other: str) -> bool:
    """Whether two values mean the same: case, order of a list and the form of a number do not count."""
    return _plain(one) == _plain(other)


def _plain(value: str) -> object:
    text = value.strip().casefold()
    try:
        return float(text)
    except ValueError:
        return frozenset(part.strip() for part in text.split(",") if part.strip())


# --- the procedure -----------------------------------------------------------------------------------------


def due(state: SiteState, draft: Draft, now_ms: int, ids: Ids) -> None:
    """Begin where it is time to: in (seen, now], as questions are."""
    for charger, station in state.stations.items():
        setup = station.tuning.setup
        if state.seen_ms < setup.due_ms <= now_ms and _may(station):
            _begin(state, draft, charger, station, now_ms, ids)


def timers(state: SiteState, station: Station) -> Iterator[int]:
    """When a procedure should begin."""
    due_ms = station.tuning.setup.due_ms
    if due_ms > state.seen_ms and station.online:
        yield due_ms


def _may(station: Station) -> bool:
    """Whether the charger may be spoken to about its settings now."""
    return station.online and not station.tuning.setup.done and not _busy(station)


def _busy(station: Station) -> bool:
    return any(not session.ended for session in station.sessions.values())


def _begin(state: SiteState, draft: Draft, charger: str, station: Station, now_ms: int, ids: Ids) -> None:
    model, traits = models.of(state, charger), station.tuning.traits
    names = [
        name for name in (*wanted(state, station), *_read_only(state)) if model.hangs.get(name, 0) < HANGS_MAX
    ]
    if not state.wanted or not traits.read_batch or not names:
        return
    setup = Setup(
        boots=state.boots(charger),
        begun_ms=station.tuning.setup.due_ms,
        to_read=tuple(names),
        singly=model.singly,
    )
    _next(state, draft, charger, setup, now_ms, ids)


def _read_only(state: SiteState) -> tuple[str, ...]:
    """What is asked and never written."""
    return (PROFILE_LEVEL_MAX, *(LIST_MAXIMA if state.offline.local_list else ()))


def _next(state: SiteState, draft: Draft, charger: str, setup: Setup, now_ms: int, ids: Ids) -> None:
    """The next call, or the end."""
    action: inputs.Action
    if setup.to_read:
        batch = 1 if setup.singly else max(1, state.look(charger).tuning.traits.read_batch)
        now, rest = setup.to_read[:batch], setup.to_read[batch:]
        setup = msgspec.structs.replace(setup, reading=now, to_read=rest)
        action = inputs.ReadSettings(now)
    elif setup.to_write:
        name, rest = setup.to_write[0], setup.to_write[1:]
        value = _to_write(state, charger, setup, name, _refused_now(draft, name))
        if value is None:
            _next(state, draft, charger, msgspec.structs.replace(setup, to_write=rest), now_ms, ids)
            return
        setup = msgspec.structs.replace(
            setup, reading=(), writing=name, value=value, to_write=rest, wrote=True
        )
        action = inputs.WriteSetting(name, value)
    else:
        answer = "complete" if setup.found else "not_supported"
        draft.facts.append(ChargerConfigured(charger=charger, done=True, answer=answer))
        return
    draft.requests.append(
        inputs.Request(
            id=ids.uid(),
            charger=charger,
            action=action,
            priority=inputs.PRIORITY_HOUSEKEEPING,
            expires_ms=now_ms + CALL_LIFE_MS,
            context=setup,
        )
    )


def _refused_now(draft: Draft, name: str) -> set[str]:
    """Values that were refused in this very decision: no fact of it is applied yet."""
    return {
        fact.value
        for fact in draft.facts
        if isinstance(fact, ChargerConfigured) and fact.setting == name and fact.answer in _NO
    }


def _to_write(state: SiteState, charger: str, setup: Setup, name: str, refused: set[str]) -> str | None:
    """The value to write now, or None: it is set already, must not be written, or nothing is left to try."""
    station = state.look(charger)
    before, readonly = setup.found.get(name, ("", True))
    if readonly or name in station.tuning.traits.never_write:
        return None
    values = wanted(state, station).get(name, ())
    value = _value(models.of(state, charger), name, tuple(v for v in values if v not in refused))
    if value is None or same(value, before) or station.tuning.setup.tried.get(name) == value:
        return None
    return value


# --- answers -----------------------------------------------------------------------------------------------

_NO: Final = frozenset({"rejected", "not_supported", "error"})
_SILENCE: Final = frozenset({"timeout", "lost"})


def answered(
    state: SiteState, given: inputs.CallEnded, setup: Setup, now_ms: int, ids: Ids
) -> inputs.Decision:
    """A call of the procedure came to its end: what was learned, and the next one."""
    station, draft = state.look(given.charger), Draft()
    stale = setup.boots != state.boots(given.charger) or setup.begun_ms != station.tuning.setup.due_ms
    if given.answer == "not_sent":  # a car came, or the link went: whatever comes next begins it anew
        return inputs.NOTHING
    heard = _read if setup.reading else _written
    after = heard(state, draft, given, setup)
    if stale or given.answer == "lost" or not _may(station):
        return draft.decision()
    if after.silent >= SILENT_MAX:
        draft.facts.append(ChargerConfigured(charger=given.charger, done=True, answer="unanswered"))
        return draft.decision()
    if setup.reading and not after.to_read:
        after = msgspec.structs.replace(after, reading=(), to_write=tuple(wanted(state, station)))
    _next(state, draft, given.charger, after, now_ms, ids)
    return draft.decision()


def _read(state: SiteState, draft: Draft, given: inputs.CallEnded, setup: Setup) -> Setup:
    model, asked = models.of(state, given.charger), setup.reading
    if given.answer == "accepted":
        values: Mapping[str, Any] = given.result.get("settings") or {}
        found = dict(setup.found)
        for name in asked:
            told = values.get(name)
            if told is not None:
                found[name] = (str(told["value"])[:VALUE_CHARS_MAX], bool(told["readonly"]))
        level = found.get(PROFILE_LEVEL_MAX, ("", True))[0]
        if level.isdigit() and len(level) < 6 and model.level_max != int(level):
            draft.facts.append(_learned(given.charger, "level_max", value=level))
        for name, known in zip(LIST_MAXIMA, (model.list_max, model.list_send_max), strict=True):
            most = found.get(name, ("", True))[0]
            if name in asked and most.isdigit() and len(most) < 6 and int(most) not in (0, known):
                draft.facts.append(_learned(given.charger, name, value=most))
        return msgspec.structs.replace(setup, found=found, silent=0)
    silent = setup.silent + 1 if given.answer in _SILENCE else 0
    if len(asked) > 1:
        # The whole batch hung or was refused: one of them may be why (quirk 82).
        if not model.singly:
            draft.facts.append(_learned(given.charger, "read_singly"))
        again = asked if not setup.singly else ()
        return msgspec.structs.replace(setup, to_read=again + setup.to_read, singly=True, silent=silent)
    if given.answer in _SILENCE:
        draft.facts.append(_learned(given.charger, "read_hangs", key=asked[0]))
    return msgspec.structs.replace(setup, silent=silent)


def _written(state: SiteState, draft: Draft, given: inputs.CallEnded, setup: Setup) -> Setup:
    name, answer = setup.writing, given.answer
    if answer == "accepted" and given.detail:
        answer = "reboot_required"
    draft.facts.append(
        ChargerConfigured(
            charger=given.charger,
            setting=name,
            value=setup.value,
            before=setup.found[name][0],
            answer=answer,
        )
    )
    silent = setup.silent + 1 if answer in _SILENCE else 0
    # Refused as such: the next best value, if there is one.
    again = (name,) if answer in ("rejected", "error") else ()
    return msgspec.structs.replace(setup, to_write=again + setup.to_write, silent=silent)


def _learned(charger: str, what: str, *, key: str = "", value: str = "") -> ModelLearned:
    return ModelLearned(charger=charger, what=what, key=key, value=value)


# --- applying ----------------------------------------------------------------------------------------------


def settings_wanted(state: SiteState, body: SettingsWanted, at_ms: int) -> None:
    state.wanted = dict(body.settings)
    for station in state.stations.values():
        again(state, station, at_ms)


def again(state: SiteState, station: Station, at_ms: int) -> None:
    """What is wanted of a charger has changed: look at it once more."""
    station.tuning.setup.done = False
    _arm(state, station, at_ms + AFTER_CHANGE_MS)


def configured(state: SiteState, body: ChargerConfigured, at_ms: int) -> None:
    setup = state.station(body.charger).tuning.setup
    if body.done:
        setup.done = True
        return
    setup.tried[body.setting] = body.value
    model = models.of(state, body.charger, make=True)
    if body.answer in _SILENCE:
        model.hangs[body.setting] = model.hangs.get(body.setting, 0) + 1
    elif body.answer in _NO:
        values = model.refused.setdefault(body.setting, [])
        refused = ANY if body.answer == "not_supported" else body.value
        if refused not in values:
            values.append(refused)
    else:
        model.hangs.pop(body.setting, None)


def booted(state: SiteState, station: Station, at_ms: int) -> None:
    """Every Boot may mean factory settings; storms are waited out (quirk 37)."""
    setup = station.tuning.setup
    close = setup.boot_ms and at_ms < setup.boot_ms + STORM_MS
    setup.storm = min(setup.storm + 1, 16) if close else 0
    setup.boot_ms, setup.done, setup.tried = at_ms, False, {}
    _arm(state, station, at_ms + min(AFTER_BOOT_MS << setup.storm, STORM_WAIT_MAX_MS))


def connected(state: SiteState, station: Station, at_ms: int) -> None:
    """A connection; a Boot may or may not follow (quirk 36)."""
    if not station.tuning.setup.done:
        _arm(state, station, at_ms + max(AFTER_CONNECT_MS, AFTER_BOOT_MS << station.tuning.setup.storm))


def session_over(state: SiteState, station: Station, at_ms: int) -> None:
    """The last car may have gone: what waited for that begins."""
    if not station.tuning.setup.done and not _busy(station):
        _arm(state, station, max(at_ms + AFTER_CHANGE_MS, station.tuning.setup.due_ms))


def _arm(state: SiteState, station: Station, due_ms: int) -> None:
    station.tuning.setup.due_ms = due_ms
    state.arm(due_ms)

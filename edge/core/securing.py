"""How chargers prove who they are: OCPP's security profiles, moved up one at a time; passwords, rotated.

    told to move    calls ─▶ (it comes in under the next profile) ─▶ moved: what was before is over
    told a password call ─▶ (it comes in with it) ─▶ rotated: the old one is over
    moved to 2      then a password: the one before went over the wire readable
    set by hand     at once; a lower profile by who is at the box alone (`policy`), and nothing is sent

Until it has come in with the new, what was good stays good, however long that takes: nobody is locked out by
an answer that was lost, or by a charger that says yes and does nothing (quirk 107). Nothing here ever lowers
a profile but such a command. Passwords have names here; the shell makes them, keeps them and fills them in.

A charger that is to trust this site's authority is given both of its roots, of which old firmware may know
one alone (quirks 108, 109); profile 3 wants a certificate of its own besides.
"""

from __future__ import annotations

from typing import Final

import msgspec

from common import commands, facts
from common.commands import Name
from common.errors import Code, Refused, error
from edge.core import inputs, outcomes
from edge.core.state import Draft, Order, SiteState, Station

#: The calls that lead to a profile from the one below it, in order.
STEPS: Final[dict[int, tuple[str, ...]]] = {
    1: ("password", "profile"),
    2: ("root_ec", "root_rsa", "profile"),
    3: ("root_ec", "root_rsa", "certificate", "profile"),
}
ROTATION: Final = ("password",)
#: From here on a password is not readable any more.
OVER_TLS: Final = 2
#: Profiles that rest on a password.
BY_PASSWORD: Final = frozenset({1, 2})

_ROOTS: Final = frozenset({"root_ec", "root_rsa"})
_NO: Final = frozenset({"rejected", "not_supported", "error"})
#: The charger may have done it all the same.
_UNKNOWN: Final = frozenset({"timeout", "lost"})
#: What no command writes, and no fact ever shows: only what is here may lead to it.
_PROTECTED: Final = frozenset({"authorizationkey", "basicauthpassword", "securityprofile"})
READABLE_BEFORE: Final = "its password was readable before: plugside-edge chargers security ID --rotate"


class Step(msgspec.Struct, frozen=True):
    """Travels with a call. `roots`: how many of the site's roots the charger has taken so far."""

    command: str
    step: str
    roots: int = 0


# --- judging -----------------------------------------------------------------------------------------------


def protected(key: str) -> bool:
    """Whether a configuration key (1.6) or variable (2.x) is about security, and so not to be written."""
    variable = key.casefold().rpartition(".")[2].partition("[")[0].strip()
    return variable in _PROTECTED or key.casefold().strip().startswith("securityctrlr")


def judge_key(key: str) -> None:
    """Raises Refused where a setting of a charger is none for `configure`."""
    if protected(key):
        raise Refused(Code.SECURITY_PROFILE, "passwords and security profiles are not set as configuration")


def judge(state: SiteState, given: inputs.CommandReceived, args: commands.Secure) -> None:
    """Whether such a change may be taken on. Raises PlugsideError. That a lower profile takes somebody at the
    box is `policy`'s to say."""
    station = state.look(given.target.charger)
    present = station.security.profile
    if args.by_hand and args.rotate:
        hint = "Use: plugside-edge chargers password ID."
        raise Refused(Code.BAD_REQUEST, "a password that is typed in by hand is made at the box", hint=hint)
    if args.by_hand:
        return
    if args.profile < present:
        raise Refused(Code.SECURITY_PROFILE, "a charger is never told a lower profile")
    if args.rotate and (args.profile != present or present not in BY_PASSWORD):
        raise Refused(Code.SECURITY_PROFILE, f"there is no password to change under profile {present}")
    if not args.rotate and args.profile != present + 1:
        raise Refused(Code.SECURITY_PROFILE, f"it is at profile {present}; go up one at a time")
    if not station.online:
        raise error(Code.CHARGER_OFFLINE, "it has to be told; or set it there, and use --by-hand")
    if any(state.orders[order].name == Name.SECURE for order in station.orders):
        raise error(Code.BUSY, "it is being moved already; wait until that has ended")


def adoption(state: SiteState, charger: str, args: commands.Adopt) -> tuple[facts.Body, ...]:
    """A charger is taken into the site, or has another name. How it proves itself is said once, at first."""
    adopted = facts.ChargerAdopted(charger=charger, name=args.name)
    known = state.view.chargers.get(charger)
    if args.profile is None or (known is not None and known.adopted):
        return (adopted,)
    return adopted, facts.ChargerSecured(charger=charger, change="set", profile=args.profile)


# --- taking on ---------------------------------------------------------------------------------------------


def begin(state: SiteState, draft: Draft, order: Order, args: commands.Secure) -> None:
    """Write down what is taken from now on, and make the first call."""
    present = state.look(order.charger).security.profile
    if args.by_hand:
        higher = args.profile > present
        draft.facts.append(
            facts.ChargerSecured(
                charger=order.charger,
                change="moving" if higher else "set",
                profile=present if higher else args.profile,
                to=args.profile if higher else None,
            )
        )
        outcomes.settle(draft, order, "succeeded")
        return
    if not args.rotate:
        draft.facts.append(_secured(order, "moving", present, to=args.profile))
    _call(draft, order, Step(order.id, _steps(args)[0]), present, order.attempt)


def _steps(args: commands.Secure) -> tuple[str, ...]:
    return ROTATION if args.rotate else STEPS[args.profile]


def _secured(order: Order, change: str, profile: int, **more: object) -> facts.ChargerSecured:
    return facts.ChargerSecured(
        charger=order.charger,
        change=change,
        profile=profile,
        **more,  # type: ignore[arg-type]
    )


def _call(draft: Draft, order: Order, step: Step, present: int, attempts: int) -> None:
    if step.step == "password":
        draft.facts.append(_secured(order, "offered", present, credential=order.id))
    draft.facts.append(
        facts.CommandSent(
            command=order.id,
            charger=order.charger,
            principal=order.principal,
            attempt=attempts + 1,
            step=step.step,
        )
    )
    draft.requests.append(
        inputs.Request(
            id=f"{order.id}.{step.step}",
            charger=order.charger,
            action=_action(order, step),
            priority=inputs.PRIORITY_HOUSEKEEPING,
            expires_ms=order.expires_ms,
            context=step,
        )
    )


def _action(order: Order, step: Step) -> inputs.Action:
    match step.step:
        case "password":
            return inputs.SetPassword(order.id)
        case "root_ec" | "root_rsa":
            return inputs.TrustSite(step.step.removeprefix("root_"))
        case "certificate":
            return inputs.Trigger("certificate", None, extended=True)
        case _:
            return inputs.SetProfile(int(str(order.args["profile"])))


# --- what the charger answers ------------------------------------------------------------------------------


def answered(state: SiteState, given: inputs.CallEnded, step: Step) -> inputs.Decision:
    """A call came to its end: the next one, or waiting for the charger to come in, or the command's end."""
    order = state.orders.get(step.command)
    draft = Draft()
    if order is None or order.state == "settled" or order.charger != given.charger:
        return inputs.NOTHING
    answer = given.answer
    if answer in ("accepted", "scheduled"):
        _next(state, draft, order, given, msgspec.structs.replace(step, roots=step.roots + 1))
    elif step.step == "password" and _moved(state, order) and answer not in _UNKNOWN:
        # It is where it was to come to. That its password was readable before is for the installer to mend.
        outcomes.confirm(draft, order, given)
        draft.facts.append(_refused(state.look(order.charger), order, given))
        outcomes.settle(draft, order, "succeeded", detail=READABLE_BEFORE)
    elif step.step in _ROOTS and answer in _NO and (step.roots or step.step == "root_ec"):
        _next(state, draft, order, given, step)  # one of the two is enough, and both must be tried
    elif step.step in ("password", "profile") and (answer in _UNKNOWN or _cut_off(step, given)):
        # Whether it did so shows when it comes in. One that was cut off is told again then.
        if answer == "timeout":
            outcomes.confirm(draft, order, given)
    else:
        _failed(state, draft, order, given)
    return draft.decision()


def _cut_off(step: Step, given: inputs.CallEnded) -> bool:
    """A charger that was told a password may hang up before it can be told its profile."""
    return step.step == "profile" and given.answer == "not_sent" and "disconnect" in given.detail


def _next(state: SiteState, draft: Draft, order: Order, given: inputs.CallEnded, step: Step) -> None:
    args = commands.arguments(Name.SECURE, order.args)
    assert isinstance(args, commands.Secure)
    if step.step == "password" and _moved(state, order):
        outcomes.confirm(draft, order, given)
        return
    steps = _steps(args)
    done = steps.index(step.step)
    if step.step == "certificate":
        return  # it asks for one now, and gets it (`certificates`); `has_certificate` goes on
    if done + 1 < len(steps):
        following = msgspec.structs.replace(step, step=steps[done + 1])
        _call(draft, order, following, _present(state, order), order.attempt)
    else:
        outcomes.confirm(draft, order, given)


def has_certificate(state: SiteState, decision: inputs.Decision, charger: str) -> inputs.Decision:
    """The charger has said whether it took its certificate: one that moves to profile 3 is told so now."""
    change = next((f.change for f in decision.facts if isinstance(f, facts.CertificateChanged)), "")
    order = _moving(state, charger)
    if order is None or order.step != "certificate" or change not in ("installed", "not_installed", "failed"):
        return decision
    draft = Draft()
    draft.facts += decision.facts
    if change == "installed":
        _call(draft, order, Step(order.id, "profile"), _present(state, order), order.attempt)
    else:
        ended = inputs.CallEnded(
            charger=charger, request="", answer="rejected", detail="it has no certificate of this site"
        )
        _failed(state, draft, order, ended)
    return draft.decision()


def _moved(state: SiteState, order: Order) -> bool:
    """Whether the charger has come in under the profile that it was to be moved to."""
    return not order.args.get("rotate") and order.args.get("profile") == _present(state, order)


def given_up(state: SiteState, draft: Draft, order: Order) -> bool:
    """The command's time is over: whether it has ended well all the same."""
    if _moved(state, order):
        outcomes.settle(draft, order, "succeeded", detail=READABLE_BEFORE)
        return True
    return False


def _moving(state: SiteState, charger: str) -> Order | None:
    orders = (state.orders[order] for order in state.look(charger).orders)
    return next((order for order in orders if order.name == Name.SECURE), None)


def _present(state: SiteState, order: Order) -> int:
    return state.look(order.charger).security.profile


_CODES: Final = {
    "not_supported": Code.CHARGER_NOT_SUPPORTED,
    "not_sent": Code.EXPIRED,
    "no_tls": Code.BAD_SETTINGS,
}


def _failed(state: SiteState, draft: Draft, order: Order, given: inputs.CallEnded) -> None:
    """It stays as it was: the old password, the old profile."""
    if given.answer not in ("not_sent", "lost", "no_tls"):
        outcomes.confirm(draft, order, given)
    draft.facts.append(_refused(state.look(order.charger), order, given))
    code = Code.CHARGER_TIMEOUT if given.answer in _UNKNOWN else _CODES.get(given.answer)
    outcomes.settle(draft, order, "failed", code or Code.CHARGER_REJECTED, given.detail)


def _refused(station: Station, order: Order, given: inputs.CallEnded) -> facts.ChargerSecured:
    """A password that it said no to is gone; one that it took before it refused the rest is kept beside."""
    offered = order.id if given.request.endswith(".password") else ""
    # What is set at the charger by hand meanwhile is not what it said no to.
    to = station.security.to if order.args.get("rotate") else None
    return _secured(
        order, "refused", station.security.profile, to=to, credential=offered, detail=given.detail[:200]
    )


# --- what is observed --------------------------------------------------------------------------------------


def came_in(state: SiteState, draft: Draft, given: inputs.StationConnected) -> None:
    """A charger was let in: under which profile, and with which password, is what it has come to."""
    security = state.look(given.charger).security
    order = _moving(state, given.charger)
    moved = security.to is not None and given.profile == security.to
    rotated = bool(given.credential) and given.credential != security.credential
    if moved or rotated:
        draft.facts.append(
            facts.ChargerSecured(
                charger=given.charger,
                change="moved" if moved else "rotated",
                profile=given.profile if moved else security.profile,
                to=None if moved else security.to,
                credential=given.credential,
            )
        )
    if order is None:
        return
    wanted = order.args.get("profile")
    if moved and given.profile == wanted == OVER_TLS and given.credential:
        _call(draft, order, Step(order.id, "password"), given.profile, order.attempt)
    elif (moved and given.profile == wanted) or given.credential == order.id:
        outcomes.settle(draft, order, "succeeded", detail=f"it came in under profile {given.profile}")
    elif order.step == "profile" and order.answer not in ("accepted", "scheduled"):
        _call(draft, order, Step(order.id, "profile"), security.profile, order.attempt)


# --- applying ----------------------------------------------------------------------------------------------


def secured(state: SiteState, body: facts.ChargerSecured, at_ms: int) -> None:
    security = state.station(body.charger).security
    security.profile, kept_to = body.profile, security.to
    match body.change:
        case "offered":
            security.offered = body.credential
        case "refused":
            security.to = body.to
            if body.credential and security.offered == body.credential:
                security.offered = ""
        case "moved" | "rotated":
            security.to = body.to
            security.credential = body.credential or security.credential
            if security.offered == body.credential:
                security.offered = ""
        case _:  # set, moving
            security.to = body.to
    if body.change == "offered":
        security.to = kept_to


def sent(order: Order, body: facts.CommandSent) -> None:
    """Which call is out, and that it has no answer yet."""
    order.step, order.answer, order.answered_ms = body.step, "", 0

"""What a person types, and what they mean: chargers by id or name, in any case. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from common.errors import Code, Refused
from common.view import ChargerView, SessionView, View

_DIGITS = re.compile(r"(\d+)")


def called(charger: ChargerView) -> str:
    """What people call it."""
    return charger.name or charger.id


def in_order(view: View) -> list[ChargerView]:
    """Chargers as a person counts them: Bay 2 before Bay 12."""
    return sorted(view.chargers.values(), key=lambda charger: (_natural(called(charger)), charger.id))


def _natural(text: str) -> list[tuple[int, str]]:
    parts = _DIGITS.split(text.casefold())
    return [(int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in parts]


def find_charger(views: Mapping[str, View], text: str) -> tuple[str, ChargerView]:
    """Site and charger that `text` means, by id or name. views: by site id.

    An exact id wins over another charger's name. Raises Refused(unknown_charger) that names the choices.
    """
    everything = [(site, charger) for site, view in views.items() for charger in in_order(view)]
    exact = [(site, charger) for site, charger in everything if charger.id == text]
    wanted = text.casefold()
    named = exact or [(site, charger) for site, charger in everything if wanted in _names(charger)]
    if len(named) == 1:
        return named[0]
    if named:
        hint = "Use its id, or name the --site: " + ", ".join(f"{c.id} at {site}" for site, c in named)
        raise Refused(Code.UNKNOWN_CHARGER, f"several are called {text}", hint=hint)
    known = ", ".join(called(charger) for _, charger in everything)
    hint = f"Yours are: {known}." if known else "No charger is yours to use yet; ask the operator."
    raise Refused(Code.UNKNOWN_CHARGER, text, hint=hint)


def _names(charger: ChargerView) -> tuple[str, str]:
    return charger.id.casefold(), charger.name.casefold()


def open_session(view: View, charger: ChargerView, evse: int | None = None) -> SessionView:
    """The one charge of ours that is running there. Raises Refused: unknown_session, bad_request."""
    running = [
        session
        for session in view.sessions.values()
        if session.charger == charger.id and not session.ended_at and evse in {None, session.evse}
    ]
    if not running:
        hint = "`plugside status` shows where you charge."
        raise Refused(Code.UNKNOWN_SESSION, f"no charge of yours is running at {called(charger)}", hint=hint)
    if len(running) > 1:
        choices = ", ".join(f"--evse {session.evse}" for session in running)
        raise Refused(Code.BAD_REQUEST, f"several charges are running there: {choices}", hint="Name one.")
    return running[0]

"""Limits as people see them: what a charger was asked for, what it said yes to, and whether it is proven.

Parts of `view`, which reduces `LimitWanted`, `LimitApplied` and `ChargerConfigured` with these.
"""

from __future__ import annotations

import msgspec

from common.tuning import LimitApplied


class LimitView(msgspec.Struct, omit_defaults=True):
    """One limit at a charger. `limit_a`: what it said yes to last, None = nothing yet.

    `proof`: as in `LimitApplied`; only "proven" may be relied on. `asked_a`: what was asked for and is not in
    force. `measured_a`: what was seen when it was judged.
    """

    limit_a: float | None = None
    proof: str = ""
    rank: str = ""
    asked_a: float | None = None
    measured_a: float | None = None


class WantedView(msgspec.Struct, omit_defaults=True):
    """What people decided on, whatever became of it. `policy_a`: the operator's, by EVSE; 0 = the whole."""

    revision: int = 0
    safety_a: float | None = None
    policy_a: dict[int, float] = {}


def after(known: LimitView | None, body: LimitApplied) -> LimitView | None:
    """What is shown of a limit after this fact. A refused one leaves what was in force before."""
    match body.proof:
        case "cleared":
            return None
        case "accepted" | "proven" | "unproven":
            return LimitView(body.limit_a, body.proof, body.rank, measured_a=body.measured_a)
    before = known or LimitView()
    return LimitView(before.limit_a, body.proof, body.rank, asked_a=body.limit_a)


def forgotten(known: LimitView | None) -> LimitView | None:
    """What is shown once the charger booted: whether it still knows is not proven."""
    return None if known is None else msgspec.structs.replace(known, proof="unproven", measured_a=None)


def in_force(default: LimitView | None, session: LimitView | None) -> LimitView | None:
    """The limit that counts on a connector: its charge's own, else the one for every charge."""
    if session is not None and session.limit_a is not None:
        return session
    return default or session


def limit_text(shown: LimitView | None) -> str:
    """A limit in words: "at most 16 A", with what is wrong about it; "" for none."""
    if shown is None:
        return ""
    if shown.limit_a is None:
        asked = f"{shown.asked_a:g} A" if shown.asked_a is not None else "a limit"
        words = {"refused": f"refused {asked}", "unanswered": f"no answer about {asked}"}
        return words.get(shown.proof, f"{asked} asked for")
    text = f"at most {shown.limit_a:g} A"
    if shown.proof == "proven":
        return text
    seen = f": {shown.measured_a:g} A" if shown.measured_a is not None and shown.proof == "unproven" else ""
    return f"{text} ({'unproven' + seen if shown.proof != 'refused' else 'another one was refused'})"

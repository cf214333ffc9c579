"""What waits for a person: orphans, doubted meters, flagged sessions; and what a person decided. Pure.

Bodies of `facts` (listed and used from there), and the one rule that says which sessions want a look. An
operator's decision about a session is a `session_revised` with `obtained="operator"` and one of `RESOLVED` in
its flags; what was there before stays in the facts before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final

import msgspec

from common.body import Body
from common.domain import EnergyMethod


class OrphanRecorded(Body, frozen=True, kw_only=True):
    """A charger reported something that fits no session. Kept whole; never guessed, never billed."""

    KIND: ClassVar[str] = "orphan_recorded"
    charger: str
    orphan: str = ""  #: names it, by its content
    what: str  #: start | stop | meter | event | unreadable
    reason: str
    evse: int = 0
    transaction: str = ""
    at: str = ""  #: the charger's own time of it, canonical
    meter_wh: float | None = None  #: the register that a start or a stop told
    raw: str = ""  #: what came, cut at 8 KiB, tags replaced by references
    principal: str | None = None


class OrphanResolved(Body, frozen=True, kw_only=True):
    """An operator judged an orphan. `decision`: accepted | attached (to `session`) | dismissed."""

    KIND: ClassVar[str] = "orphan_resolved"
    charger: str
    orphan: str
    decision: str
    session: str | None = None
    command: str = ""
    reason: str


class MeterDoubted(Body, frozen=True, kw_only=True):
    """A charger's register and its power tell different energies by a round factor (quirk 71).

    A proposal for staff, who set the trait `register_factor`; nothing is multiplied before.
    """

    KIND: ClassVar[str] = "meter_doubted"
    charger: str
    evse: int
    factor: float  #: what the register would have to be multiplied by
    register_wh: float  #: what the register gained
    power_wh: float  #: what power came to in the same time


ACCEPTED, SET, ATTACHED, DISMISSED = "accepted", "set", "attached", "dismissed"
#: Decision → the flag that a session carries after it.
RESOLVED: Final = {kind: f"resolved_{kind}" for kind in (ACCEPTED, SET, ATTACHED, DISMISSED)}

#: Flags that say nothing against a session; any other, one of a newer box too, wants a look.
_HARMLESS: Final = frozenset(
    {
        *("offline", "missing_stop", "superseded", "carried"),
        # of 2.x events: while one is missing the session is provisional; once it came this is history
        *("incomplete", "start_missing", "uncounted"),
    }
)
#: What begins so, too: staff decided what the registers are multiplied by, and the number follows (quirk 71).
SCALED: Final = "scaled_"
#: Also these, beside registers that were reported at start and stop and fit together.
_BESIDE_REGISTERS: Final = frozenset({"sample_conflict", "register_decreased"})


def attention(flags: Collection[str], method: EnergyMethod, *, ended: bool, provisional: bool) -> list[str]:
    """Why a session wants a person's look; [] if it does not, or a person has decided."""
    if not set(flags).isdisjoint(RESOLVED.values()):
        return []
    fine = _HARMLESS | (_BESIDE_REGISTERS if method is EnergyMethod.REGISTER else set())
    found = [flag for flag in flags if flag not in fine and not flag.startswith(SCALED)]
    if ended and provisional:
        found.append("provisional")
    if ended and method is EnergyMethod.UNKNOWN and "superseded" not in flags:
        found.append("no_energy")
    return found


def orphan_row(body: Body, recorded_at: str, decided: Mapping[str, OrphanResolved]) -> dict[str, Any]:
    """An orphan as box and cloud answer the query `orphans`; with the decision on it, if there is one."""
    told: dict[str, Any] = msgspec.to_builtins(body) | {"recorded_at": recorded_at}
    decision = decided.get(told.get("orphan", ""))
    if decision is not None:
        told |= {"decision": decision.decision, "session": decision.session, "because": decision.reason}
    return told

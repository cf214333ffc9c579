"""What is known of a charger's model beforehand, in neutral words: the core's picture of vendor differences.

The catalogue (`edge/chargers/quirks.py`) fills it by vendor, model and firmware, at each Boot; an installer
may put another value over any of it for one charger. Whatever is learned by trying is in `state.Model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class Traits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One charger's traits. The defaults are a charger that keeps to the standard."""

    #: A start carries an idTag minted for it; False: one fixed tag, for chargers that must know it before.
    mint: bool = True
    #: A schedule counts from the start of the charge, instead of from a time (quirk 87).
    relative: bool = False
    #: It takes limits in watts only (quirk 89).
    watts: bool = False
    #: Stack levels worth trying, first one first; none: from the highest that it tells down to 0 (quirk 86).
    levels: tuple[int, ...] = ()
    #: Phases that it charges with; 0: as many as carry current, else three.
    phases: Literal[0, 1, 2, 3] = 0
    #: The only limits that it takes, rising (quirk 89). None: any, in tenths.
    steps_a: tuple[float, ...] = ()
    #: What a limit below 6 A does: it pauses the charge, or ends it; "" = not proven (quirk 88).
    below_minimum: Literal["", "pauses", "ends"] = ""
    #: A limit of the whole station is kept, not only accepted (quirk 85).
    station_limit: bool = False
    #: How many settings are read at once; 0: none can be (quirk 82).
    read_batch: int = 6
    #: Settings that must never be written (quirks 82, 83).
    never_write: tuple[str, ...] = ()
    #: Settings that this model needs set otherwise than the site's: setting → value.
    settings: dict[str, str] = {}
    #: A start is taken while the last charge's cable is still in (quirk 48).
    finishing_starts: bool = False
    #: What its energy registers are multiplied by, from the next session on: kWh told as Wh (quirk 71).
    register_factor: float = 1.0
    #: The one protocol that it should speak, though it offers another (quirk 103).
    protocol: str = ""


DEFAULT = Traits()


def merged(*layers: Mapping[str, Any]) -> Traits:
    """The traits of several layers, the later over the earlier. Raises msgspec.ValidationError."""
    both: dict[str, Any] = {}
    for layer in layers:
        both |= layer
    return msgspec.convert(both, Traits) if both else DEFAULT

"""Vendor differences, as data: which models depart from the standard, how, and who has seen it.

A charger says what it is in its Boot; `traits_for` gives what is known of such a one, as far as it departs
from `edge.core.traits.Traits`' defaults. The dialects put it beside the Boot, and the core remembers it. An
installer may put another value over any of it for one charger (`plugside-edge chargers trait`), and what a
charger was seen to refuse is learned without being listed here.

A new entry needs no code: patterns (as in a shell, in any case; all that are given must fit, and later
entries win over earlier ones), traits, and a source that a stranger can open.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from edge.core.traits import Traits, merged


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model, or one maker's. An empty pattern fits anything."""

    vendor: str
    model: str = ""
    firmware: str = ""
    traits: Traits
    source: str


ENTRIES: Final[tuple[Entry, ...]] = (
    # It rejects absolute schedules (87).
    Entry(
        vendor="wall*box*",
        traits=Traits(relative=True),
        source="https://github.com/evcc-io/evcc/pull/25042",
    ),
    # It accepts every measurand and then boots again and again over them (83); reading many keys reboots it
    # (82); the highest stack level that it tells, 3, is rejected (86).
    Entry(
        vendor="abb*",
        traits=Traits(read_batch=1, levels=(1, 0), never_write=("sampled_measurands", "stop_measurands")),
        source="https://github.com/lbbrhzn/ocpp/issues/1737",
    ),
    # Reading configuration hangs it (82); a limit of the whole is accepted without effect (85).
    Entry(
        vendor="united*chargers*",
        traits=Traits(read_batch=1, levels=(0,)),
        source="https://github.com/lbbrhzn/ocpp/issues/1275",
    ),
    Entry(
        vendor="*grizzl*",
        traits=Traits(read_batch=1, levels=(0,)),
        source="https://github.com/lbbrhzn/ocpp/issues/1275",
    ),
    # Below 6 A it ends the charge (88); only these steps (89); a start is taken in Finishing (48).
    Entry(
        vendor="ne*charge*",
        traits=Traits(
            below_minimum="ends", steps_a=(6.0, 8.0, 10.0, 13.0, 16.0), finishing_starts=True, relative=True
        ),
        source="https://github.com/evcc-io/evcc/pull/33020",
    ),
    # Watts only (89); a limit of nothing ends the charge (88).
    Entry(
        vendor="huawei*",
        traits=Traits(watts=True, below_minimum="ends"),
        source="https://github.com/evcc-io/evcc/pull/33020",
    ),
    # Reading it whole hangs it (82); a limit of nothing ends the charge (88).
    Entry(
        vendor="en*plus*",
        traits=Traits(read_batch=1, below_minimum="ends"),
        source="https://github.com/evcc-io/evcc/pull/16186",
    ),
    # Only the lowest stack level (86).
    Entry(
        vendor="vestel*",
        traits=Traits(levels=(0,)),
        source="https://github.com/evcc-io/evcc/issues/4957",
    ),
    # Samples more often than each minute overwhelm it (84).
    Entry(
        vendor="acu*",
        traits=Traits(settings={"sample_interval_s": "60"}),
        source="https://github.com/evcc-io/evcc/blob/b29b49e3056ead3c99ff1f4711b2bb17083114b0/charger/ocpp/cp_setup.go",
    ),
    # Offers 2.0.1 and judges our answers by 1.6's schemas (103).
    Entry(
        vendor="fox*ess*",
        traits=Traits(protocol="1.6"),
        source="https://github.com/lbbrhzn/ocpp/issues/2008",
    ),
)


def traits_for(vendor: str, model: str, firmware: str = "") -> dict[str, Any]:
    """What is known of such a charger, as far as it departs from the defaults; {} for most."""
    fitting = [
        entry
        for entry in ENTRIES
        if _fits(entry.vendor, vendor) and _fits(entry.model, model) and _fits(entry.firmware, firmware)
    ]
    layers = [msgspec.to_builtins(entry.traits) for entry in fitting]
    # As JSON has it, so that what a journal gives back compares equal.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(merged(*layers)))
    return plain


def _fits(pattern: str, text: str) -> bool:
    return not pattern or fnmatchcase(text.strip().casefold(), pattern)

"""What the core remembers of how a charger is set: its traits, its configuration, its limits. Data only.

`state.Station.tuning` holds one for each charger, `state.SiteState.models` what was learned of each model.
Filled by `configuration` and `limits` from facts alone; every size is bounded.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from edge.core.traits import Traits, merged

#: Models remembered: above what one site has ever seen at once. The one heard of longest ago goes first.
MODELS_MAX: Final = 64
#: A setting that left a charger silent this often on reading or writing is left alone (quirks 82, 83).
HANGS_MAX: Final = 2


class Setup(msgspec.Struct, omit_defaults=True):
    """The configuration procedure of one boot. `due_ms`: when it begins; 0 = it waits for something."""

    due_ms: int = 0
    done: bool = False
    boot_ms: int = 0
    storm: int = 0  #: boots that followed one another closely
    tried: dict[str, str] = {}  #: setting → value that was written (or tried) since the boot


class Slot(msgspec.Struct, omit_defaults=True):
    """One profile at the charger, as far as we know; see `facts.LimitApplied`.

    `limit_a` is what was asked for last, `held_a` what it said yes to last. `stale`: it must be sent again,
    because the charger booted or came back.
    """

    evse: int = 0
    scope: str = "default"
    rank: str = ""
    limit_a: float | None = None
    held_a: float | None = None
    proof: str = ""
    attempt: int = 0
    rung: int = 0
    asked_ms: int = 0
    proof_ms: int = 0
    failures: int = 0  #: calls in a row without an answer
    above: bool = False  #: more than this was drawn when it was asked for
    stale: bool = False


class Limits(msgspec.Struct, omit_defaults=True):
    """What is wanted, by rank (design §8), and what is at the charger. `evse` 0 = the charger as a whole."""

    revision: int = 0
    safety_a: float | None = None
    policy_a: dict[int, float] = {}
    session_a: dict[str, float] = {}  #: a driver's, by session
    held: list[str] = []  #: sessions that began before a limit that must reach them
    slots: dict[str, Slot] = {}
    sent: int = 0  #: the number of the last call; each has its own
    ready_ms: int = 0  #: nothing is sent before: the charger came back and may still say Boot (quirk 35)

    @property
    def used(self) -> bool:
        """Whether there is anything to look after."""
        return bool(self.slots or self.policy_a or self.session_a or self.safety_a is not None)


class Listing(msgspec.Struct, omit_defaults=True):
    """The local list of one charger, as far as we know (`edge.core.listing`)."""

    due_ms: int = 0
    tried: int = 0  #: the version that was brought there last, whatever came of it …
    boots: int = 0  #: … in which boot …
    answer: str = ""  #: … and what did
    entries: int = 0  #: tags of ours that are on it


class Tuning(msgspec.Struct, omit_defaults=True):
    """One charger's. `catalogue` and `installer` are layers of `traits.Traits`."""

    catalogue: dict[str, Any] = {}
    installer: dict[str, Any] = {}
    revision: int = 0
    setup: Setup = msgspec.field(default_factory=Setup)
    limits: Limits = msgspec.field(default_factory=Limits)
    listing: Listing = msgspec.field(default_factory=Listing)

    @property
    def traits(self) -> Traits:
        return merged(self.catalogue, self.installer)


class Model(msgspec.Struct, omit_defaults=True):
    """What was learned on chargers of one vendor, model and firmware."""

    refused: dict[str, list[str]] = {}  #: setting → values that were refused; "*" = any
    hangs: dict[str, int] = {}  #: setting → how often the charger fell silent over it
    singly: bool = False  #: settings are read one at a time
    profile: str = ""  #: the way to say a limit that was accepted: "level kind"
    level_max: int | None = None
    list_max: int = 0  #: tags that a local list takes; 0 = not told
    list_send_max: int = 0  #: in one message


class OfflinePolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What chargers of this site do about tags by themselves. None: whatever the charger is set to."""

    local_list: bool | None = None  #: keep a list of tags that are good
    local_preauthorize: bool | None = None  #: start on a listed tag before the box has answered
    authorize_offline: bool | None = None  #: start on a listed tag while the box is away
    stop_on_invalid: bool | None = None  #: end a charge whose tag the box judged invalid
    allow_unknown_offline: bool | None = None  #: start on any tag while the box is away

    def settings(self) -> dict[str, tuple[str, ...]]:
        """The settings that carry it out, in `configuration`'s form."""
        told = {
            "local_list": self.local_list,
            "local_preauthorize": self.local_preauthorize,
            "authorize_offline": self.authorize_offline,
            "stop_on_invalid": self.stop_on_invalid,
            "allow_unknown_offline": self.allow_unknown_offline,
        }
        return {name: (str(on).lower(),) for name, on in told.items() if on is not None}

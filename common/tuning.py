"""Facts about how chargers are set: their configuration, what their model was found to refuse, their limits.

Bodies of `facts`, where they are listed and from where they are used. Limits are for all who may use the
charger and name no person and no session; the rest is for staff.
"""

from __future__ import annotations

from typing import Any, ClassVar

from common.body import Audience, Body


class SettingsWanted(Body, frozen=True, kw_only=True):
    """What every charger of the site should be set to: setting → values, the first one preferred."""

    KIND: ClassVar[str] = "settings_wanted"
    settings: dict[str, tuple[str, ...]] = {}


class ChargerConfigured(Body, frozen=True, kw_only=True):
    """A setting was written to a charger, or (`done`) the procedure of this boot came to its end.

    `answer`: accepted | reboot_required | rejected | not_supported | error | timeout | lost; with `done`:
    complete | unanswered | not_supported.
    """

    KIND: ClassVar[str] = "charger_configured"
    charger: str
    setting: str = ""
    value: str = ""
    before: str = ""
    answer: str = ""
    done: bool = False


class ModelLearned(Body, frozen=True, kw_only=True):
    """How chargers of one vendor, model and firmware behave was found out on one of them.

    `what`: read_hangs (key: setting) | read_singly | profile (value: "level kind" that was accepted) |
    level_max | list_max | list_send_max (value).
    """

    KIND: ClassVar[str] = "model_learned"
    charger: str
    what: str
    key: str = ""
    value: str = ""


class TraitsChanged(Body, frozen=True, kw_only=True):
    """What is known beforehand about a charger. `source`: catalogue (its model) | installer (over it)."""

    KIND: ClassVar[str] = "traits_changed"
    charger: str
    source: str
    traits: dict[str, Any] = {}
    revision: int = 0  #: of the installer's


class LimitWanted(Body, frozen=True, kw_only=True):
    """Somebody decided on a limit (None: lifted it). `evse` 0 = the charger as a whole.

    `rank`: installer | operator | driver; a driver's is for the session that runs on the connector.
    """

    KIND: ClassVar[str] = "limit_wanted"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    evse: int = 0
    rank: str
    limit_a: float | None = None
    revision: int = 0


class LimitApplied(Body, frozen=True, kw_only=True):
    """How far a limit is in force at a charger. `limit_a` is the lowest of all ranks, for each phase.

    `scope`: default | session | station. `proof`: pending (being sent) | accepted (the charger said yes) |
    proven (its effect was seen) | unproven (said yes and has not shown it, or shows another) | refused |
    unanswered | cleared. `rank`: whose limit it is. `measured_a`: what was seen.
    """

    KIND: ClassVar[str] = "limit_applied"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    evse: int
    scope: str
    rank: str = ""
    limit_a: float | None = None
    proof: str
    attempt: int = 0
    rung: int = 0  #: how far down the ways to say it (stack levels, kinds)
    measured_a: float | None = None


class OfflinePolicyChanged(Body, frozen=True, kw_only=True):
    """What chargers of this site do about tags while the box is away. `policy`: strict (nobody starts by a
    tag) | listed (who is on the charger's local list)."""

    KIND: ClassVar[str] = "offline_policy_changed"
    policy: str
    revision: int


class TagsListed(Body, frozen=True, kw_only=True):
    """The local list was brought to a charger: `entries` tags `of` those that are good there.

    `answer`: verified (it tells this version) | unproven (it said yes and tells another) | refused |
    not_supported | unanswered | overtaken (the tags changed meanwhile; the next list follows). Names no tag.
    """

    KIND: ClassVar[str] = "tags_listed"
    charger: str
    version: int
    entries: int
    of: int
    answer: str


class ReservationChanged(Body, frozen=True, kw_only=True):
    """A connector is kept for somebody, or not any more. Names nobody: whose `command` it is knows.

    `state`: made | ended; `why` it ended: used | cancelled | expired | faulted | unavailable | refused.
    """

    KIND: ClassVar[str] = "reservation_changed"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    evse: int
    connector: int = 1
    reservation: int
    command: str
    until: str = ""
    state: str = "made"
    why: str = ""


#: Of this file, for `facts.BODIES`.
BODIES: tuple[type[Body], ...] = (
    SettingsWanted,
    ChargerConfigured,
    ModelLearned,
    TraitsChanged,
    LimitWanted,
    LimitApplied,
    OfflinePolicyChanged,
    TagsListed,
    ReservationChanged,
)

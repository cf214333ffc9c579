"""Who may use a site, folded from what its ledger tells of rights: grants, tags, withdrawals. Pure.

Facts know pseudonyms; whoever answers adds the names that it keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from common import facts
from common.domain import Role, iso


class Person(msgspec.Struct, kw_only=True):
    """One principal. `chargers` None = all. `tags`: references of the tags that are theirs."""

    principal: str
    role: str = ""  #: empty: they never joined with a device, they only have tags
    chargers: tuple[str, ...] | None = None
    devices: set[str] = msgspec.field(default_factory=set)  #: thumbprints of their keys
    since: str = ""  #: site time at which they joined
    tags: set[str] = msgspec.field(default_factory=set)
    waiting: bool = False  #: a box made this operator, and the owner has not said yes


class Invited(Protocol):
    """What is asked of an invite (`common.trust.InviteRecord`)."""

    @property
    def principal(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def chargers(self) -> tuple[str, ...] | None: ...
    @property
    def expires_ms(self) -> int: ...


class Roster:
    """Feed it `authorization_changed` in order; `people` is who is left."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self._owner: dict[str, str] = {}  # tag → whose it is

    def take(self, told: Iterable[facts.Fact]) -> None:
        """The next facts; other kinds change nothing."""
        for fact in told:
            if isinstance(fact.body, facts.AuthorizationChanged):
                self._take(fact.body, fact.at)

    def person(self, principal: str) -> Person:
        """The person, who is there from now on."""
        return self.people.setdefault(principal, Person(principal=principal))

    def _take(self, body: facts.AuthorizationChanged, at: str) -> None:
        match body.change:
            case "granted" if body.principal:
                person = self.person(body.principal)
                person.role = body.role.value if body.role else person.role
                person.chargers = body.chargers
                person.devices.add(body.key)
                person.since = person.since or at
            case "tag_assigned" if body.principal and body.tag_ref:
                self._untag(body.tag_ref)
                self._owner[body.tag_ref] = body.principal
                self.person(body.principal).tags.add(body.tag_ref)
            case "tag_removed":
                self._untag(body.tag_ref)
            case "forgotten" | "revoked" if body.principal:
                self.people.pop(body.principal, None)

    def _untag(self, ref: str) -> None:
        owner = self._owner.pop(ref, None)
        if owner in self.people:
            person = self.people[owner]
            person.tags.discard(ref)
            if not person.tags and not person.role:
                del self.people[owner]


def rows(
    people: Collection[Person], invites: Iterable[Invited], names: Mapping[str, str]
) -> tuple[dict[str, Any], ...]:
    """Everybody by name, then who is invited and not here yet."""
    known = {person.principal for person in people}
    told = [row(person, names.get(person.principal, "")) for person in people]
    told += [
        row(
            Person(principal=invite.principal, role=invite.role.value, chargers=invite.chargers),
            names.get(invite.principal, ""),
            "invited",
            iso(invite.expires_ms),
        )
        for invite in invites
        if invite.principal not in known  # a code for a further device of somebody who is here
    ]
    return tuple(sorted(told, key=by_name))


def row(person: Person, name: str, state: str = "", expires_at: str = "") -> dict[str, Any]:
    """A person as the query `people` tells of them. state: active | waiting (for the owner) | invited (until
    `expires_at`)."""
    return {
        "principal": person.principal,
        "name": name,
        "role": person.role or "driver",
        "chargers": None if person.chargers is None else list(person.chargers),
        "devices": len(person.devices),
        "tags": sorted(person.tags),
        "since": person.since,
        "state": state or ("waiting" if person.waiting else "active"),
        "expires_at": expires_at,
    }


def by_name(told: dict[str, Any]) -> tuple[bool, str, str]:
    """Sort key of rows: who has a name before who has none."""
    return not told["name"], told["name"].casefold(), told["principal"]

"""Chargers' passwords as the box keeps them: which are good, when the old one is over, what is on disk."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.clock import SystemClock, SystemIds
from edge.chargers.credentials import EARLIER_MAX, Credentials, Passwords
from tests.dialects.quirks.box import Vault


def credentials(vault: Vault) -> Credentials:
    return Credentials(vault, SystemClock(), SystemIds())  # type: ignore[arg-type]


class Law(RuleBasedStateMachine):
    """One charger: offers, refusals, logins, starts of the box, in any order.

    The law: what it came in with last is good, and what was offered since then and not refused, and what it
    was sent before that without a word from it, and nothing else; so after a login with the newest one alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vault = Vault()
        self.made: dict[str, str] = {}  #: name → password, of all that ever were
        self.used = self.offered = ""
        self.earlier: list[str] = []

    @initialize()
    def begins(self) -> None:
        self.kept = credentials(self.vault)

    @rule(sent=st.booleans())
    def offer(self, sent: bool) -> None:
        before = [*self.earlier, *([self.offered] if self.offered else [])]
        self.earlier = before[-EARLIER_MAX:] if sent else []
        self.offered = f"name-{len(self.made)}"
        self.made[self.offered] = self.kept.offer("CP1", self.offered, sent=sent)

    @precondition(lambda self: self.made)
    @rule(chance=st.randoms(use_true_random=False))
    def is_refused(self, chance: object) -> None:
        name = chance.choice(sorted(self.made))  # type: ignore[attr-defined]
        self.kept.withdraw("CP1", name)
        if name == self.offered:
            self.offered = ""
        self.earlier = [one for one in self.earlier if one != name]

    @precondition(lambda self: self.earlier)
    @rule(chance=st.randoms(use_true_random=False))
    def comes_in_with_an_earlier_one(self, chance: object) -> None:
        name = chance.choice(self.earlier)  # type: ignore[attr-defined]
        assert self.kept.fitting("CP1", (bytes.fromhex(self.made[name]),)) == name
        self.kept.came_in("CP1", name)
        self.used, self.earlier = name, self.earlier[self.earlier.index(name) + 1 :]

    @precondition(lambda self: self.used or self.offered)
    @rule(with_new=st.booleans(), as_hex=st.booleans())
    def comes_in(self, with_new: bool, as_hex: bool) -> None:
        name = self.offered if with_new and self.offered else self.used or self.offered
        password = self.made[name]
        presented = password.encode() if as_hex else bytes.fromhex(password)
        both = (presented, bytes.fromhex(password))
        assert self.kept.fitting("CP1", both) == name
        self.kept.came_in("CP1", name)
        if name == self.offered:
            self.used, self.offered, self.earlier = name, "", []

    @rule()
    def the_box_starts_anew(self) -> None:
        self.kept = credentials(self.vault)

    @rule()
    def another_charger_has_one(self) -> None:
        self.kept.offer("CP2", "other")

    @invariant()
    def exactly_these_are_good(self) -> None:
        good = {name for name in (self.used, self.offered, *self.earlier) if name}
        found = {
            name
            for name, password in self.made.items()
            if self.kept.fitting("CP1", (bytes.fromhex(password),)) == name
        }
        assert found == good
        assert self.kept.fitting("CP2", [bytes.fromhex(one) for one in self.made.values()]) == ""
        assert self.kept.has("CP1") is bool(good)

    @invariant()
    def no_password_is_kept(self) -> None:
        on_disk = str(self.vault._documents)
        assert not [name for name, password in self.made.items() if password in on_disk]


TestLaw = Law.TestCase
TestLaw.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_what_another_box_knew_is_taken_over_but_never_over_what_was_made_here() -> None:
    old, here = credentials(Vault()), credentials(Vault())
    first, second = old.offer("CP1", "one"), old.offer("CP2", "two")
    mine = here.offer("CP2", "mine")
    found = msgspec.json.decode(msgspec.json.encode(old.all()), type=dict[str, Passwords])
    assert here.take(found) == 2
    assert here.fitting("CP1", (bytes.fromhex(first),)) == "one"
    assert here.fitting("CP2", (bytes.fromhex(second),)) == ""
    assert here.fitting("CP2", (bytes.fromhex(mine),)) == "mine"


def test_a_charger_that_left_has_no_password_any_more() -> None:
    vault = Vault()
    kept = credentials(vault)
    password = kept.offer("CP1", "one")
    kept.forget("CP1")
    assert not credentials(vault).has("CP1")
    assert kept.fitting("CP1", (bytes.fromhex(password),)) == ""


def test_one_that_it_took_without_a_word_is_good_though_it_refuses_the_next() -> None:
    vault = Vault()
    kept = credentials(vault)
    used = kept.offer("CP1", "one", sent=True)
    kept.came_in("CP1", "one")
    taken = kept.offer("CP1", "two", sent=True)  # its answer is lost, and it is told another one
    kept.offer("CP1", "three", sent=True)
    kept.withdraw("CP1", "three")
    again = credentials(vault)
    assert again.fitting("CP1", (bytes.fromhex(taken),)) == "two", "or somebody has to go there"
    again.came_in("CP1", "two")
    assert again.fitting("CP1", (bytes.fromhex(used),)) == ""


def test_nothing_presented_and_nothing_known_fit_nothing() -> None:
    kept = credentials(Vault())
    assert kept.fitting("CP1", (b"",)) == kept.fitting("CP1", ()) == ""
    kept.offer("CP1", "one")
    assert kept.fitting("CP1", (b"",)) == kept.fitting("CP1", ()) == ""


def test_a_certificate_is_good_until_the_charger_came_in_with_the_next_one() -> None:
    vault = Vault()
    kept = credentials(vault)
    good = []
    for step in ("issued A", "showed A", "issued B", "issued C", "showed A", "showed C", "showed A"):
        what, serial = step.split()
        getattr(kept, what)("CP1", serial)
        kept = credentials(vault)
        good.append("".join(one for one in "ABC" if kept.holds("CP1", one)))
    assert good == ["A", "A", "AB", "AC", "AC", "C", "C"]
    assert not kept.holds("CP2", "C")
    assert not kept.holds("CP1", "")
    kept.forget("CP1")
    assert not kept.holds("CP1", "C")

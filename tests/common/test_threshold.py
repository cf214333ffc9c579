"""The threshold of the LAN doors: places, budgets, waits, and what is noted of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.budget import Rate
from common.threshold import (
    FAILURES_FREE,
    FORGET_AFTER_S,
    STRANGERS_EACH,
    WAIT_MAX_S,
    Failures,
    Threshold,
    wait_s,
)

PLENTY = Rate(10_000, 10_000)


class Watch:
    """A clock that a test turns."""

    quality = "synced"

    def __init__(self) -> None:
        self.s = 1000.0

    def now_ms(self) -> int:
        raise AssertionError("no wall clock decides here: it may be set")

    def mono_ms(self) -> int:
        return int(self.s * 1000)


def made(watch: Watch | None = None, **options: Any) -> Threshold:
    return Threshold(watch or Watch(), **{"everyone": PLENTY, "each": PLENTY, **options})


def fail(threshold: Threshold, address: str, times: int, key: str = "") -> None:
    for _ in range(times):
        visit = threshold.knock(address)
        assert visit is not None
        visit.failed(key)
        visit.leave()


def test_strangers_have_few_places_and_the_known_have_theirs() -> None:
    threshold = made(strangers_max=4, links_max=5)
    first = [threshold.knock(f"192.0.2.{n}") for n in range(4)]
    assert [visit is not None for visit in first] == [True, True, True, False]
    for visit in filter(None, first):
        visit.known()
    assert threshold.strangers == 0
    assert [threshold.knock("192.0.2.9") is not None for _ in range(3)] == [True, True, False]
    assert threshold.links == 5


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["knock", "known", "leave", "failed"]))))
def test_the_counts_are_true_whatever_happens_in_whatever_order(steps: list[tuple[int, str]]) -> None:
    threshold = made(strangers_max=4, links_max=5)
    visits: dict[int, Any] = {}
    here: set[int] = set()
    known: set[int] = set()
    for number, step in steps:
        if step == "knock" and number not in here:
            visits[number] = threshold.knock(f"192.0.2.{number}")
            known.discard(number)
            if visits[number] is not None:
                here.add(number)
        elif step != "knock" and visits.get(number) is not None:
            getattr(visits[number], step)()
            if step == "leave":
                here.discard(number)
            if step == "known" and number in here:
                known.add(number)
        assert threshold.links == len(here) <= 5
        assert threshold.strangers == len(here - known) <= 4


def test_one_source_has_few_places_among_strangers_and_a_friend_finds_one_that_they_left() -> None:
    threshold = made(strangers_max=64)
    friend = threshold.knock("192.0.2.1")
    assert friend is not None
    friend.known()
    assert sum(threshold.knock("192.0.2.66") is not None for _ in range(100)) == STRANGERS_EACH
    assert threshold.pressed
    assert sum(threshold.knock(f"198.51.100.{n}") is not None for n in range(100)) == 48 - STRANGERS_EACH
    assert sum(threshold.knock("192.0.2.1") is not None for _ in range(100)) == 16


def test_who_fails_again_and_again_waits_longer_and_never_for_good() -> None:
    assert [wait_s(n) for n in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert wait_s(10**9) == WAIT_MAX_S
    watch = Watch()
    threshold = made(watch)
    fail(threshold, "192.0.2.1", FAILURES_FREE + 1)
    assert threshold.knock("192.0.2.1") is None
    assert threshold.knock("192.0.2.2") is not None
    watch.s += 1
    fail(threshold, "192.0.2.1", 1)
    watch.s += 1
    assert threshold.knock("192.0.2.1") is None
    watch.s += 1
    assert threshold.knock("192.0.2.1") is not None


def test_failures_are_forgotten_and_a_success_forgives_them() -> None:
    watch = Watch()
    threshold = made(watch)
    fail(threshold, "192.0.2.1", FAILURES_FREE)
    watch.s += FORGET_AFTER_S + 1
    fail(threshold, "192.0.2.1", FAILURES_FREE)
    visit = threshold.knock("192.0.2.1")
    assert visit is not None
    visit.known()
    visit.leave()
    fail(threshold, "192.0.2.1", FAILURES_FREE)
    assert threshold.knock("192.0.2.1") is not None


def test_a_neighbour_in_the_same_network_cannot_lock_a_friend_out() -> None:
    threshold = made()
    friend = threshold.knock("2001:db8::1")
    assert friend is not None
    friend.known()
    fail(threshold, "2001:db8::bad", FAILURES_FREE + 3)
    assert threshold.knock("2001:db8::1") is not None


def test_a_key_waits_wherever_it_comes_from() -> None:
    watch = Watch()
    threshold = made(watch)
    for number in range(FAILURES_FREE + 1):
        fail(threshold, f"192.0.2.{number}", 1, key="k")
    assert threshold.waits("k")
    assert not threshold.waits("another")
    watch.s += 1
    assert not threshold.waits("k")


def test_strangers_cannot_use_up_the_share_of_friends() -> None:
    threshold = made(everyone=Rate(1, 20), each=PLENTY, strangers_max=100)
    friend = threshold.knock("192.0.2.1")
    assert friend is not None
    friend.known()
    assert threshold.knock("198.51.100.1", cost=14) is not None
    assert threshold.knock("198.51.100.1") is None
    assert threshold.knock("198.51.100.1", cost=0.25) is None
    assert threshold.pressed
    assert threshold.knock("192.0.2.1") is not None


def test_what_an_operator_should_know_is_noted_and_a_flood_does_not_fill_the_journal() -> None:
    noted: list[tuple[str, str]] = []
    watch = Watch()
    threshold = made(watch, strangers_max=1, noted=lambda what, address: noted.append((what, address)))
    fail(threshold, "192.0.2.1", FAILURES_FREE + 1)
    assert noted == [("failed_logins", "192.0.2.1")]
    assert threshold.knock("192.0.2.2") is not None
    for number in range(1000):
        assert threshold.knock(f"198.51.100.{number % 250}") is None
    assert noted[1] == ("too_many_links", "")
    assert len(noted) == 12
    assert threshold.refused == 1000


def test_the_memory_of_failures_is_bounded() -> None:
    failures = Failures()
    for number in range(5000):
        failures.count(f"k{number}", 0.0)
    assert len(failures._known) <= 1024

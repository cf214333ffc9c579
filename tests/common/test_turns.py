"""Turns: laws of the shares, and that nobody's flood keeps another one's request from its turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.budget import Rate
from common.errors import Code, PlugsideError, Unavailable
from common.turns import Share, Turn, Turns


class Desk:
    """Turns, and what became of each request."""

    def __init__(self, share: Share) -> None:
        self.turns = Turns(share)
        self.asked: list[tuple[str, int]] = []
        self.begun: list[tuple[str, int]] = []
        self.refused: list[tuple[str, int]] = []
        self.left: list[tuple[str, int]] = []
        self.now_s = 0.0

    def ask(self, asker: str, link: str = "") -> tuple[str, int]:
        """One more, by its asker and its number."""
        one = (asker, len(self.asked))
        self.asked.append(one)

        def drop(why: PlugsideError | None) -> None:
            (self.left if why is None else self.refused).append(one)

        try:
            self.turns.ask(Turn(asker, link or asker, lambda: self.begun.append(one), drop))
        except Unavailable:
            self.refused.append(one)
        return one

    def look(self) -> float | None:
        return self.turns.look(self.now_s)

    def end(self, asker: str) -> None:
        self.turns.over(asker)
        self.look()


def share(**other: object) -> Share:
    return Share(**{"at_once": 4, "each": 2, "waiting": 12, "waiting_each": 6, **other})  # type: ignore[arg-type]


def test_who_asks_for_one_is_served_while_another_floods() -> None:
    desk = Desk(share())
    for _ in range(8):
        desk.ask("flood")
    desk.look()
    assert desk.begun == [("flood", 0), ("flood", 1)]
    one = desk.ask("one")
    desk.look()
    assert one in desk.begun, "there are places that one key never has"


def test_when_all_places_are_taken_each_asker_has_a_turn() -> None:
    desk = Desk(share(at_once=2))
    for asker in ("a", "a", "a", "b", "b", "c"):
        desk.ask(asker)
    desk.look()
    while desk.turns.under_way:
        desk.end(desk.begun[len(desk.begun) - desk.turns.under_way][0])
    assert [asker for asker, _ in desk.begun] == ["a", "b", "c", "a", "b", "a"]


def test_a_pace_delays_and_refuses_nothing() -> None:
    desk = Desk(share(pace=Rate(per_s=2, burst=1)))
    for _ in range(3):
        desk.ask("a")
    desk.ask("b")
    pause_s = desk.look()
    assert [asker for asker, _ in desk.begun] == ["a", "b"], "a pace is of each"
    assert pause_s == 0.5
    desk.now_s += pause_s
    desk.end("a")
    assert [asker for asker, _ in desk.begun] == ["a", "b", "a"]
    desk.now_s += 0.5
    assert desk.look() is None
    assert len(desk.begun) == 4
    assert desk.refused == []


def test_who_lets_too_many_wait_is_told_so_and_those_wait_on() -> None:
    desk = Desk(share(each=1))
    for _ in range(7):
        desk.ask("a")
        desk.look()
    with pytest.raises(Unavailable) as busy:
        desk.turns.ask(Turn("a", "a", lambda: None, lambda _: None))
    assert busy.value.code is Code.BUSY
    desk.ask("a")
    assert desk.refused == [("a", 7)]
    assert desk.turns.waiting == 6


def test_where_all_queues_are_full_whoever_has_most_makes_room() -> None:
    desk = Desk(share(each=1, at_once=1))
    for asker in ("first", *("a",) * 6, *("b",) * 6):
        desk.ask(asker)
        desk.look()
    assert desk.refused == []
    one = desk.ask("one")
    assert desk.refused == [("a", 6)], "the latest of one who has most"
    desk.ask("b")
    assert desk.refused == [("a", 6), ("b", 14)], "who has most themselves get no other one's place"
    desk.end("first")
    for _ in range(2):
        desk.end(desk.begun[-1][0])
    assert one in desk.begun


def test_what_waits_goes_with_its_link_and_nothing_else() -> None:
    desk = Desk(share(each=1))
    for link in ("one", "one", "other", "one"):
        desk.ask("a", link)
    desk.look()
    desk.turns.leave("one", "a")
    assert desk.left == [("a", 1), ("a", 3)]
    desk.turns.leave("one", "a")
    desk.turns.leave("nobody's", "nobody")
    desk.end("a")
    assert desk.begun == [("a", 0), ("a", 2)]
    desk.turns.leave("other", "a")
    assert desk.left == [("a", 1), ("a", 3)]


acts = st.lists(
    st.tuples(st.sampled_from(["ask", "end", "leave", "wait"]), st.sampled_from("abcd")), max_size=120
)


@pytest.mark.parametrize("pace", [None, Rate(per_s=3, burst=2)])
@given(acts)
def test_shares_hold_and_every_request_has_one_end(pace: Rate | None, done: list[tuple[str, str]]) -> None:
    desk = Desk(share(pace=pace))
    under_way: dict[str, int] = dict.fromkeys("abcd", 0)
    for act, asker in done:
        before = len(desk.begun)
        match act:
            case "ask":
                desk.ask(asker)
                pause_s = desk.look()
            case "end" if under_way[asker]:
                under_way[asker] -= 1
                desk.turns.over(asker)
                pause_s = desk.look()
            case "leave":
                desk.turns.leave(asker, asker)
                pause_s = desk.look()
            case _:
                desk.now_s += 1
                pause_s = desk.look()
        for begun, _ in desk.begun[before:]:
            under_way[begun] += 1
        assert desk.turns.under_way == sum(under_way.values()) <= 4
        assert max(under_way.values()) <= 2
        ended = [*desk.begun, *desk.refused, *desk.left]
        assert len(ended) == len(set(ended)) == len(desk.asked) - desk.turns.waiting
        if pace is None:
            assert pause_s is None
        # Nobody waits while they may begin.
        waiting = {one for one, _ in set(desk.asked) - set(ended)}
        idle = {one for one in waiting if under_way[one] < 2} if desk.turns.under_way < 4 else set()
        assert not idle or pause_s is not None

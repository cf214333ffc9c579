"""The outbox with a clock of integers: order, patience, expiry, sharing, deafness, bounds. Nothing sleeps."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chargers import outbox
from edge.chargers.outbox import Ended, Limits, Outbox, Sending
from edge.core import inputs as core

HOUR_MS = 3_600_000
#: The wall starts elsewhere than the monotonic clock, as it does in life.
WALL_MS = 1_790_000_000_000

START = core.StartCharge(1, 1, "0123456789ABCDEF")
STOP = core.StopCharge("7")
CONFIGURE = core.SetVariable("HeartbeatInterval", "300")
TRIGGER = core.TriggerStatus(1)
VENDOR = core.VendorMessage("acme", "blink", "")

numbers = itertools.count()


def request(action: core.Action, priority: int, *, ttl_ms: int = HOUR_MS, at: int = 0) -> core.Request:
    return core.Request(
        id=f"r{next(numbers)}",
        charger="CP1",
        action=action,
        priority=priority,
        expires_ms=WALL_MS + at + ttl_ms,
    )


def stop(at: int = 0) -> core.Request:
    return request(STOP, core.PRIORITY_STOP, at=at)


def start(**kind: int) -> core.Request:
    return request(START, core.PRIORITY_START, **kind)


def chore(action: core.Action = CONFIGURE, **kind: int) -> core.Request:
    return request(action, core.PRIORITY_HOUSEKEEPING, **kind)


@dataclass
class Desk:
    """An outbox, its clock, what left it and what ended."""

    limits: Limits = field(default_factory=Limits)
    now: int = 0
    calls: list[tuple[str, Sending]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.box = Outbox(mono_ms=0, limits=self.limits)

    def offer(self, *requests: core.Request) -> None:
        for one in requests:
            self.ended += self.box.offer(one, now_ms=WALL_MS + self.now, mono_ms=self.now)
            self.poll()

    def poll(self) -> None:
        sending, ended = self.box.poll(self.now)
        self.ended += ended
        if sending is not None:
            self.calls.append((f"m{len(self.calls)}", sending))
            self.box.sent(*self.calls[-1], self.now)

    def wait(self, ms: int) -> None:
        """Let time pass, polling only when the outbox asked for it."""
        until = self.now + ms
        while (due := self.box.deadline()) is not None and due <= until:
            assert due > self.now, "a deadline that has passed would keep a loop busy"
            self.now = due
            self.poll()
        self.now = until

    def answer(self) -> tuple[core.Request, ...]:
        answered = self.box.answered(self.calls[-1][0])
        self.poll()
        return answered

    @property
    def sent(self) -> list[core.Action]:
        return [sending.action for _, sending in self.calls]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.box.booted()
    return desk


def test_one_call_is_out_and_the_rest_leave_by_priority(desk: Desk) -> None:
    unlock = request(core.UnlockConnector(1, 1), core.PRIORITY_START)
    limit = request(core.ChangeAvailability(1, 1, operative=False), core.PRIORITY_LIMIT)
    desk.offer(chore(), chore(TRIGGER), start(), unlock, limit, stop())
    assert desk.sent == [CONFIGURE]
    for _ in range(5):
        desk.answer()
    assert desk.sent == [CONFIGURE, STOP, limit.action, START, unlock.action, TRIGGER]


def test_a_stop_overtakes_a_slow_call_after_a_second_and_the_late_answer_is_still_matched(desk: Desk) -> None:
    slow = chore()
    desk.offer(slow)
    desk.wait(400)
    desk.offer(stop(at=400))
    desk.wait(599)
    assert (desk.sent, desk.ended) == ([CONFIGURE], [])
    desk.wait(1)
    assert desk.sent == [CONFIGURE, STOP]
    assert desk.ended == [Ended(slow, "timeout", outbox.ABANDONED)]
    assert desk.box.answered("m0") == (slow,)
    assert desk.box.answered("m0") == ()


def test_a_stop_goes_at_once_when_the_call_before_it_hangs_already(desk: Desk) -> None:
    desk.offer(start())
    desk.wait(5_000)
    desk.offer(stop(at=5_000))
    assert desk.sent == [START, STOP]


def test_a_stop_is_not_abandoned_for_another_stop(desk: Desk) -> None:
    desk.offer(stop(), stop())
    desk.wait(29_999)
    assert (desk.sent, desk.ended) == ([STOP], [])
    desk.wait(1)
    assert desk.sent == [STOP, STOP]


def test_a_call_times_out_and_the_next_one_leaves(desk: Desk) -> None:
    first = start()
    desk.offer(first, chore())
    desk.wait(29_999)
    assert desk.ended == []
    desk.wait(1)
    assert desk.ended == [Ended(first, "timeout", outbox.NO_ANSWER)]
    assert desk.sent == [START, CONFIGURE]


def test_what_has_expired_is_never_sent(desk: Desk) -> None:
    late = start(ttl_ms=2_000)
    desk.offer(stop(), late)
    desk.wait(1_999)
    assert desk.ended == []
    desk.wait(1)
    assert desk.ended == [Ended(late, "not_sent", outbox.EXPIRED)]
    desk.answer()
    assert desk.sent == [STOP]


def test_a_request_that_comes_in_expired_is_not_sent(desk: Desk) -> None:
    late = start(ttl_ms=0)
    desk.offer(late)
    assert (desk.sent, desk.ended) == ([], [Ended(late, "not_sent", outbox.EXPIRED)])


def test_housekeeping_waits_for_boot_but_a_start_does_not() -> None:
    desk = Desk()
    desk.offer(chore(), start())
    assert desk.sent == [START]
    desk.answer()
    assert desk.sent == [START]
    desk.box.booted()
    desk.poll()
    assert desk.sent == [START, CONFIGURE]


def test_a_charger_that_does_not_boot_gets_its_housekeeping_after_the_grace() -> None:
    desk = Desk()
    desk.offer(chore())
    desk.wait(9_999)
    assert desk.sent == []
    desk.wait(1)
    assert desk.sent == [CONFIGURE]


def test_no_housekeeping_during_a_session(desk: Desk) -> None:
    desk.box.in_session = True
    desk.offer(chore(), stop())
    desk.answer()
    desk.wait(60_000)
    assert desk.sent == [STOP]
    desk.box.in_session = False
    desk.poll()
    assert desk.sent == [STOP, CONFIGURE]


def test_identical_housekeeping_shares_one_call_and_each_request_has_its_end(desk: Desk) -> None:
    twins = [chore(TRIGGER), chore(TRIGGER)]
    desk.offer(stop(), *twins)
    desk.answer()
    assert desk.sent == [STOP, TRIGGER]
    assert desk.answer() == tuple(twins)


def test_sharing_never_changes_what_the_charger_ends_up_with(desk: Desk) -> None:
    first, between = core.SetVariable("k", "1"), core.SetVariable("k", "2")
    desk.offer(stop(), chore(first), chore(between), chore(first))
    for _ in range(3):
        desk.answer()
    assert desk.sent == [STOP, first, between, first]


def test_a_vendor_message_is_sent_as_often_as_it_was_asked_for(desk: Desk) -> None:
    desk.offer(stop(), chore(VENDOR), chore(VENDOR))
    desk.answer()
    desk.answer()
    assert desk.sent == [STOP, VENDOR, VENDOR]


def test_of_two_that_share_a_call_one_may_expire(desk: Desk) -> None:
    short, long = chore(TRIGGER, ttl_ms=1_000), chore(TRIGGER)
    desk.offer(stop(), short, long)
    desk.wait(1_000)
    assert desk.ended == [Ended(short, "not_sent", outbox.EXPIRED)]
    desk.answer()
    assert desk.answer() == (long,)


def test_a_full_queue_refuses_what_is_least_and_never_a_stop() -> None:
    desk = Desk(Limits(queue_max=3))
    kept = [chore(VENDOR), chore(VENDOR)]
    last, refused = chore(VENDOR), chore(VENDOR)
    desk.offer(start(), *kept, last, refused)
    assert desk.ended == [Ended(refused, "not_sent", outbox.QUEUE_FULL)]
    desk.offer(stop())
    assert desk.ended[1:] == [Ended(last, "not_sent", outbox.QUEUE_FULL)]
    assert len(desk.box) == 3


def test_three_timeouts_in_a_row_make_deaf_and_an_answer_makes_hear_again(desk: Desk) -> None:
    waiting = chore(VENDOR)
    desk.offer(start(), start(), start(), waiting)
    desk.wait(2 * 30_000)
    assert not desk.box.deaf
    desk.wait(30_000)
    assert desk.box.deaf
    assert desk.ended[-1] == Ended(waiting, "not_sent", outbox.DEAF)
    refused = chore(VENDOR)
    desk.offer(refused)
    assert desk.ended[-1] == Ended(refused, "not_sent", outbox.DEAF)
    desk.offer(stop(at=desk.now))
    assert desk.sent[-1] == STOP
    desk.answer()
    assert not desk.box.deaf


def test_being_overtaken_by_a_stop_is_no_sign_of_deafness(desk: Desk) -> None:
    for _ in range(4):
        desk.offer(start())
        desk.wait(1_000)
        desk.offer(stop(at=desk.now))
        desk.box.answered(desk.calls[-1][0])
    assert not desk.box.deaf


def test_the_end_of_a_connection_ends_every_request(desk: Desk) -> None:
    out, waits = start(), chore()
    desk.offer(out, waits)
    assert desk.box.close() == (
        Ended(out, "lost", outbox.DISCONNECTED),
        Ended(waits, "not_sent", outbox.DISCONNECTED),
    )
    assert desk.box.close() == ()
    assert desk.box.deadline() is None


def test_late_answers_are_remembered_for_a_bounded_number_of_calls() -> None:
    desk = Desk(Limits(late_max=1, deaf_after=99))
    desk.offer(start(), start())
    desk.wait(60_000)
    assert desk.box.answered("m0") == ()
    assert len(desk.box.answered("m1")) == 1


steps = st.one_of(
    st.tuples(
        st.just("offer"),
        st.sampled_from([STOP, START, CONFIGURE, TRIGGER, VENDOR]),
        st.integers(0, 3),
        st.integers(0, 60_000),
    ),
    st.tuples(st.just("wait"), st.integers(0, 40_000)),
    st.tuples(st.just("answer")),
    st.tuples(st.just("session"), st.booleans()),
    st.tuples(st.just("boot")),
)


@given(st.lists(steps, max_size=40))
def test_every_request_ends_exactly_once_and_no_deadline_lies_in_the_past(
    script: list[tuple[object, ...]],
) -> None:
    desk = Desk(Limits(queue_max=5))
    offered, answered = [], []
    for step in script:
        match step:
            case ("offer", action, int(priority), int(ttl_ms)):
                one = request(action, priority, ttl_ms=ttl_ms, at=desk.now)
                offered.append(one)
                desk.offer(one)
            case ("wait", int(ms)):
                desk.wait(ms)
            case ("answer",) if desk.calls:
                ids = {ended.request.id for ended in desk.ended}
                answered += [one for one in desk.answer() if one.id not in ids]
            case ("session", bool(running)):
                desk.box.in_session = running
                desk.poll()
            case ("boot",):
                desk.box.booted()
                desk.poll()
        assert len(desk.box) <= 5
        due = desk.box.deadline()
        assert due is None or due > desk.now
    desk.ended += desk.box.close()
    ends = [ended.request.id for ended in desk.ended] + [one.id for one in answered]
    assert sorted(ends) == sorted(one.id for one in offered)


def limit(limit_a: float, evse: int = 1, scope: str = "default") -> core.Request:
    action = core.SetLimit(evse, scope, "", limit_a, 0, False, False, 3, WALL_MS)
    return request(action, core.PRIORITY_LIMIT)


def test_a_later_limit_takes_the_place_of_one_that_waits_in_its_slot() -> None:
    desk = Desk()
    desk.offer(start())
    first, other, clear, last = (
        limit(16),
        limit(16, evse=2),
        request(core.ClearLimit(1, "default"), core.PRIORITY_LIMIT),
        limit(10),
    )
    desk.offer(first, other, clear, last)
    assert [ended.request for ended in desk.ended] == [first, clear]
    assert {ended.answer for ended in desk.ended} == {"not_sent"}
    assert len(desk.box) == 2

"""The site's clock: never back behind what it told, never standing still, and each step noticed once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.clock import BUILT_MS, HEARD_MAX_MS, SOURCE_MS, SystemClock, built_ms

S = 1_000_000_000
DAY = 24 * 3600 * S
NOW = 1_795_000_000 * S


class Machine:
    """The two clocks of a machine."""

    def __init__(self, wall: int = NOW) -> None:
        self.wall, self.mono = wall, 5 * S

    def clock(self, floor_ms: int = 0) -> SystemClock:
        return SystemClock(floor_ms, wall_ns=lambda: self.wall, mono_ns=lambda: self.mono)

    def run(self, ns: int) -> None:
        self.wall += ns
        self.mono += ns


def test_it_is_the_systems_clock_as_long_as_that_is_right():
    machine = Machine()
    clock = machine.clock()
    machine.run(7 * S)
    assert (clock.now_ms(), clock.mono_ms(), clock.quality) == (NOW // 10**6 + 7000, 12_000, "synced")


def test_set_back_by_an_hour_it_runs_on_at_half_pace_until_both_meet():
    machine = Machine()
    clock = machine.clock()
    told = clock.now_ms()
    machine.wall -= 3600 * S
    assert (clock.now_ms(), clock.quality) == (told, "floor")
    machine.run(600 * S)
    assert clock.now_ms() == told + 300_000, "a timer still ends"
    machine.run(6600 * S)
    assert (clock.now_ms(), clock.quality) == (machine.wall // 10**6, "synced")


def test_without_a_battery_it_goes_on_from_what_was_written_at_full_pace():
    machine = Machine(wall=86_400 * S)  # 1970
    clock = machine.clock()
    clock.raise_floor(NOW // 10**6)
    machine.run(100 * S)
    assert (clock.now_ms(), clock.quality) == (NOW // 10**6 + 100_000, "floor")
    machine.wall = NOW + 5000 * S  # NTP
    assert (clock.now_ms(), clock.quality) == (NOW // 10**6 + 5_000_000, "synced")


def test_a_step_is_told_once_with_both_readings():
    machine = Machine()
    clock = machine.clock()
    machine.run(5 * S)
    assert clock.stepped() is None
    machine.run(5 * S)
    machine.wall += 3600 * S
    step = clock.stepped()
    assert step is not None
    assert step.after_ms - step.before_ms == 3_600_000
    assert step.mono_ms == machine.mono // 10**6
    assert clock.stepped() is None
    machine.wall -= 7200 * S
    back = clock.stepped()
    assert back is not None
    assert back.after_ms - back.before_ms == -7_200_000


def test_a_clock_that_was_never_set_steps_from_what_the_site_was_told():
    machine = Machine(wall=86_400 * S)  # 1970
    clock = machine.clock()
    clock.raise_floor(NOW // 10**6)
    machine.run(100 * S)
    assert clock.stepped() is None
    machine.wall = NOW + 5000 * S  # NTP
    step = clock.stepped()
    assert step is not None
    assert (step.before_ms, step.after_ms) == (NOW // 10**6 + 100_000, NOW // 10**6 + 5_000_000)


def test_a_clock_that_falls_back_to_1970_is_not_believed():
    machine = Machine()
    clock = machine.clock()
    machine.run(5 * S)
    machine.wall = 86_400 * S
    assert clock.stepped() is None
    machine.run(5 * S)
    told = clock.now_ms()
    machine.wall = NOW + 10 * S
    assert clock.stepped() is None, "it is where time had run on to"
    assert clock.now_ms() == told


def test_there_and_back_comes_to_nothing():
    machine = Machine()
    clock = machine.clock()
    first, second = [], []
    for steps, by in ((first, -3600 * S), (second, 3600 * S)):
        machine.run(5 * S)
        machine.wall += by
        steps.append(clock.stepped())
    (away,), (back,) = first, second
    assert away.after_ms - away.before_ms == -(back.after_ms - back.before_ms) == -3_600_000


def test_a_clock_that_creeps_is_noticed_once_it_matters():
    machine = Machine()
    clock = machine.clock()
    seen = []
    for _ in range(5):
        machine.run(5 * S)
        machine.wall += S // 2
        seen.append(clock.stepped())
    assert [step is not None for step in seen] == [False, False, False, True, False]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 2 * DAY), st.one_of(st.just(0), st.integers(-60 * DAY, 60 * DAY))),
        max_size=30,
    )
)
def test_whatever_is_done_to_it_time_never_goes_back_and_always_goes_on(steps):
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    for run, step in steps:
        machine.run(run)
        machine.wall += step
        now = clock.now_ms()
        assert now >= before
        assert now >= before + run // 2 // 10**6 - 1 or now >= machine.wall // 10**6
        assert now >= machine.wall // 10**6
        before = now


def test_a_wrong_answer_of_a_time_server_is_put_right_by_what_was_proven():
    machine = Machine()
    clock = machine.clock()
    machine.wall += 3650 * DAY
    assert clock.now_ms() == (NOW + 3650 * DAY) // 10**6
    step = clock.prove(NOW // 10**6)
    assert step is not None
    assert step.after_ms - step.before_ms == -3650 * DAY // 10**6
    assert (clock.now_ms(), clock.quality, clock.sure) == (NOW // 10**6, "synced", True)
    assert clock.stepped() is None, "told already"
    machine.run(100 * S)
    assert clock.now_ms() == NOW // 10**6 + 100_000, "the machine's clock is still wrong"
    machine.wall = NOW + 101 * S
    assert clock.now_ms() == NOW // 10**6 + 101_000, "and right again"
    machine.wall -= 3650 * DAY
    machine.mono += 5 * S
    assert clock.now_ms() == NOW // 10**6 + 105_000
    assert clock.stepped() is None, "what is not believed is no step"


def test_a_proof_that_agrees_is_no_step_and_one_from_before_the_build_is_none():
    machine = Machine()
    clock = machine.clock()
    assert clock.prove(NOW // 10**6 + 60_000) is None
    assert clock.now_ms() == NOW // 10**6
    machine.wall += 30 * DAY
    assert clock.now_ms() == NOW // 10**6 + 60_000, "not believed beside what was proven"
    assert clock.prove(BUILT_MS - 1) is None
    assert clock.now_ms() == NOW // 10**6 + 60_000


@pytest.mark.parametrize(("text", "told"), [("", 0), ("soon", 0), ("5", 0), (f"{SOURCE_MS + 7}\n", 7)])
def test_the_floor_is_the_time_of_the_build_where_a_wheel_tells_it(tmp_path, text, told):
    file = tmp_path / "built.txt"
    assert built_ms(file) == SOURCE_MS
    file.write_text(text)
    assert built_ms(file) == SOURCE_MS + told


def test_what_issuers_sign_moves_the_floor_by_a_year_at_most():
    machine = Machine(wall=86_400 * S)
    clock = machine.clock(NOW // 10**6)
    assert not clock.sure
    signed_ms = NOW // 10**6 + 21 * DAY // 10**6
    step = clock.hear(signed_ms)
    assert step is not None
    assert step.after_ms == clock.now_ms() == signed_ms
    assert clock.hear(signed_ms) is None
    assert clock.hear(signed_ms + HEARD_MAX_MS + 1) is None, "beyond a year it needs the tunnel"
    assert clock.now_ms() == signed_ms
    assert not clock.sure, "a floor, still"
    assert clock.prove(signed_ms + 2 * HEARD_MAX_MS) is not None
    assert clock.sure
    assert clock.hear(signed_ms + 2 * HEARD_MAX_MS + DAY // 10**6) is None, "of no weight beside a proof"


def test_a_small_step_back_leaves_rights_as_they_are():
    machine = Machine()
    clock = machine.clock()
    clock.now_ms()
    machine.wall -= 3 * S
    assert (clock.quality, clock.sure) == ("floor", True)
    machine.wall -= 3600 * S
    assert not clock.sure


def test_a_proof_that_moves_time_by_seconds_is_a_step_too():
    """A box without a battery is behind by as long as it was off: what it wrote since is to be corrected."""
    machine = Machine(wall=86_400 * S)
    clock = machine.clock(NOW // 10**6)
    machine.run(30 * S)
    clock.now_ms()
    step = clock.prove(NOW // 10**6 + 50_000)
    assert step is not None
    assert (step.before_ms, step.after_ms) == (NOW // 10**6 + 30_000, NOW // 10**6 + 50_000)
    assert clock.now_ms() == step.after_ms
    assert clock.stepped() is None, "told already"


def test_a_proof_hides_no_step_that_nobody_has_seen_yet():
    machine = Machine()
    clock = machine.clock()
    machine.wall -= 20 * S
    step = clock.prove(NOW // 10**6)
    assert step is not None, "it goes on to believe its machine, which is near enough"
    assert step.after_ms - step.before_ms == -20_000


def test_what_issuers_sign_is_a_step_by_seconds_where_the_machine_is_not_believed():
    machine = Machine(wall=86_400 * S)
    clock = machine.clock(NOW // 10**6)
    step = clock.hear(NOW // 10**6 + 20_000)
    assert step is not None
    assert (step.before_ms, step.after_ms) == (NOW // 10**6, NOW // 10**6 + 20_000)
    machine = Machine(wall=NOW - 20 * S)
    clock = machine.clock()
    assert clock.hear(NOW // 10**6) is None, "this machine is, and waited for"
    assert (clock.now_ms(), clock.quality) == (NOW // 10**6, "floor")


def test_a_proof_is_a_step_from_the_line_that_was_told_last_not_from_what_is_waited_for():
    machine = Machine()
    clock = machine.clock()
    clock.now_ms()
    machine.wall -= 20 * S
    assert clock.stepped() is not None
    machine.run(4 * S)
    machine.wall -= 2 * DAY
    step = clock.prove(NOW // 10**6 + 4000)
    assert step is not None
    assert (step.before_ms, step.after_ms) == (NOW // 10**6 - 16_000, NOW // 10**6 + 4000)


def test_a_proof_that_agrees_with_the_machine_within_two_minutes_tells_a_step_to_its_time():
    """What a step leads to is the time that is told from then on: what comes is corrected from there."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 3600 * S
    assert clock.stepped()
    machine.wall -= 3600 * S - 120 * S  # waited for: the time told is an hour ahead
    assert clock.stepped()
    machine.run(30 * S)
    step = clock.prove((machine.wall - 120 * S) // 10**6)
    assert step
    assert step.after_ms == clock.now_ms()


def test_a_proof_just_ahead_of_the_machine_tells_a_step_to_the_machines_line():
    """The time that was proven is waited for there, and the line is what all goes by afterwards (27626)."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 3600 * S
    assert clock.stepped()
    machine.wall -= 3600 * S + 20 * S
    assert clock.stepped()
    step = clock.prove((machine.wall + 20 * S) // 10**6)
    assert step
    assert step.after_ms - step.mono_ms == clock.offset_ms()
    machine.run(60 * S)
    assert clock.quality == "synced"
    assert clock.now_ms() == step.after_ms + 60_000
    assert clock.stepped() is None

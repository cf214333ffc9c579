"""One boot of the machine, several processes of the box: its clock goes on, and no step of it is missed."""

from __future__ import annotations

import msgspec

from common.clock import SystemClock
from common.domain import from_iso, iso
from common.facts import ClockStepped
from edge.core.state import ClockTold
from edge.timekeeping import Boot, ClockWatch, boot_id, resumed

S = 1_000_000_000
NOW = 1_795_000_000 * S
LAST_AT = iso(NOW // 10**6 - 60_000)


class Machine:
    """Its two clocks, and what the journal keeps. Each `process` is a new one of the box."""

    def __init__(self, wall: int) -> None:
        self.wall, self.mono = wall, 20 * S
        self.kept: bytes | None = None

    def run(self, seconds: int) -> None:
        self.wall += seconds * S
        self.mono += seconds * S

    def process(self, boot: str = "b1", last_at: str = LAST_AT, told: ClockTold | None = None):
        clock = SystemClock(wall_ns=lambda: self.wall, mono_ns=lambda: self.mono)
        known, missed = resumed(self.kept, boot, clock, last_at, told)
        self.kept = msgspec.json.encode(known)
        return clock, known, missed


def test_the_time_between_two_processes_has_passed_though_the_clock_was_never_set():
    machine = Machine(wall=86_400 * S)
    clock, known, missed = machine.process()
    assert (known.since, missed) == (LAST_AT, None)
    machine.run(10)
    told = clock.now_ms()
    machine.run(300)  # the process is away, the machine is not
    again, _, missed = machine.process(last_at=iso(told))
    assert missed is None
    assert again.now_ms() == told + 300_000


def test_a_clock_that_was_set_while_no_process_ran_has_stepped():
    machine = Machine(wall=86_400 * S)
    clock, first, _ = machine.process()
    machine.run(10)
    told = clock.now_ms()
    machine.run(60)
    machine.wall = NOW + 3600 * S
    again, second, missed = machine.process(last_at=iso(told))
    assert missed is not None
    assert (missed.before_ms, missed.after_ms) == (told + 60_000, NOW // 10**6 + 3_600_000)
    assert again.now_ms() == NOW // 10**6 + 3_600_000
    assert (second.id, second.since) == (first.id, first.since), "of the same boot as before"


def test_a_process_that_ended_between_the_fact_of_a_step_and_keeping_it_goes_on_from_the_fact():
    machine = Machine(wall=NOW)
    machine.process()
    right_ms = machine.wall // 10**6 - machine.mono // 10**6
    told = ClockTold(boot="b1", since=LAST_AT, offset_ms=right_ms + 120_000)  # set ahead, told, not kept
    machine.run(10)  # and set right again before the next process
    _, known, missed = machine.process(told=told)
    assert missed is not None
    assert missed.after_ms - missed.before_ms == -120_000
    assert (known.id, known.since) == ("b1", LAST_AT)
    machine.kept = None
    assert machine.process(told=told)[2] is not None
    assert machine.process(boot="b2", told=told)[2] is None, "of another boot"


def test_a_clock_that_nobody_set_has_not():
    machine = Machine(wall=NOW)
    machine.process()
    machine.run(1000)
    assert machine.process()[2] is None


def test_a_new_boot_has_a_clock_of_its_own():
    machine = Machine(wall=NOW)
    clock, _, _ = machine.process()
    machine.wall, machine.mono = 86_400 * S, 5 * S
    last = iso(clock.now_ms())
    _, known, missed = machine.process(boot="b2", last_at=last)
    assert missed is None
    assert (known.id, known.since) == ("b2", last)


def test_what_cannot_be_read_is_a_new_boot():
    machine = Machine(wall=NOW)
    machine.kept = b"{"
    assert machine.process()[1].since == LAST_AT


def test_what_is_written_next_is_later_than_what_was():
    machine = Machine(wall=86_400 * S)
    clock, _, _ = machine.process()
    assert iso(clock.now_ms()) > LAST_AT


def test_a_boot_has_the_name_that_the_service_was_given():
    assert boot_id({"PLUGSIDE_BOOT_ID": "ab-cd"}, "mine") == "abcd"
    assert boot_id({}, "mine")  # the kernel's, where it can be read


def test_the_first_fact_of_an_empty_journal_is_of_this_boot():
    machine = Machine(wall=NOW)
    known = machine.process(last_at="")[1]
    assert isinstance(known, Boot)
    assert known.since == iso(0)


class Gateway:
    """What the watch tells."""

    def __init__(self) -> None:
        self.told: list[ClockStepped] = []

    def note(self, body: ClockStepped) -> None:
        self.told.append(body)


def watched(machine: Machine) -> tuple[ClockWatch, Gateway]:
    clock, known, missed = machine.process()
    gateway = Gateway()

    def keep(value: bytes) -> None:
        machine.kept = value

    return ClockWatch(clock, gateway, known, missed, keep=keep), gateway


def test_a_proof_by_seconds_is_told_and_no_later_process_tells_it_again():
    machine = Machine(wall=86_400 * S)
    watch, gateway = watched(machine)
    machine.run(10)
    right_ms = from_iso(LAST_AT) + 30_000
    watch.told_by_cloud(iso(right_ms))
    (told,) = gateway.told
    assert (told.reason, told.after) == ("proven_by_tunnel", iso(right_ms))
    machine.run(60)
    machine.wall = right_ms * 10**6 + 60 * S  # the machine knows it now, too
    assert machine.process(last_at=iso(right_ms))[2] is None


def test_a_setting_that_nobody_has_seen_is_told_before_the_proof_that_undoes_it():
    machine = Machine(wall=NOW)
    watch, gateway = watched(machine)
    machine.wall += 3650 * 86_400 * S
    watch.told_by_cloud(iso(NOW // 10**6))
    assert [told.reason for told in gateway.told] == ["stepped_forward", "proven_by_tunnel"]
    assert gateway.told[-1].after == iso(NOW // 10**6)

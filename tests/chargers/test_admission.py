"""Admission without sockets: identities, passwords, pace, clones, the queue."""

import base64
import logging
import shlex
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import CHARGER_ID_CHARS_MAX, is_charger_id
from edge.chargers import admission
from edge.chargers.admission import (
    AdoptionQueue,
    Buckets,
    LineBudget,
    Patience,
    Swaps,
    Throttle,
    adopt_command,
    basic_token,
    named_by,
)
from edge.chargers.doorbook import Doorbook
from edge.chargers.reasons import Reason

LETTERS = "ABCXYZabcxyz0189"


def identity_of(path: str, username: bytes | None = None) -> str | None:
    return admission.identity_of(named_by(path, username))


@given(st.text(LETTERS + ".-_:=+*@", min_size=1, max_size=48).filter(lambda text: set(text) & set(LETTERS)))
def test_every_plain_identity_is_found_behind_any_prefix(identity: str) -> None:
    assert identity_of(f"/{identity}") == identity
    assert identity_of(f"//ocpp/{identity}/?token=a/b") == identity


@given(st.text(max_size=80))
def test_an_identity_fits_one_line_one_segment_and_one_file_name(path: str) -> None:
    found = identity_of(path)
    if found is not None:
        assert 1 <= len(found) <= CHARGER_ID_CHARS_MAX
        assert found.isascii()
        assert found.isprintable()
        assert not set(found) & set(" /$`;&|()<>'\"\\!#~^{}[],?%")


@pytest.mark.parametrize(
    "name",
    ["", "a b", "$(id)", "`id`", "a;id", "a&b", "a|b", "a>b", "a'b", 'a"b', "a\\b", "a%b", "a/b", "ä", "a\n"],
)
def test_what_a_shell_would_obey_is_no_identity(name: str) -> None:
    assert not is_charger_id(name)
    assert admission.identity_of(name.encode()) is None


@pytest.mark.parametrize("name", [".", "..", "-", "*", "--", "x" * 49])
def test_what_is_a_path_an_option_or_a_pattern_alone_is_no_identity(name: str) -> None:
    assert not is_charger_id(name)


@given(st.text(min_size=1))
def test_the_line_that_adopts_is_one_word_for_each_part_in_any_shell(name: str) -> None:
    words = shlex.split(adopt_command(name, "--name", "Bay 1"))
    assert words[:5] == ["plugside-edge", "chargers", "adopt", "--name", "Bay 1"]
    assert words[-1] == name
    assert (words[-2] == "--") == name.startswith("-"), "it is no option"


def test_it_is_decoded_once() -> None:
    assert named_by("/%2541") == b"%41"
    assert identity_of("/%41") == "A"


def test_the_user_name_stands_for_an_empty_path_only() -> None:
    assert identity_of("/", b"CP1") == "CP1"
    assert identity_of("/CP2", b"CP1") == "CP2"
    assert identity_of("/", None) is None
    assert identity_of("/", b"C P") is None


def test_the_token_is_the_first_readable_basic_one() -> None:
    token = base64.b64encode(b"CP1:\xff:x").decode()
    assert basic_token([f"basic  {token} "]) == b"CP1:\xff:x"
    assert basic_token(["Bearer abc", "Basic ***", f"Basic {token}"]) == b"CP1:\xff:x"
    assert basic_token(["Basic \u20ac", "Basic"]) in (None, b"")
    assert basic_token([]) is None


def test_wrong_passwords_make_an_address_wait_longer_each_time_and_nobody_else() -> None:
    patience = Patience()
    for _ in range(Patience.FREE - 1):
        patience.failed("a", "CP1", 0)
    assert patience.waits_ms("a", "CP1", 0) == 0
    waits = []
    for _ in range(12):
        patience.failed("a", "CP1", 0)
        waits.append(patience.waits_ms("a", "CP1", 0))
    assert waits[:3] == [1000, 2000, 4000]
    assert waits == sorted(waits)
    assert waits[-1] == Patience.LONGEST_MS
    assert patience.waits_ms("a", "CP1", Patience.LONGEST_MS) == 0
    assert patience.waits_ms("b", "CP1", 0) == patience.waits_ms("a", "CP2", 0) == 0
    patience.proved("a", "CP1")
    assert patience.waits_ms("a", "CP1", 0) == 0


def test_what_is_remembered_of_failures_is_bounded() -> None:
    patience = Patience(keys_max=2)
    for address in "abc":
        for _ in range(Patience.FREE):
            patience.failed(address, "CP1", 0)
    assert [patience.waits_ms(address, "CP1", 0) > 0 for address in "abc"] == [False, True, True]


def test_a_bucket_holds_a_burst_and_fills_again() -> None:
    buckets = Buckets(burst=2, per_second=1)
    assert [buckets.take("a", 0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", 0)
    assert [buckets.take("a", 999), buckets.take("a", 1_000), buckets.take("a", 1_001)] == [
        False,
        True,
        False,
    ]
    assert [buckets.take("a", 60_000) for _ in range(3)] == [True, True, False]


def test_buckets_are_kept_for_a_bounded_number_of_addresses() -> None:
    buckets = Buckets(burst=1, per_second=0, addresses_max=2)
    assert [buckets.take(address, 0) for address in "abc"] == [True, True, True]
    assert not buckets.take("c", 0)
    assert buckets.take("a", 0), "the address that was seen the longest ago is forgotten"


def test_a_throttle_passes_once_in_a_while_for_each_key() -> None:
    throttle = Throttle(every_ms=100, keys_max=2)
    assert [throttle.passes("a", at) for at in (0, 99, 100)] == [True, False, True]
    assert throttle.passes("b", 100)
    assert throttle.passes("c", 100)
    assert throttle.passes("a", 101), "the key that passed the longest ago is forgotten"


def test_swaps_within_reason_are_admitted() -> None:
    swaps = Swaps()
    swaps.came("a", 0)
    for at, address in ((1_000, "b"), (2_000, "a"), (3_000, "b")):
        assert swaps.admit(address, at)
        swaps.came(address, at)
    assert swaps.admit("b", 4_000), "the same address again is no swap"


def test_the_fourth_swap_in_a_minute_keeps_the_first_and_refuses_the_other() -> None:
    swaps = Swaps()
    for at, address in ((0, "b"), (500_000, "a"), (600_000, "b"), (610_000, "a"), (620_000, "b")):
        assert swaps.admit(address, at)
        swaps.came(address, at)
    assert swaps.admit("a", 630_000)
    swaps.came("a", 630_000)
    assert not swaps.admit("b", 640_000)
    assert swaps.admit("a", 650_000)
    assert not swaps.admit("b", 699_999), "each refused dial keeps the guard up"
    assert swaps.admit("b", 760_000), "until it has been quiet for a whole window"


def test_slow_swaps_never_add_up() -> None:
    swaps = Swaps()
    for number in range(20):
        address = "ab"[number % 2]
        assert swaps.admit(address, number * 30_000)
        swaps.came(address, number * 30_000)


def test_the_queue_keeps_the_latest_dials_and_names_whom_it_pushed_out() -> None:
    queue = AdoptionQueue()
    for number in range(AdoptionQueue.SIZE_MAX):
        assert queue.dialled(f"c{number}", "10.0.0.1", "ocpp1.6", number) is None
    assert queue.dialled("C0", "10.0.0.2", "", 900) is None, "known, in another spelling"
    pushed_out = queue.dialled("new", "10.0.0.3", "", 901)
    assert pushed_out is not None
    assert pushed_out.charger == "c1"
    last = list(queue)[-2]
    assert (last.charger, last.address, last.dials, last.first_ms, last.last_ms) == (
        "c0",
        "10.0.0.2",
        2,
        0,
        900,
    )
    queue.leave("NEW")
    assert len(list(queue)) == AdoptionQueue.SIZE_MAX - 1


@pytest.mark.parametrize("path", ["/a%", "/a%zz"])
def test_a_broken_percent_sign_is_taken_as_written(path: str) -> None:
    assert named_by(path) == path[1:].encode()


def test_lines_have_a_budget_for_each_window_and_the_rest_is_counted() -> None:
    budget = LineBudget()
    passed = [budget.passes("a", at) for at in range(LineBudget.LINES_MAX + 3)]
    assert (passed.count(True), passed[-3:]) == (LineBudget.LINES_MAX, [False] * 3)
    assert not budget.passes("b", 100)
    assert budget.left_ms(100) == LineBudget.WINDOW_MS - 100
    assert budget.withheld() == {"a": 3, "b": 1}
    assert budget.withheld() == {}, "told once"
    assert not budget.passes("a", LineBudget.WINDOW_MS - 1)
    assert budget.passes("a", LineBudget.WINDOW_MS)


class _Minute:
    """A clock that a test sets, and what was to be called in its time."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.book = Doorbook(lambda: self.now_ms, lambda: self.now_ms, self._later)

    def _later(self, delay_s: float, call: Callable[[], None]) -> "_Minute":
        self.due.append((self.now_ms / 1000 + delay_s, call))
        return self

    def cancel(self) -> None:
        self.due.clear()


def test_a_flood_of_strangers_writes_few_lines_and_one_that_sums_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "plugside.chargers")
    time, queue = _Minute(), AdoptionQueue()
    for number in range(2_000):
        time.now_ms = number * 5
        name, address = f"stranger-{number}", f"10.0.{number // 250}.{number % 250}"
        time.book.waits(name, address, "", b"", queue.dialled(name, address, "", number))
        time.book.refused(Reason.NOT_AN_IDENTITY, f"10.1.{number // 250}.{number % 250}", named=b"$(id)\n")
    assert len(caplog.records) == LineBudget.LINES_MAX
    assert [at for at, _ in time.due] == [60.0], "one summary is to come"
    caplog.clear()
    time.due.pop()[1]()
    (line,) = caplog.messages
    told = sum(int(part.split(" x ")[0]) for part in line.split(": ", 1)[1].split(", "))
    assert told == 2_000 * 2 + (2_000 - AdoptionQueue.SIZE_MAX) - LineBudget.LINES_MAX
    assert "x not_an_identity" in line
    assert time.book.refusals["not_adopted"] == time.book.refusals["not_an_identity"] == 2_000
    caplog.clear()
    time.now_ms = 60_000
    time.book.refused(Reason.CLONE, "10.9.9.9")
    assert len(caplog.messages) == 1, "a new minute has new lines"
    time.book.close()
    assert len(caplog.messages) == 1, "nothing was withheld"


def test_what_is_no_identity_is_logged_so_that_no_terminal_obeys_it(caplog: pytest.LogCaptureFixture) -> None:
    _Minute().book.refused(Reason.NOT_AN_IDENTITY, "10.0.0.1", named=b"a\x1b[2J\n\xff" + b"x" * 4_000)
    (line,) = caplog.messages
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 400

"""Budgets: laws of the buckets, and that neither one source nor many can take more than their share."""

from hypothesis import given
from hypothesis import strategies as st

from common.budget import SOURCES_MAX, Bucket, Budget, Rate, network

steps = st.lists(st.floats(0, 10), max_size=60)


@given(steps, st.floats(0.1, 20), st.integers(1, 20))
def test_a_bucket_never_gives_more_than_burst_and_rate(pauses, per_s, burst):
    bucket, now_s, given_away = Bucket(Rate(per_s, burst)), 0.0, 0
    for pause in pauses:
        now_s += pause
        given_away += bucket.take(now_s)
        assert given_away <= burst + now_s * per_s + 1e-6


@given(steps, st.floats(-100, 100))
def test_a_clock_that_steps_back_gives_nothing_away(pauses, back):
    bucket = Bucket(Rate(1, 3))
    now_s = 1000.0
    for _ in range(3):
        assert bucket.take(now_s)
    assert not bucket.take(now_s - abs(back))


def test_one_network_cannot_take_the_others_share():
    budget = Budget(everyone=Rate(20, 20), each=Rate(1, 3))
    taken = sum(budget.admit(f"2001:db8::{n:x}", 0.0) for n in range(200))
    assert taken == 3
    assert budget.admit("198.51.100.7", 0.0)
    assert budget.refused == 197


def test_many_networks_cannot_take_more_than_the_common_bucket():
    budget = Budget(everyone=Rate(20, 20), each=Rate(1, 3))
    assert not budget.pressed(0.0)
    assert sum(budget.admit(f"10.{n // 200}.{n % 200}.1", 0.0) for n in range(2000)) == 15
    assert budget.pressed(0.0)
    assert sum(budget.admit(f"10.{n // 200}.{n % 200}.1", 0.0, friend=True) for n in range(2000)) == 5
    assert len(budget) <= SOURCES_MAX
    assert not budget.pressed(1.0)


def test_who_is_refused_by_all_keeps_their_own():
    budget = Budget(everyone=Rate(1, 1), each=Rate(0.001, 1))
    assert budget.admit("192.0.2.1", 0.0)
    assert not budget.admit("198.51.100.1", 0.0)
    assert budget.admit("198.51.100.1", 1.0)


def test_networks():
    assert network("192.0.2.77") == network("::ffff:192.0.2.77") == "192.0.2.77/32"
    assert network("192.0.2.78") != network("192.0.2.77")
    assert network("2001:db8:1:2::9") == network("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("uid:0") == "uid:0"

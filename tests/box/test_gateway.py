"""The gateway's promise: nothing is said before the disk has it, everything is said in order, once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import facts
from common.commands import Name, Stop
from common.domain import ConnectorState
from common.errors import Code, Unavailable
from common.policy import Claims, visible
from edge.core import engine, inputs
from edge.gateway import BACKLOG_MAX, GATE_MAX
from tests.box.support import Box, Follower, Watcher, begin, command, driver, operator, status

CHARGING, PREPARING, FAULTED = ConnectorState.CHARGING, ConnectorState.PREPARING, ConnectorState.FAULTED


def test_outputs_wait_for_their_commit_and_leave_in_order() -> None:
    box = Box().ready()
    watcher = Watcher(box.order)
    box.feed(status(CHARGING), "first")
    first = box.journal.last_seq
    box.command(watcher)
    second = box.journal.last_seq
    box.feed(status(FAULTED), "third")
    assert box.order == []
    box.journal.commit(first)
    assert box.order == [("reply", "first")]
    box.journal.commit(second)
    assert box.order[1:] == [("request", "StartCharge"), ("stage", "accepted")] or box.order[1:] == [
        ("stage", "refused")
    ]
    box.journal.commit()
    assert box.order[-1] == ("reply", "third")


def test_a_start_leaves_only_after_its_commit_and_a_stop_at_once() -> None:
    box = Box().ready()
    starter, stopper = Watcher(), Watcher()
    box.command(starter)
    assert box.sent == []
    box.journal.commit()
    (request,) = box.sent
    assert isinstance(request.action, inputs.StartCharge)
    box.feed(begin(None, minted=request.action.tag))
    box.journal.commit()
    (session,) = box.gateway.state.view.sessions
    box.command(stopper, id="cmd-2", name=Name.STOP, args=Stop(session=session))
    assert isinstance(box.sent[-1].action, inputs.StopCharge)
    assert stopper.stages == []
    box.journal.commit()
    assert stopper.stages == ["accepted"]


def test_a_replay_gets_the_stored_bytes_also_before_they_are_on_disk() -> None:
    box = Box().ready()
    first = box.feed(begin(), "first")
    again = box.feed(begin(), "again")
    assert first.sent == again.sent == []
    box.journal.commit()
    late = box.feed(begin(), "late")
    assert first.sent == again.sent == late.sent
    assert len(first.sent) == 1
    assert (first.rendered, again.rendered, late.rendered) == (1, 0, 0)


def test_nothing_is_released_after_a_failed_commit() -> None:
    box = Box().ready()
    watcher, follower = Watcher(), Follower(box.journal)
    reply = box.feed(status(CHARGING))
    box.command(watcher)
    box.gateway.follow(follower, operator())
    box.journal.fail()
    assert box.gateway.failed is not None
    assert box.gateway.failed.done()
    box.journal.commit()
    box.turn()
    assert (reply.sent, watcher.stages, box.sent, follower.snapshots) == ([], [], [], [])
    assert not box.gateway.accepting
    for refused in (lambda: box.feed(status(PREPARING)), lambda: box.command(watcher, id="cmd-9")):
        with pytest.raises(Unavailable) as why:
            refused()
        assert why.value.code is Code.JOURNAL_UNAVAILABLE


@pytest.mark.parametrize("broken", [Unavailable(Code.JOURNAL_UNAVAILABLE), ValueError("a fact out of order")])
def test_memory_ahead_of_a_journal_that_refuses_is_the_end(broken: Any) -> None:
    """The writer fails in its own thread: between the look at `room` and the push."""
    box = Box().ready()
    box.journal.refuses = broken
    reply = box.feed(status(CHARGING))
    assert box.gateway.failed is not None
    assert box.gateway.failed.done()
    box.journal.commit()
    assert reply.sent == []


def test_without_room_nothing_is_decided_and_nothing_changes() -> None:
    box = Box().ready()
    box.journal.room = False
    before, told = engine.encode_state(box.gateway.state), len(box.journal.facts)
    reply, watcher = box.feed(status(CHARGING)), Watcher()
    with pytest.raises(Unavailable) as busy:
        box.command(watcher)
    assert busy.value.code is Code.BUSY
    box.loop.run_until(box.loop.now_ms + 60_000)
    assert engine.encode_state(box.gateway.state) == before
    assert (len(box.journal.facts), reply.sent, watcher.stages) == (told, [], [])
    box.journal.room = True
    box.feed(status(FAULTED))
    box.journal.commit()
    assert len(reply.sent) == 1, "what waited is decided once there is room"


def test_a_command_passes_what_chargers_have_queued() -> None:
    box = Box().ready()
    replies = [box.feed(status(CHARGING if n % 2 else PREPARING), at_once=False) for n in range(50)]
    watcher = Watcher()
    box.command(watcher)
    before = box.journal.last_seq
    box.journal.commit()
    assert watcher.stages[0] in ("accepted", "refused")
    assert all(not reply.sent for reply in replies)
    box.turn()
    assert box.journal.last_seq > before
    box.journal.commit()
    assert all(len(reply.sent) == 1 for reply in replies)


def test_the_backlog_waits_while_too_much_is_held_and_is_bounded() -> None:
    box = Box().ready()
    box.feed(status(CHARGING))
    for _ in range(GATE_MAX):
        box.gateway.when_committed(lambda: None)
    before = box.journal.last_seq
    reply = box.feed(status(FAULTED))
    assert box.journal.last_seq == before, "decided while too much is held back"
    for _ in range(BACKLOG_MAX - 1):
        box.gateway.submit(status(FAULTED, "CP9"))
    with pytest.raises(Unavailable) as full:
        box.feed(status(PREPARING))
    assert full.value.code is Code.BUSY
    box.journal.commit()
    box.turn()
    box.journal.commit()
    assert len(reply.sent) == 1


def test_stages_go_to_who_sent_it_and_to_no_one_twice() -> None:
    box = Box().ready()
    lan, cloud = Watcher(), Watcher()
    box.command(lan)
    box.command(lan)  # the same app repeats it on the same link
    box.command(cloud)
    box.journal.commit()
    assert lan.stages == ["accepted", "accepted"], "each sending is answered with the stored stages"
    assert cloud.stages == ["accepted"]
    (request,) = box.sent
    box.answer(request)
    box.command(cloud)  # before the confirmation is on disk
    box.journal.commit()
    assert lan.stages == ["accepted", "accepted", "confirmed"]
    late = Watcher()
    box.command(late)
    assert late.stages == ["accepted", "confirmed"]
    assert isinstance(request.action, inputs.StartCharge)
    box.gateway.forget_watcher(lan.progress)
    box.feed(begin(None, minted=request.action.tag))
    box.journal.commit()
    assert lan.stages == ["accepted", "accepted", "confirmed"], "who left hears nothing more"
    assert late.stages == ["accepted", "confirmed", "settled"]
    assert len(box.gateway._watchers) == 0


def test_who_comes_between_decision_and_disk_hears_each_stage_once() -> None:
    box = Box().ready()
    first, second = Watcher(), Watcher()
    box.command(first)
    box.journal.commit()
    box.answer(box.sent[0])
    box.command(second)
    box.journal.commit()
    assert first.stages == second.stages == ["accepted", "confirmed"]


def test_one_receivers_fault_is_not_the_others_loss() -> None:
    box = Box().ready()
    told: list[facts.Fact] = []
    box.bus.tap(_breaks)
    box.bus.tap(told.append)
    good, bad = Follower(box.journal), Broken()
    box.gateway.follow(bad, operator())
    box.gateway.follow(good, operator())
    before = box.journal.last_seq
    box.gateway.command(command(box.clock.now), _breaks)
    reply = box.feed(status(CHARGING))
    box.journal.commit()
    assert len(reply.sent) == 1
    assert [fact.seq for fact in told] == good.seqs == [*range(before + 1, box.journal.last_seq + 1)]


class Broken:
    """A follower whose link has a bug."""

    def push(self, _: bytes) -> None:
        _breaks()


def _breaks(*_: object) -> None:
    raise RuntimeError("a bug in a receiver")


def test_an_input_that_cannot_be_decided_holds_nobody_up() -> None:
    box = Box().ready()
    odd = box.feed(Odd(charger="CP1"), at_once=False)
    good = box.feed(status(CHARGING), at_once=False)
    box.turn()
    box.journal.commit()
    assert (odd.sent, len(good.sent)) == ([], 1)
    assert box.gateway.accepting


class Odd(inputs.FromCharger, frozen=True, kw_only=True):
    """An input that the core does not know."""


# --- snapshot, then follow, without a gap ------------------------------------------------------------------

CLAIMS = (operator(), driver("p-driver"), driver("p-other", ("CP2",)))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("status"), st.sampled_from(["CP1", "CP2"]), st.sampled_from([CHARGING, FAULTED])),
        st.tuples(st.just("note"), st.sampled_from(["CP1", "CP2", ""]), st.none()),
        st.tuples(st.just("command"), st.integers(0, 5), st.none()),
        st.tuples(st.just("commit"), st.integers(1, 8), st.none()),
        st.tuples(st.just("follow"), st.sampled_from(range(3)), st.none()),
        st.tuples(st.just("leave"), st.none(), st.none()),
        st.tuples(st.just("turn"), st.none(), st.none()),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_each_follower_sees_its_snapshot_and_then_every_visible_fact_once(steps: list[Any]) -> None:
    box = Box()
    for charger in ("CP1", "CP2"):
        box.ready(charger)
    followers: list[tuple[Follower, Claims]] = []
    for what, which, value in steps:
        if what == "status":
            box.feed(status(value, which), at_once=False)
        elif what == "note":
            box.gateway.note(facts.SecurityNoted(what="clone", charger=which))
        elif what == "command":
            box.command(Watcher(), id=f"cmd-{which}")
        elif what == "commit":
            box.journal.commit(min(box.journal.committed_seq + which, box.journal.last_seq))
        elif what == "follow":
            followers.append((Follower(box.journal), CLAIMS[which]))
            box.gateway.follow(*followers[-1])
        elif what == "leave" and followers:
            box.bus.leave(followers.pop(0)[0])
        else:
            box.turn()
    box.turn()
    box.journal.commit()
    for follower, claims in followers:
        (snapshot,) = follower.snapshots
        assert follower.seqs == [
            fact.seq for fact in box.journal.facts if fact.seq > snapshot.seq and visible(claims, fact.body)
        ]


def test_a_second_follow_begins_with_a_fresh_snapshot() -> None:
    box = Box().ready()
    follower = Follower(box.journal)
    box.gateway.follow(follower, operator())
    box.feed(status(CHARGING))
    box.gateway.follow(follower, operator())
    box.feed(status(FAULTED))
    box.journal.commit()
    first, second = follower.snapshots
    assert first.seq < second.seq
    assert follower.seqs == [*range(second.seq + 1, box.journal.last_seq + 1)]

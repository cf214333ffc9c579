"""A stop waits for no disk: it leaves at once and is decided when there is room."""

from __future__ import annotations

import pytest

from common import facts
from common.commands import Name, Stop
from common.domain import ConnectorState
from common.errors import Code, Unavailable
from edge.core import inputs
from tests.box.support import Box, Watcher, begin, command, status


def charging() -> tuple[Box, str]:
    """A box with an open session of the driver, all on disk; and the session."""
    box = Box().ready()
    box.command(Watcher())
    box.journal.commit()
    (call,) = box.sent
    assert isinstance(call.action, inputs.StartCharge)
    box.answer(call)
    box.feed(begin(None, minted=call.action.tag))
    box.feed(status(ConnectorState.CHARGING))
    box.journal.commit()
    box.sent.clear()
    started = next(f.body for f in box.journal.facts if isinstance(f.body, facts.SessionStarted))
    return box, started.session


def stop(box: Box, session: str, watcher: Watcher, command_id: str = "stop-1") -> None:
    box.command(watcher, id=command_id, name=Name.STOP, args=Stop(session))


def test_a_stop_without_room_leaves_at_once_and_is_decided_later() -> None:
    box, session = charging()
    box.journal.room = False
    before, watcher = box.journal.last_seq, Watcher()
    stop(box, session, watcher)
    stop(box, session, watcher)  # repeated: the app has heard nothing
    assert [type(request.action) for request in box.sent] == [inputs.StopCharge]
    assert (watcher.stages, box.journal.last_seq) == ([], before)
    box.answer(box.sent[0])
    box.journal.room = True
    box.journal.commit(before)
    box.gateway._committed(before)  # the disk caught up
    box.turn()
    box.journal.commit()
    assert watcher.stages[:2] == ["accepted", "accepted"] or watcher.stages[0] == "accepted"
    assert "confirmed" in watcher.stages
    assert len(box.sent) == 1, "its call had left already"
    kinds = [fact.kind for fact in box.journal.facts if fact.seq > before]
    assert kinds.count("command_accepted") == 1
    assert kinds.count("command_sent") == 1


def test_nothing_else_goes_ahead_without_room() -> None:
    box, _ = charging()
    box.journal.room = False
    with pytest.raises(Unavailable) as caught:
        box.command(Watcher(), id="another")
    assert caught.value.code is Code.BUSY
    assert box.sent == []


def test_a_stop_that_would_be_refused_does_not_leave() -> None:
    box, _ = charging()
    box.journal.room = False
    with pytest.raises(Unavailable):
        stop(box, "no such session", Watcher())
    assert box.sent == []


def test_after_the_journal_failed_a_stop_waits_for_its_charger_to_dial() -> None:
    box, session = charging()
    box.journal.fail()
    with pytest.raises(Unavailable) as caught:
        stop(box, session, Watcher())
    assert caught.value.code is Code.JOURNAL_UNAVAILABLE
    assert "passed on" in caught.value.message
    now = box.clock.now
    (request,) = box.gateway.held.for_charger("cp1", now)  # in any case, as chargers write themselves
    assert isinstance(request.action, inputs.StopCharge)
    assert box.gateway.held.for_charger("CP2", now) == ()
    assert box.gateway.held.for_charger("CP1", request.expires_ms) == ()
    box.gateway.held.carried(request)
    assert box.gateway.held.for_charger("CP1", now) == ()


def test_a_stop_that_was_not_confirmed_when_the_journal_failed_waits_too() -> None:
    box, session = charging()
    stop(box, session, Watcher())
    box.journal.fail()
    (request,) = box.gateway.held.for_charger("CP1", box.clock.now)
    assert request.command == "stop-1"


def test_following_a_box_that_cannot_write_is_refused_with_the_reason() -> None:
    box, _ = charging()
    box.journal.fail()
    with pytest.raises(Unavailable) as caught:
        box.gateway.follow(None, command(0).claims)  # type: ignore[arg-type]
    assert caught.value.code is Code.JOURNAL_UNAVAILABLE

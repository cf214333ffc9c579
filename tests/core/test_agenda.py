"""The agenda against a plain dictionary: never late, each charger once, and no larger than it has to be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.domain import ConnectorState
from edge.core import engine
from edge.core.agenda import NEVER, Agenda
from tests.core.world import Site

names = st.sampled_from(["CP1", "CP2", "CP3"])
moves = st.lists(
    st.one_of(
        st.tuples(st.just("sooner"), names, st.integers(0, 50)),
        st.tuples(st.just("put"), names, st.one_of(st.integers(0, 50), st.just(NEVER))),
        st.tuples(st.just("take"), st.just(""), st.integers(0, 50)),
    ),
    max_size=300,
)


@given(moves)
def test_it_is_a_dictionary_with_a_first_entry(steps: list[tuple[str, str, int]]) -> None:
    agenda, model = Agenda(), dict[str, int]()
    for what, name, at_ms in steps:
        if what == "sooner":
            agenda.sooner(name, at_ms)
            model[name] = min(at_ms, model.get(name, NEVER))
        elif what == "put":
            agenda.put(name, at_ms)
            model[name] = at_ms
        else:
            due = {name for name, at in model.items() if at <= at_ms}
            taken = agenda.take(at_ms)
            assert sorted(taken) == sorted(due)
            model = {name: at for name, at in model.items() if name not in due}
        model = {name: at for name, at in model.items() if at < NEVER}
        assert agenda.at_ms == model
        assert agenda.next_ms <= min(model.values(), default=NEVER)
        assert len(agenda.queue) <= 2 * 3 + 64 + 1


def test_one_chargers_message_leaves_the_others_alone() -> None:
    """A site of hundreds is looked through charger by charger, as each comes due."""
    site = Site()
    for charger in ("CP1", "CP2"):
        site.connect(charger)
        site.status(ConnectorState.AVAILABLE, charger=charger)
    site.wait(600_000)
    site.state.agenda.put("CP2", site.now + 5)  # early, so it would be moved by whoever looks
    site.now += 1
    site.status(ConnectorState.PREPARING)
    assert site.state.agenda.at_ms["CP2"] == site.now + 4
    site.now += 4
    site.status(ConnectorState.CHARGING)
    assert site.state.agenda.at_ms.get("CP2", NEVER) == engine.next_due(site.state, "CP2")


def test_a_snapshot_holds_none_of_it() -> None:
    site = Site()
    site.connect()
    site.begin()
    assert site.state.agenda.queue
    assert engine.decode_state(engine.encode_state(site.state)).agenda.at_ms.keys() == {"CP1"}
    assert b'"agenda":{}' in engine.encode_state(site.state)

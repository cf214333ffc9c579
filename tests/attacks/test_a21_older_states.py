"""Group 21: a push stream that shows what was, after a phone has changed its path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import wire
from common.appsession import Positions
from common.view import View
from tests.client import test_paths

SITE = "s-home"


def snapshot(epoch: str, seq: int, source: str) -> wire.Snapshot:
    return wire.Snapshot(site=SITE, epoch=epoch, seq=seq, view=View(site=SITE), at="", source=source)


pushed = st.tuples(st.integers(1, 3), st.integers(0, 9), st.sampled_from(["edge", "copy"]))


@given(st.lists(pushed, max_size=30))
def test_whatever_a_relay_replays_nothing_older_is_shown(pushes: list[tuple[int, int, str]]) -> None:
    positions, shown = Positions(), (0, -1)
    for epoch, seq, source in pushes:
        if positions.admits(snapshot(f"{epoch}-x", seq, source)):
            assert (epoch, seq) >= shown
            shown = (epoch, seq)


@pytest.mark.parametrize("name", ["test_older_state_is_never_shown_when_paths_change"])
async def test_a_client_whose_cloud_is_behind_shows_what_the_box_has_shown(name: str) -> None:
    await getattr(test_paths, name)()

"""When a link ends because the box is elsewhere now."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.errors import Code, Unavailable
from edge.linkends import rooted


class Enough(Exception):  # noqa: N818 - how a test stops the looking
    """There are no more answers."""


def looks(*answers: bool) -> Callable[[str], bool]:
    told = list(answers)

    def here(address: str) -> bool:
        if not told:
            raise Enough(address)
        return told.pop(0)

    return here


async def test_a_link_whose_address_has_left_ends_by_name() -> None:
    with pytest.raises(Unavailable) as ended:
        await rooted("10.0.0.2", here=looks(True, True, False, False), every_s=0)
    assert ended.value.code is Code.CLOUD_UNREACHABLE
    assert "10.0.0.2 no longer" in ended.value.message


async def test_one_look_that_fails_ends_nothing() -> None:
    with pytest.raises(Enough):
        await rooted("10.0.0.2", here=looks(True, False, True, False, True), every_s=0)


async def test_an_address_that_cannot_be_looked_for_is_not() -> None:
    await rooted("fe80::1", here=looks(False), every_s=0)

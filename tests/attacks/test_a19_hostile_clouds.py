"""Group 19: a cloud in wrong hands, whose words are larger than any fact: the box at its site goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import sync
from common.caps import Charge
from common.errors import Code, RemoteFault
from edge.inheritance import Inheritance
from tests.box.test_rekeying import box, welcome

LONG = "x" * 20_000


@pytest.mark.parametrize("field", ["box", "former_until", "time", "incarnation"])
async def test_a19_a_welcome_with_a_word_too_long_is_none(tmp_path: Path, field: str) -> None:
    async with box(tmp_path) as site:
        sync.decode_cloud(sync.encode(welcome(site, **{field: "x" * 32})))
        with pytest.raises(RemoteFault) as no:
            sync.decode_cloud(sync.encode(welcome(site, **{field: LONG})))
        assert no.value.code is Code.PROTOCOL


async def test_a19_an_estate_larger_than_facts_are_is_passed_over(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        honest, large = (
            Charge(session=session, charger="CP1", at="2026-11-30T10:00:00Z", told_at="2026-11-30T10:00:00Z")
            for session in ("s-1", LONG)
        )
        told = sync.TunnelWelcome(
            version=1,
            link_epoch=1,
            epoch=site.journal.epoch,
            hwm=0,
            chain_at_hwm=b"",
            charges={"p-large": (large,), LONG: (honest,), "p-ann": (honest,)},
        )
        await Inheritance(site.gateway, site.journal).settle(told)
        assert site.gateway.accepting
        assert set(site.gateway.state.taken) == {"p-ann"}

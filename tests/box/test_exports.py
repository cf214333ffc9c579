"""Exports of a box whose oldest facts have left its journal: from where it begins, or said plainly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import Code, Refused
from common.facts import SecurityNoted
from common.policy import local_presence
from common.sync import bundle
from common.trust import unb64
from edge.bundles import Exports, _Export
from edge.journal import pruning
from edge.site import Site
from tests.box.test_opening import running


async def page(site: Site, *, connected: bool = False, **asked: Any) -> dict[str, Any]:
    exports = Exports(site.authority, site.gateway, site.journal, site.clock, connected=lambda: connected)
    return await exports._page(_Export(**asked), local_presence(site.authority.site))


async def test_what_has_left_the_journal_is_named_and_a_new_epoch_begins_behind_it(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        for _ in range(600):
            site.gateway.note(SecurityNoted(what="noted"))
        for _ in range(2):
            site.gateway.snapshot()
        await site.journal.probe()
        assert await site.journal.submit(lambda db: pruning.cut(db, 300)) == 256
        with pytest.raises(Refused) as refused:
            await page(site)
        assert refused.value.code is Code.BAD_REQUEST
        assert "record 1 has left" in refused.value.message
        assert "--new-epoch" in refused.value.hint
        assert (await page(site, after=300))["after"] == 300, "what a cloud goes on with"
        told = await page(site, new_epoch=True)
        assert (told["after"], told["epoch"]) == (256, site.journal.epoch)
        head, part = (unb64(frame) for frame in told["frames"])
        about = bundle.open_head(head, site.authority.identity.public)
        assert (about.first_seq, about.begins_after) == (257, 256)
        assert bundle.open_part(part, about, site.authority.identity.public).from_seq == 257
        assert (await page(site))["after"] == 256, "the whole of this epoch"


async def test_a_box_with_a_tunnel_says_why_it_begins_no_epoch_for_a_file(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        epoch = site.journal.epoch
        with pytest.raises(Refused) as refused:
            await page(site, connected=True, new_epoch=True)
        assert "without --new-epoch" in refused.value.hint
        assert site.journal.epoch == epoch

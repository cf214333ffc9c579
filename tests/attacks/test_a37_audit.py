"""Group 37: a row of the audit that is edited, taken out or put in another's place; no disk to audit on."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import facts, wire
from common.commands import Name
from common.domain import Path as Way
from common.errors import Code, LocalFault
from tests.attacks.stand import asked, stand
from tests.box.test_site import on
from tests.journal.support import Disk
from tests.journal.test_verifying import looked, meddle

EDITS = {
    "edited": ["UPDATE fact SET record = cast(replace(record, 'clone', 'alone') AS BLOB) WHERE seq = 3"],
    "edited with its hash": ["UPDATE fact SET inner = zeroblob(32) WHERE seq = 3"],
    "taken out": ["DELETE FROM fact WHERE seq = 3"],
    "swapped": [
        "UPDATE fact SET seq = -4 WHERE seq = 4",
        "UPDATE fact SET seq = 4 WHERE seq = 3",
        "UPDATE fact SET seq = 3 WHERE seq = -4",
    ],
    "swapped by all they hold": [
        "CREATE TEMP TABLE other AS SELECT * FROM fact WHERE seq IN (3, 4)",
        "DELETE FROM fact WHERE seq IN (3, 4)",
        "UPDATE other SET seq = 7 - seq",
        "INSERT INTO fact SELECT * FROM other",
    ],
    "two of the same words": [
        "UPDATE fact SET record = (SELECT record FROM fact WHERE seq = 4) WHERE seq = 3"
    ],
    "one from the end brought forward": [
        "UPDATE fact SET (record, inner) = (SELECT record, inner FROM fact WHERE seq = 500) WHERE seq = 3"
    ],
}


@pytest.mark.parametrize("how", EDITS)
async def test_who_changes_a_row_is_found_at_its_place(tmp_path: Path, how: str) -> None:
    async with stand(tmp_path) as here:
        for number in range(
            600
        ):  # the chain is marked every so often; what is not marked yet, the head shows
            here.site.gateway.note(facts.SecurityNoted(what="clone", charger=f"CP{number}"))
            if number % 50 == 0:
                await here.site.journal.probe()
        await here.site.journal.probe()
        path = here.site.journal.path
        assert looked(path).ok
    meddle(path, *EDITS[how])
    told = looked(path)
    assert not told.ok
    assert not told.chain.intact
    # A record's own hash names the row; where each is whole, the chain's next mark names the stretch.
    named = told.first_difference
    assert named.startswith("fact 3 ") or "chain" in named, named


async def test_a_journal_that_is_put_into_another_sites_place_is_not_taken(tmp_path: Path) -> None:
    folders = tmp_path / "ours", tmp_path / "theirs"
    for folder in folders:
        async with stand(folder) as here, here.charger("CP1"):
            await here.site.journal.probe()
    ours, theirs = (folder / "box" / "journal.db" for folder in folders)
    aside = tmp_path / "aside.db"
    for source, target in ((ours, aside), (theirs, ours), (aside, theirs)):
        source.rename(target)
    for folder in folders:
        with pytest.raises(LocalFault) as refused:
            async with stand(folder):
                pass
        assert refused.value.code is Code.FOLDER_UNUSABLE
        assert "is of site" in refused.value.detail
    for source, target in ((ours, aside), (theirs, ours), (aside, theirs)):
        source.rename(target)
    for folder in folders:
        async with stand(folder) as here:
            assert await here.written("charger_seen")
            assert looked(here.site.journal.path).ok


async def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    disk = Disk()
    async with stand(tmp_path, open_journal=on(disk)) as here:
        phone = await here.phone()
        async with here.charger() as charger, phone.link(Way.LAN) as talk:
            disk.fail()
            sealed = phone.seal(Name.START, "CP1")
            await talk.send(sealed)
            await talk.until(lambda: bool(talk.of(wire.Bye) or talk.answers(sealed.command.id)), "an answer")
            assert not [m for m in talk.answers(sealed.command.id) if isinstance(m, wire.Accepted)]
            assert asked(charger) == []

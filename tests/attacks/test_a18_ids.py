"""Group 18: one command id for other content, somebody else's id, ids that are none, very many ids."""

from __future__ import annotations

import pytest

from common import wire
from common.commands import Name
from common.domain import Path
from common.errors import Code
from edge.core.state import SETTLED_ORDERS_MAX
from tests.attacks.stand import Stand, asked

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_id_is_good_for_one_content_and_one_person(here: Stand) -> None:
    ann, ben = await here.phone(), await here.phone()
    async with here.charger() as charger, ann.link(Path.LAN) as hers, ben.link(Path.LAN) as his:
        charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
        first = ann.seal(Name.START, "CP1")
        await hers.send(first)
        ended = await hers.ended(first.command.id)
        assert isinstance(ended, wire.Settled)
        for thief, talk in ((ann, hers), (ben, his)):
            before = len(talk.heard)
            other = thief.seal(Name.UNLOCK, "CP1", command_id=first.command.id)
            await talk.send(other)
            await talk.until(lambda t=talk, n=before: any(isinstance(m, wire.Refusal) for m in t.heard[n:]))
            told = next(m for m in talk.heard[before:] if isinstance(m, wire.Refusal))
            assert told.code == Code.ID_REUSE
        # His own content under her id, even the same: it is not his command, and its outcome not his to hear.
        before = len(his.heard)
        await his.send(ben.seal(Name.START, "CP1", command_id=first.command.id))
        await his.until(lambda: len(his.heard) > before)
        assert isinstance(his.heard[-1], wire.Refusal)
        assert asked(charger) == ["RemoteStartTransaction"]


@pytest.mark.parametrize("bad", ["", "x" * 65, "x" * 10_000])
async def test_an_id_that_is_none_is_refused(here: Stand, bad: str) -> None:
    phone = await here.phone()
    async with here.charger() as charger, phone.link(Path.LAN) as talk:
        before = len(talk.heard)
        sealed = phone.seal(Name.START, "CP1")
        await talk.ask(
            wire.SendCommand(id=bad, site=sealed.command.site, envelope=sealed.envelope, grant=phone.grant)
        )
        await talk.until(lambda: len(talk.heard) > before)
        (told,) = talk.heard[before:]
        assert isinstance(told, wire.Refusal)
        assert told.code == Code.BAD_REQUEST
        assert asked(charger) == []


@pytest.mark.parametrize(
    "odd", ["1", "'; DROP TABLE fact; --", "../../etc/passwd", "<script>", "\x00", "=1+1"]
)
async def test_an_id_that_is_no_uuid_is_a_name_and_nothing_more(here: Stand, odd: str) -> None:
    """Ids are compared, never read: what is written in one has no effect anywhere."""
    phone = await here.phone()
    async with here.charger() as charger, phone.link(Path.LAN) as talk:
        charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
        ends = []
        for _ in range(2):
            await talk.send(phone.seal(Name.UNLOCK, "NO-SUCH", command_id=odd))
            ends.append(await talk.ended(odd))
            assert isinstance(ends[-1], wire.Refusal)
        assert asked(charger) == []
        assert len(await here.written()) > 1


async def test_thousands_of_ids_leave_the_memory_as_it_was(here: Stand) -> None:
    """A million would take minutes and show the same: refusals are noted on disk, few are kept in memory."""
    phone = await here.phone()
    async with phone.link(Path.LAN) as talk:
        for number in range(1000):
            sealed = phone.seal(Name.START, "NO-SUCH")
            await talk.send(sealed)
            if number % 100 == 99:
                await talk.ended(sealed.command.id)
    assert len(here.site.gateway.state.orders) <= SETTLED_ORDERS_MAX + 1
    await here.works_for(phone)

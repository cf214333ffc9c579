"""Group 17: one command many times: on one link, on two at once, after a crash, after a day."""

from __future__ import annotations

import asyncio

import pytest

from common import wire
from common.commands import Name
from common.domain import Path
from edge.core.requests import StartCharge
from tests.attacks.stand import Stand, asked, begun
from tests.box.support import Box, Watcher
from tests.e2e.phone import Sealed
from tests.trust.cast import halves_swapped_sign

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIMES = 200


async def test_a_thousand_deliveries_on_two_links_at_once_have_one_effect(here: Stand) -> None:
    """The two links stand for LAN and cloud, which end at the same place; both for real: tests/e2e."""
    phone = await here.phone()
    async with (
        here.charger() as charger,
        phone.link(Path.LAN) as one,
        phone.link(Path.LAN) as other,
    ):
        charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
        for number in range(5):
            sealed = phone.seal(Name.START, "CP1")
            await asyncio.gather(*(talk.send(sealed) for talk in (one, other) for _ in range(TIMES // 2)))
            ends = await asyncio.gather(one.ended(sealed.command.id), other.ended(sealed.command.id))
            assert ends[0] == ends[1]
            assert asked(charger) == ["RemoteStartTransaction"] * (number + 1)
            outcomes = [m for m in one.answers(sealed.command.id) if isinstance(m, wire.Settled)]
            assert {m.outcome for m in outcomes} == {"failed"}


async def test_a_repeat_after_its_charge_is_over_starts_no_other(here: Stand) -> None:
    phone = await here.phone()
    async with here.charger("CP1") as charger, phone.link(Path.LAN) as talk:
        first = phone.seal(Name.STOP, "CP1", session=(await begun(talk, phone, charger)))
        (wanted,) = charger.asked_for("RemoteStartTransaction")
        assert wanted["idTag"]
        await talk.send(first)
        await charger.is_asked("RemoteStopTransaction", 1)
        repeats = len(charger.asked)
        for _ in range(20):
            await talk.send(first)
        await talk.follow()
        assert [name for name, _ in charger.asked[repeats:] if name == "RemoteStartTransaction"] == []


async def test_a_signature_in_its_other_form_is_the_same_command(here: Stand) -> None:
    """(r, n−s) is as valid as (r, s): whoever saw an envelope can make the other one, and gains nothing."""
    phone = await here.phone()
    async with here.charger("CP9") as charger, phone.link(Path.LAN) as talk:
        charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
        sealed = phone.seal(Name.START, "CP9")
        payload, key, signature = sealed.envelope.split(".")
        other = Sealed(sealed.command, f"{payload}.{key}.{halves_swapped_sign(phone.key, signature)}")
        assert other.envelope != sealed.envelope
        await talk.send(sealed)
        first = await talk.ended(sealed.command.id)
        ends = (wire.Settled, wire.Refusal)
        before = len([one for one in talk.answers(sealed.command.id) if isinstance(one, ends)])
        await talk.send(other)

        def told() -> list[wire.Settled | wire.Refusal]:
            return [one for one in talk.answers(sealed.command.id) if isinstance(one, ends)]

        await talk.until(lambda: len(told()) > before, "the stored outcome")
        assert told()[-1] == first
        assert asked(charger) == ["RemoteStartTransaction"]


async def test_after_a_day_and_after_thirty_the_stored_outcome_is_told_again() -> None:
    box = Box().ready()
    first = Watcher()
    box.command(first)
    box.turn()
    box.journal.commit()
    (call,) = [request for request in box.sent if isinstance(request.action, StartCharge)]
    box.answer(call, "rejected")
    box.turn()
    box.journal.commit()
    assert first.stages[-1] == "settled"
    for days in (1, 29):
        again = Watcher()
        expires = {"expires_ms": box.clock.now + 15_000}
        box.clock.now += days * 24 * 3_600_000
        box.command(again, **expires)
        box.turn()
        box.journal.commit()
        assert again.stages[-1] == "settled"
        assert [request.action for request in box.sent if isinstance(request.action, StartCharge)] == [
            call.action
        ]

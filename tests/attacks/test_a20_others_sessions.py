"""Group 20: a start where somebody else charges, a stop of their charge, limits that are none."""

from __future__ import annotations

from typing import Any

import pytest

from common import commands, trust, wire
from common.clock import SystemClock, SystemIds
from common.commands import Name
from common.domain import Path, iso
from common.errors import Code
from tests.attacks.stand import Stand, asked, begun
from tests.e2e.phone import Phone, Sealed
from tests.trust.cast import command

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_somebody_elses_is_left_alone(here: Stand) -> None:
    ann, ben = await here.phone(), await here.phone()
    async with here.charger() as charger, ann.link(Path.LAN) as hers, ben.link(Path.LAN) as his:
        session = await begun(hers, ann, charger)
        before = asked(charger)
        for name, args, code in (
            (Name.START, {}, Code.CONNECTOR_IN_USE),
            (Name.STOP, {"session": session}, Code.NOT_YOUR_SESSION),
            (Name.UNLOCK, {"ends_charge": True}, Code.NOT_YOUR_SESSION),
            (Name.LIMIT, {"amps": 6.0, "session": session}, Code.NOT_YOUR_SESSION),
        ):
            sealed = ben.seal(name, "CP1", **args)
            await his.send(sealed)
            told = await his.ended(sealed.command.id)
            assert isinstance(told, wire.Refusal), (name, told)
            assert told.code in (code, Code.NOT_PERMITTED, Code.BAD_REQUEST), name
        assert asked(charger) == before
        assert len(await here.written("session_started")) == 1
        # Ann still can.
        stop = ann.seal(Name.STOP, "CP1", session=session)
        await hers.send(stop)
        await charger.is_asked("RemoteStopTransaction", 1)


def raw(phone: Phone, args: bytes) -> Sealed:
    """A limit whose arguments are these bytes, signed by the phone's true key."""
    made = command(
        site=phone.site.site,
        id=SystemIds().uid(),
        name=Name.LIMIT,
        expires_at=iso(SystemClock().now_ms() + 20_000),
    )
    payload = commands.encode(made)
    assert payload.endswith(b"}")
    return Sealed(made, trust.seal(payload[:-1] + b',"args":' + args + b"}", phone.key))


@pytest.mark.parametrize(
    "amps",
    [b"0", b"-1", b"NaN", b"Infinity", b"1e9", b"1e999", b'"16"', b"null", b"[16]", b"-0.0", b"5e-324"],
)
async def test_a_limit_that_is_none_reaches_no_charger(here: Stand, amps: bytes) -> None:
    phone: Any = await here.phone()
    async with here.charger("CP2") as charger, phone.link(Path.LAN) as talk:
        calls = len(charger.asked_for("SetChargingProfile"))
        sealed = raw(phone, b'{"amps":' + amps + b"}")
        await talk.send(sealed)
        told = await talk.ended(sealed.command.id)
        assert isinstance(told, wire.Refusal), told
        assert len(charger.asked_for("SetChargingProfile")) == calls

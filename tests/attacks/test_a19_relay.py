"""Group 19: what a relay in the cloud can do to a signed command: repeat, delay, reorder, alter, misdirect.

The relay here is as bad as can be: it has the tunnel to itself, and no key that signs grants or commands.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common import commands, sync, trust, wire
from common.commands import Command, Name
from common.domain import Role, Target, iso
from common.errors import Code
from common.keystore import generate_identity
from common.policy import Claims
from tests.attacks.stand import Stand, asked
from tests.box.cloud import FakeCloud
from tests.box.support import eventually
from tests.box.test_uplink import connected, place
from tests.e2e import chargers
from tests.e2e.phone import Sealed

pytestmark = pytest.mark.asyncio(loop_scope="function")


class Relay:
    """A tunnel's other end that sends what it likes, and a driver's genuine key and grant."""

    def __init__(self, site: Any, cloud: FakeCloud) -> None:
        self.site, self.cloud = site, cloud
        self.key = generate_identity()
        self.claims = Claims(
            site=site.authority.site, principal="p-1", role=Role.DRIVER, key=self.key.thumbprint
        )
        self.grant = cloud.grant(self.claims, site.clock.now_ms())
        self._refs = 0

    def sealed(self, command_id: str, *, life_ms: int = 20_000, site: str = "") -> wire.SendCommand:
        command = Command(
            site=site or self.site.authority.site,
            id=command_id,
            name=Name.START,
            target=Target("CP1", 1),
            args={},
            expires_at=iso(self.site.clock.now_ms() + life_ms),
        )
        envelope = trust.seal(commands.encode(command), self.key)
        self.last = Sealed(command, envelope)
        return wire.SendCommand(id=command_id, site=command.site, envelope=envelope, grant=self.grant)

    async def brings(self, message: wire.SendCommand) -> list[Any]:
        """Everything the box says to one delivery, up to its end."""
        self._refs += 1
        ref = f"r{self._refs}"
        await self.cloud.say(sync.Relay(ref=ref, command=message))
        ends = (wire.Settled, wire.Refusal)

        def told() -> list[Any]:
            return [step for to, step in self.cloud.progress if to == ref]

        await eventually(lambda: any(isinstance(step, ends) for step in told()), "an end")
        return told()


async def test_a_relay_can_repeat_delay_reorder_alter_and_misdirect_and_gains_nothing(tmp_path: Any) -> None:
    async with place(tmp_path, adopt="any") as (site, cloud):
        await connected(site)
        here, relay = Stand(site, tmp_path), Relay(site, cloud)
        async with chargers.wire(here.url, "CP1") as charger:
            charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
            await charger.boot()
            first, second = relay.sealed("c-1"), relay.sealed("c-2")
            # Reordered, and each many times: one call each, and every delivery hears of the same end.
            deliveries = [second, first, second, first] + [first] * 20
            ends = [(await relay.brings(message))[-1] for message in deliveries]
            assert len({(end.id, end.outcome, end.code) for end in ends}) == 2
            assert asked(charger) == ["RemoteStartTransaction"] * 2
            # At once, as a relay with many replicas might.
            third = relay.sealed("c-3")
            await asyncio.gather(*(relay.brings(third) for _ in range(20)))
            assert asked(charger) == ["RemoteStartTransaction"] * 3
            # Held back until it has run out.
            late = (await relay.brings(relay.sealed("c-4", life_ms=-1000)))[-1]
            assert (type(late), late.code) == (wire.Refusal, Code.EXPIRED)
            # Every single character of the envelope altered somewhere: nothing is done.
            whole = relay.sealed("c-5").envelope
            for position in range(0, len(whole), 17):
                changed = whole[:position] + ("A" if whole[position] != "A" else "B") + whole[position + 1 :]
                message = wire.SendCommand(
                    id="c-5", site=site.authority.site, envelope=changed, grant=relay.grant
                )
                told = (await relay.brings(message))[-1]
                assert isinstance(told, wire.Refusal)
                assert told.code in (Code.BAD_SIGNATURE, Code.BAD_REQUEST)
            # For another box.
            elsewhere = relay.sealed("c-6", site="s-elsewhere")
            message = wire.SendCommand(
                id="c-6", site=site.authority.site, envelope=elsewhere.envelope, grant=relay.grant
            )
            told = (await relay.brings(message))[-1]
            assert isinstance(told, wire.Refusal)
            assert told.code == Code.WRONG_SITE
            # Under another id than was signed.
            message = wire.SendCommand(
                id="c-8", site=site.authority.site, envelope=relay.sealed("c-7").envelope, grant=relay.grant
            )
            assert isinstance((await relay.brings(message))[-1], wire.Refusal)
            assert asked(charger) == ["RemoteStartTransaction"] * 3

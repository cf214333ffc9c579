"""Group 26: discovery that crashes, interfaces that are not there: control of the chargers survives."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.client.discovery import browse
from common.commands import Name
from common.domain import Path as Way
from edge.discovery import lan_addresses
from tests.attacks.stand import stand
from tests.box.support import eventually


async def test_a_box_whose_discovery_cannot_run_serves_all_the_same(tmp_path: Path) -> None:
    """An interface of the settings that is gone (TEST-NET-1 is never here): the room fails, and only it."""
    async with stand(tmp_path, interfaces="192.0.2.55", lan="127.0.0.1:0") as here:

        def failed() -> bool:
            (room,) = [room for room in here.site.health()["rooms"] if room["name"] == "discovery"]
            return "192.0.2.55" in room["last_error"]

        await eventually(failed, "the room to say what is wrong")
        here.site.authority.addresses = (f"127.0.0.1:{here.port}",)
        phone = await here.phone()
        async with here.charger() as charger, phone.link(Way.LAN) as talk:
            charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
            sealed = phone.seal(Name.START, "CP1")
            await talk.send(sealed)
            await talk.ended(sealed.command.id)
            assert len(charger.asked_for("RemoteStartTransaction")) == 1


async def test_a_client_on_a_machine_whose_interface_is_gone_looks_nowhere_and_does_not_fail() -> None:
    assert [found async for found in browse(("192.0.2.55", "2001:db8::55"), 5)] == []


@pytest.mark.parametrize(
    ("interfaces", "told"),
    [
        (("192.0.2.7", "2001:db8::7"), ["192.0.2.7", "2001:db8::7"]),
        (("fe80::7", "2001:db8::7"), ["2001:db8::7"]),
        (("192.0.2.7", "10.8.0.3"), ["192.0.2.7", "10.8.0.3"]),
    ],
    ids=["both families", "a zone is not told", "a VPN's too"],
)
def test_which_addresses_phones_are_told(interfaces: tuple[str, ...], told: list[str]) -> None:
    assert lan_addresses(interfaces, "0.0.0.0") == told

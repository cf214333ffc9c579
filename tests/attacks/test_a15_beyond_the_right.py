"""Group 15: a driver who does what operators and installers do, uses another connector, begins one charge
more than agreed, or goes on beyond the energy that was; an operator who plays the installer, or the owner."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common import commands, trust, wire
from common.caps import Caps
from common.client.connection import Connection
from common.client.local import local
from common.commands import CLASSES, Command, Name
from common.domain import Role, Target, iso
from common.errors import Code, PlugsideError, from_wire
from tests.box.phones import CLOCK, IDS, Phone, place
from tests.e2e import chargers

ARGS: dict[Name, dict[str, Any]] = {
    Name.STOP: {"session": "s-1"},
    Name.AVAILABILITY: {"operative": False},
    Name.CONFIGURE: {"key": "HeartbeatInterval", "value": "1"},
    Name.MESSAGE: {"vendor": "evil"},
    Name.UPDATE_FIRMWARE: {"file": "0" * 64},
    Name.INSTALL_CERTIFICATE: {"use": "csms", "certificate": "x"},
    Name.RESOLVE: {"decision": "accept", "reason": "mine", "session": "s-1"},
    Name.ASSIGN_TAG: {"tag_ref": "a", "principal": "p-thief"},
    Name.WITHDRAW_TAG: {"tag_ref": "a"},
    Name.OFFLINE_POLICY: {"policy": "open"},
    Name.ADOPT: {"name": "mine"},
    Name.TRIGGER: {"what": "status"},
}
MANAGED = (
    *("pair", "invite", "forget", "people", "revoke", "release", "clock", "export", "backup"),
    *("tag_assign", "tag_remove", "tags", "recovery", "recovery_new", "recovery_restore"),
    *("firmware_list", "upload_read"),
)


async def outcome(link: Connection, phone: Phone, command: Command) -> str:
    """How far a signed command comes: `accepted`, or the code of the refusal."""
    heard: list[str] = []
    done = asyncio.Event()

    def tell(message: Any) -> None:
        heard.append(message.code if isinstance(message, wire.Refusal) else "accepted")
        done.set()

    def lost(why: PlugsideError) -> None:
        heard.append(str(why.code))
        done.set()

    sealed = trust.seal(commands.encode(command), phone.key)
    link.send_command(wire.SendCommand(id=command.id, site=command.site, envelope=sealed), tell, lost)
    async with asyncio.timeout(20):
        await done.wait()
    return heard[0]


def wanted(phone: Phone, name: Name, target: Target | None = None) -> Command:
    args = ARGS.get(name, {})
    return Command(
        site=phone.site.authority.site,
        id=IDS.uid(),
        name=name,
        target=target or Target("CP1"),
        args=args,
        expires_at=iso(CLOCK.now_ms() + 10_000),
    )


STAFFS = [name for name, known in CLASSES.items() if Role.DRIVER not in known.roles]
INSTALLERS = [name for name, known in CLASSES.items() if Role.OPERATOR not in known.roles]


async def test_a15_a_driver_is_refused_what_staff_do(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _), local(tmp_path / "edge.sock") as installer:
        await installer.command(Name.ADOPT, Target("CP1"), {"name": "Bay 1"}).settled()
        driver, operator = await Phone(site).join(), await Phone(site).join(Role.OPERATOR)
        async with driver.link() as link:
            for name in STAFFS:
                told = await outcome(link, driver, wanted(driver, name))
                assert told in (Code.NOT_PERMITTED, Code.BAD_REQUEST), (name, told)
            for name in (Name.RESET, Name.CLEAR_CACHE, Name.AVAILABILITY, Name.ADOPT, Name.CONFIGURE):
                assert await outcome(link, driver, wanted(driver, name)) == Code.NOT_PERMITTED, name
            for name in MANAGED:
                with pytest.raises(PlugsideError) as no:
                    await link.manage(name)
                assert no.value.code in (Code.NOT_PERMITTED, Code.BAD_REQUEST), name
            for what in ("audit", "ledger", "orphans", "health", "chargers", "dials", "counts", "verify"):
                with pytest.raises(PlugsideError) as no:
                    await link.query(what)
                assert no.value.code is Code.NOT_PERMITTED, what
        async with operator.link() as link:
            for name in INSTALLERS:
                assert await outcome(link, operator, wanted(operator, name)) in (
                    Code.NOT_PERMITTED,
                    Code.BAD_REQUEST,
                ), name
            for name in ("pair", "release", "clock", "recovery_new"):
                with pytest.raises(PlugsideError) as no:
                    await link.manage(name)
                assert no.value.code is Code.NOT_PERMITTED, name
            assert await link.query("health"), "what is theirs they have"
        accepted = await installer.query("audit", {"kinds": ["command_accepted"]})
        assert [row["body"]["name"] for row in accepted] == ["adopt"], "nothing of all that was taken on"


async def test_a15_another_charger_connector_charge_and_more_energy(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _), local(tmp_path / "edge.sock") as installer:
        for charger in ("CP1", "CP2"):
            await installer.command(Name.ADOPT, Target(charger), {"name": charger}).settled()
        caps = Caps(energy_wh=5000, sessions=1, connectors=("CP1/1",))
        text, _principal = site.authority.invite(Role.DRIVER, ("CP1",), 3_600_000, caps)
        driver, operator = Phone(site), await Phone(site).join(Role.OPERATOR)
        async with driver.link(invite=trust.Invite.from_text(text).secret, grants=()) as link:
            driver.grant = link.granted[0].grant
        async with chargers.wire(site.ocpp_url.rstrip("/"), "CP1") as charger, driver.link() as link:
            await charger.boot()
            await charger.status("Preparing", 2)
            start = wanted(driver, Name.START, Target("CP2", 1))
            assert await outcome(link, driver, start) == Code.UNKNOWN_CHARGER, "as if it were not there"
            beside = wanted(driver, Name.START, Target("CP1", 2))
            assert await outcome(link, driver, beside) in (Code.LIMIT_REACHED, Code.NOT_PERMITTED)
            begin = wanted(driver, Name.START, Target("CP1", 1))
            assert await outcome(link, driver, begin) == "accepted"
            second = wanted(driver, Name.START, Target("CP1", 1))
            assert await outcome(link, driver, second) in (Code.CONNECTOR_IN_USE, Code.LIMIT_REACHED)
            asked = await charger.is_asked("RemoteStartTransaction", 1)
            told = {
                "connectorId": 1,
                "idTag": asked["idTag"],
                "meterStart": 100,
                "timestamp": chargers.now(),
            }
            begun = await charger.call("StartTransaction", told)
            await charger.status("Charging")
            for reading in (3000, 5099, 5100):
                sample = {"timestamp": chargers.now(), "sampledValue": [{"value": str(reading)}]}
                values = {"connectorId": 1, "transactionId": begun["transactionId"], "meterValue": [sample]}
                await charger.call("MeterValues", values)
            stop = await charger.is_asked("RemoteStopTransaction", 1)
            assert stop["transactionId"] == begun["transactionId"], "stopped at the energy that was agreed"
            done = {"transactionId": begun["transactionId"], "meterStop": 5100, "timestamp": chargers.now()}
            await charger.call("StopTransaction", done)
            await charger.status("Available")
            again = wanted(driver, Name.START, Target("CP1", 1))
            assert await outcome(link, driver, again) == Code.LIMIT_REACHED
            (row,) = await link.query("allowance")
            assert (row["energy_wh"], row["sessions"], row["left_wh"]) == (5000.0, 1, 0)
            async with operator.link() as staff:
                honest = wanted(operator, Name.START, Target("CP1", 1))
                assert await outcome(staff, operator, honest) == "accepted"
    assert from_wire(Code.LIMIT_REACHED, "m", "h").code is Code.LIMIT_REACHED

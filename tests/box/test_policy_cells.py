"""Every cell of common/POLICY.md at a running box: role × command × path, with no cloud's check before it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from common import commands, policy_page, sync, trust, wire
from common.client.connection import Connection
from common.client.local import local
from common.commands import CLASSES, Command, Name
from common.domain import Role, Target, iso
from common.errors import Code, PlugsideError
from tests.box.cloud import FakeCloud
from tests.box.phones import CLOCK, IDS, Phone, place
from tests.box.support import eventually

ROOT = Path(__file__).resolve().parents[2]
#: Arguments that can be read, so that the role alone is what is judged.
ARGS: dict[Name, dict[str, Any]] = {
    Name.STOP: {"session": "s-1"},
    Name.AVAILABILITY: {"operative": True},
    Name.CONFIGURE: {"key": "HeartbeatInterval", "value": "60"},
    Name.MESSAGE: {"vendor": "ACME"},
    Name.UPDATE_FIRMWARE: {"file": "0" * 64},
    Name.TRIGGER: {"what": "status"},
    Name.INSTALL_CERTIFICATE: {"use": "central_system", "certificate": "x"},
    Name.DELETE_CERTIFICATE: {
        "algorithm": "SHA256",
        "issuer_name": "a",
        "issuer_key": "b",
        "serial": "1",
    },
    Name.LIMIT: {"limit_a": 16.0, "session": "s-1"},
    Name.CLEAR_LIMIT: {"session": "s-1"},
    Name.ADJUST: {"trait": "mint"},
    Name.SECURE: {"profile": 1},
    Name.RESOLVE: {"decision": "accept", "reason": "checked", "session": "s-1"},
    Name.ASSIGN_TAG: {"tag_ref": "a", "principal": "p-1"},
    Name.WITHDRAW_TAG: {"tag_ref": "a"},
    Name.OFFLINE_POLICY: {"policy": "strict"},
}


def wanted(site: str, name: Name) -> Command:
    return Command(
        site=site,
        id=IDS.uid(),
        name=name,
        target=Target("CP1", 1) if name in (Name.START, Name.UNLOCK) else Target("CP1"),
        args=ARGS.get(name, {}),
        expires_at=iso(CLOCK.now_ms() + 10_000),
    )


def permitted(code: str) -> bool:
    """Whether rights were not the reason: nothing of the kind is there, or it was taken on."""
    return code != Code.NOT_PERMITTED


async def over_the_lan(link: Connection, phone: Phone, command: Command) -> str:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def tell(message: Any) -> None:
        if not told.done():
            told.set_result(message.code if isinstance(message, wire.Refusal) else "accepted")

    def lost(why: PlugsideError) -> None:
        tell(wire.Refusal(code=why.code, message="", hint=""))

    sealed = trust.seal(commands.encode(command), phone.key)
    link.send_command(wire.SendCommand(id=command.id, site=command.site, envelope=sealed), tell, lost)
    async with asyncio.timeout(20):
        return await told


async def through_the_cloud(cloud: FakeCloud, phone: Phone, command: Command) -> str:
    """As a cloud that checks nothing passes it on."""
    sealed = trust.seal(commands.encode(command), phone.key)
    message = wire.SendCommand(id=command.id, site=command.site, envelope=sealed, grant=phone.grant)
    await cloud.say(sync.Relay(ref=command.id, command=message))
    await eventually(lambda: any(ref == command.id for ref, _ in cloud.progress), f"{command.name}")
    first = next(step for ref, step in cloud.progress if ref == command.id)
    return first.code if isinstance(first, wire.Refusal) else "accepted"


async def at_the_box(link: Connection, command: Command) -> str:
    try:
        await link.command(command.name, command.target, command.args).accepted()
    except PlugsideError as no:
        return str(no.code)
    return "accepted"


def test_the_page_is_true() -> None:
    page = (ROOT / "common" / "POLICY.md").read_text()
    assert page == policy_page.page(), "make it anew: the command is in common/policy_page.py"
    for name in CLASSES:
        assert f"| `{name.value}` |" in page


async def test_every_cell_is_as_the_page_says_on_every_path(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud), local(tmp_path / "edge.sock") as socket:
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        await socket.command(Name.ADOPT, Target("CP1"), {"name": "Bay 1"}).settled()
        home, wrong = site.authority.site, []
        for role in (Role.DRIVER, Role.OPERATOR, Role.INSTALLER):
            phone = Phone(site).granted_by(cloud, role)
            async with phone.link() as link:
                for name, known in CLASSES.items():
                    by_lan = await over_the_lan(link, phone, wanted(home, name))
                    by_cloud = await through_the_cloud(cloud, phone, wanted(home, name))
                    for path, code in (("lan", by_lan), ("cloud", by_cloud)):
                        if permitted(code) is not (role in known.roles):
                            wrong.append((role.value, name.value, path, code))
        for name, known in CLASSES.items():
            code = await at_the_box(socket, wanted(home, name))
            if permitted(code) is not (Role.LOCAL in known.roles):
                wrong.append(("local", name.value, "socket", code))
        assert wrong == []


async def test_nothing_that_comes_from_elsewhere_is_local_presence(tmp_path: Path) -> None:
    """A grant that says so is none, on either path."""
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        phone = Phone(site).granted_by(cloud, Role.INSTALLER)
        true = phone.grant
        header, _, signature = true.split(".")
        phone.grant = f"{header}.{trust.b64(b'{}')}.{signature}"
        command = wanted(site.authority.site, Name.RESET)
        assert await through_the_cloud(cloud, phone, command) == Code.BAD_GRANT
        bare = wire.SendCommand(
            id=command.id + "x",
            site=command.site,
            envelope=commands.encode(command).decode(),
            grant=true,
        )
        await cloud.say(sync.Relay(ref="bare", command=bare))
        await eventually(lambda: any(ref == "bare" for ref, _ in cloud.progress), "an answer")
        refused = next(step for ref, step in cloud.progress if ref == "bare")
        assert isinstance(refused, wire.Refusal)

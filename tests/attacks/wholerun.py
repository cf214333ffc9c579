"""A day of a site in a network of its own, each packet on file: `python -m tests.attacks.wholerun DIR`.

Box and cloud as processes, chargers of security profiles 0, 1 and 2, people who join at the box and in the
cloud; every way there is to the box and to the cloud is used. DIR then holds, for `test_a36_eavesdropper.py`,
`lo.pcap`, `told/` (logs, what commands and /proc tell of the daemons) and `story.json` (the secrets by name,
the ports). Wants a network namespace of its own (`eavesdrop.alone`).
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from common import trust
from common.appsession import ClientSession
from common.client.connection import Connection
from common.client.discovery import browse
from common.client.handshake import authenticate
from common.client.local import local
from common.clock import SystemClock, SystemIds
from common.commands import Name
from common.domain import Path as Way
from common.domain import Target
from common.keystore import Keystore
from edge.demo.stage import Daemon, free_port
from tests.applink.browser import connect_browser
from tests.attacks.eavesdrop import Tap
from tests.browsers.pages import APP
from tests.chargers.secured import basic
from tests.e2e.chargers import WireCharger, now
from tests.e2e.phone import Phone
from tests.e2e.place import Place
from tests.needs import find_tool

#: Of the block for documentation (RFC 5737), and here on loopback: a cloud that is somewhere else needs TLS.
CLOUD = "192.0.2.10"
PERSON, DEVICE, BAY = "Ann Quagga-Person", "Anns Quaggaphone", "Quagga Bay Seven"
#: A tag for each way by which a charger may tell it.
TAGS = {0: "CAFE0000QUAGGA00", 1: "CAFE0001QUAGGA01", 2: "CAFE0002QUAGGA02"}
CHARGERS = {0: "CP0", 1: "CP1", 2: "CP2"}


class Story:
    """What happened, and the secrets that it would be bad to hear."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = folder / "told"
        self.told.mkdir()
        self.secrets: dict[str, str] = {"person": PERSON, "device": DEVICE, "charger's name": BAY}
        self.secrets |= {f"tag of {CHARGERS[profile]}": tag for profile, tag in TAGS.items()}

    def holds(self, name: str, grant: str) -> None:
        """A grant: whole, and by its parts."""
        _, payload, signature = grant.split(".")
        self.secrets |= {name: grant, f"{name}: payload": payload, f"{name}: signature": signature}

    def invited(self, name: str, text: str) -> str:
        self.secrets[name] = trust.Invite.from_text(text).secret
        return text

    def keep(self, name: str, text: str | bytes) -> None:
        (self.told / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def network() -> None:
    """Loopback comes up, with the address of the cloud."""
    ip = find_tool("ip")
    assert ip is not None
    for words in (
        ("link", "set", "lo", "up"),
        ("link", "set", "lo", "multicast", "on"),
        ("address", "add", f"{CLOUD}/32", "dev", "lo"),
    ):
        subprocess.run([ip, *words], check=True)


def at_a_distance(folder: Path) -> Place:
    """Box and cloud, the cloud with TLS and at another address."""
    here = Place(folder / "place", lan_host="0.0.0.0")
    port = urlsplit(here.stage.cloud_url).port
    made = Keystore(folder / "pki").lan_certificates(SystemClock().now_ms(), "cloud.example", [CLOUD])
    here.stage.cloud_url = f"https://{CLOUD}:{port}"
    pem = str(made.current.pem)
    os.environ["SSL_CERT_FILE"] = pem
    os.environ["PLUGSIDE_EDGE_APP_ORIGINS"] = APP
    here.cloud._arguments[here.cloud._arguments.index("--listen") + 1] = f"{CLOUD}:{port}"
    here.cloud._arguments += ["--tls-cert", pem, "--tls-key", pem, "--log-level", "DEBUG"]
    here.box._arguments[here.box._arguments.index("--cloud") + 1] = here.stage.cloud_url
    here.box._arguments += ["--log-level", "DEBUG"]
    for name in ("ocpps", "page"):
        here.box._arguments += [f"--{name}", f"127.0.0.1:{free_port()}"]
    return here


def setting(daemon: Daemon, name: str) -> str:
    return daemon._arguments[daemon._arguments.index(f"--{name}") + 1]


async def adopted(here: Place, story: Story) -> dict[int, str]:
    """The three chargers, named; the passwords of those that have one."""
    passwords: dict[int, str] = {}
    async with local(here.box.control) as installer:
        for profile, charger in CHARGERS.items():
            named = {"name": BAY, "profile": profile}
            await installer.command(Name.ADOPT, Target(charger), named).settled()
            if profile:
                made = await installer.manage("charger_password", {"charger": charger})
                passwords[profile] = story.secrets[f"password of {charger}"] = str(made["password"])
        story.secrets["recovery key"] = str((await installer.manage("recovery_new"))["recovery_key"])
    return passwords


@asynccontextmanager
async def plugged(here: Place, profile: int, password: str) -> AsyncIterator[WireCharger]:
    """A charger of this profile that has booted."""
    url = f"wss://{setting(here.box, 'ocpps')}" if profile == 2 else here.url
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with connect(
        f"{url}/{CHARGERS[profile]}",
        subprotocols=[Subprotocol("ocpp1.6")],
        additional_headers=basic(CHARGERS[profile], password) if profile else {},
        ssl=context if profile == 2 else None,
        compression=None,
        proxy=None,
    ) as socket:
        charger = WireCharger(socket)
        reading = asyncio.get_running_loop().create_task(charger.read())
        try:
            await charger.boot()
            yield charger
        finally:
            await socket.close()
            await reading


async def charges(here: Place, story: Story, profile: int, password: str, phone: Phone, way: Way) -> None:
    """One charge by card and one by phone, at a charger of this profile."""
    name = CHARGERS[profile]
    async with plugged(here, profile, password) as charger, phone.link(way) as talk:
        await talk.follow()
        await charger.call("Authorize", {"idTag": TAGS[profile]})
        card = {"connectorId": 1, "idTag": TAGS[profile], "meterStart": 0, "timestamp": now()}
        begun = await charger.call("StartTransaction", card)
        stop = {"meterStop": 700, "timestamp": now(), "transactionId": begun["transactionId"]}
        await charger.call("StopTransaction", stop | {"idTag": TAGS[profile]})
        await charger.status("Preparing")
        sealed = phone.seal(Name.START, name)
        await talk.send(sealed)
        asked = await charger.is_asked("RemoteStartTransaction", 1)
        story.secrets[f"minted tag of {name}"] = asked["idTag"]
        tapped = card | {"idTag": asked["idTag"], "meterStart": 700, "timestamp": now()}
        begun = await charger.call("StartTransaction", tapped)
        await charger.status("Charging")
        ended = await talk.ended(sealed.command.id)
        assert getattr(ended, "outcome", "") == "succeeded", ended
        stop = {"meterStop": 900, "timestamp": now(), "transactionId": begun["transactionId"]}
        await charger.call("StopTransaction", stop)
        await charger.status("Available")
        assert await talk.query("sessions")


async def by_page(here: Place, phone: Phone) -> None:
    """What a page does: the app link over WebTransport, with the phone's grant."""
    link = await connect_browser(here.lan_port)
    session = ClientSession(
        nonce=trust.b64(SystemIds().token(32)),
        path=Way.LAN,
        server=phone.site.key,
        key=phone.key,
        grants=(phone.grant,),
        binding=link.binding,
        device=DEVICE,
    )
    async with Connection(await authenticate(link, session, SystemClock())) as page:
        assert await page.query("sessions", site=phone.site.site)


async def pages_and_files(here: Place, story: Story) -> None:
    """The app from box and cloud, the plain page, REST, and firmware from the box's shelf."""
    async with local(here.cloud.control) as operator:
        token = str((await operator.manage("token", {"site": "Home"}))["token"])
    story.secrets["token"] = token
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(verify=context, trust_env=False) as web:
        for url in (f"https://127.0.0.1:{here.lan_port}/", f"{here.stage.cloud_url}/"):
            assert (await web.get(url)).status_code == 200, url
        assert (await web.get(f"http://{setting(here.box, 'page')}/")).status_code == 200
        told = await web.get(
            f"{here.stage.cloud_url}/v1/sites/Home/sessions", headers={"Authorization": f"Bearer {token}"}
        )
        assert told.status_code == 200
        assert told.json()["sessions"], "the ledger has not come to the cloud"
        image = story.folder / "firmware.bin"
        image.write_bytes(b"firmware " * 1000)
        async with plugged(here, 0, "") as charger:
            await charger.status("Available")
            given = await here.edge("chargers", "firmware", "CP0", "--file", str(image), "--no-wait")
            assert given.code == 0, str(given)
            wanted = await charger.is_asked("UpdateFirmware", 1)
            assert (await web.get(wanted["location"])).content == image.read_bytes()


async def looked_at(here: Place, story: Story) -> None:
    """What a person at the box asks for and hands on, and what the system shows of the daemons."""
    for words in (("doctor",), ("health",), ("chargers", "list"), ("chargers", "why"), ("tags", "list")):
        ran = await here.edge(*words)
        story.keep(f"{'-'.join(words)}.json", ran.text + ran.err)
    for name, daemon in (("box", here.box), ("cloud", here.cloud)):
        assert daemon._process is not None
        proc = Path(f"/proc/{daemon._process.pid}")
        for what in ("cmdline", "environ", "limits", "status"):
            story.keep(f"proc-{name}-{what}", (proc / what).read_bytes())


async def ledger_synced(here: Place) -> None:
    async def arrived() -> bool:
        return len([row for row in await here.in_cloud() if row["ended_at"]]) >= 6

    await here.until(arrived, "all charges in the cloud")


async def live(here: Place, story: Story) -> None:
    """The day."""
    await here.cloud.start()
    await here.box.start()
    async with local(here.box.control) as installer:
        code = str((await installer.manage("pair"))["code"])
        story.secrets["pairing code"] = trust.BoxCode.from_text(code).secret
    async with local(here.cloud.control) as operator:
        await operator.manage("site_add", {"name": "Home", "code": code})

    async def joined() -> bool:
        return bool((await here.health())["cloud"]["connected"])

    await here.until(joined, "the box to be connected to its cloud")
    passwords = await adopted(here, story)
    async with local(here.box.control) as installer:
        asked = {"role": "driver", "chargers": None, "name": PERSON}
        made: Any = await installer.manage("invite", asked)
        for tag in TAGS.values():
            await installer.manage(
                "tag_assign", {"tag": tag, "principal": made["principal"], "chargers": None}
            )
    at_box = await Phone(DEVICE).join(story.invited("invite of the box", made["invite"]))
    async with local(here.cloud.control) as operator:
        made = await operator.manage("invite", {**asked, "role": "operator", "site": "Home"})
    by_cloud = await Phone(DEVICE).join(story.invited("invite of the cloud", made["invite"]))
    story.holds("grant of the box", at_box.grant)
    story.holds("grant of the cloud", by_cloud.grant)
    async for found in browse(("127.0.0.1",), 20, edge=at_box.site.key):
        assert found.addresses
        break
    else:
        raise AssertionError("the box was not found by mDNS")
    await charges(here, story, 0, "", at_box, Way.LAN)
    await charges(here, story, 1, passwords[1], by_cloud, Way.CLOUD)
    await charges(here, story, 2, passwords[2], by_cloud, Way.LAN)
    await by_page(here, at_box)
    await by_page(here, by_cloud)
    await ledger_synced(here)
    await pages_and_files(here, story)
    await looked_at(here, story)


async def run(folder: Path) -> None:
    network()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    here, story = at_a_distance(folder), Story(folder)
    with Tap(folder / "lo.pcap") as tap:
        try:
            await live(here, story)
        finally:
            await here.stage.stop()
    for log in ("edge.log", "cloud.log"):
        story.keep(log, (here.folder / log).read_bytes())
    for file in sorted((here.folder / "edge" / "keys").glob("*.pem")):
        body = file.read_text().partition("PRIVATE KEY-----\n")[2]
        story.secrets[f"key in {file.name}"] = body.splitlines()[1]  # the first is alike in all of a kind
    told = {
        "secrets": story.secrets,
        "ports": {
            "ocpp": here.ocpp_port,
            "ocpps": int(setting(here.box, "ocpps").rpartition(":")[2]),
            "lan": here.lan_port,
            "page": int(setting(here.box, "page").rpartition(":")[2]),
            "files": int(here.stage.files.rpartition(":")[2]),
            "cloud": urlsplit(here.stage.cloud_url).port,
            "mdns": 5353,
        },
        "packets": tap.packets,
        "lost": tap.lost,
    }
    (folder / "story.json").write_text(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))

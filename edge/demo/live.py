"""`plugside-edge demo`: a site to play with: cloud, box, two chargers, one driver, live state.

The chargers live their day in fast motion: cars come, charge along a real curve and leave; now and then a
charger's network drops and comes back. Ctrl-C ends everything; nothing stays running, and nothing was written
outside the data folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common.cli.words import connector_text
from common.client.client import Client
from common.client.local import local
from common.client.profile import Profile
from common.clock import SystemClock, SystemIds
from common.domain import Role
from common.ports import Ids
from common.supervise import Supervisor
from common.webapp import WebApp
from edge.demo.car import Car
from edge.demo.charger import SimulatedCharger
from edge.demo.once import adopt, enrol, join
from edge.demo.stage import Stage

#: Simulated seconds for each real one: a charge of an hour shows its curve in a minute.
PACE = 60.0
BAYS = {"CP1": "Bay 1", "CP2": "Bay 2"}
#: The demo driver's card. It is tapped at Bay 2; Bay 1 waits for whoever sits in front of the terminal.
CARD = "DEMO-CARD"
#: The screen is drawn when something changed, and at least so often (s), so that ages move on.
REDRAW_S = 1.0


class Wish:
    """Whether somebody wants the demo to end; `wake` is set when the screen has something to look at."""

    def __init__(self) -> None:
        self.wished = False
        self.wake = asyncio.Event()

    def end(self) -> None:
        """Ctrl-C, SIGTERM, or the terminal was closed."""
        self.wished = True
        self.wake.set()


async def live(folder: Path | None) -> int:
    """Run the demo until Ctrl-C."""
    ended = Wish()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.end)
    with tempfile.TemporaryDirectory(prefix="plugside-") as scratch:
        stage = Stage(folder or Path(scratch))
        side = Supervisor(SystemClock(), SystemIds())
        chargers = _chargers(stage)
        work = []
        try:
            print("Starting the cloud and the box …", flush=True)
            await stage.start()
            work = [side.spawn(charger.identity, charger.run()) for charger in chargers]
            profile = await _people(stage)
            links = await _links(stage)
            work += [side.spawn(f"cars of {c.identity}", _cars(c, c is chargers[1])) for c in chargers]
            await _show(stage, profile, ended, side, links)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await stage.stop()
    print("The demo has ended; nothing is left running.")
    return 0


def _chargers(stage: Stage) -> list[SimulatedCharger]:
    clock, ids = SystemClock(), SystemIds()
    return [
        SimulatedCharger(stage.charger_url, identity, clock=clock, ids=ids, pace=PACE, sample_s=1.0)
        for identity in BAYS
    ]


async def _people(stage: Stage) -> Profile:
    """Pair box and cloud, adopt the chargers, bring a driver in: each by the way that a site does it."""
    print("Pairing box, cloud and a driver …", flush=True)
    await enrol(stage)
    for identity, name in BAYS.items():
        await adopt(stage, identity, name)
    profile = await join(stage)
    principal = profile.sites[0].principal
    async with local(stage.edge.control) as box:
        await box.manage("tag_assign", {"tag": CARD, "principal": principal})
    return profile


async def _links(stage: Stage) -> dict[Role, str]:
    """The app's address for a driver and for an operator, with the invite in it. Each is good once."""
    found = {}
    async with local(stage.cloud.control) as cloud:
        for role, name in ((Role.DRIVER, "You, charging"), (Role.OPERATOR, "You, running the site")):
            made = await cloud.manage("invite", {"site": "Demo", "role": role.value, "name": name})
            found[role] = f"{stage.cloud_url}/#join={made['invite']}"
    return found


async def _cars(charger: SimulatedCharger, taps: bool) -> None:
    """A day at one bay: cars come, charge (by card where `taps`, else when somebody starts them), leave."""
    ids: Ids = SystemIds()
    await asyncio.sleep(1)
    while True:
        charger.plug_in(Car(soc=0.3 + 0.5 * ids.jitter()))
        if taps:
            await asyncio.sleep(2)
            charger.tap(CARD)
        for _ in range(3):
            await asyncio.sleep(10 + 15 * ids.jitter())
            if ids.jitter() < 0.4:
                await charger.cut_link()  # the network drops; the charger keeps what it has to say
                await asyncio.sleep(3 + 4 * ids.jitter())
                charger.mend_link()
        while charger.transaction is not None and not taps:  # noqa: ASYNC110 - a car looks now and then
            await asyncio.sleep(1)  # a charge that a person started is theirs to end
        charger.unplug()
        await asyncio.sleep(4)


async def _show(
    stage: Stage, profile: Profile, ended: Wish, side: Supervisor, links: Mapping[Role, str]
) -> None:
    """Render pushed state until Ctrl-C."""
    site = profile.sites[0].site
    console = Console()
    async with Client(profile, clock=SystemClock(), ids=SystemIds(), interfaces=("127.0.0.1",)) as client:
        console.print(_hints(stage, profile, links), soft_wrap=True)

        async def watch() -> None:
            async for _ in client.changes():
                ended.wake.set()

        watching = side.spawn("watching", watch())
        try:
            with _screen(console) as screen:
                while not ended.wished:
                    ended.wake.clear()
                    if screen is not None:
                        screen.update(_picture(client, site), refresh=True)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(REDRAW_S):
                            await ended.wake.wait()
        finally:
            watching.cancel()


@contextlib.contextmanager
def _screen(console: Console) -> Iterator[Live | None]:
    """A live region on a terminal; nothing when the output is piped."""
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=False) as screen:
        yield screen


def _hints(stage: Stage, profile: Profile, links: Mapping[Role, str]) -> Text:
    tool = Path(sys.executable).with_name("plugside")
    if tool.is_relative_to(Path.cwd()):
        tool = tool.relative_to(Path.cwd())
    driver = f"{tool} --home {profile.folder}"
    box = f"{tool}-edge --socket {stage.edge.control}"
    cloud = f"{tool}-cloud --socket {stage.cloud.control}"
    app = [
        "\nThe app, in a browser on this machine; each link is good once:",
        f"  a driver:    {links[Role.DRIVER]}",
        f"  an operator: {links[Role.OPERATOR]}",
    ]
    lines = [
        *(app if WebApp().built else ["\nThe app is not built here: `make demo` builds it."]),
        "\nOr in another terminal:",
        f"  {driver} status",
        f"  {driver} start CP1        # LAN first, the cloud when it must",
        f"  {driver} --via cloud stop CP1",
        f"  {driver} sessions",
        f"  {box} chargers list",
        f"  {box} ledger",
        f"  {cloud} reconcile Demo",
        "\nCtrl-C ends the demo.\n",
    ]
    return Text("\n".join(lines))


def _picture(client: Client, site: str) -> Group:
    view = client.view(site)
    table = Table(title="Live, as the driver's app sees it", title_justify="left", expand=False)
    for heading in ("Charger", "State", "Link"):
        table.add_column(heading)
    for charger in view.chargers.values():
        place = charger.connectors.get(1)
        session = view.sessions.get(place.session) if place and place.session else None
        state = connector_text(place, session) if place else "not reported yet"
        table.add_row(charger.name or charger.id, state, "connected" if charger.online else "dropped off")
    return Group(table)

"""`plugside`, against a real box and cloud: what it says, what it prints for programs, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path as FilePath
from typing import Any

import msgspec
import pytest
from rich.console import Console

from common import commands, facts, trust, tuning, wire
from common.cli import driver, output, show
from common.cli.main import _completed, parser
from common.client.profile import Pending, Profile
from common.clock import SystemClock
from common.commands import Name
from common.domain import ConnectorState, MeterSample, Target, from_iso, iso
from common.errors import Code, PlugsideError, error
from common.policy import Claims
from tests.client.backend import FakeSite, accept_confirm_settle, refuse_with, stay_silent
from tests.client.test_discovery import announced
from tests.client.test_pairing import invite, new_device
from tests.client.world import World, soon, world

Capture = pytest.CaptureFixture[str]
DAY_MS = 24 * 3_600_000
ROOT = FilePath(__file__).resolve().parents[2]


async def plugside(profile: Profile, *argv: str) -> int:
    """The command line, in this loop."""
    args = _completed(parser().parse_args(["--home", str(profile.folder), "--interfaces", "none", *argv]))
    try:
        return await driver.HANDLERS[args.command](args)
    except PlugsideError as failed:
        return output.report_error(failed, as_json=args.json)


def furnish(site: FakeSite) -> None:
    """Two bays; at the second one Ann charges."""
    site.happen(
        facts.ChargerAdopted(charger="CP1", name="Bay 12"),
        facts.ChargerSeen(charger="CP1", protocol="ocpp1.6"),
        facts.ConnectorChanged(charger="CP1", evse=1, state=ConnectorState.AVAILABLE),
        facts.ChargerAdopted(charger="CP2", name="Bay 2"),
        facts.ChargerSeen(charger="CP2", protocol="ocpp1.6"),
        *charging(),
    )


def charging() -> list[facts.Body]:
    return [
        facts.ConnectorChanged(charger="CP2", evse=1, state=ConnectorState.CHARGING),
        facts.SessionStarted(
            session="x-2",
            charger="CP2",
            evse=1,
            transaction="7",
            principal="p-ann",
            started_at=iso(SystemClock().now_ms() - 60_000),
            received_at=iso(SystemClock().now_ms()),
            meter_start_wh=1000.0,
        ),
        facts.MeterSampled(
            charger="CP2",
            evse=1,
            session="x-2",
            principal="p-ann",
            samples=(MeterSample(at=iso(SystemClock().now_ms()), energy_wh=4400.0, power_w=7200.0),),
        ),
    ]


async def test_status_says_where_how_and_what(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        assert await plugside(here.device(), "status") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "Home, live on its own network"
        assert lines[1].startswith("  Bay 2 (CP2)   Charging 7.2 kW, 3.40 kWh since ")
        assert lines[2] == "  Bay 12 (CP1)  Free"


async def test_status_for_programs(capsys: Capture) -> None:
    async with world(box=False) as here:
        furnish(here.site)
        assert await plugside(here.device(), "status", "--json") == 0
        (site,) = json.loads(capsys.readouterr().out)["sites"]
        assert (site["path"], site["age_ms"], site["failures"]) == ("cloud", 0, {"lan": "no_path"})
        assert [charger["id"] for charger in site["chargers"]] == ["CP2", "CP1"]
        assert site["chargers"][1]["connectors"][0]["state"] == "available"
        assert site["sessions"][0]["energy_wh"] == 3400.0


async def test_status_of_a_box_that_is_away_tells_the_age(capsys: Capture) -> None:
    async with world(box=False) as here:
        furnish(here.site)
        here.cloud.backend.online = False
        assert await plugside(here.device(), "status") == 0
        assert capsys.readouterr().out.startswith(
            "Home, as it was 1 min ago through the cloud; its box is away"
        )


def no_cloud(_: Claims) -> wire.Granted:
    raise error(Code.CLOUD_UNREACHABLE)


async def test_status_says_that_a_right_is_in_its_grace_and_until_when(capsys: Capture) -> None:
    async with world(cloud=False) as here:
        furnish(here.site)
        here.box.verifier.grace_ms, here.box.backend.renewed = 7 * DAY_MS, no_cloud
        now_ms = SystemClock().now_ms()
        device = here.device()
        old = here.grant(device.key.thumbprint, now_ms=now_ms - 8 * DAY_MS)
        device.put(msgspec.structs.replace(device.sites[0], grant=old))
        assert await plugside(device, "status") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "Home, live on its own network"
        assert lines[1].startswith("  Your permission has run out. It counts until ")
        assert await plugside(device, "status", "--json") == 0
        (site,) = json.loads(capsys.readouterr().out)["sites"]
        until_ms = from_iso(site["grace_until"])
        assert now_ms + 5.9 * DAY_MS < until_ms < now_ms + 6.1 * DAY_MS, "seven days behind its end"
        device.put(msgspec.structs.replace(device.sites[0], grant=here.grant(device.key.thumbprint)))
        assert await plugside(device, "status", "--json") == 0
        (site,) = json.loads(capsys.readouterr().out)["sites"]
        assert site["grace_until"] is None


async def test_status_says_that_a_card_was_refused(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        refused = {"change": "tag_refused", "charger": "CP1", "because": "3 charges a month were agreed"}
        here.site.happen(facts.AuthorizationChanged(principal="p-ann", **refused))
        here.site.happen(facts.AuthorizationChanged(principal="p-bob", **refused | {"because": "another's"}))
        assert await plugside(here.device(), "status") == 0
        told = capsys.readouterr().out
        assert "  Your card was refused at Bay 12 (CP1), " in told
        assert ": 3 charges a month were agreed." in told
        assert "another's" not in told
        assert await plugside(here.device(), "status", "--json") == 0
        (site,) = json.loads(capsys.readouterr().out)["sites"]
        assert site["refused_tag"]["because"] == "3 charges a month were agreed"


async def test_status_of_a_site_out_of_reach(capsys: Capture) -> None:
    async with world(box=False, cloud=False) as here:
        assert await plugside(here.device(), "status") == 3
        told = capsys.readouterr()
        assert told.out.startswith("Home cannot be reached. Neither the box nor the cloud")
        assert told.err.strip() == error(Code.NO_PATH).hint
        assert await plugside(here.device(), "--json", "status") == 3
        (site,) = json.loads(capsys.readouterr().out)["sites"]
        assert site["error"]["code"] == "no_path"


async def test_without_a_pairing_the_next_step_is_named(tmp_path: FilePath, capsys: Capture) -> None:
    for command in (["status"], ["watch"], ["sessions"], ["start", "CP1"], ["stop", "CP1"]):
        assert await plugside(Profile(tmp_path / "new"), *command) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "plugside pair INVITE" in told.err


async def test_a_site_by_name_and_one_that_is_not_ours(capsys: Capture) -> None:
    async with world() as here:
        assert await plugside(here.device(), "--site", "HOME", "status") == 0
        capsys.readouterr()
        assert await plugside(here.device(), "status", "--site", "Office") == 2
        assert "Paired with: Home" in capsys.readouterr().err


async def test_start_tells_its_stages(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        assert await plugside(here.device(), "start", "bay 12") == 0
        asked, accepted, confirmed, settled = capsys.readouterr().out.splitlines()
        assert asked == "Bay 12: start asked"
        assert accepted.startswith("Bay 12: accepted by the box (")
        assert accepted.endswith(" ms, on the LAN)")
        assert confirmed.startswith("Bay 12: the charger says yes (")
        assert settled == "Bay 12: charging"
        (command,) = here.site.effects
        assert (command.name, command.target) == (Name.START, Target("CP1"))


async def test_start_for_programs_is_one_object(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        assert await plugside(here.device(), "start", "CP1", "--evse", "1", "--via", "cloud", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["charger"], told["path"], told["answer"]) == ("CP1", "cloud", "accepted")
        assert told["outcome"] == "succeeded"
        assert sorted(told["timings_ms"]) == ["accepted", "confirmed", "settled"]
        assert here.site.effects[0].target == Target("CP1", 1)


async def test_start_without_waiting_ends_with_the_chargers_answer(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        here.site.script = lambda site, command: site.tell(
            command.id, wire.Accepted(id=command.id), wire.Confirmed(id=command.id, answer="accepted")
        )
        assert await plugside(here.device(), "start", "CP1", "--no-wait") == 0
        assert "the charger says yes" in capsys.readouterr().out


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_refused_start(as_json: bool, capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        here.site.script = refuse_with(Code.CONNECTOR_IN_USE)
        assert await plugside(here.device(), "start", "CP1", *(["--json"] if as_json else [])) == 2
        told = capsys.readouterr()
        why = error(Code.CONNECTOR_IN_USE)
        if as_json:
            assert json.loads(told.out)["error"]["code"] == "connector_in_use"
        else:
            assert told.err.splitlines() == [why.message, why.hint]


async def test_a_charger_that_says_no(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        why = error(Code.CHARGER_REJECTED)
        here.site.script = lambda site, command: site.tell(
            command.id,
            wire.Accepted(id=command.id),
            wire.Confirmed(id=command.id, answer="rejected"),
            wire.Settled(id=command.id, outcome="failed", code=why.code, message=why.message, hint=why.hint),
        )
        assert await plugside(here.device(), "start", "CP1") == 1
        told = capsys.readouterr()
        assert "the charger says no" in told.out
        assert told.err.splitlines() == [f"Bay 12: {why.message}", why.hint]


async def test_a_site_offline_is_unreachable(capsys: Capture) -> None:
    async with world(box=False) as here:
        furnish(here.site)
        here.cloud.backend.online = False
        assert await plugside(here.device(), "start", "CP1") == 3
        assert error(Code.SITE_OFFLINE).message in capsys.readouterr().err


async def test_a_start_that_was_interrupted_is_asked_about_not_doubled(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        profile = here.device()
        here.site.script = stay_silent
        interrupted = asyncio.gather(plugside(profile, "start", "CP1"))
        await soon(lambda: here.site.effects)
        interrupted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await interrupted
        (first,) = here.site.effects
        here.site.tell(first.id, wire.Settled(id=first.id, outcome="succeeded"))
        assert await plugside(profile, "start", "Bay 12") == 0
        assert here.site.effects == [first]
        assert profile.pending(0) == ()
        here.site.script = accept_confirm_settle
        assert await plugside(profile, "start", "Bay 12") == 0
        assert len(here.site.effects) == 2  # the next one is a new one
        capsys.readouterr()


async def test_a_stop_makes_the_next_start_a_new_one(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        profile = here.device()
        profile.remember(left_behind(profile, here))
        assert await plugside(profile, "stop", "CP2", "--no-wait") == 0
        assert profile.pending(0) == ()
        capsys.readouterr()


def left_behind(profile: Profile, here: World) -> Pending:
    """A start at CP2 whose program died."""
    expires_ms = SystemClock().now_ms() + 20_000
    command = commands.Command(
        site=here.site.site,
        id="0190-left-behind",
        name=Name.START,
        target=Target("CP2"),
        expires_at=iso(expires_ms),
    )
    return Pending(
        id=command.id,
        site=command.site,
        name=command.name,
        target=command.target,
        envelope=trust.seal(commands.encode(command), profile.key),
        expires_ms=expires_ms,
    )


async def test_stop_ends_ones_own_charge_and_tells_the_energy(capsys: Capture) -> None:
    def end(site: FakeSite, command: commands.Command) -> None:
        site.tell(
            command.id,
            wire.Accepted(id=command.id),
            wire.Confirmed(id=command.id, answer="accepted"),
            wire.Settled(id=command.id, outcome="succeeded", session="x-2"),
        )
        now = iso(SystemClock().now_ms())
        site.happen(
            facts.SessionEnded(
                session="x-2",
                charger="CP2",
                evse=1,
                principal="p-ann",
                ended_at=now,
                received_at=now,
                energy_wh=3456.0,
            )
        )

    async with world() as here:
        furnish(here.site)
        here.site.script = end
        assert await plugside(here.device(), "stop", "CP2") == 0
        assert here.site.effects[0].args == {"session": "x-2"}
        assert capsys.readouterr().out.splitlines()[-1] == "Bay 2: stopped, 3.46 kWh"


async def test_stop_where_nothing_of_ours_runs(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        assert await plugside(here.device(), "stop", "CP1") == 2
        assert "no charge of yours is running at Bay 12" in capsys.readouterr().err
        assert here.site.effects == []


async def test_limit_of_ones_own_charge(capsys: Capture) -> None:
    def proven(site: FakeSite, command: commands.Command) -> None:
        site.tell(
            command.id,
            wire.Accepted(id=command.id),
            wire.Confirmed(id=command.id, answer="accepted"),
            wire.Settled(
                id=command.id, outcome="succeeded", session="x-2", result={"limit_a": 10.0, "proof": "proven"}
            ),
        )

    async with world() as here:
        furnish(here.site)
        here.site.script = proven
        assert await plugside(here.device(), "limit", "CP2", "--amps", "10") == 0
        assert here.site.effects[0].args == {"session": "x-2", "limit_a": 10.0}
        assert capsys.readouterr().out.splitlines()[-1] == "Bay 2: at most 10 A, proven"
        assert await plugside(here.device(), "limit", "CP1", "--amps", "10") == 2
        here.site.happen(
            tuning.LimitApplied(
                charger="CP2", evse=1, scope="session", limit_a=10.0, proof="unproven", measured_a=30.6
            )
        )
        assert await plugside(here.device(), "status") == 0
        assert "at most 10 A (unproven: 30.6 A)" in capsys.readouterr().out


async def test_sessions(capsys: Capture) -> None:
    row = {
        "session": "x-1",
        "charger": "CP1",
        "started_at": "2020-01-01T10:00:00Z",
        "ended_at": "2020-01-01T11:00:00Z",
        "energy_wh": 1234.0,
        "state": "ended",
    }
    async with world(cloud=False) as here:
        here.box.backend.rows["sessions"] = []
        assert await plugside(here.device(), "sessions") == 0
        assert capsys.readouterr().out == "No charge yet.\n"
        here.box.backend.rows["sessions"] = [row] * 30
        assert await plugside(here.device(), "sessions", "--limit", "2") == 0
        header, *lines = capsys.readouterr().out.splitlines()
        assert header.split() == ["Started", "Ended", "Charger", "Energy", "State", "Session"]
        assert len(lines) == 2
        assert "1.23 kWh" in lines[0]
        assert await plugside(here.device(), "sessions", "--json") == 0
        assert json.loads(capsys.readouterr().out)[0] == {"site": "s-home", **row}


async def test_pair(capsys: Capture) -> None:
    async with world() as here:
        profile = new_device(here)
        assert await plugside(profile, "pair", invite(here, here.cloud), "--name", "Ann's laptop") == 0
        assert capsys.readouterr().out.splitlines() == [
            "Paired with Home, as driver.",
            "Next:  plugside status",
        ]
        (asked,) = [m for m in here.cloud.backend.asked if isinstance(m, wire.Redeem)]
        assert asked.device == "Ann's laptop"
        assert await plugside(profile, "status") == 0
        assert await plugside(profile, "pair", "nonsense", "--json") == 2
        told = capsys.readouterr().out.splitlines()[-1]
        assert json.loads(told)["error"]["code"] == "bad_invite"


async def test_discover_finds_and_remembers(capsys: Capture) -> None:
    async with world() as here, announced(here.box.identity.fingerprint, 4711):
        profile = here.device()
        ours: list[dict[str, Any]] = []
        while not ours:  # a busy machine may need another look
            code = await plugside(
                profile, "discover", "--interfaces", "127.0.0.1", "--seconds", "2", "--json"
            )
            rows = json.loads(capsys.readouterr().out)
            assert code == (0 if rows else 3)
            ours = [row for row in rows if row["box"] == here.box.identity.fingerprint]
        assert ours == [
            {
                "box": here.box.identity.fingerprint,
                "addresses": ["127.0.0.1:4711"],
                "site": "s-home",
                "name": "Home",
            }
        ]
        entry = Profile(profile.folder).get("s-home")
        assert entry.addresses == ("127.0.0.1:4711", here.box.address)


async def test_discover_where_nothing_is(capsys: Capture, tmp_path: FilePath) -> None:
    assert await plugside(Profile(tmp_path / "p"), "discover", "--interfaces", "192.0.2.1") == 3
    assert "No box answered" in capsys.readouterr().out


async def test_a_terminal_is_drawn_for() -> None:
    async with world() as here:
        furnish(here.site)
        here.site.happen(facts.ChargerAdopted(charger="CP2", name="Bay\x1b[2J[red]2"))
        async with here.client(here.device()) as client:
            console = Console(record=True, width=100, force_terminal=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123, ASYNC230
            console.print(show.picture(client, {}))
            drawn = console.export_text()
            console.file.close()
        assert "Home, live on its own network" in drawn
        assert "Bay 12 (CP1)" in drawn
        # What somebody named is shown, not obeyed.
        assert "\x1b" not in drawn
        assert "[red]2" in drawn


async def test_watch_in_a_pipe_prints_what_reads_differently(capsys: Capture) -> None:
    async with world() as here:
        furnish(here.site)
        watching = asyncio.gather(plugside(here.device(), "watch"))
        out: list[str] = []

        def read() -> str:
            out.append(capsys.readouterr().out)
            return "".join(out)

        await soon(lambda: "Bay 12 (CP1)  Free" in read())
        await soon(lambda: here.site.followers)
        here.site.happen(facts.ConnectorChanged(charger="CP1", evse=1, state=ConnectorState.PREPARING))
        await soon(lambda: "Bay 12 (CP1)  Plugged in, ready to start\n" in read())
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching


# --- as a process ------------------------------------------------------------------------------------------


async def process(profile: Profile, *argv: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "common.cli.main",
        *argv,
        cwd=ROOT,
        env={**os.environ, "PLUGSIDE_HOME": str(profile.folder), "PLUGSIDE_INTERFACES": "none"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # As from a terminal: tests that were started behind a shell's `&` ignore Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


async def test_watch_as_a_process_streams_json_until_ctrl_c() -> None:
    async with world(cloud=False) as here:  # a fact between two paths comes within a snapshot
        furnish(here.site)
        running = await process(here.device(), "watch", "--json")
        assert running.stdout is not None
        lines: list[dict[str, Any]] = []
        async for line in running.stdout:
            lines.append(json.loads(line))
            if lines[-1]["kind"] == "status":
                await soon(lambda: here.site.followers)
                here.site.happen(facts.ChargerLost(charger="CP1", reason="closed"))
            if lines[-1].get("fact") == "charger_lost":
                running.send_signal(signal.SIGINT)
                break
        _, err = await running.communicate()
        assert (running.returncode, err) == (0, b"")
        assert lines[-1]["body"] == {"charger": "CP1", "reason": "closed"}


async def test_exit_codes_of_the_real_command(tmp_path: FilePath) -> None:
    wrong_use = await process(Profile(tmp_path / "p"), "start")
    _, err = await wrong_use.communicate()
    assert wrong_use.returncode == 2
    assert b"usage: plugside start" in err
    unpaired = await process(Profile(tmp_path / "p"), "status")
    _, err = await unpaired.communicate()
    assert unpaired.returncode == 2
    assert err.decode().splitlines() == [
        "This device is not paired with any site.",
        "Run `plugside pair INVITE` first.",
    ]


async def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    async with world() as here:
        furnish(here.site)
        running = await process(here.device(), "watch", "--json")
        assert running.stdout is not None
        await running.stdout.readline()
        running.stdout._transport.close()  # type: ignore[attr-defined]
        await soon(lambda: here.site.followers)
        while running.returncode is None:
            here.site.happen(facts.ChargerLost(charger="CP1"))
            await asyncio.sleep(0.01)
        assert running.stderr is not None
        assert await running.stderr.read() == b""


def test_help_loads_nothing_heavy() -> None:
    heavy = ("zeroconf", "rich", "httpx", "cryptography", "websockets", "msgspec", "asyncio")
    code = (
        "import sys, contextlib\n"
        "from common.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(['start', '--help'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_status_loads_neither_mdns_nor_a_drawing_library() -> None:
    code = (
        "import sys, common.cli.driver\nprint([n for n in ('zeroconf', 'rich', 'httpx') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- options ----------------------------------------------------------------------------------------------


def test_options_stand_before_or_behind_the_subcommand() -> None:
    before = _completed(parser().parse_args(["--via", "lan", "--json", "start", "CP1"]))
    behind = _completed(parser().parse_args(["start", "CP1", "--via", "lan", "--json"]))
    assert vars(before) == vars(behind)
    assert before.interfaces is None


@pytest.mark.parametrize("text", ["eth0", "127.0.0.1,", "", "300.1.1.1"])
def test_interfaces_are_addresses(text: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--interfaces", text, "status"])
    assert ended.value.code == 2
    assert "name addresses of this machine" in capsys.readouterr().err

"""What is typed wrongly at the box: what happened, what to do next, and that nothing was done instead."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.client.local import local
from common.errors import Code, LocalFault, PlugsideError
from edge.cli import copies
from edge.cli import local as commands
from edge.cli.acts import tell_that_it_waits
from edge.cli.main import main, parser
from edge.demo.car import Car
from edge.demo.run import demo
from edge.journal.journal import Journal
from edge.site import Site
from tests.box.test_acts import Laptop, charging
from tests.box.test_acts import types as types
from tests.box.test_site import serving, settings

Type = Callable[..., Awaitable[int]]


@pytest_asyncio.fixture
async def type_(tmp_path: Path) -> AsyncIterator[Type]:
    """A command line at a running box, which has no charger yet."""

    async def typed(*words: str) -> int:
        args = parser().parse_args([*words, "--data", str(tmp_path)])
        args.json = getattr(args, "json", False)
        action = getattr(args, "action", None)
        return await commands.HANDLERS[f"{args.command}_{action}" if action else args.command](args)

    async with serving(Site(settings(tmp_path))):
        yield typed


async def refused(typed: Awaitable[int]) -> PlugsideError:
    with pytest.raises(PlugsideError) as caught:
        await typed
    return caught.value


async def test_a_name_stands_for_its_person_and_becomes_no_principal(
    tmp_path: Path, type_: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    """A card of "Ann" would be held to nobody's caps, and her name would stand in the ledger for good."""
    for words in (("tags", "assign", "C0FFEE", "Ann"), ("forget", "Ann")):
        failed = await refused(type_(*words))
        assert (failed.code, "nobody here is called Ann" in failed.message) == (Code.BAD_REQUEST, True)
        assert "people" in failed.hint
    await type_("--json", "invite", "--name", "Ann")
    ann = json.loads(capsys.readouterr().out)["principal"]
    await type_("tags", "assign", "C0FFEE", "ann")
    async with local(tmp_path / "edge.sock") as box:
        assert [one["principal"] for one in (await box.manage("tags"))["assigned"]] == [ann]
    await type_("forget", "Ann")
    assert f"The name and tags of {ann} are gone." in capsys.readouterr().out


async def test_a_box_is_let_go_only_when_that_is_meant(
    tmp_path: Path, type_: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    await type_("--json", "invite")
    capsys.readouterr()
    failed = await refused(type_("release"))
    assert failed.hint == "To go on: plugside-edge release --yes"
    async with local(tmp_path / "edge.sock") as box:
        assert len(await box.query("people")) == 1
    assert await type_("release", "--yes") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("show", "CP9"),
        ("why", "CP9"),
        ("start", "CP9"),
        ("stop", "CP9"),
        ("unlock", "CP9"),
        ("limit", "CP9"),
        ("security", "CP9"),
    ],
)
async def test_whoever_is_at_the_box_is_told_to_look_not_to_ask_the_operator(
    type_: Type, words: tuple[str, ...]
) -> None:
    failed = await refused(type_("chargers", *words))
    assert failed.code is Code.UNKNOWN_CHARGER
    assert "`plugside-edge chargers list`" in failed.hint


async def test_no_url_is_shown_that_no_charger_could_dial(type_: Type) -> None:
    assert (await refused(type_("chargers", "url", "Bay 12"))).code is Code.BAD_CHARGER_ID


async def test_why_a_setting_does_not_come_while_a_car_charges(
    tmp_path: Path, types: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    async with charging(tmp_path) as charger:
        await types("settings", "CP1", "HeartbeatInterval")
        assert capsys.readouterr().err == ""
        charger.plug_in(Car())
        assert await types("start", "CP1") == (0, "CP1 charges.")
        args = parser().parse_args(["chargers", "settings", "CP1", "--data", str(tmp_path)])
        async with local(tmp_path / "edge.sock") as box:
            await tell_that_it_waits(box, args)
        assert "this waits until none does" in capsys.readouterr().err
        await types("stop", "CP1")


def test_a_copy_that_is_not_there_is_named_and_no_folder_is_made(tmp_path: Path) -> None:
    args = parser().parse_args(["restore", "nothing.db", "--data", str(tmp_path / "data")])
    with pytest.raises(LocalFault) as caught:
        _ended(copies.restore(args))
    assert "nothing.db: there is no such file" in caught.value.message
    assert not (tmp_path / "data").exists()


def _ended(work: Any) -> Any:
    return asyncio.run(work)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_what_root_puts_back_is_the_boxes_own(tmp_path: Path) -> None:
    """A journal of root's the box's daemon could not open, after a restore that said it was done."""
    with tempfile.TemporaryDirectory(prefix="plugside-") as scratch:
        Path(scratch).chmod(0o755)
        data = Path(scratch) / "data"
        (data / "keys").mkdir(parents=True, mode=0o700)
        from common.clock import SystemIds

        Journal.open(tmp_path / "made", ids=SystemIds()).close()
        copy = data / "backups" / "journal-20270101T000000Z.db"
        copy.parent.mkdir(mode=0o700)
        shutil.copyfile(tmp_path / "made" / "journal.db", copy)
        for path in (data, *data.rglob("*")):
            os.chown(path, 65534, 65534)
        kept = Path(scratch) / "roots.db"
        shutil.copyfile(copy, kept)
        kept.chmod(0o600)
        closed = _restore(data, kept)
        assert closed.returncode == 2
        assert "install -o 65534" in closed.stderr
        done = _restore(data, copy)
        assert done.returncode == 0, done.stderr
        assert {path.stat().st_uid for path in data.rglob("*")} == {65534}


def _restore(data: Path, copy: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "edge.cli.main", "--data", str(data), "restore", str(copy)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/CP1", "ws://127.0.0.1:9000", "CP1"])
def test_a_simulated_charger_dials_nothing_that_is_no_box(url: str) -> None:
    with pytest.raises(LocalFault, match="identity"):
        _ended(demo(parser().parse_args(["demo", "--charger", url])))


@pytest.mark.parametrize("words", [("chargerz",), ("chargers", "adopt"), ("firmware", "remove", "abc")])
def test_wrong_usage_is_an_error_for_programs_too(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["plugside-edge", "--json", *words])
    with pytest.raises(SystemExit) as ended:
        main(["--json", *words])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["code"] == "bad_settings"
    assert "usage: plugside-edge" in said.err


def test_help_says_what_a_command_does_and_what_the_exit_codes_mean(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, said in ((("release", "--help"), "let go of everybody"), (("--help",), "3 unreachable")):
        with pytest.raises(SystemExit):
            main([*words])
        assert said in capsys.readouterr().out.replace("\n", " ")

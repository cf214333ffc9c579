"""`plugside-cloud` as its operator uses it, against a running cloud; and what keeps `run` from running."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cloud.cli.main import main
from cloud.service import Cloud
from cloud.settings import CloudSettings
from common.domain import Role
from common.errors import LocalFault, Refused
from tests.cloud.parts import Device, FakeBox, join, until


class Shell:
    """Runs the command line in a thread of its own, as a terminal would; the cloud runs on in this one."""

    def __init__(self, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
        self._socket = str(cloud._settings.socket_path)
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["--socket", self._socket, *arguments])
        out, err = self._capsys.readouterr()
        return code, out, err

    async def json(self, *arguments: str) -> Any:
        code, out, _ = await self(*arguments, "--json")
        assert code == 0
        return json.loads(out)


@pytest.fixture
def shell(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(cloud, capsys)


async def test_sessions_that_a_restored_box_no_longer_has_are_accounted_for(
    cloud: Cloud, shell: Shell
) -> None:
    box = FakeBox(cloud.url)
    await box.join(cloud)
    box.ledger.charge("s1", 1000, 5000)
    box.ledger.charge("s2", 5000, 6000)
    async with box.connected():
        await until(lambda: box.drained)
    del box.ledger.journal.rows[3:]
    box.ledger.rotate()
    async with box.connected():
        await until(lambda: box.drained)
        code, out, _ = await shell("reconcile", "Home")
    assert code == 0, out
    assert "2 sessions here, 1 at the box (restored or replaced since: 1 of before it no longer has)" in out


async def test_the_way_of_the_readme(cloud: Cloud, shell: Shell) -> None:
    box = FakeBox(cloud.url)
    assert "No site yet" in (await shell("site", "list"))[1]
    async with asyncio.TaskGroup() as tasks:
        adding = tasks.create_task(shell("site", "add", "Home", box.pair()))
        asked = await box.ask_in()
        while asked.status_code == 202:
            await asyncio.sleep(0.01)
            asked = await box.ask_in()
        async with box.connected():
            code, out, _ = await adding
            assert code == 0
            assert f"Home is here (site {box.site}" in out
            assert 'plugside-cloud invite "Home"' in out
            code, out, err = await shell("invite", "Home", "--charger", "CP1", "--name", "Ann")
            assert code == 0
            assert "no charger CP1 yet" in err
            device = Device(cloud)
            granted = await device.join(out.splitlines()[0])
            box.ledger.charge("s1", 0, 4000, principal=granted.site.principal)
            await box._send_due()
            await until(lambda: box.drained)
            code, out, _ = await shell("sessions", "Home")
            assert code == 0
            assert "4.00" in out
            assert "Ann" in out
            code, out, _ = await shell("reconcile", "Home")
            assert code == 0
            assert "Looked at: " in out
            assert "at the box" in out
            assert "Home: in order. 1 session; 0 lost, 0 doubled, 0 differing." in out
            listed = await shell.json("site", "list")
            assert (listed[0]["name"], listed[0]["online"]) == ("Home", True)
            assert "yes" in (await shell("site", "list"))[1]
            principal = granted.site.principal
            code, out, _ = await shell("forget", "Ann")
            assert code == 1
            assert "Nobody was forgotten: name the principal" in out
            code, out, _ = await shell("forget", principal)
            assert f"plugside-edge forget {principal}" in out
            assert "Ann" not in (await shell("sessions", "Home"))[1]


async def test_reconcile_fails_with_1_and_says_where(cloud: Cloud, box: FakeBox, shell: Shell) -> None:
    box.ledger.charge("s1", 0, 4000)
    async with box.connected():
        await until(lambda: box.drained)
    assert cloud._store is not None
    async with cloud._store._db.write() as tx:
        await tx.execute(text("DELETE FROM session"))
        await tx.execute(text("DELETE FROM fact WHERE seq = 2"))
    code, out, _ = await shell("reconcile", "--all")
    assert code == 1
    assert "NOT in order" in out
    assert "the chain breaks at 2" in out
    assert "Look at s1: what the cloud has, and what the box has." in out
    assert 'plugside-cloud sessions "Home" --json' in out
    assert "plugside-edge ledger" in out
    code, out, _ = await shell("reconcile", "Home", "--json")
    assert code == 1
    assert json.loads(out)["lost"] == 1


async def test_site_add_says_when_the_box_has_not_come(shell: Shell, cloud: Cloud) -> None:
    code, out, _ = await shell("site", "add", "Home", FakeBox(cloud.url).pair(), "--wait", "0.1")
    assert code == 0
    assert "it has not asked yet" in out
    assert "plugside-edge run --cloud URL" in out


async def test_an_operator_is_entrusted_with_more_sites(cloud: Cloud, box: FakeBox, shell: Shell) -> None:
    other = FakeBox(cloud.url)
    await other.join(cloud, "Work")
    boss = await join(cloud, "Home", Role.OPERATOR)
    assert boss.granted is not None
    principal = boss.granted.site.principal
    code, out, _ = await shell("entrust", principal, "--all")
    assert code == 0
    assert f"{principal} looks after 2 sites now; new rights: 1." in out
    assert (await shell("entrust", "p-nobody", "Work"))[0] == 2
    with pytest.raises(SystemExit):
        await shell("entrust", principal)


async def test_who_is_invited_by_name_is_revoked_by_it_and_nobody_else_by_a_slip(
    cloud: Cloud, box: FakeBox, shell: Shell
) -> None:
    code, out, _ = await shell("invite", "Home", "--name", "Olga")
    assert code == 0
    invite = out.splitlines()[0]
    for wrong in (("revoke", "Home", "Olgaa"), ("confirm", "Home", "Olgaa")):
        code, out, err = await shell(*wrong)
        assert (code, out) == (2, "")
        assert "nobody here is called Olgaa" in err
    assert await cloud.accounts._store.revoked() == {}
    code, out, _ = await shell("revoke", "Home", "olga")
    assert code == 0
    assert out.startswith("p-")
    with pytest.raises(Refused):
        await Device(cloud).join(invite)
    code, out, _ = await shell("confirm", "Home", "p-0000000000000000")
    assert code == 1
    assert "does not wait" in out


async def test_tokens_health_and_json(cloud: Cloud, box: FakeBox, shell: Shell) -> None:
    await join(cloud, "Home")
    token = await shell.json("token", "Home")
    assert (await cloud.accounts.reader(token["token"])).site == box.site
    assert "curl -H" in (await shell("token", "Home"))[1]
    code, out, _ = await shell("health")
    assert code == 0
    assert "root.pem" in out
    assert (await shell.json("health"))["boxes"] == 0
    assert await shell.json("sessions", "Home") == []
    assert "No session has arrived" in (await shell("sessions", "Home"))[1]
    assert (await shell.json("invite", "Home", "--expires", "7d"))["role"] == "driver"
    assert (await shell.json("reconcile", "Home"))["ok"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("sessions", "Nowhere"), 2, "no such site"),
        (("invite", "Nowhere"), 2, "no such site"),
        (("reconcile", "Nowhere"), 2, "no such site"),
        (("site", "add", "Home", "junk"), 2, "plugside-edge pair"),
    ],
)
async def test_refusals_say_what_and_what_next(
    shell: Shell, arguments: tuple[str, ...], code: int, said: str
) -> None:
    got, out, err = await shell(*arguments)
    assert (got, out) == (code, "")
    assert said in err
    assert len(err.splitlines()) == 2
    got, out, _ = await shell(*arguments, "--json")
    assert json.loads(out)["error"]["code"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconcile",),
        ("reconcile", "Home", "--all"),
        ("invite", "Home", "--expires", "soon"),
        ("invite", "Home", "--expires", "0h"),
        ("invite", "Home", "--expires", "31d"),
        ("invite", "Home", "--expires", "d"),
        ("invite", "Home", "--role", "king"),
        ("invite", "Home", "--kwh", "nan"),
        ("invite", "Home", "--kwh", "-3"),
        ("invite", "Home", "--charges", "0"),
        ("invite", "Home", "--connector", "CP1"),
        ("invite", "Home", "--between", "25:00-03:00"),
        ("nonsense",),
        (),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert left.value.code == 2
    assert "plugside-cloud" in capsys.readouterr().err


def test_nothing_running_is_said_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(folder), "site", "list"]) == 3
    assert "run" in capsys.readouterr().err


# --- what keeps it from running ----------------------------------------------------------------------------


async def test_a_second_run_on_the_folder_is_refused_with_the_reason(
    cloud: Cloud, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LocalFault) as refused:
        Cloud(CloudSettings.load({"data": folder}))
    assert "process" in refused.value.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"listen": "0.0.0.0:8080"}, "--trusted-proxy"),
        ({"listen": "192.0.2.1:8080"}, "plain HTTP on 192.0.2.1"),
        ({"listen": "[::]:8080", "trusted_proxy": "192.0.2.1"}, "--public-url"),
        ({"listen": "0.0.0.0:443", "tls_cert": "c", "tls_key": "k"}, "--public-url"),
        ({"trusted_proxy": "127.0.0.1"}, "--public-url"),
        ({"listen": "8080"}, "HOST:PORT"),
        ({"listen": "127.0.0.1:99999"}, "HOST:PORT"),
        ({"tls_cert": "c.pem"}, "belong together"),
        ({"trusted_proxy": "proxy.example"}, "trusted_proxy"),
        ({"public_url": "charge.example.com"}, "is not a URL"),
        ({"log_level": "LOUD"}, "log_level"),
    ],
)
def test_settings_that_will_not_do_are_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(LocalFault) as refused:
        CloudSettings.load(given)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"listen": "127.0.0.1:8080"}, "http://127.0.0.1:1"),
        ({"listen": "[::1]:8080"}, "http://[::1]:1"),
        (
            {"listen": "0.0.0.0:80", "trusted_proxy": "127.0.0.1", "public_url": "https://c.example/"},
            "https://c.example",
        ),
        ({"listen": "192.0.2.1:443", "tls_cert": "c", "tls_key": "k"}, "https://192.0.2.1:1"),
    ],
)
def test_settings_that_will(given: dict[str, str], url: str) -> None:
    assert CloudSettings.load(given).url_at(1) == url


def test_command_line_wins_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('listen = "127.0.0.1:1"\nlog_level = "ERROR"\npublic_url = "https://file.example"\n')
    monkeypatch.setenv("PLUGSIDE_CLOUD_CONFIG", str(file))
    monkeypatch.setenv("PLUGSIDE_CLOUD_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("PLUGSIDE_CLOUD_LOG_LEVEL", "WARNING")
    settings = CloudSettings.load({"listen": "127.0.0.1:3", "data": None})
    assert (settings.listen, settings.log_level, settings.public_url) == (
        "127.0.0.1:3",
        "WARNING",
        "https://file.example",
    )
    monkeypatch.setenv("PLUGSIDE_CLOUD_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(LocalFault):
        CloudSettings.load({})


async def test_a_port_that_is_taken_is_said_so(cloud: Cloud, folder: Path) -> None:
    port = cloud.url.rpartition(":")[2]
    other = Cloud(CloudSettings.load({"data": folder / "other", "listen": f"127.0.0.1:{port}"}))
    try:
        with pytest.raises(LocalFault) as taken:
            await other.open()
        assert port in taken.value.message
        assert "--listen" in taken.value.hint
    finally:
        await other.close()


@pytest.mark.parametrize(
    "database",
    [
        "mysql://x",
        "postgresql+nothing://127.0.0.1/plugside",
        "sqlite:///blocking.db",
        "sqlite+aiosqlite:////dev/null/cloud.db",
        "not a url",
    ],
)
async def test_a_database_that_cannot_be_used_is_said_so_before_any_key_is_made(
    folder: Path, database: str
) -> None:
    cloud = Cloud(CloudSettings.load({"data": folder, "listen": "127.0.0.1:0", "database": database}))
    try:
        with pytest.raises(LocalFault) as refused:
            await cloud.open()
    finally:
        await cloud.close()
    assert "--database" in refused.value.message
    assert "SQLite" in refused.value.hint
    assert not (folder / "keys" / "root.pem").exists()

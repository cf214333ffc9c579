"""Settings: the command line over the environment over the file over the default; wrong ones are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloud.cli.main import parser as cloud_parser
from cloud.settings import CloudSettings
from common.config import split_endpoint
from common.errors import Code, LocalFault
from edge.cli.main import parser as edge_parser
from edge.settings import EdgeSettings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that the environment names."""
    path = tmp_path / "edge.toml"
    path.write_text(
        'ocpp = "127.0.0.1:1"\nlan = "127.0.0.1:1"\nsite_name = "file"\n'
        'interfaces = ["127.0.0.1", "::1"]\ndata = "/from/file"\n'
    )
    monkeypatch.setenv(EdgeSettings.config_variable(), str(path))
    return path


def test_the_command_line_is_over_the_environment_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file.exists()
    monkeypatch.setenv("PLUGSIDE_EDGE_OCPP", "127.0.0.1:2")
    monkeypatch.setenv("PLUGSIDE_EDGE_LAN", "127.0.0.1:2")
    known = EdgeSettings.load({"ocpp": "127.0.0.1:3", "adopt": None})
    assert (known.ocpp, known.lan, known.site_name) == ("127.0.0.1:3", "127.0.0.1:2", "file")
    assert known.interfaces == ("127.0.0.1", "::1")
    assert known.socket_path == Path("/from/file/edge.sock")
    assert (known.adopt, known.cloud) == ("none", "")


OPTIONS = {
    "lan_cert": "cert.pem",
    "lan_key": "key.pem",
    "tls_cert": "cert.pem",
    "tls_key": "key.pem",
    "adopt": "any",
    "log_level": "DEBUG",
    "interfaces": "127.0.0.1",
    "app_origins": "https://app.example",
    "ocpps_names": "box.example",
    "ocpp_networks": "10.0.0.0/8",
    "site_name": "Home",
    "data": "folder",
    "socket": "s.sock",
    "database": "sqlite+aiosqlite:///x.db",
    "trusted_proxy": "127.0.0.1",
}


@pytest.mark.parametrize(
    ("parser", "settings"), [(edge_parser, EdgeSettings), (cloud_parser, CloudSettings)], ids=["box", "cloud"]
)
def test_every_option_of_run_is_the_setting_of_its_name(parser: Any, settings: Any) -> None:
    options = set(vars(parser().parse_args(["run"]))) - {"command", "json"}
    words = ["run"]
    for name in sorted(options):
        url = "https://cloud.example" if name in ("cloud", "public_url") else "127.0.0.1:1"
        words += [f"--{name.replace('_', '-')}", OPTIONS.get(name, url)]
    known = settings.typed(parser().parse_args(words))
    unmoved = {name for name in options if getattr(known, name) == settings.model_fields[name].default}
    assert options - unmoved == options


def test_lists_are_comma_separated_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGSIDE_EDGE_INTERFACES", "127.0.0.1, 10.0.0.1,")
    monkeypatch.setenv("PLUGSIDE_EDGE_APP_ORIGINS", "https://a.example,https://b.example")
    known = EdgeSettings.load({})
    assert known.interfaces == ("127.0.0.1", "10.0.0.1")
    assert known.app_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ocpp", "9000"),
        ("ocpp", "127.0.0.1:70000"),
        ("ocpp", "127.0.0.1:²"),
        ("lan", "box.example:9443"),
        ("cloud", "cloud.example.com"),
        ("cloud", "wss://cloud.example.com"),
        ("cloud", "http://cloud.example.com"),
        ("cloud", "https://"),
        ("interfaces", "10.0.0.300"),
        ("interfaces", "eth0 eth1"),
        ("adopt", "all"),
        ("log_level", "LOUD"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(LocalFault) as wrong:
        EdgeSettings.load({name: value})
    assert wrong.value.code is Code.BAD_SETTINGS
    assert wrong.value.detail.startswith(name)


@pytest.mark.parametrize("url", ["", "https://cloud.example.com", "http://127.0.0.1:8080", "http://[::1]:1"])
def test_a_cloud_is_reached_encrypted_or_on_this_machine(url: str) -> None:
    assert EdgeSettings.load({"cloud": url}).cloud == url


@pytest.mark.parametrize(
    ("text", "named"), [("colour = 'red'", "colour"), ("ocpp = ", "edge.toml"), ("ocpp = 5", "ocpp")]
)
def test_a_wrong_file_is_named(file: Path, text: str, named: str) -> None:
    file.write_text(text)
    with pytest.raises(LocalFault) as wrong:
        EdgeSettings.load({})
    assert wrong.value.code is Code.BAD_SETTINGS
    assert named in wrong.value.detail


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EdgeSettings.config_variable(), "/nowhere/edge.toml")
    with pytest.raises(LocalFault, match=r"/nowhere/edge\.toml"):
        EdgeSettings.load({})


@pytest.mark.parametrize(("text", "pair"), [("[::1]:80", ("::1", 80)), ("0.0.0.0:9000", ("0.0.0.0", 9000))])
def test_an_endpoint_is_split(text: str, pair: tuple[Any, int]) -> None:
    assert split_endpoint(text) == pair

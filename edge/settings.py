"""The box's settings: command line over environment over file over default. Read once, at `edge.site`.

Environment: `PLUGSIDE_EDGE_OCPP=0.0.0.0:9000` and so on. File: TOML, named by `PLUGSIDE_EDGE_CONFIG`.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from common.errors import Code, LocalFault
from common.link.websocket import is_loopback

CONFIG_VARIABLE = "PLUGSIDE_EDGE_CONFIG"


def split_endpoint(text: str) -> tuple[str, int]:
    """`HOST:PORT` (IPv6 in brackets) as a pair. Raises ValueError with what is expected."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, for example 0.0.0.0:9000")
    return host.strip("[]"), int(port)


def _endpoint(text: str) -> str:
    host, _ = split_endpoint(text)
    if host:
        _address(host)
    return text


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address of this machine") from None
    return text


def _cloud(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError(f"{url!r} is not a URL like https://cloud.example.com")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"{url!r} is not encrypted; only this machine is reached like that")
    return url


def _commas(value: str | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_commas)]
Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...], NoDecode, BeforeValidator(_commas)
]


class EdgeSettings(BaseSettings):
    """Everything an installer can set. Defaults suit a box on a home network."""

    model_config = SettingsConfigDict(env_prefix="PLUGSIDE_EDGE_", extra="forbid", frozen=True)

    ocpp: Endpoint = "0.0.0.0:9000"
    """Where chargers dial in, HOST:PORT."""
    lan: Endpoint = "0.0.0.0:9443"
    """Where phones on the LAN connect, HOST:PORT (TLS)."""
    cloud: Annotated[str, AfterValidator(_cloud)] = ""
    """The cloud's URL; empty = none."""
    data: Path = Path("/var/lib/plugside-edge")
    """The data folder: journal, keys."""
    socket: Path | None = None
    """The local control socket; default: edge.sock in the data folder."""
    adopt: Literal["none", "any"] = "none"
    """`any` takes every charger that dials in. For demos and tests only."""
    interfaces: Addresses = ()
    """Addresses that mDNS speaks on, comma separated; empty = no mDNS."""
    app_origins: Names = ()
    """Web origins whose pages may connect to the LAN port, comma separated."""
    site_name: str = "Plugside"
    """What people call this site."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much is logged."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        named = os.environ.get(CONFIG_VARIABLE)
        if not named:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(named))

    @property
    def socket_path(self) -> Path:
        """Where the local socket is."""
        return self.socket or self.data / "edge.sock"


def load(given: dict[str, Any]) -> EdgeSettings:
    """Settings with `given` (from the command line, None = not given) on top.

    Raises LocalFault(bad_settings) that names the setting and what is wrong with it.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise LocalFault(Code.BAD_SETTINGS, f"{CONFIG_VARIABLE} names {named}, which is not a file")
    try:
        return EdgeSettings(**{name: value for name, value in given.items() if value is not None})
    except (OSError, ValueError) as wrong:
        if not isinstance(wrong, ValidationError):
            raise LocalFault(Code.BAD_SETTINGS, f"{named}: {wrong}") from None
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LocalFault(Code.BAD_SETTINGS, f"{where}: {first['msg']}") from None

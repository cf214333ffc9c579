"""The box's settings: command line over environment over file over default. Read once, at `edge.site`.

Environment: `PLUGSIDE_EDGE_OCPP=0.0.0.0:9000` and so on. File: TOML, named by `PLUGSIDE_EDGE_CONFIG`.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from common.config import DaemonSettings, LogLevel, address, split_endpoint
from common.link.websocket import is_loopback


def _endpoint(text: str) -> str:
    host, _ = split_endpoint(text)
    if host:
        address(host)
    return text


def _cloud(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError(f"{url!r} is not a URL like https://cloud.example.com")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"{url!r} is not encrypted; only this machine is reached like that")
    return url


def _network(text: str) -> str:
    return str(ip_network(text))


def _interface(text: str) -> str:
    """An address, or the name of an interface: those begin with a letter and hold no colon."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.@-]{0,14}", text) else address(text)


def _commas(value: str | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_commas)]
Interfaces = Annotated[
    tuple[Annotated[str, AfterValidator(_interface)], ...], NoDecode, BeforeValidator(_commas)
]


class EdgeSettings(DaemonSettings):
    """Everything an installer can set. Defaults suit a box on a home network."""

    model_config = SettingsConfigDict(env_prefix="PLUGSIDE_EDGE_", extra="forbid", frozen=True)

    ocpp: Endpoint = "0.0.0.0:9000"
    """Where chargers dial in, HOST:PORT."""
    ocpps: Annotated[str, AfterValidator(lambda text: _endpoint(text) if text else text)] = ""
    """Where chargers dial in with TLS (security profiles 2 and 3), HOST:PORT; empty = nowhere."""
    ocpps_names: Names = ()
    """DNS names by which chargers dial that port, besides the box's own and its addresses."""
    ocpp_networks: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_commas)
    ] = ()
    """Where chargers without TLS may dial from, as CIDR, comma separated; empty = every private address."""
    files: Annotated[str, AfterValidator(lambda text: _endpoint(text) if text else text)] = ""
    """Where chargers fetch firmware and send logs, HOST:PORT; empty = the port after the one they dial."""
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
    interfaces: Interfaces = ()
    """Where mDNS speaks, comma separated: interfaces (eth0), whose addresses may change, or addresses;
    empty = no mDNS."""
    app_origins: Names = ()
    """Web origins whose pages may connect to the LAN port, comma separated."""
    lan_cert: Path | None = None
    """Certificate chain (PEM) that browsers are shown where they ask for one of its names; with `lan_key`."""
    lan_key: Path | None = None
    """Its private key (PEM)."""
    page: Annotated[str, AfterValidator(lambda text: _endpoint(text) if text else text)] = ""
    """Where plain HTTP is answered with a page that says where the app is, HOST:PORT; empty = nowhere."""
    journal_quota_mib: Annotated[int, Field(ge=0, le=1024 * 1024)] = 0
    """What the journal may take of the disk, in MiB; 0 = 512, or 128 for each charger if that is more."""
    site_name: str = ""
    """What people call this site; empty = as its cloud does."""
    log_level: LogLevel = "INFO"
    """How much is logged."""

    @model_validator(mode="after")
    def _a_certificate_has_its_key(self) -> Self:
        if (self.lan_cert is None) != (self.lan_key is None):
            raise ValueError("lan_cert and lan_key belong together: give both, or neither")
        return self

    @property
    def files_endpoint(self) -> tuple[str, int]:
        """Where files are served; port 0 = one that the system chooses."""
        if self.files:
            return split_endpoint(self.files)
        host, port = split_endpoint(self.ocpp)
        return host, min(port + 1, 65535) if port else 0

    @property
    def socket_path(self) -> Path:
        """Where the local socket is."""
        return self.socket or self.data / "edge.sock"

"""The cloud's settings: command line over environment over file over default. Read once, at `cloud.service`.

Environment: `PLUGSIDE_CLOUD_LISTEN=127.0.0.1:8080` and so on. File: TOML, named by `PLUGSIDE_CLOUD_CONFIG`.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator
from pydantic_settings import SettingsConfigDict

from common.config import DaemonSettings, LogLevel, address, split_endpoint
from common.link.websocket import is_loopback


def _endpoint(text: str) -> str:
    split_endpoint(text)
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment):
        raise ValueError(f"{text!r} is not a URL, for example https://charge.example.com")
    return text.rstrip("/")


def _address(text: str) -> str:
    return address(text) if text else text


class CloudSettings(DaemonSettings):
    """Everything an operator of the cloud can set."""

    model_config = SettingsConfigDict(env_prefix="PLUGSIDE_CLOUD_", extra="forbid", frozen=True)

    listen: Annotated[str, AfterValidator(_endpoint)] = "127.0.0.1:8080"
    """Where boxes and apps connect, HOST:PORT."""
    data: Path = Path("/var/lib/plugside-cloud")
    """The data folder: database, keys."""
    socket: Path | None = None
    """The local control socket; default: cloud.sock in the data folder."""
    database: str = ""
    """The database's URL; default: cloud.db in the data folder."""
    tls_cert: Path | None = None
    """Certificate chain (PEM). With `tls_key`, or not at all."""
    tls_key: Path | None = None
    """Its private key (PEM)."""
    trusted_proxy: Annotated[str, AfterValidator(_address)] = ""
    """Address of the one proxy that speaks TLS for us; nobody else is then answered."""
    public_url: Annotated[str, AfterValidator(_url)] = ""
    """Where this cloud is reached from outside; goes into invites. Default: from `listen`."""
    log_level: LogLevel = "INFO"
    """How much is logged."""

    @model_validator(mode="after")
    def _nothing_secret_in_the_clear(self) -> Self:
        """Refuses to listen where anybody on the network could read along (design §12)."""
        host, _ = split_endpoint(self.listen)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both, or neither")
        if self.tls_cert is None and not self.trusted_proxy and not is_loopback(host):
            raise ValueError(
                f"plain HTTP on {host} would let anybody on the way read grants and sessions; give"
                " --tls-cert and --tls-key, or name the proxy that speaks TLS with --trusted-proxy,"
                " or listen on 127.0.0.1"
            )
        if not self.public_url and (self.trusted_proxy or not _is_dialable(host)):
            behind = f"behind {self.trusted_proxy}" if self.trusted_proxy else f"by dialling {host}"
            raise ValueError(f"nobody reaches this cloud {behind} alone: say its URL with --public-url")
        return self

    @property
    def socket_path(self) -> Path:
        """Where the local socket is."""
        return self.socket or self.data / "cloud.sock"

    def url_at(self, port: int) -> str:
        """The cloud's base URL, when its listener got this port."""
        if self.public_url:
            return self.public_url
        host, _ = split_endpoint(self.listen)
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls_cert else 'http'}://{shown}:{port}"


def _is_dialable(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return bool(host)

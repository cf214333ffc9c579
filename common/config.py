"""What the settings of both daemons have in common: where they come from, and how a wrong one is named.

Command line over environment over file over default. The environment's names begin with `env_prefix`; the
file is TOML and named by `<env_prefix>CONFIG`. Read once, at the composition root.
"""

from __future__ import annotations

import ipaddress
import os
from argparse import Namespace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

from common.errors import Code, LocalFault

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def split_endpoint(text: str) -> tuple[str, int]:
    """`HOST:PORT` (IPv6 in brackets) as a pair. Raises ValueError with what is expected."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, for example 127.0.0.1:9000")
    return host.strip("[]"), int(port)


def address(text: str) -> str:
    """`text` if it is an IP address. Raises ValueError."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None
    return text


class DaemonSettings(BaseSettings):
    """Base of both daemons' settings."""

    @classmethod
    def config_variable(cls) -> str:
        """The environment variable that names the file."""
        return f"{cls.model_config['env_prefix']}CONFIG"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        named = os.environ.get(cls.config_variable())
        if not named:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(named))

    @classmethod
    def typed(cls, args: Namespace) -> Self:
        """Settings with what was typed on top: every option is the setting of its name. Raises as `load`."""
        return cls.load({name: getattr(args, name, None) for name in cls.model_fields})

    @classmethod
    def load(cls, given: dict[str, Any]) -> Self:
        """Settings with `given` (from the command line, None = not given) on top.

        Raises LocalFault(bad_settings) that names the setting and what is wrong with it.
        """
        variable = cls.config_variable()
        named = os.environ.get(variable)
        if named and not Path(named).is_file():
            raise LocalFault(Code.BAD_SETTINGS, f"{variable} names {named}, which is not a file")
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as wrong:
            first = wrong.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise LocalFault(Code.BAD_SETTINGS, f"{where}: {message}" if where else message) from None
        except (OSError, ValueError) as unreadable:
            raise LocalFault(Code.BAD_SETTINGS, f"{named}: {unreadable}") from None

"""OCPP 1.6, what we ask of a charger, and what it answers: the Core profile; `upkeep` adds its own.

The dialect builds the request struct, has it checked by `schemas` and encodes it; the charger's answer comes
back through `read_answer`. An answer's `status` is any text, since chargers answer with words of their own
(quirk 93), and empty when there was none: the dialect decides what counts as success.

Each request class is named as its action; the answer to it has the suffix `Response`.
Source: OCPP 1.6 edition 2, §6.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from edge.chargers.ocpp16 import charging, tags, upkeep
from edge.chargers.ocpp16.messages import DataTransfer
from edge.chargers.shared.coerce import Reader
from edge.chargers.shared.payload import Blob, ConfigText, Opt, Payload, Text

# ------------------------------------------------------------------------------------------------ requests


class ChangeAvailability(Payload, frozen=True):
    """Set a connector, or with connector 0 the whole charger, in or out of service."""

    connector_id: int
    type: Literal["Inoperative", "Operative"]


class ChangeConfiguration(Payload, frozen=True):
    """Set a configuration key."""

    key: str
    value: str


class ClearCache(Payload, frozen=True):
    """Empty the charger's authorization cache."""


class GetConfiguration(Payload, frozen=True):
    """Read configuration keys; none named means all."""

    key: tuple[str, ...] = ()


class RemoteStartTransaction(Payload, frozen=True):
    """Start charging for a tag. Always with the connector (quirk 67)."""

    id_tag: str
    connector_id: int


class RemoteStopTransaction(Payload, frozen=True):
    """Stop a transaction."""

    transaction_id: int


class Reset(Payload, frozen=True):
    """Restart the charger."""

    type: Literal["Hard", "Soft"]


class UnlockConnector(Payload, frozen=True):
    """Open a connector's lock; ends its transaction."""

    connector_id: int


# ------------------------------------------------------------------------------------------------ answers


class StatusResponse(Payload, frozen=True):
    """An answer that is one word."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text


class DataTransferAnswer(Payload, frozen=True):
    """A charger's answer to our vendor message."""

    NEUTRAL: ClassVar[dict[str, object]] = {"status": ""}
    status: Text
    data: Opt[Blob] = None


class KeyValue(Payload, frozen=True):
    """A configuration key. `readonly` is True when it is not told: then nothing is written to it."""

    NEUTRAL: ClassVar[dict[str, object]] = {"readonly": True}
    key: Text
    readonly: bool
    value: Opt[ConfigText] = None


class GetConfigurationResponse(Payload, frozen=True):
    """The keys that the charger told, and those it does not know."""

    configuration_key: tuple[KeyValue, ...] = ()
    unknown_key: tuple[Text, ...] = ()


#: What we may ask, by action.
COMMANDS: Final[dict[str, type[Payload]]] = (
    {
        cls.__name__: cls
        for cls in (
            ChangeAvailability,
            ChangeConfiguration,
            ClearCache,
            DataTransfer,
            GetConfiguration,
            RemoteStartTransaction,
            RemoteStopTransaction,
            Reset,
            UnlockConnector,
        )
    }
    | upkeep.COMMANDS
    | charging.COMMANDS
    | tags.COMMANDS
)

#: What a charger answers, by action.
ANSWERS: Final[dict[str, type[Payload]]] = {
    **dict.fromkeys(COMMANDS, StatusResponse),
    "DataTransfer": DataTransferAnswer,
    "GetConfiguration": GetConfigurationResponse,
    **upkeep.ANSWERS,
    **charging.ANSWERS,
    **tags.ANSWERS,
}

_reader = Reader(ANSWERS)


def read_answer(action: str, payload: msgspec.Raw | bytes) -> tuple[Payload, tuple[str, ...]]:
    """Read a charger's answer to our call into its struct, with what was coerced, as `messages.read` does.

    Raises UnreadablePayload, and nothing else, for an action that is not in `ANSWERS` and for a payload that
    is not an object; the command's outcome is unknown then.
    """
    return _reader.read(action, payload)

"""What every OCPP payload struct is made of: the base class, the field types and the bounds.

Each version's `messages` and `commands` declare the payloads with these; `coerce` reads the same declarations
to mend what the strict decoder refuses. The bounds are ours and not the specification's: they protect memory,
the journal (64-bit integers) and the cloud's text columns. A longer text is cut and a larger number treated
as absent, both by name; the message itself is never refused for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from typing import TypeVar, Union

    _T = TypeVar("_T")
    Opt = Union[_T, None]  # noqa: UP007 - a generic alias needs the old spelling
else:

    class Opt:
        """A field that may be absent (None) but whose JSON null the strict decoder refuses.

        To a type checker it is Optional; at run time the annotation is the bare type. So null, which the
        schemas forbid, takes the tolerant path and is named there, at no cost to the well-formed message.
        """

        def __class_getitem__(cls, item: Any) -> Any:
            return item


#: Ids, names, statuses, times. The specification's longest is 255 (vendorId); it allows 20 for an idTag, and
#: chargers were seen to send more (quirk 65); OCPP 2.1 allows 255.
TEXT_MAX_CHARS: Final = 255
#: A configuration value: 500 by the specification; lists of measurands and certificates run longer.
CONFIG_MAX_CHARS: Final = 4096
#: A sampled value: a number, or a signed document (OCMF with its public key is below 4 KiB; EDL40 below 8).
VALUE_MAX_CHARS: Final = 64 * 1024
#: DataTransfer's data and a certificate request: 5500 for a CSR by the security whitepaper, none for data.
BLOB_MAX_CHARS: Final = 64 * 1024
#: Above any real charger (one front end of a large depot speaks for some hundred); keeps the number small.
CONNECTOR_MAX: Final = 9999
#: ±2^53-1: exact in JSON, JavaScript and SQLite; 9 PWh as a register.
INT_MAX: Final = 2**53 - 1
#: A transaction id may be any integer (quirk 57); no integer type of a charger has more digits than this.
WIDE_INT_MAX_DIGITS: Final = 64

Text = Annotated[str, Meta(max_length=TEXT_MAX_CHARS)]
ConfigText = Annotated[str, Meta(max_length=CONFIG_MAX_CHARS, extra={"json": True})]
ValueText = Annotated[str, Meta(max_length=VALUE_MAX_CHARS)]
Blob = Annotated[str, Meta(max_length=BLOB_MAX_CHARS, extra={"json": True})]  #: an object becomes its JSON
ConnectorId = Annotated[int, Meta(ge=0, le=CONNECTOR_MAX)]
Int = Annotated[int, Meta(ge=-INT_MAX, le=INT_MAX)]
RegisterWh = Annotated[int, Meta(ge=-INT_MAX, le=INT_MAX, extra={"round": True})]  #: a fraction is rounded
#: The strict decoder takes 64 bits; the tolerant path takes what has at most `WIDE_INT_MAX_DIGITS` digits.
TransactionId = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, extra={"wide": True})]


class Payload(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True, gc=False):
    """A payload or a part of one. Members that we do not know are skipped; absent ones are None or ().

    `NEUTRAL` names the required fields without which the message is still of use, each with the value that
    stands for "not told". A required field that is not in it makes the message unreadable when absent.
    Payloads are frozen trees, so the garbage collector need not look at them.
    """

    NEUTRAL: ClassVar[dict[str, object]] = {}


_encoder = msgspec.json.Encoder()


def encode(payload: Payload) -> bytes:
    """Return the payload as JSON; what is absent is left out."""
    return _encoder.encode(payload)

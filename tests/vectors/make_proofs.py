"""Writes proofs.json: what a server may say after a hello, and what a client has to make of each.

Run `python -m tests.vectors.make_proofs` only when the protocol changes. One case is sound; each other one is
wrong in one thing, and the client must leave without having sent a grant, an invite or a signature.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from common import wire
from common.domain import Path as LinkPath
from common.trust import Purpose, Transcript, b64
from tests.vectors.make_applink import FixedKey

FILE = Path(__file__).with_name("proofs.json")

BOX, TWIN = FixedKey(0x1111_2222_3333_4444), FixedKey(0x6666_6666_6666_6666)
TRUE, NEXT, FOREIGN = "11" * 32, "22" * 32, "ee" * 32
CLIENT_NONCE, SERVER_NONCE = b64(bytes(range(32))), b64(bytes(range(32, 64)))
TIME = "2027-01-15T08:00:00.000Z"


def proof(signer: FixedKey = BOX, *, signs: dict[str, Any] | None = None, **says: Any) -> dict[str, Any]:
    """A proof message. signs: what the signature covers, where that differs from what is said."""
    fields: dict[str, Any] = {
        "offered": (1,),
        "version": 1,
        "client_nonce": CLIENT_NONCE,
        "server_nonce": SERVER_NONCE,
        "server": signer.fingerprint,
        "path": LinkPath.LAN,
        "certificates": (TRUE, NEXT),
        "binding": TRUE,
    }
    signed = Transcript(**(fields | (signs or {})))
    message = wire.Proof(
        version=1,
        nonce=SERVER_NONCE,
        server=signer.fingerprint,
        key=signer.public,
        certificates=(TRUE, NEXT),
        path="lan",
        time=TIME,
        clock="synced",
        signature=signer.sign(Purpose.SERVER_PROOF, signed.proof(TIME, "synced")),
    )
    told: dict[str, Any] = msgspec.json.decode(wire.encode(msgspec.structs.replace(message, **says)))
    return told


def case(
    name: str, message: dict[str, Any], result: str, *, binding: str = TRUE, pins: tuple[str, ...] = ()
) -> dict[str, Any]:
    """binding: the certificate in use, as a native client sees it. pins: what a page had pinned, which cannot
    see it."""
    return {
        "name": name,
        "pinned": BOX.fingerprint,
        "client_nonce": CLIENT_NONCE,
        "path": "lan",
        "binding": binding,
        "pins": list(pins or filter(None, [binding])),
        "proof": message,
        "result": result,
    }


def vectors() -> list[dict[str, Any]]:
    """Every case. `result`: ok, or the code with which the client leaves."""
    untrusted, protocol = "untrusted_peer", "protocol"
    relayed = {"client_nonce": b64(bytes(reversed(range(32))))}
    return [
        case("sound", proof(), "ok"),
        case("sound, a page that pinned the next one too", proof(), "ok", pins=(NEXT, TRUE)),
        case(
            "sound, a link whose certificate the client cannot see",
            proof(signs={"binding": ""}),
            "ok",
            binding="",
        ),
        case(
            "a page that pinned a twin's certificate too",
            proof(),
            untrusted,
            binding=FOREIGN,
            pins=(TRUE, FOREIGN),
        ),
        case("another box", proof(TWIN), untrusted),
        case("another box under the true one's name", proof(TWIN, server=BOX.fingerprint), untrusted),
        case("another box's key beside a true signature", proof(key=TWIN.public), untrusted),
        case("a twin's certificate that the box does not name", proof(), untrusted, binding=FOREIGN),
        case(
            "a twin's certificate put into the list",
            proof(certificates=(TRUE, NEXT, FOREIGN)),
            untrusted,
            binding=FOREIGN,
        ),
        case("the list in another order than was signed", proof(certificates=(NEXT, TRUE)), untrusted),
        case("a list with one certificate less than was signed", proof(certificates=(TRUE,)), untrusted),
        case("a proof for another certificate of the same list", proof(signs={"binding": NEXT}), untrusted),
        case("a proof for another client's nonce", proof(signs=relayed), untrusted),
        case("a proof for another server nonce", proof(nonce=b64(bytes(32))), untrusted),
        case("a proof of another path", proof(signs={"path": LinkPath.CLOUD}), untrusted),
        case("a time other than was signed", proof(time="2037-01-15T08:00:00.000Z"), untrusted),
        case("a clock state other than was signed", proof(clock="floor"), untrusted),
        case("versions other than were offered", proof(signs={"offered": (2, 1)}), untrusted),
        case("an empty signature", proof(signature=""), untrusted),
        case("a message that says it is of another path", proof(path="cloud"), protocol),
        case("a nonce that is too short", proof(nonce=b64(bytes(16))), protocol),
        case("a certificate that is no hash", proof(certificates=(TRUE, "zz" * 32)), protocol),
        case("a version that nobody offered", proof(version=2), "unsupported_version"),
    ]


if __name__ == "__main__":
    FILE.write_text(json.dumps({"cases": vectors()}, indent=2) + "\n")

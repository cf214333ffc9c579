"""Writes applink.json: fixed keys, nonces and messages of handshake and signed command, for every client.

Run `python -m tests.vectors.make_applink` only when the protocol changes; a client in another language checks
itself against the file. The private keys in it are published, and good for nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from common import commands
from common.commands import Command, Name
from common.domain import Path as LinkPath
from common.domain import Target
from common.trust import IdentityKey, Purpose, Transcript, b64, fingerprint_of

FILE = Path(__file__).with_name("applink.json")


class FixedKey(IdentityKey):
    """An identity from a number, whose signatures are those of RFC 6979: the same at every run."""

    def __init__(self, number: int) -> None:
        super().__init__(ec.derive_private_key(number, ec.SECP256R1()))
        self.number = number

    def sign(self, purpose: Purpose, message: bytes) -> str:
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = utils.decode_dss_signature(self._private.sign(purpose.encode() + b"|" + message, algorithm))
        return b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def vectors() -> dict[str, Any]:
    """Everything in the file."""
    server, phone = FixedKey(0x1111_2222_3333_4444), FixedKey(0x5555_6666_7777_8888)
    certificates = ("11" * 32, "22" * 32)
    transcript = Transcript(
        offered=(1,),
        version=1,
        client_nonce=b64(bytes(range(32))),
        server_nonce=b64(bytes(range(32, 64))),
        server=server.fingerprint,
        path=LinkPath.LAN,
        certificates=certificates,
        binding=certificates[0],
    )
    time, grants, secret = "2027-01-15T08:00:00.000Z", ("header.payload.signature",), b64(bytes(16))
    proof = transcript.proof(time, "synced")
    auth = transcript.auth(phone.thumbprint, grants)
    redeem = transcript.redeem(phone.thumbprint, secret)
    payload = commands.encode(
        Command(
            site="site-1",
            id="0190d3a2-0000-7000-8000-000000000001",
            name=Name.START,
            target=Target("CP1", 1),
            expires_at="2027-01-15T08:00:30.000Z",
        )
    )
    signature = phone.sign(Purpose.COMMAND, payload)

    def signed(purpose: Purpose, message: bytes, key: FixedKey) -> dict[str, str]:
        return {"purpose": purpose, "message": message.decode(), "signature": key.sign(purpose, message)}

    return {
        "keys": {
            name: {
                "private": f"{key.number:064x}",
                "public": key.public,
                "fingerprint": key.fingerprint,
                "thumbprint": key.thumbprint,
            }
            for name, key in {"server": server, "phone": phone}.items()
        },
        "transcript": {
            "offered": list(transcript.offered),
            "version": transcript.version,
            "client_nonce": transcript.client_nonce,
            "server_nonce": transcript.server_nonce,
            "server": transcript.server,
            "path": transcript.path.value,
            "certificates": list(certificates),
            "binding": transcript.binding,
        },
        "proof": {"time": time, "clock": "synced", **signed(Purpose.SERVER_PROOF, proof, server)},
        "auth": {"grants": list(grants), **signed(Purpose.CLIENT_AUTH, auth, phone)},
        "redeem": {"secret": secret, **signed(Purpose.CLIENT_REDEEM, redeem, phone)},
        "command": {
            "payload": payload.decode(),
            "signature": signature,
            "envelope": f"{b64(payload)}.{phone.public}.{signature}",
            "fingerprint": fingerprint_of(payload),
        },
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=2) + "\n")

"""The bytes that are signed: the published vectors, and that every field is in them."""

import json
from typing import Any

import msgspec
import pytest

from common.domain import Path
from common.errors import RemoteFault
from common.trust import Purpose, Transcript, fingerprint, fingerprint_of, open_envelope, thumbprint
from common.trust import verify_identity as verify
from common.trust.handshake import is_hash, is_nonce
from tests.vectors.make_applink import FILE

VECTORS: dict[str, Any] = json.loads(FILE.read_text())
TRANSCRIPT = msgspec.convert(VECTORS["transcript"], Transcript)
PHONE, SERVER = VECTORS["keys"]["phone"], VECTORS["keys"]["server"]


def test_the_names_of_the_keys() -> None:
    for key in (PHONE, SERVER):
        assert fingerprint(key["public"]) == key["fingerprint"]
        assert thumbprint(key["public"]) == key["thumbprint"]


def test_the_servers_proof() -> None:
    vector = VECTORS["proof"]
    message = TRANSCRIPT.proof(vector["time"], vector["clock"])
    assert message.decode() == vector["message"]
    verify(SERVER["public"], vector["signature"], Purpose(vector["purpose"]), message)


def test_the_clients_auth_and_redeem() -> None:
    for name, message in {
        "auth": TRANSCRIPT.auth(PHONE["thumbprint"], VECTORS["auth"]["grants"]),
        "redeem": TRANSCRIPT.redeem(PHONE["thumbprint"], VECTORS["redeem"]["secret"]),
    }.items():
        assert message.decode() == VECTORS[name]["message"]
        verify(PHONE["public"], VECTORS[name]["signature"], Purpose(VECTORS[name]["purpose"]), message)


def test_the_signed_command() -> None:
    vector = VECTORS["command"]
    assert open_envelope(vector["envelope"]) == (vector["payload"].encode(), PHONE["thumbprint"])
    assert fingerprint_of(vector["payload"].encode()) == vector["fingerprint"]


@pytest.mark.parametrize(
    "changes",
    [
        {"offered": (2, 1)},
        {"version": 2},
        {"client_nonce": "x"},
        {"server_nonce": "x"},
        {"server": "x"},
        {"path": Path.CLOUD},
        {"certificates": ("11" * 32,)},
        {"certificates": ("22" * 32, "11" * 32)},
        {"binding": "22" * 32},
        {"binding": ""},
    ],
)
def test_every_field_is_covered(changes: dict[str, Any]) -> None:
    other = msgspec.structs.replace(TRANSCRIPT, **changes)
    assert other.proof("t", "c") != TRANSCRIPT.proof("t", "c")
    assert other.auth("k", ["g"]) != TRANSCRIPT.auth("k", ["g"])
    assert other.redeem("k", "s") != TRANSCRIPT.redeem("k", "s")


def test_what_each_message_adds_is_covered_too() -> None:
    t = TRANSCRIPT
    assert len({t.proof("t", "c"), t.proof("u", "c"), t.proof("t", "d")}) == 3
    assert len({t.auth("k", []), t.auth("k", ["a"]), t.auth("k", ["b"]), t.auth("k", ["a", "b"])}) == 4
    assert len({t.auth("k", ["a"]), t.auth("l", ["a"])}) == 2
    assert len({t.redeem("k", "s"), t.redeem("k", "r"), t.redeem("l", "s")}) == 3


def test_a_field_cannot_pretend_to_be_two() -> None:
    with pytest.raises(RemoteFault):
        TRANSCRIPT.proof("now\nsynced", "")


def test_what_is_a_nonce_and_what_a_hash() -> None:
    assert is_nonce(TRANSCRIPT.client_nonce)
    assert not any(map(is_nonce, ["", "x", TRANSCRIPT.client_nonce[:-1], TRANSCRIPT.client_nonce + "A", "ä"]))
    assert is_hash("0a" * 32)
    assert not any(map(is_hash, ["", "0A" * 32, "0a" * 31, "zz" * 32]))

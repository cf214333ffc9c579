"""The groups of attacks by number, each with what is tried in it. README.md here says how they are used."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent

GROUPS = {
    1: "pages of foreign origins open links",
    2: "names rebound to the box; doubled, missing and foreign hosts",
    3: "forms and simple requests of a page",
    4: "framing, policy of the page, secrets in its address",
    5: "certificates that a page may not pin",
    6: "hash lists with somebody else's certificate",
    7: "half-open, slow, huge and countless streams",
    8: "JSON that hurts parsers",
    9: "spoofed and half QUIC handshakes",
    10: "forged algorithms and key ids of grants",
    11: "grants of another type, site, issuer, time",
    12: "grants without their key, old nonces, other transcripts",
    13: "clocks that go back, forward, or are poisoned",
    14: "revoked rights, old and broken revocation lists",
    15: "rights beyond the role, the connector, the cap",
    16: "rolled-back key sets and edge-made grants",
    17: "one command many times",
    18: "one command id for other content",
    19: "commands replayed, delayed, altered, misdirected by the cloud",
    20: "other people's sessions, limits that are none",
    21: "older states after a change of path",
    22: "guessed, repeated and late pairing codes",
    23: "raced and repeated claims, relayed challenges",
    24: "invites used twice, invites that raise themselves",
    25: "an evil twin's name, id and records",
    26: "interfaces that go, come and change; discovery that crashes",
    27: "forged goodbyes",
    28: "charger identities that are none",
    29: "passwords of chargers, missing, wrong, guessed",
    30: "a second connection during a transaction",
    31: "security profiles lowered",
    32: "certificate requests and certificates of the wrong kind",
    33: "foreign transactions, impossible meters, markup in names",
    34: "floods, unasked answers, repeated call ids",
    35: "copied, restored and revoked boxes",
    36: "files that others may read, secrets in logs and bundles",
    37: "an audit edited, an audit without a disk",
    38: "a cloud's routes across organisations, tokens in URLs",
    39: "the permission for the local network",
    40: "the same with the internet gone, and as it returns",
}

_FILE = re.compile(r"test_a(\d\d)_\w+\.py")
_ROW = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)


def number_of(file_name: str) -> int | None:
    """The group that a test file belongs to: 5 for `test_a05_certificates.py`."""
    found = _FILE.fullmatch(file_name)
    return int(found.group(1)) if found else None


def tried() -> set[int]:
    """The groups that have a file here."""
    return {number for file in FOLDER.glob("test_a*.py") if (number := number_of(file.name)) is not None}


def not_here() -> dict[int, str]:
    """What not_here.md says: by group what of it does not run here, and why."""
    return {int(number): why for number, why in _ROW.findall((FOLDER / "not_here.md").read_text())}

"""What somebody has who hears every byte on the wire: a capture of packets, and a search for secrets in it.

    Tap (packets of `lo`) ──▶ pcap ──▶ flows (TCP, UDP) ──▶ views (as it came, unmasked, unpacked) ──▶ found

A secret is looked for as text, in base64 (either alphabet, at any of the three alignments), in hex and
percent-encoded. What is not encrypted is also read as whoever listens would read it: WebSocket frames are
unmasked and inflated, bodies with gzip unpacked.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
import threading
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from common.clock import SystemClock

#: More than a packet on loopback has (MTU 65536 and an Ethernet header).
SNAP_BYTES = 1 << 17
#: Of if_packet(7): a packet on its way out. On loopback each comes once more as it arrives.
_OUTGOING = 4
_SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 263, 6, 33
#: What the kernel may hold for us while we write: a whole run of the test is a tenth of it.
_BUFFER_BYTES = 64 << 20
_PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP_BYTES, 1)


class Tap:
    """Writes every packet of this namespace's loopback to a pcap file while the block runs. Wants root."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.packets = self.lost = 0
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        with contextlib.suppress(OSError):  # in a user's namespace the kernel's own limit stays
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind(("lo", 0))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Tap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        told = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.lost = struct.unpack("II", told)[1]
        self._socket.close()

    def _run(self) -> None:
        clock = SystemClock()
        with self.file.open("wb") as out:
            out.write(_PCAP_HEADER)
            while True:
                try:
                    packet, about = self._socket.recvfrom(SNAP_BYTES)
                except TimeoutError:
                    if self._over.is_set():  # and nothing has come for a while: all is written
                        return
                    continue
                if about[2] == _OUTGOING:
                    continue
                self.packets += 1
                now = clock.now_ms()
                out.write(struct.pack("<IIII", now // 1000, now % 1000 * 1000, len(packet), len(packet)))
                out.write(packet)


# --- reading -----------------------------------------------------------------------------------------------


class Flow(NamedTuple):
    """One direction of a conversation."""

    protocol: str  #: tcp, udp
    source: tuple[str, int]
    to: tuple[str, int]
    data: bytes

    @property
    def ports(self) -> set[int]:
        return {self.source[1], self.to[1]}


def packets(capture: bytes) -> Iterator[bytes]:
    """The packets of a pcap file."""
    at = len(_PCAP_HEADER)
    while at + 16 <= len(capture):
        (size,) = struct.unpack_from("<I", capture, at + 8)
        yield capture[at + 16 : at + 16 + size]
        at += 16 + size


def flows(capture: bytes) -> list[Flow]:
    """Every direction of every conversation, its payload joined in the order in which it came by."""
    joined: dict[tuple[str, tuple[str, int], tuple[str, int]], bytearray] = {}
    for packet in packets(capture):
        if (read := _payload(packet)) is not None:
            protocol, source, to, data = read
            joined.setdefault((protocol, source, to), bytearray()).extend(data)
    return [Flow(*between, bytes(data)) for between, data in joined.items()]


def _payload(packet: bytes) -> tuple[str, tuple[str, int], tuple[str, int], bytes] | None:
    kind = packet[12:14]
    if kind == b"\x08\x00":
        size, length = (packet[14] & 15) * 4, int.from_bytes(packet[16:18])
        protocol, source, to = packet[23], packet[26:30], packet[30:34]
        inner = packet[14 + size : 14 + length]
    elif kind == b"\x86\xdd":
        protocol, source, to = packet[20], packet[22:38], packet[38:54]
        inner = packet[54 : 54 + int.from_bytes(packet[18:20])]
    else:
        return None
    if protocol not in (6, 17) or len(inner) < 8:
        return None
    begins = (inner[12] >> 4) * 4 if protocol == 6 else 8
    ports = int.from_bytes(inner[:2]), int.from_bytes(inner[2:4])
    ends = [(str(ipaddress.ip_address(one)), port) for one, port in zip((source, to), ports, strict=True)]
    return ("tcp" if protocol == 6 else "udp"), ends[0], ends[1], inner[begins:]


def views(data: bytes) -> Iterator[bytes]:
    """A flow's bytes as they came, and as somebody reads them who knows HTTP and WebSockets."""
    yield data
    if data[:2] == b"\x16\x03":
        return  # TLS: there is no more to be read
    head, blank, rest = data.partition(b"\r\n\r\n")
    if blank and b"upgrade: websocket" in head.lower():
        yield b"\n".join(_frames(rest))
    for found in re.finditer(b"\x1f\x8b\x08", data):
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(31).decompress(data[found.start() :])


def _frames(data: bytes) -> Iterator[bytes]:
    """The payloads of WebSocket frames (RFC 6455 §5.2), inflated where they were packed (RFC 7692)."""
    inflating, at = zlib.decompressobj(-15), 0
    while at + 2 <= len(data):
        packed, masked, size = data[at] & 0x40, data[at + 1] & 0x80, data[at + 1] & 0x7F
        at += 2
        if size >= 126:
            more = 2 if size == 126 else 8
            size, at = int.from_bytes(data[at : at + more]), at + more
        mask, at = (data[at : at + 4], at + 4) if masked else (b"\0\0\0\0", at)
        payload, at = data[at : at + size], at + size
        payload = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
        if packed:
            with contextlib.suppress(zlib.error):
                payload = inflating.decompress(payload + b"\0\0\xff\xff")
        yield payload


# --- searching ---------------------------------------------------------------------------------------------


def forms(secret: str) -> Iterator[tuple[bytes, bool]]:
    """How a secret may be written: the bytes, and whether their case matters."""
    assert len(secret) >= 8, f"{secret!r} would be found by chance"
    # Tags are compared without their case, and so may have been lowered before they were encoded.
    for text in {secret, secret.lower(), secret.upper()}:
        data = text.encode()
        yield data.lower(), False
        yield data.hex().encode(), False
        for safe in ("", "/"):
            yield quote(text, safe=safe).encode().lower(), False
        yield "".join(f"%{byte:02x}" for byte in data).encode(), False
        for before in range(3):
            # The characters that hold bits of this text alone, whatever stands before and behind it.
            whole = b64encode(b"\0" * before + data)
            piece = whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
            yield piece, True
            yield piece.replace(b"+", b"-").replace(b"/", b"_"), True


def found(data: bytes, secrets: Mapping[str, str]) -> set[str]:
    """The names of the secrets that stand in these bytes, in whatever form."""
    lower = data.lower()
    return {
        name
        for name, secret in secrets.items()
        if any(form in (data if exact else lower) for form, exact in forms(secret))
    }


def overheard(capture: bytes, secrets: Mapping[str, str]) -> dict[str, set[int]]:
    """By the name of each secret that somebody heard: the ports of the flows in which it was."""
    heard: dict[str, set[int]] = {}
    for flow in flows(capture):
        for view in views(flow.data):
            for name in found(view, secrets):
                heard.setdefault(name, set()).update(flow.ports)
    return heard


def alone() -> list[str]:
    """The words in front of a command that give it a network of its own, with itself as root there."""
    own = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    return [*own, "--kill-child", "--fork"]

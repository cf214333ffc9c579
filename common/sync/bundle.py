"""Bundles: a box's records in a file, for a site that never sees the internet (design §9). Pure.

    magic ─ head (signed) ─ part (signed batch) ─ part … ─ end

What the tunnel proves by its handshake a bundle proves by the box's signature: over its head, and over every
byte of each part. So each part can be believed by itself, and a file may be carried whole or part by part.
Frames are MessagePack behind their length in four bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated, Any

import msgspec

from common.errors import Code, Refused, RemoteFault
from common.sync.messages import VERSIONS, Batch
from common.trust.keys import IdentityKey, Purpose, lines, verify_identity

MAGIC = b"plugside-bundle-v1\n"
#: A part's records, in bytes: with its envelope in base64 it still fits into one message of the app link.
PART_BYTES_MAX = 40 * 1024
#: A frame: a part whose one record is as large as a record may be stays far below.
FRAME_BYTES_MAX = 64 * 1024
#: A whole file; three years of a hundred chargers.
BUNDLE_BYTES_MAX = 1024**3
_LENGTH = 4
CUT = "it ends before its end: it was cut on the way"
CHANGED = "it is not what the site's box signed: it was changed on the way, or another box made it"


class _Frame(msgspec.Struct, tag_field="kind", frozen=True, omit_defaults=True, kw_only=True):
    """Base of the frames."""


class BundleHead(_Frame, tag="head", frozen=True, kw_only=True):
    """Whose records these are, and which: what a hello tells over a tunnel."""

    versions: tuple[int, ...] = VERSIONS
    site: str
    epoch: str
    first_seq: int
    last_seq: int
    chain_end: bytes  #: after `last_seq`
    instance_id: str
    boot_id: str = ""
    wall: str = ""
    clock: str = ""
    software: str = ""
    begins_after: Annotated[int, msgspec.Meta(ge=0)] = 0  #: as in a hello
    rotations: tuple[str, ...] = ()  #: as in a hello
    signature: str = ""


class BundlePart(_Frame, tag="part", frozen=True, kw_only=True):
    """Consecutive records. `batch`: as encoded once, without a link."""

    batch: bytes
    signature: str


class BundleEnd(_Frame, tag="end", frozen=True, kw_only=True):
    """The last frame: nothing is missing."""

    parts: int


Frame = BundleHead | BundlePart | BundleEnd
_encode = msgspec.msgpack.Encoder().encode
_frames: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Frame)
_batches = msgspec.msgpack.Decoder(Batch)


# --- at the box --------------------------------------------------------------------------------------------


def sign_head(head: BundleHead, key: IdentityKey) -> bytes:
    """The head as a frame."""
    signature = key.sign(Purpose.BUNDLE, _head_message(head))
    return _encode(msgspec.structs.replace(head, signature=signature))


def sign_part(site: str, batch: Batch, key: IdentityKey) -> bytes:
    """A batch as a frame."""
    body = _encode(batch)
    return _encode(BundlePart(batch=body, signature=key.sign(Purpose.BUNDLE, _part_message(site, body))))


def _head_message(head: BundleHead) -> bytes:
    return b"head|" + _encode(msgspec.structs.replace(head, signature=""))


def _part_message(site: str, batch: bytes) -> bytes:
    """Over the bytes themselves: a record that was damaged on the way must not be taken for a damaged one."""
    return b"part|" + lines(site, sha256(batch).hexdigest())


def framed(frame: bytes) -> bytes:
    """A frame as it stands in a file."""
    return len(frame).to_bytes(_LENGTH, "big") + frame


def closing(parts: int) -> bytes:
    """The end as it stands in a file."""
    return framed(_encode(BundleEnd(parts=parts)))


def pack(head: bytes, parts: Sequence[bytes]) -> bytes:
    """A whole bundle from its frames."""
    return b"".join((MAGIC, framed(head), *map(framed, parts), closing(len(parts))))


# --- at the cloud ------------------------------------------------------------------------------------------


def unpack(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """A whole bundle's frames: the head, and the parts. Signatures are not looked at.

    Raises Refused(bad_bundle) for what is no bundle, was cut, or goes on behind its end.
    """
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            raise Refused(Code.BAD_BUNDLE, CUT)
        raise Refused(Code.BAD_BUNDLE, "it is no export of a Plugside box")
    frames = list(_split(data))
    if not frames or not isinstance(_read(frames[-1]), BundleEnd):
        raise Refused(Code.BAD_BUNDLE, CUT)
    head, *parts = frames[:-1]
    end = _read(frames[-1])
    if not isinstance(_read(head), BundleHead) or end.parts != len(parts):
        raise Refused(Code.BAD_BUNDLE, "its parts are not those that it names")
    return head, tuple(parts)


def _split(data: bytes) -> Iterator[bytes]:
    at = len(MAGIC)
    while at < len(data):
        size = int.from_bytes(data[at : at + _LENGTH], "big")
        if size > FRAME_BYTES_MAX:
            raise Refused(Code.BAD_BUNDLE, "it is damaged: a part is larger than any can be")
        at += _LENGTH
        if at + size > len(data):
            raise Refused(Code.BAD_BUNDLE, CUT)
        yield data[at : at + size]
        at += size


def _read(frame: bytes) -> Any:
    try:
        return _frames.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        raise Refused(Code.BAD_BUNDLE, "it is damaged: a part cannot be read") from None


def read_head(frame: bytes) -> BundleHead:
    """The head, not believed yet. Raises Refused(bad_bundle)."""
    head = _read(frame)
    if not isinstance(head, BundleHead) or not 0 < len(head.epoch) <= 64:
        raise Refused(Code.BAD_BUNDLE, "it does not begin with a head")
    if not set(head.versions) & set(VERSIONS):
        raise Refused(Code.UNSUPPORTED_VERSION, f"the file offers {list(head.versions)}")
    return head


def open_head(frame: bytes, public: str) -> BundleHead:
    """The head that the box with this key has signed. Raises Refused(bad_bundle)."""
    head = read_head(frame)
    _signed(public, head.signature, _head_message(head))
    return head


def _signed(public: str, signature: str, message: bytes) -> None:
    try:
        verify_identity(public, signature, Purpose.BUNDLE, message)
    except Refused:
        raise Refused(Code.BAD_BUNDLE, CHANGED) from None


def open_part(frame: bytes, head: BundleHead, public: str) -> Batch:
    """A batch that the box with this key has signed. Raises Refused(bad_bundle)."""
    part = _read(frame)
    if not isinstance(part, BundlePart):
        raise Refused(Code.BAD_BUNDLE, "a head or an end at the place of a part")
    try:
        _signed(public, part.signature, _part_message(head.site, part.batch))
        batch = _batches.decode(part.batch)
    except (msgspec.DecodeError, RecursionError, RemoteFault):
        raise Refused(Code.BAD_BUNDLE, "it is damaged: its records cannot be read") from None
    if batch.epoch != head.epoch:
        raise Refused(Code.BAD_BUNDLE, "a part is of another epoch than its head")
    return batch

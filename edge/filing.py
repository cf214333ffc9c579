"""Administration of files: firmware comes onto the box's shelf, chargers' logs are read from it.

Asked over the app link like the rest of `management`. A file comes in pieces, since only the daemon opens the
data folder, maybe as another user than whoever types; what is announced (size, SHA-256) must be what comes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Annotated, Final

import msgspec

from common.desk import STAFF, Plain, Request
from common.domain import Role, iso
from common.errors import Code, Refused
from common.policy import Claims
from common.ports import Clock, Ids
from common.trust import b64, unb64
from edge.chargers.files.shelf import PIECE_BYTES, Firmware, Incoming, Shelf

#: Files on their way at once; the one that was begun the longest ago gives way.
INCOMING_MAX: Final = 2
#: A piece on the app link: a frame has 64 KiB, and base64 adds a third.
CHUNK_BYTES_MAX: Final = 32 * 1024

_Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=128)]
_WHO: Final = frozenset({Role.LOCAL, Role.INSTALLER})


class _Begin(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    sha256: _Hash
    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    name: _Text = ""
    version: _Text = ""
    certificate: Annotated[str, msgspec.Meta(max_length=5500)] = ""  # by the whitepaper, like the next
    signature: Annotated[str, msgspec.Meta(max_length=800)] = ""


class _Chunk(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    upload: _Id
    offset: int
    data: Annotated[str, msgspec.Meta(max_length=CHUNK_BYTES_MAX * 4 // 3 + 4)]


class _End(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    upload: _Id


class _Remove(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    sha256: _Hash


class _Read(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    file: _Id
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


class _List(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Filing:
    """The entries of the box's desk that are about files."""

    def __init__(self, shelf: Shelf, clock: Clock, ids: Ids) -> None:
        self._shelf, self._clock, self._ids = shelf, clock, ids
        self._incoming: OrderedDict[str, tuple[Incoming, Firmware]] = OrderedDict()
        self.table = {
            "firmware_begin": Request(_Begin, _WHO, self._begin),
            "firmware_chunk": Request(_Chunk, _WHO, self._chunk),
            "firmware_end": Request(_End, _WHO, self._end),
            "firmware_remove": Request(_Remove, _WHO, self._remove),
            "firmware_list": Request(_List, STAFF, self._list),
            "upload_read": Request(_Read, STAFF, self._read),
        }

    def close(self) -> None:
        """Drop what is under way; whoever sends it begins again."""
        while self._incoming:
            self._incoming.popitem()[1][0].drop()

    async def _begin(self, args: _Begin, claims: Claims) -> Plain:  # noqa: ARG002
        """`known`: the box has that very file already; there is nothing to send."""
        if bool(args.certificate) != bool(args.signature):
            raise Refused(Code.BAD_REQUEST, "a signature and the certificate that made it go together")
        about = Firmware(
            sha256=args.sha256,
            size_bytes=args.size_bytes,
            name=args.name,
            version=args.version,
            added_at=iso(self._clock.now_ms()),
            certificate=args.certificate,
            signature=args.signature,
        )
        if await asyncio.to_thread(self._has, about):
            return {"known": True, "upload": ""}
        upload = self._ids.uid()
        incoming = await asyncio.to_thread(self._shelf.begin_firmware, upload, args.size_bytes)
        while len(self._incoming) >= INCOMING_MAX:
            _, (oldest, _) = self._incoming.popitem(last=False)
            oldest.drop()
        self._incoming[upload] = (incoming, about)
        return {"known": False, "upload": upload}

    def _has(self, about: Firmware) -> bool:
        for known in self._shelf.firmware():
            if known.sha256 == about.sha256 and known.signature == about.signature:
                try:
                    file, _ = self._shelf.open_firmware(known.sha256)
                except Refused:
                    return False
                file.close()
                return True
        return False

    async def _chunk(self, args: _Chunk, claims: Claims) -> Plain:  # noqa: ARG002
        incoming, _ = self._known(args.upload)
        try:
            piece = unb64(args.data)
        except ValueError as wrong:
            raise Refused(Code.BAD_REQUEST, str(wrong)) from None
        if args.offset != incoming.size_bytes:
            raise Refused(Code.BAD_REQUEST, f"the next byte is {incoming.size_bytes}")
        await asyncio.to_thread(incoming.write, piece)
        return {"size_bytes": incoming.size_bytes}

    async def _end(self, args: _End, claims: Claims) -> Plain:  # noqa: ARG002
        incoming, about = self._known(args.upload)
        del self._incoming[args.upload]
        try:
            await asyncio.to_thread(self._shelf.keep_firmware, incoming, about)
        finally:
            incoming.drop()
        return {"sha256": about.sha256, "size_bytes": about.size_bytes}

    def _known(self, upload: str) -> tuple[Incoming, Firmware]:
        found = self._incoming.get(upload)
        if found is None:
            raise Refused(Code.UNKNOWN_FILE, "this transfer is not under way", hint="Begin it again.")
        return found

    async def _remove(self, args: _Remove, claims: Claims) -> Plain:  # noqa: ARG002
        return {"known": await asyncio.to_thread(self._shelf.remove_firmware, args.sha256)}

    async def _list(self, args: _List, claims: Claims) -> Plain:  # noqa: ARG002
        found = await asyncio.to_thread(lambda: list(self._shelf.firmware()))
        rows = [
            {
                "sha256": about.sha256,
                "size_bytes": about.size_bytes,
                "name": about.name,
                "version": about.version,
                "added_at": about.added_at,
                "signed": bool(about.signature),
            }
            for about in found
        ]
        return {"firmware": rows}

    async def _read(self, args: _Read, claims: Claims) -> Plain:  # noqa: ARG002
        piece, size = await asyncio.to_thread(self._shelf.read_upload, args.file, args.offset, PIECE_BYTES)
        return {"data": b64(piece), "size_bytes": size}

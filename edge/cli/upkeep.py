"""Subcommands about a charger's upkeep: firmware, logs, triggers, certificates.

Clients of the running box like those of `local`. A firmware file goes to it in pieces over the local socket,
since only the daemon opens the data folder; a log comes back the same way.
"""

from __future__ import annotations

import argparse
import base64
import binascii
from collections.abc import Callable, Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from common.cli.output import count, print_json, printable, table
from common.cli.words import instant_text
from common.client.connection import Connection
from common.commands import Name
from common.domain import Target
from common.errors import Code, LocalFault, error
from common.trust import b64, unb64
from edge.cli.connect import connect
from edge.cli.ends import ended, failed, told

#: As `edge.filing` takes it.
_CHUNK_BYTES: Final = 32 * 1024


async def chargers_firmware(args: argparse.Namespace) -> int:
    if bool(args.signature) != bool(args.certificate):
        raise LocalFault(Code.BAD_SETTINGS, "give --signature and --certificate together, or neither")
    async with connect(args) as box:
        if args.file is not None:
            digest, signed = await _give(box, args)
        else:
            digest, signed = args.sha256, await _is_signed(box, args.sha256)
        wanted = {"file": digest, "version": args.to, "signed": signed}
        stages = box.command(Name.UPDATE_FIRMWARE, Target(charger=args.charger), wanted)
        await stages.accepted()
        if args.no_wait:
            return told(
                args, f"The box has taken it on: {args.charger} gets it once no car charges there.", {}
            )
        if not args.json:
            print(
                "The box has taken it on. It waits until no car charges, then for the charger to install it."
            )
        return await ended(args, stages, f"{args.charger} has the new firmware")


async def _give(box: Connection, args: argparse.Namespace) -> tuple[str, bool]:
    """Bring the file onto the box's shelf, unless it is there."""
    digest, size = _hash(args.file)
    about = {
        "sha256": digest,
        "size_bytes": size,
        "name": args.file.name[:128],
        "version": args.to,
        "certificate": _read(args.certificate).decode("ascii", "replace").strip() if args.certificate else "",
        "signature": _signature(args.signature) if args.signature else "",
    }
    begun = await box.manage("firmware_begin", about)
    if not begun["known"]:
        with _opened(args.file) as file:
            offset = 0
            while piece := file.read(_CHUNK_BYTES):
                chunk = {"upload": begun["upload"], "offset": offset, "data": b64(piece)}
                offset = (await box.manage("firmware_chunk", chunk))["size_bytes"]
        await box.manage("firmware_end", {"upload": begun["upload"]})
        if not args.json:
            print(f"{args.file.name} is on the box: {size} bytes, SHA-256 {digest}")
    return digest, bool(args.signature)


async def _is_signed(box: Connection, digest: str) -> bool:
    for about in (await box.manage("firmware_list"))["firmware"]:
        if about["sha256"] == digest:
            return bool(about["signed"])
    raise error(Code.UNKNOWN_FILE, digest[:64])


def _hash(path: Path) -> tuple[str, int]:
    hashed, size = sha256(), 0
    with _opened(path) as file:
        while piece := file.read(1024 * 1024):
            hashed.update(piece)
            size += len(piece)
    return hashed.hexdigest(), size


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as missing:
        raise LocalFault(Code.BAD_SETTINGS, f"{path}: {missing.strerror}") from None


def _read(path: Path) -> bytes:
    with _opened(path) as file:
        return bytes(file.read(64 * 1024))


def _signature(path: Path) -> str:
    """A signature as base64, which is how chargers get it, whichever way it is in the file."""
    raw = _read(path)
    text = b"".join(raw.split())
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return base64.b64encode(raw).decode()
    return text.decode()


async def chargers_diagnostics(args: argparse.Namespace) -> int:
    wanted = {"log": "security" if args.security else "diagnostics", "since": args.since, "until": args.until}
    async with connect(args) as box:
        stages = box.command(Name.FETCH_DIAGNOSTICS, Target(charger=args.charger), wanted)
        end = await stages.settled()
        if end.outcome != "succeeded":
            return failed(args, end)
        # the charger's own name for it is for people only: it may be anything
        place = args.output or Path(f"{args.charger}-{end.result['file'][:13]}.log")
        await _save(box, end.result["file"], place)
    size = count(end.result["size_bytes"], "byte")
    named = printable(end.result["name"] or "")
    text = f"{place}: {size} from {args.charger}" + (f", which calls it {named}." if named else ".")
    return told(args, text, {**end.result, "saved": str(place)})


async def _save(box: Connection, file: str, place: Path) -> None:
    try:
        with place.open("xb") as out:
            while True:
                piece = await box.manage("upload_read", {"file": file, "offset": out.tell()})
                out.write(unb64(piece["data"]))
                if out.tell() >= piece["size_bytes"]:
                    return
    except FileExistsError:
        raise LocalFault(Code.BAD_SETTINGS, f"{place} exists; name another --output") from None
    except OSError as failed:
        raise LocalFault(Code.BAD_SETTINGS, f"{place}: {failed.strerror}") from None


async def chargers_trigger(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        target = Target(charger=args.charger, evse=args.connector)
        stages = box.command(Name.TRIGGER, target, {"what": args.what})
        return await ended(args, stages, f"{args.charger} will tell: {args.what}")


async def chargers_certificates(args: argparse.Namespace) -> int:
    target = Target(charger=args.charger)
    async with connect(args) as box:
        if args.install is not None:
            pem = _read(args.install).decode("ascii", "replace").strip()
            stages = box.command(Name.INSTALL_CERTIFICATE, target, {"use": args.use, "certificate": pem})
            return await ended(args, stages, f"{args.charger} has taken the certificate")
        listed = box.command(Name.LIST_CERTIFICATES, target, {"use": args.use})
        end = await listed.settled()
        if end.outcome != "succeeded":
            return failed(args, end)
        answer = await listed.confirmed()
        rows = answer.result.get("certificates", []) if answer is not None else []
        if args.remove is not None:
            wanted = [row for row in rows if row["serial"].casefold() == args.remove.casefold()]
            if not wanted:
                raise LocalFault(Code.BAD_SETTINGS, f"{args.charger} trusts no certificate {args.remove!r}")
            stages = box.command(Name.DELETE_CERTIFICATE, target, wanted[0])
            return await ended(args, stages, f"{args.charger} no longer trusts {args.remove}")
    if args.json:
        print_json(rows)
    elif rows:
        columns = ("serial", "algorithm", "issuer_name", "issuer_key")
        headers = ("Serial", "Hash", "Issuer's name, hashed", "Issuer's key, hashed")
        table(headers, [tuple(printable(str(row[c])) for c in columns) for row in rows])
    else:
        print(f"{args.charger} trusts no certificate for that use.")
    return 0


async def firmware_list(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        rows = (await box.manage("firmware_list"))["firmware"]
    if args.json:
        print_json(rows)
    elif rows:
        headers = ("Added", "File", "Version", "Bytes", "Signed", "SHA-256")
        table(headers, [_firmware_row(row) for row in rows])
    else:
        print("No firmware file.")
    return 0


def _firmware_row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        instant_text(row["added_at"]),
        printable(row["name"]),
        printable(row["version"]),
        str(row["size_bytes"]),
        "yes" if row["signed"] else "no",
        row["sha256"],
    )


async def firmware_remove(args: argparse.Namespace) -> int:
    async with connect(args) as box:
        done = await box.manage("firmware_remove", {"sha256": args.sha256})
    return told(args, "It is gone." if done["known"] else "The box has no such file.", done)


HANDLERS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "chargers_firmware": chargers_firmware,
    "chargers_diagnostics": chargers_diagnostics,
    "chargers_trigger": chargers_trigger,
    "chargers_certificates": chargers_certificates,
    "firmware_list": firmware_list,
    "firmware_remove": firmware_remove,
}

"""`plugside-cloud keys`: the signing keys of rights, with a root that never comes near the running cloud.

keys            what is in force
keys request    → a file  → keys sign --root FILE, on any machine → a file → keys install
keys rotate     the three at once, where the root can be read from here
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cloud.cli.connect import connect
from common import trust
from common.cli.output import DONE, print_json, table
from common.errors import Code, LocalFault

T = TypeVar("T")

#: The largest file that is read here: a key is 119 bytes, a set with ten keys is 2 KiB.
_FILE_BYTES_MAX = 64 * 1024


async def show(args: argparse.Namespace) -> int:
    """The key set in force."""
    async with connect(args) as cloud:
        _tell(await cloud.manage("keys", {}), args)
    return DONE


async def request(args: argparse.Namespace) -> int:
    """Print what the root is to sign."""
    async with connect(args) as cloud:
        print_json(await cloud.manage("keys_request", _wanted(args)))
    return DONE


async def sign(args: argparse.Namespace) -> int:
    """Sign a request with the root, on whatever machine the root is."""
    wanted = _parsed(args.file, trust.KeySet, "what `plugside-cloud keys request` printed")
    print_json(msgspec.to_builtins(_signed(wanted, args.root)))
    return DONE


async def install(args: argparse.Namespace) -> int:
    """Bring the signed set to the cloud."""
    signed = _parsed(args.file, trust.SignedKeySet, "what `plugside-cloud keys sign` printed")
    async with connect(args) as cloud:
        _tell(await cloud.manage("keys_install", msgspec.to_builtins(signed)), args)
    return DONE


async def rotate(args: argparse.Namespace) -> int:
    """Request, sign and install. The root is read by this process and handed to nobody."""
    async with connect(args) as cloud:
        wanted = msgspec.convert(await cloud.manage("keys_request", _wanted(args)), trust.KeySet)
        signed = _signed(wanted, args.root)
        _tell(await cloud.manage("keys_install", msgspec.to_builtins(signed)), args)
    return DONE


HANDLERS: dict[str | None, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    None: show,
    "request": request,
    "sign": sign,
    "install": install,
    "rotate": rotate,
}


def _wanted(args: argparse.Namespace) -> dict[str, bool]:
    return {"at_once": args.at_once, "drop_old": args.drop_old}


def _signed(wanted: trust.KeySet, path: Path) -> trust.SignedKeySet:
    root = trust.IssuerKey.from_pem(_read(path))
    if root.public != wanted.root:
        raise LocalFault(
            Code.BAD_SETTINGS,
            f"{path} is another cloud's root",
            hint="Name the root.pem that this cloud made at its first start; `plugside-cloud keys --json`"
            " shows its public key.",
        )
    return trust.sign_key_set(root, wanted.number, wanted.keys)


def _parsed(path: Path, shape: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(_read(path), type=shape)
    except (msgspec.DecodeError, RecursionError):
        raise LocalFault(
            Code.BAD_SETTINGS, f"{path} cannot be read", hint=f"It should hold {what}."
        ) from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX)
    except OSError as failed:
        raise LocalFault(
            Code.BAD_SETTINGS, f"{path}: {failed.strerror}", hint="Name a file that is here and readable."
        ) from None


def _tell(told: dict[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        print_json(told)
        return
    rows = [
        (
            key["id"][:16],
            "signs now" if key["signs"] else "counts",
            key["from"] or "the first day",
            key["until"],
        )
        for key in told["keys"]
    ]
    print(f"Key set {told['number']}:")
    table(("Key", "State", "From", "Until"), rows)
    if told["root_is_here"]:
        print("The root key lies beside the cloud: put keys/root.pem into a safe and delete it here.")

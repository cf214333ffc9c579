"""`plugside-cloud import FILE`: take in what a box without internet has exported.

To the cloud on this machine over its socket; with --url to one anywhere, over HTTPS. Nothing is sent of a
file that is not whole, and what is in the cloud already is skipped there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from cloud.cli.connect import connect
from common.cli.output import DONE, FAILED, count, print_json, printable
from common.errors import Code, LocalFault, RemoteFault, Unavailable, from_wire
from common.link.websocket import is_loopback
from common.sync import bundle
from common.trust import b64

#: One request's body: below the cloud's limit of 1 MiB, and on a slow line an answer every minute.
BODY_BYTES = 512 * 1024
_AGAIN = "Start it, then run the same again: what arrived is skipped."
#: For one request with its answer, in s.
REQUEST_TIMEOUT_S = 120.0


async def import_(args: argparse.Namespace) -> int:
    """Exit 1 when a record of the file had to be put aside."""
    head, parts = bundle.unpack(_read(args.file))
    head_of = bundle.read_head(head)
    told = await (_over_https if args.url else _here)(args, head, parts)
    if args.json:
        print_json(told)
    else:
        held = head_of.last_seq - head_of.first_seq + 1
        print(f"{told['name']}: {count(held, 'record')} in the file, {told['new']} of them new here.")
        print(f"Everything up to record {told['hwm']} of epoch {told['epoch']} is in this cloud.")
        if told["quarantined"]:
            _print_aside(told)
        print(f"The next time this is enough:  plugside-edge export --after {told['hwm']} FILE")
    return FAILED if told["quarantined"] else DONE


def _print_aside(told: dict[str, Any]) -> None:
    aside = told["quarantined"]
    verb = "lies" if len(aside) == 1 else "lie"
    numbers = ", ".join(map(str, aside[:10])) + (" and more" if len(aside) > 10 else "")
    print(f"But {count(len(aside), 'record')} could not be read and {verb} in quarantine: {numbers}.")
    print(f'Keep the file. Why, and what it may touch:  plugside-cloud reconcile "{printable(told["name"])}"')


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > bundle.BUNDLE_BYTES_MAX:
            raise LocalFault(Code.BAD_SETTINGS, f"{file} is larger than any export")
        return file.read_bytes()
    except OSError as refused:
        raise LocalFault(
            Code.BAD_SETTINGS, f"{file}: {refused.strerror or refused}", hint="Name a file that you may read."
        ) from None


async def _here(args: argparse.Namespace, head: bytes, parts: Sequence[bytes]) -> dict[str, Any]:
    """Part by part over the local socket."""
    async with connect(args) as cloud:
        told = await cloud.manage("import", {"head": b64(head)})
        new, quarantined = 0, []
        for part in parts:
            try:
                told = await cloud.manage("import", {"head": b64(head), "part": b64(part)})
            except (LocalFault, Unavailable) as gone:
                if gone.code not in (Code.NOT_RUNNING, Code.NO_PATH):
                    raise
                raise LocalFault(Code.NOT_RUNNING, "it went away meanwhile", hint=_AGAIN) from None
            new += told["new"]
            quarantined += told["quarantined"]
    return {**told, "new": new, "quarantined": quarantined}


async def _over_https(args: argparse.Namespace, head: bytes, parts: Sequence[bytes]) -> dict[str, Any]:
    import httpx

    base = args.url.rstrip("/")
    site = quote(bundle.read_head(head).site, safe="")
    outward = not is_loopback(urlsplit(base).hostname or "")
    if outward and urlsplit(base).scheme != "https":
        raise LocalFault(Code.BAD_SETTINGS, f"{base} is not https", hint="Plain HTTP is for this machine.")
    new, quarantined = 0, []
    told: dict[str, Any] = {}
    try:
        async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=outward) as client:
            for body in _bodies(head, parts):
                answer = await client.post(f"{base}/v1/sites/{site}/bundles", content=body)
                told = _answered(base, answer.status_code, answer.content)
                new += told["new"]
                quarantined += told["quarantined"]
    except httpx.HTTPError as failed:
        why = f"{base}: {failed or type(failed).__name__}"
        raise Unavailable(
            Code.CLOUD_UNREACHABLE, why, hint="Run the same again later: what arrived is skipped."
        ) from None
    return {**told, "new": new, "quarantined": quarantined}


def _bodies(head: bytes, parts: Sequence[bytes]) -> Iterator[bytes]:
    """The file in pieces, each a whole bundle."""
    taken: list[bytes] = []
    size = 0
    for part in parts:
        if taken and size + len(part) > BODY_BYTES:
            yield bundle.pack(head, taken)
            taken, size = [], 0
        taken.append(part)
        size += len(part)
    yield bundle.pack(head, taken)


def _answered(base: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(body)
        if status == 200:
            return {**told, "new": told.get("new", 0), "quarantined": list(told.get("quarantined", ()))}
        raise from_wire(told["code"], told["message"], told["hint"])
    except (msgspec.DecodeError, KeyError, TypeError):
        raise RemoteFault(Code.PROTOCOL, f"{base} answered {status} with something else") from None

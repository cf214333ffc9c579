"""`plugside receipt`: one charge as its box signed it, as a file; and the check of such a file, offline."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from common.cli.files import whole_file
from common.cli.output import DONE, print_json, printable, table
from common.cli.receipt_page import check_page, page, receipt_in
from common.cli.words import energy_text, instant_text
from common.client.profile import Profile, default_folder
from common.errors import Code, LocalFault, PlugsideError, Refused, RemoteFault
from common.facts import Fact
from common.trust.keys import fingerprint
from common.trust.receipts import (
    RECEIPT_BYTES_MAX,
    BadReceipt,
    Flaw,
    Receipt,
    Summary,
    check_receipt,
    open_receipt,
    receipt_bytes,
    summary,
)

if TYPE_CHECKING:
    from common.client.client import Client

#: Sessions among which the one that is meant is looked for.
LOOK_MAX = 500
#: A page is a receipt, escaped, and some text.
_FILE_BYTES_MAX = 6 * RECEIPT_BYTES_MAX


# --- asking for one ----------------------------------------------------------------------------------------


async def receipt(client: Client, args: argparse.Namespace) -> int:
    """Write a receipt of the session that is meant, once it has been checked here."""
    site, session = await _find(client, args.session)
    rows = await client.query(site, "receipt", {"session": session})
    try:
        (got,) = (msgspec.convert(row, Receipt) for row in rows)
    except (ValueError, msgspec.ValidationError) as wrong:
        raise RemoteFault(Code.PROTOCOL, f"no receipt: {wrong}") from None
    # Whoever carried it: what is written here is what the box signed, for the session that was asked for.
    entry = client.profile.get(site)
    told = check_receipt(got, entry.box, entry.was)
    if (got.site, got.session) != (site, session):
        raise BadReceipt(Flaw.SESSION, "it is of another session than was asked for")
    text = page(got, told, args.language) if args.html else receipt_bytes(got).decode() + "\n"
    if args.out is None:
        sys.stdout.write(text)
        return DONE
    _write(args.out, text)
    if args.json:
        print_json({"file": str(args.out), **_json(got, told, known=True)})
    else:
        energy = energy_text(summary(told).row.energy_wh) or "energy not known"
        print(f"{args.out}: {energy}, signed by box {fingerprint(got.key)[:8]}.")
        print(f"Anybody can check it, without a network:  plugside receipt verify {args.out}")
    return DONE


async def _find(client: Client, text: str) -> tuple[str, str]:
    """Site and uid of the session that is meant: `last`, a uid, or the beginning of one."""
    answers = await asyncio.gather(
        *(client.query(site, "sessions", limit=LOOK_MAX) for site in client.sites), return_exceptions=True
    )
    rows: list[tuple[str, str, str]] = []
    failed: list[PlugsideError] = []
    for site, answer in zip(client.sites, answers, strict=True):
        if isinstance(answer, PlugsideError):
            failed.append(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            rows += [(row.get("started_at") or "", site, row["session"]) for row in answer if _ended(row)]
    if text == "last":
        found = [max(rows)] if rows else []
    else:
        found = [row for row in rows if row[2] == text] or [row for row in rows if row[2].startswith(text)]
    if len(found) == 1:
        return found[0][1], found[0][2]
    if found:
        raise Refused(Code.UNKNOWN_SESSION, f"{len(found)} begin with {text}", hint="Write more of it.")
    if failed and not rows:
        raise failed[0]
    raise Refused(
        Code.UNKNOWN_SESSION,
        f"{text[:64]!a}, among those that have ended",
        hint="`plugside sessions` shows them.",
    )


def _ended(row: dict[str, Any]) -> bool:
    return row.get("state") != "open"


def _write(file: Path, text: str) -> None:
    with whole_file(file, hint="Name a file that can be written.") as out:
        out.write(text.encode())


# --- checking one ------------------------------------------------------------------------------------------


async def verify(args: argparse.Namespace) -> int:
    """Check a file by itself: no network, no daemon. Raises BadReceipt with what is wrong."""
    text = _read(args.file)
    is_page = text.lstrip().startswith("<")
    got = open_receipt(receipt_in(text) if is_page else text)
    known_box, former = _known_box(args, got.site)
    expected = args.box or known_box
    told = check_receipt(got, expected, former if expected == known_box else {})
    if is_page:
        check_page(text, got, told)
    known = bool(expected)
    if args.json:
        print_json({"genuine": True, **_json(got, told, known=known)})
    else:
        _print(got, summary(told), known=known)
    return DONE


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            found = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as failed:
        raise LocalFault(
            Code.BAD_SETTINGS, f"{file}: {failed.strerror}", hint="Name a receipt's file."
        ) from None
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise BadReceipt(Flaw.FORM, "it is no text") from None


def _known_box(args: argparse.Namespace, site: str) -> tuple[str, dict[str, int]]:
    """The box that this device was paired with at that site, and its former keys; empty where with none."""
    folder: Path = args.home or default_folder()
    if not folder.is_dir():
        return "", {}
    try:
        found = (entry for entry in Profile(folder).sites if entry.site == site)
        return next(((entry.box, entry.was) for entry in found), ("", {}))
    except PlugsideError:
        return "", {}


def _json(got: Receipt, told: tuple[Fact, ...], *, known: bool) -> dict[str, Any]:
    said = summary(told)
    row: dict[str, Any] = {name: getattr(said.row, name) for name in said.row.__struct_fields__}
    return {
        "site": got.site,
        "name": got.name,
        "box": fingerprint(got.key),
        "box_known": known,
        "signed_at": got.at,
        "epoch": got.epoch,
        "seq": got.records[-1].seq,
        **row,
        "principal": said.principal,
        "obtained": said.obtained,
        "flags": list(said.flags),
        "signed": list(said.documents),
        "left_out": got.left_out,
    }


def _print(got: Receipt, said: Summary, *, known: bool) -> None:
    row = said.row
    state = " (provisional)" if row.provisional else ""
    print("Genuine: a box signed exactly this.")
    table(
        ("Site", "Charger", "Started", "Ended", "Energy", "Obtained", "Charged to"),
        [
            (
                got.name or got.site,
                row.charger,
                instant_text(row.started_at),
                instant_text(row.ended_at) + state,
                energy_text(row.energy_wh) or "not known",
                said.obtained,
                said.principal or "not known",
            )
        ],
    )
    if said.documents:
        print(f"Signed meter data: {len(said.documents)}, as the charger sent it (--json shows it).")
    print(f"Box {fingerprint(got.key)}, at {printable(got.at)}, fact {got.records[-1].seq} of {got.epoch}.")
    if not known:
        print(
            "This device does not know that box: compare its id with the one that the site's operator names."
        )

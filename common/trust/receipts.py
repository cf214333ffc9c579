"""Receipts: one session's records, signed by its box, checked by anybody without a network. Pure.

    box      records of the journal, exact bytes ─▶ Receipt ─▶ sign_receipt
    reader   open_receipt ─▶ check_receipt ─▶ the facts in it ─▶ summary

Every field is under the box's signature, and nothing is told twice: times, energy and payer are in the
records themselves, whose bytes are those that the chain covers. Signed meter data (OCMF) is in them as the
charger sent it. What a receipt proves and what not: `RECEIPTS.md` beside this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec

from common import chain, facts, signed
from common.domain import EnergyMethod, from_iso
from common.errors import Code, PlugsideError, RemoteFault
from common.facts import Fact
from common.reconcile import LedgerRow, fold
from common.trust.heads import check_head
from common.trust.keys import IdentityKey, Purpose, fingerprint, unb64, verify_identity

#: Records in one receipt: start, end, revisions, and the signed meter data of a charge.
RECORDS_MAX = 64
#: A receipt as a file: as many records of the largest size, and what JSON adds to them.
RECEIPT_BYTES_MAX = 2 * 1024 * 1024

Seq = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=256)]


class Flaw(StrEnum):
    """What is wrong with a receipt: the first thing that was found."""

    FORM = "form"  #: it is no receipt, or one that was cut or added to
    VERSION = "version"  #: it holds records of a newer box
    BOX = "box"  #: it is signed by another box than the one that is known
    RECORD = "record"  #: a record is not what the box wrote down
    CHAIN = "chain"  #: the records do not lead to the chain that the box signed
    HEAD = "head"  #: the chain's head does not carry the box's signature
    SESSION = "session"  #: the records are not of one whole session
    SIGNATURE = "signature"  #: something else in it was changed after the box signed it
    PAGE = "page"  #: a printed page shows something else than the receipt in it


class BadReceipt(RemoteFault):
    """Not what a box signed; `flaw` names why."""

    def __init__(self, flaw: Flaw, why: str) -> None:
        super().__init__(Code.BAD_RECEIPT, f"{flaw.value}: {why}")
        self.flaw = flaw


class ReceiptRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One record of the journal with its place in the chain. Bytes are base64url, `record` is their text."""

    seq: Seq
    uid: _Text
    salt: _Text
    inner: _Text  #: H(salt, record)
    before: _Text  #: the chain before it
    record: Annotated[str, msgspec.Meta(max_length=facts.RECORD_BYTES_MAX)]


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module. `chain`: after the last of the records; `head`: the box's signature of that."""

    format: Literal["plugside-receipt-1"] = "plugside-receipt-1"
    site: _Text
    name: _Text  #: what people call the site
    session: _Text
    epoch: _Text
    records: Annotated[tuple[ReceiptRecord, ...], msgspec.Meta(min_length=1, max_length=RECORDS_MAX)]
    left_out: Annotated[int, msgspec.Meta(ge=0)] = 0  #: records with signed meter data that had no room
    chain: _Text
    at: _Text  #: site time of the signatures
    key: _Text  #: the box's public key
    head: _Text
    signature: _Text = ""


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Receipt)


def receipt_bytes(receipt: Receipt) -> bytes:
    """The receipt as a file: JSON with its members sorted, no blanks (RFC 8785), UTF-8."""
    return _encoder.encode(receipt)


def _message(receipt: Receipt) -> bytes:
    return sha256(receipt_bytes(msgspec.structs.replace(receipt, signature=""))).digest()


def sign_receipt(identity: IdentityKey, receipt: Receipt) -> Receipt:
    """The receipt with the box's signature over all the rest of it."""
    signature = identity.sign(Purpose.RECEIPT, _message(receipt))
    return msgspec.structs.replace(receipt, signature=signature)


def open_receipt(text: bytes | str) -> Receipt:
    """Read `receipt_bytes`, with or without a line break at its end. Raises BadReceipt(form).

    In that one spelling only: what a reader's eye finds in the file is what was signed.
    """
    try:
        given = (text.encode() if isinstance(text, str) else text).removesuffix(b"\n")
        if len(given) > RECEIPT_BYTES_MAX:
            raise BadReceipt(Flaw.FORM, "it is longer than any receipt")
        receipt = _decoder.decode(given)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as unreadable:
        raise BadReceipt(Flaw.FORM, str(unreadable)) from None
    if receipt_bytes(receipt) != given:
        raise BadReceipt(Flaw.FORM, "it is not spelt as it was written")
    return receipt


def check_receipt(
    receipt: Receipt, box: str = "", former: Mapping[str, int] = MappingProxyType({})
) -> tuple[Fact, ...]:
    """The facts in a receipt that a box signed. box: the fingerprint that it must have; empty = any.

    former: fingerprints that the box had before, and until when (ms) each may have signed.

    Raises BadReceipt with the first flaw found; what no other check names is found by the signature over all.
    """
    if not _is_key(receipt.key):
        raise BadReceipt(Flaw.FORM, "its key is none")
    signer = fingerprint(receipt.key)
    if box and signer != box:
        if signer not in former:
            raise BadReceipt(Flaw.BOX, f"box {signer} signed it, not {box}")
        if _at_ms(receipt) > former[signer]:
            raise BadReceipt(Flaw.BOX, f"signed by key {signer}, which the box had given up by then")
    told = [_opened(receipt, record) for record in receipt.records]
    reached = _walked(receipt.records)
    if reached != _bytes(receipt.chain):
        raise BadReceipt(Flaw.CHAIN, "its records do not lead to the chain that it names")
    last = receipt.records[-1].seq
    try:
        check_head(receipt.key, receipt.head, receipt.site, receipt.epoch, last, reached, receipt.at)
    except PlugsideError:
        raise BadReceipt(Flaw.HEAD, "the head of the chain is not signed by this box") from None
    _one_session(receipt, told)
    try:
        verify_identity(receipt.key, receipt.signature, Purpose.RECEIPT, _message(receipt))
    except PlugsideError:
        raise BadReceipt(Flaw.SIGNATURE, "it was changed after the box signed it") from None
    return tuple(told)


def _at_ms(receipt: Receipt) -> int:
    try:
        return from_iso(receipt.at)
    except ValueError:
        raise BadReceipt(Flaw.FORM, "its time is none") from None


def _is_key(text: str) -> bool:
    try:
        return len(unb64(text)) == 65
    except ValueError:
        return False


def _bytes(text: str) -> bytes:
    try:
        return unb64(text)
    except ValueError as wrong:
        raise BadReceipt(Flaw.FORM, str(wrong)) from None


def _opened(receipt: Receipt, entry: ReceiptRecord) -> Fact:
    """The fact in a record whose bytes are those that the chain covers."""
    try:
        record = entry.record.encode()
    except UnicodeEncodeError:
        raise BadReceipt(Flaw.RECORD, f"record {entry.seq} is no text") from None
    if chain.inner_hash(_bytes(entry.salt), record) != _bytes(entry.inner):
        raise BadReceipt(Flaw.RECORD, f"record {entry.seq} does not fit its hash")
    try:
        fact = facts.read(receipt.epoch, entry.seq, record)
    except (msgspec.DecodeError, RecursionError):
        raise BadReceipt(Flaw.RECORD, f"record {entry.seq} cannot be read") from None
    if fact.uid != entry.uid:
        raise BadReceipt(Flaw.RECORD, f"record {entry.seq} carries another uid")
    if isinstance(fact.body, facts.UnknownBody):
        raise BadReceipt(Flaw.VERSION, f"record {entry.seq} is of a newer box: update plugside")
    return fact


def _walked(records: Sequence[ReceiptRecord]) -> bytes:
    """The chain after the last record. Raises BadReceipt(chain) where neighbours do not join."""
    reached, at = b"", 0
    for entry in records:
        if entry.seq <= at:
            raise BadReceipt(Flaw.CHAIN, f"record {entry.seq} is out of its order")
        before = _bytes(entry.before)
        if entry.seq == at + 1 and at and before != reached:
            raise BadReceipt(Flaw.CHAIN, f"record {entry.seq} does not follow {at}")
        reached, at = chain.link(before, entry.seq, entry.uid, _bytes(entry.inner)), entry.seq
    return reached


def _one_session(receipt: Receipt, told: Sequence[Fact]) -> None:
    if any(getattr(fact.body, "session", None) != receipt.session for fact in told):
        raise BadReceipt(Flaw.SESSION, "it holds a record of another session")
    if not any(isinstance(fact.body, facts.SessionStarted) for fact in told):
        raise BadReceipt(Flaw.SESSION, "the session's start is missing")
    if not any(isinstance(fact.body, facts.SessionEnded | facts.SessionRevised) for fact in told):
        raise BadReceipt(Flaw.SESSION, "the session's end is missing")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of a checked receipt come to."""

    row: LedgerRow
    principal: str | None
    obtained: str  #: measured | estimated | operator
    flags: tuple[str, ...]
    documents: tuple[str, ...]  #: signed meter data, each as the charger sent it


def summary(told: Iterable[Fact]) -> Summary:
    """What facts from `check_receipt` come to, by the ledger's own rule."""
    row: LedgerRow | None = None
    principal: str | None = None
    obtained = EnergyMethod.UNKNOWN.obtained
    flags: list[str] = []
    samples = []
    for fact in told:
        body = fact.body
        if isinstance(body, facts.MeterSampled):
            samples += [sample for sample in body.samples if sample.signed]
            continue
        row = fold(row, body)
        principal = principal or getattr(body, "principal", None)
        flags += getattr(body, "flags", ())
        if isinstance(body, facts.SessionEnded):
            obtained = body.method.obtained
        elif isinstance(body, facts.SessionRevised):
            obtained = body.obtained if body.obtained != "measured" else body.method.obtained
    assert row is not None, "a checked receipt has a start"
    return Summary(
        row=row,
        principal=principal,
        obtained=obtained,
        flags=tuple(dict.fromkeys(flags)),
        documents=tuple(signed.documents(samples)),
    )

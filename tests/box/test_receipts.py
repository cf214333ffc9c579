"""Receipts from a real journal: signed by the box, checked by anybody, and nothing in them can be changed."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import facts, sync, trust
from common.cli.main import main
from common.cli.receipt_page import LANGUAGES, TEXTS, check_page, page, receipt_in
from common.clock import SystemClock, SystemIds
from common.domain import EnergyMethod, MeterSample
from common.errors import Refused
from common.keystore import Keystore, generate_identity
from common.trust.receipts import (
    RECORDS_MAX,
    BadReceipt,
    Flaw,
    Receipt,
    check_receipt,
    open_receipt,
    receipt_bytes,
    sign_receipt,
    summary,
)
from edge.authority import Authority
from edge.journal import thinning
from edge.journal.evidence import collect
from edge.receipts import Receipts, witnessed
from tests.journal.support import AT, Started, ended, lost, revised, running, sampled, started

OCMF = 'OCMF|{"FV":"1.0","GI":"A\\u00e9","RD":[{"TM":"2026-11-20T09:59:58,000+0000 S","RV":1.0}]}|{"SD":"30"}'


def signed(session: str, *documents: str, context: str = "begin") -> facts.MeterSampled:
    sample = MeterSample(at=AT, context=context, energy_wh=1000.0, signed=documents)
    return facts.MeterSampled(charger="CP1", evse=1, session=session, principal="ann", samples=(sample,))


def authority(folder: Path) -> Authority:
    return Authority(Keystore(folder / "keys"), name="Home <b>& Co", clock=SystemClock(), ids=SystemIds())


async def charge(box: Started) -> None:
    """A session with signed data, a revision, and what goes on beside it."""
    await box.write(
        lost(),
        started("s1", principal="ann"),
        signed("s1", OCMF),
        sampled("s1"),
        started("s2", charger="CP2", principal="bob"),
        signed("s2", "another's"),
        sampled("s1", 2000.0),
        ended("s1", principal="ann", provisional=True, flags=("missing_stop",)),
        signed("s1", OCMF, context="end"),
        lost(),
        revised("s1", 1, principal="ann", energy_wh=6500.0, method=EnergyMethod.REGISTER),
        lost(),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Receipt:
    """A receipt of s1."""
    folder = tmp_path_factory.mktemp("journal")

    async def make() -> Receipt:
        async with running(folder) as box:
            await charge(box)
            return await Receipts(box.journal.path, authority(folder), SystemClock()).make("s1")

    return asyncio.run(make())


def test_a_receipt_holds_the_records_themselves_and_their_places(made: Receipt) -> None:
    told = check_receipt(open_receipt(receipt_bytes(made)))
    assert [(fact.seq, fact.kind) for fact in told] == [
        (2, "session_started"),
        (3, "meter_sampled"),
        (8, "session_ended"),
        (9, "meter_sampled"),
        (11, "session_revised"),
    ]
    said = summary(told)
    assert (said.row.energy_wh, said.row.revision, said.row.provisional) == (6500.0, 1, False)
    assert (said.principal, said.obtained, said.flags) == ("ann", "measured", ("missing_stop",))
    assert said.documents == (OCMF, OCMF), "signed meter data as the charger sent it, byte for byte"
    assert len(receipt_bytes(made)) < 8 * 1024


def test_the_box_is_named_and_another_one_is_told_apart(made: Receipt) -> None:
    check_receipt(made, trust.fingerprint(made.key))
    with pytest.raises(BadReceipt) as other:
        check_receipt(made, generate_identity().fingerprint)
    assert other.value.flaw is Flaw.BOX
    # Whoever has another key can sign anything with it: that is another box's word, and says so.
    forger = generate_identity()
    forged = sign_receipt(forger, msgspec.structs.replace(made, key=forger.public, name="Elsewhere"))
    with pytest.raises(BadReceipt) as forged_head:
        check_receipt(forged)
    assert forged_head.value.flaw is Flaw.HEAD


def changed(receipt: Receipt, place: int, **fields: Any) -> Receipt:
    records = list(receipt.records)
    records[place] = msgspec.structs.replace(records[place], **fields)
    return msgspec.structs.replace(receipt, records=tuple(records))


def test_what_is_wrong_is_named(made: Receipt) -> None:
    first, last = made.records[0], made.records[-1]
    more = first.record.replace('"meter_start_wh":1000.0', '"meter_start_wh":2000.0')
    assert more != first.record
    bad: list[tuple[Receipt, Flaw]] = [
        (changed(made, 0, record=more), Flaw.RECORD),
        (changed(made, 0, record="\ud800"), Flaw.RECORD),
        (changed(made, 2, uid="another"), Flaw.RECORD),
        (changed(made, 4, before=made.records[0].before), Flaw.CHAIN),
        (changed(made, 0, seq=last.seq), Flaw.CHAIN),
        (msgspec.structs.replace(made, chain=made.records[0].before), Flaw.CHAIN),
        (msgspec.structs.replace(made, records=made.records[:-1]), Flaw.CHAIN),
        (msgspec.structs.replace(made, at="2027-01-01T00:00:00.000Z"), Flaw.HEAD),
        (msgspec.structs.replace(made, epoch="2-another"), Flaw.HEAD),
        (msgspec.structs.replace(made, site="s-another"), Flaw.HEAD),
        (msgspec.structs.replace(made, session="s2"), Flaw.SESSION),
        (msgspec.structs.replace(made, records=made.records[1:]), Flaw.SESSION),
        (msgspec.structs.replace(made, name="Elsewhere"), Flaw.SIGNATURE),
        (msgspec.structs.replace(made, left_out=1), Flaw.SIGNATURE),
        (msgspec.structs.replace(made, records=(made.records[0], *made.records[2:])), Flaw.SIGNATURE),
        (msgspec.structs.replace(made, key="x"), Flaw.FORM),
    ]
    for receipt, flaw in bad:
        with pytest.raises(BadReceipt) as found:
            check_receipt(receipt)
        assert found.value.flaw is flaw, found.value.message
        assert f"{flaw.value}: " in found.value.message


@settings(max_examples=300)
@given(data=st.data())
def test_no_byte_of_a_receipt_can_be_changed(made: Receipt, data: st.DataObject) -> None:
    file = bytearray(receipt_bytes(made))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(file) - 1))
        how = data.draw(st.sampled_from(["flip", "cut", "put"]))
        if how == "flip":
            file[place] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            del file[place]
        else:
            file.insert(place, data.draw(st.integers(0, 255)))
    if bytes(file) == receipt_bytes(made):
        return
    with pytest.raises(BadReceipt) as found:
        check_receipt(open_receipt(bytes(file)))
    assert found.value.flaw in Flaw


_FIELDS = st.one_of(
    st.text(max_size=8), st.integers(0, 99), st.none(), st.lists(st.integers(), max_size=2), st.just({})
)


@settings(max_examples=100)
@given(data=st.data())
def test_no_field_of_a_receipt_can_be_changed(made: Receipt, data: st.DataObject) -> None:
    """Each field, replaced by something else, removed, or joined by one that is not known."""
    whole: dict[str, Any] = msgspec.to_builtins(made)
    part = data.draw(st.sampled_from([whole, *whole["records"]]))
    name = data.draw(st.sampled_from([*part, "more"]))
    other = data.draw(_FIELDS)
    if data.draw(st.booleans()) and name in part:
        del part[name]
        if name in (
            "format",
            "left_out",
            "signature",
        ):  # these have defaults; the file's own spelling shows it
            with pytest.raises(BadReceipt):
                check_receipt(open_receipt(msgspec.json.Encoder(order="sorted").encode(whole)))
            return
    elif part.get(name, object()) == other:
        return
    else:
        part[name] = other
    with pytest.raises(BadReceipt):
        check_receipt(open_receipt(msgspec.json.Encoder(order="sorted").encode(whole)))


def test_records_that_are_swapped_or_taken_twice_are_found(made: Receipt) -> None:
    swapped = msgspec.structs.replace(made, records=made.records[::-1])
    twice = msgspec.structs.replace(made, records=(*made.records, made.records[-1]))
    for receipt in (swapped, twice):
        with pytest.raises(BadReceipt) as found:
            check_receipt(receipt)
        assert found.value.flaw is Flaw.CHAIN


def test_only_one_spelling_is_a_receipt(made: Receipt) -> None:
    file = receipt_bytes(made)
    assert open_receipt(file + b"\n") == made
    for other in (
        msgspec.json.format(file),
        b" " + file,
        file.replace(b'{"at":', b'{"at":"x","at":', 1),
        b"",
        b"{}",
    ):
        with pytest.raises(BadReceipt) as found:
            open_receipt(other)
        assert found.value.flaw is Flaw.FORM


# --- from the journal --------------------------------------------------------------------------------------


async def test_a_receipt_is_good_after_the_epoch_was_rotated_and_samples_thinned(tmp_path: Path) -> None:
    box_keys = authority(tmp_path)
    async with running(tmp_path) as box:
        await charge(box)
        receipts = Receipts(box.journal.path, box_keys, SystemClock())
        before = await receipts.make("s1")
        box.journal.put_snapshot(12, b"a")
        box.journal.put_snapshot(12, b"b")
        plan = await box.journal.submit(lambda db: thinning.plan(db, thinning.Stage.RETENTION, 0, 12))
        assert plan is not None
        await box.journal.submit(lambda db: thinning.carry_out(db, plan))
        await box.journal.rotate_epoch()
        after = await receipts.make("s1")
    assert before.epoch != after.epoch
    assert before.chain != after.chain
    assert [fact.record for fact in check_receipt(before)] == [fact.record for fact in check_receipt(after)]


async def test_a_session_of_another_journal_has_no_receipt(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await charge(box)
        receipts = Receipts(box.journal.path, authority(tmp_path), SystemClock())
        with pytest.raises(Refused):
            await receipts.make("s9")


async def test_of_too_much_signed_data_the_first_and_the_last_is_told_and_the_rest_counted(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as box:
        told = [signed("s1", f"document {number}", context="periodic") for number in range(100)]
        await box.write(started("s1"), *told, ended("s1"))
        evidence = collect(box.journal.path, "s1", most=RECORDS_MAX)
        receipt = await Receipts(box.journal.path, authority(tmp_path), SystemClock()).make("s1")
    assert evidence is not None
    assert len(receipt.records) == RECORDS_MAX
    assert receipt.left_out == evidence.left_out == 100 - (RECORDS_MAX - 2)
    documents = summary(check_receipt(receipt)).documents
    assert (documents[0], documents[-1]) == ("document 0", "document 99")


def test_a_batch_carries_the_boxs_word_for_its_chain(tmp_path: Path) -> None:
    box = authority(tmp_path)
    record = sync.Record(3, "u3", b"", None, b"i" * 32)
    batch = sync.Batch(link=1, epoch="1-a", from_seq=3, records=(record,), chain_end=b"c" * 32)
    told = witnessed(box, batch, AT)
    trust.check_head(box.identity.public, told.signature, box.site, "1-a", 3, b"c" * 32, AT)
    for wrong in ((4, b"c" * 32), (3, b"d" * 32)):
        with pytest.raises(Refused):
            trust.check_head(box.identity.public, told.signature, box.site, "1-a", *wrong, AT)
    long = msgspec.structs.replace(batch, epoch="1-" + "a" * 62, link=2**40, from_seq=2**40)
    alone = len(sync.encode(witnessed(box, long, AT))) - len(record.uid) - len(record.inner)
    assert alone <= 384, "what the cursor reckons a batch to add"


# --- the page ----------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            f"{name}={value}" for name, value in attrs if name in ("src", "href", "onload", "style")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_shows_its_receipt_and_nothing_comes_from_elsewhere(made: Receipt, language: str) -> None:
    text = page(made, check_receipt(made), language)
    seen = Seen()
    seen.feed(text)
    assert {"script", "img", "link", "iframe", "b"}.isdisjoint(seen.tags)
    assert seen.links == []
    assert "Home <b>& Co" in seen.text, "what others named is text"
    assert "http" not in text.replace("http-equiv", "")
    assert ("6.500" if language == "en" else "6,500") in seen.text
    assert "@page{size:A4" in text
    assert text.count("<tr>") < 20, "it fits on one page"
    back = open_receipt(receipt_in(text))
    assert back == made
    check_page(text, back, check_receipt(back))


def test_every_word_is_there_in_every_language() -> None:
    assert len({frozenset(words) for words in TEXTS.values()}) == 1
    assert set(TEXTS) == set(LANGUAGES)


def check_whole(text: str) -> None:
    back = open_receipt(receipt_in(text))
    check_page(text, back, check_receipt(back))


@given(data=st.data())
def test_a_page_that_shows_something_else_is_found(made: Receipt, data: st.DataObject) -> None:
    told = check_receipt(made)
    text = page(made, told)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[place]))
    changed_page = text[:place] + other + text[place + 1 :]
    with pytest.raises(BadReceipt):
        check_whole(changed_page)


# --- the command -------------------------------------------------------------------------------------------


def test_a_file_is_checked_without_a_network(
    made: Receipt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ("--home", str(tmp_path / "nobody"))
    file, sheet, bad = tmp_path / "r.json", tmp_path / "r.html", tmp_path / "bad.json"
    file.write_bytes(receipt_bytes(made))
    sheet.write_text(page(made, check_receipt(made), "de"))
    bad.write_bytes(receipt_bytes(msgspec.structs.replace(made, name="Elsewhere")))
    for good in (file, sheet):
        assert main([*home, "receipt", "verify", str(good)]) == 0
        out = capsys.readouterr().out
        assert "Genuine" in out
        assert "6.50 kWh" in out
        assert "does not know that box" in out
    box = trust.fingerprint(made.key)
    assert main([*home, "--json", "receipt", "verify", str(file), "--box", box]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["genuine"], told["box_known"], told["energy_wh"], told["signed"][0]) == (
        True,
        True,
        6500.0,
        OCMF,
    )
    assert main([*home, "receipt", "verify", str(file), "--box", "another"]) == 1
    assert "box: " in capsys.readouterr().err
    assert main([*home, "receipt", "verify", str(bad)]) == 1
    assert "signature: " in capsys.readouterr().err
    sheet.write_text(sheet.read_text().replace("6,500", "0,500"))
    assert main([*home, "receipt", "verify", str(sheet)]) == 1
    assert "page: " in capsys.readouterr().err
    assert main([*home, "receipt", "verify", str(tmp_path / "none")]) == 2
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert main([*home, "receipt", "verify", str(tmp_path / "binary")]) == 1
    assert not (tmp_path / "nobody").exists(), "checking leaves nothing behind"
    for wrong in (["receipt", "verify"], ["receipt", "s1", "file"]):
        with pytest.raises(SystemExit):
            main([*home, *wrong])


def test_the_box_that_this_device_was_paired_with_is_the_one_that_counts(
    made: Receipt, tmp_path: Path
) -> None:
    from common.client.profile import Profile, SiteEntry

    file = tmp_path / "r.json"
    file.write_bytes(receipt_bytes(made))
    home = tmp_path / "home"
    profile = Profile(home)
    entry = SiteEntry(site=made.site, name="Home", grant="g", box=trust.fingerprint(made.key))
    profile.put(entry)
    assert main(["--home", str(home), "receipt", "verify", str(file)]) == 0
    profile.put(msgspec.structs.replace(entry, box=generate_identity().fingerprint))
    assert main(["--home", str(home), "receipt", "verify", str(file)]) == 1

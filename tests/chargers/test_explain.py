"""Why a charger is not at work: the table of reasons, the door's records, findings for an installer."""

from __future__ import annotations

from typing import Any

import pytest

from edge.chargers import explain
from edge.chargers.doorbook import RECORDS_MAX, RECORDS_OF_ADDRESS_MAX, Dial, Doorbook
from edge.chargers.firstbytes import FIRST_BYTES_MAX, mended, readable, unparsed
from edge.chargers.reasons import MAY_BE_ANY, PATH_WORDS, REASONS, Reason
from edge.chargers.standing import Standing


class Never:
    def cancel(self) -> None:
        pass


def book() -> Doorbook:
    return Doorbook(lambda: 0, lambda: 1_750_000_000_000, lambda _delay, _tell: Never())


def about(**more: Any) -> dict[str, Any]:
    return Standing("CP1").describe() | {"connected": True} | more


def reasons(findings: list[dict[str, Any]]) -> list[str]:
    return [one["reason"] for one in findings]


def test_every_reason_has_a_sentence_and_something_to_do() -> None:
    assert REASONS.keys() == set(Reason)
    for told in REASONS.values():
        assert told.sentence.endswith(".")
        assert told.advice.endswith((".", "`."))
    assert all(word == word.casefold() for word in PATH_WORDS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.SILENT),
        (b"\r\n", Reason.SILENT),
        (b"\x16\x03\x01\x02\x00", Reason.TLS_ON_PLAIN),
        (b"GET /CP1 HTT", Reason.CUT_SHORT),
        (b"GET /CP1 HTTP/1.1\r\nHost: b", Reason.CUT_SHORT),
        (b"GET /CP1 HTTP/1.1\r\nHost box\r\n\r\n", Reason.BAD_HTTP),
        (b"GET /CP1 HTTP/3\r\nHost", Reason.BAD_HTTP),
        (b"<soap:Envelope/>", Reason.NOT_HTTP),
        (b'[2,"1","Heartbeat",{}]', Reason.NOT_HTTP),
        (b"\x00\x01\x02", Reason.NOT_HTTP),
    ],
)
def test_first_bytes_tell_what_a_connection_was(data: bytes, reason: Reason) -> None:
    assert unparsed(data) is reason


@pytest.mark.parametrize(
    ("line", "after"),
    [
        (b"GET /CP1 HTTP/1.1", b"GET /CP1 HTTP/1.1"),
        (b"GET /My Charger HTTP/1.1", b"GET /My%20Charger HTTP/1.1"),
        (b"GET  /CP1  HTTP/1.1 ", b"GET /CP1 HTTP/1.1"),
        ("GET /Säule HTTP/1.0".encode(), b"GET /S%C3%A4ule HTTP/1.0"),
        (b"GET /CP\t1 HTTP/1.1", b"GET /CP%091 HTTP/1.1"),
        (b"GET HTTP/1.1", b"GET HTTP/1.1"),
        (b"get / HTTP/1.1", b"get / HTTP/1.1"),
        (b" " * 8000, b" " * 8000),
    ],
)
def test_a_request_line_is_mended_where_a_blank_does_no_harm(line: bytes, after: bytes) -> None:
    assert mended(line) == after


def test_kept_bytes_hold_no_secret_and_no_tag() -> None:
    head = b"GET http://CP1:secret@box/CP1?token=secret HTTP/1.1\r\nHost: box\r\n"
    kept = readable(head + b"Authorization: Basic secret\r\n secret\r\nX-idTag: secret\r\n\r\nsecret")
    assert "secret" not in kept
    assert kept.startswith(
        "GET http://(not kept)@box/CP1?(not kept) HTTP/1.1\nHost: box\nAuthorization: (not kept)"
    )
    assert readable(b'[2,"1","Authorize",{"idTag":"secret"}]') == '[2,"1","Authorize",{"'
    assert readable(b"\x16\x03\x01" + b"s" * FIRST_BYTES_MAX) == "TLS hello, 160301" + "73" * 13


def test_records_are_bounded_in_all_and_for_each_address() -> None:
    door = book()
    for number in range(RECORDS_OF_ADDRESS_MAX + 5):
        door.waits(f"flood-{number}", "10.0.0.66", "", b"", None)
    assert len(list(door.dials())) == RECORDS_OF_ADDRESS_MAX
    for number in range(RECORDS_MAX * 2):
        door.refused(Reason.SILENT, f"10.1.{number // 250}.{number % 250}")
    assert len(list(door.dials())) == RECORDS_MAX


def test_who_comes_in_leaves_no_record_of_what_is_mended() -> None:
    door = book()
    door.refused(Reason.WRONG_PASSWORD, "10.0.0.7", charger="CP1")
    door.refused(Reason.TLS_ON_PLAIN, "10.0.0.7")
    door.refused(Reason.CLONE, "10.0.0.8", charger="CP1")
    door.refused(Reason.WRONG_PASSWORD, "10.0.0.7", charger="CP2")
    door.let_in("cp1", "10.0.0.7")
    left = [(dial.reason, dial.address, dial.charger) for dial in door.dials()]
    assert left == [
        (Reason.WRONG_PASSWORD, "10.0.0.7", "CP2"),
        (Reason.CLONE, "10.0.0.8", "CP1"),
    ]


def test_a_charger_that_never_dialled_is_told_with_whoever_may_be_it() -> None:
    door = book()
    door.waits("ocpp", "10.0.0.7", "ocpp1.6", b"GET /ocpp HTTP/1.1\r\n\r\n", None)
    door.refused(Reason.DIALS_TOO_OFTEN, "10.0.0.9")
    found = explain.charger("CP1", "", "", None, door.dials())
    assert reasons(found) == ["never_dialled", "wrong_path"]
    assert found[1]["address"] == "10.0.0.7"
    assert "behind the last slash" in found[1]["advice"]
    assert Reason.DIALS_TOO_OFTEN not in MAY_BE_ANY


def test_what_is_wrong_comes_first_and_a_charger_at_work_is_said_to_be() -> None:
    door = book()
    assert reasons(explain.charger("CP1", "x", "10.0.0.7", about(), door.dials())) == ["connected"]
    assert reasons(explain.charger("CP1", "x", "10.0.0.7", about(connected=False), [])) == ["gone"]
    door.refused(Reason.CLONE, "10.0.0.8", charger="cp1")
    door.refused(Reason.CLONE, "10.0.0.9", charger="CP2")
    deaf = about(deaf=True, unread={"not_json": "GET"}, bad_frames_by_kind={"not_json": 3}, too_large=1)
    found = explain.charger("CP1", "x", "10.0.0.7", deaf, door.dials())
    assert reasons(found) == ["deaf", "too_large", "unreadable", "clone"]
    assert found[2] == {
        "reason": "unreadable",
        "sentence": REASONS[Reason.UNREADABLE].sentence,
        "advice": REASONS[Reason.UNREADABLE].advice,
        "charger": "CP1",
        "detail": "not_json",
        "first_bytes": "GET",
        "count": 3,
    }


def test_a_dial_is_told_with_all_that_is_known_of_it() -> None:
    told = explain.dial(
        Dial(reason=Reason.RAW_SPACE, address="10.0.0.7", named="My Box", count=2, first_ms=0, last_ms=1000)
    )
    assert (told["named"], told["count"], told["last_at"]) == ("My Box", 2, "1970-01-01T00:00:01.000Z")
    assert "charger" not in told

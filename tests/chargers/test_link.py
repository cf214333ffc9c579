"""A charger's connection over real loopback sockets: what it reads, answers, keeps, refuses and survives."""

import asyncio
import json

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from common.domain import ConnectorState
from edge.chargers import outbox
from edge.chargers.dialect import Answer, Inbound
from edge.chargers.frames import Call, CallError, Result, decode
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.ocpp16.messages import REQUESTS
from edge.chargers.shared.payload import Payload
from edge.core import inputs as core
from tests.chargers.site import Site, limits, tag_ref

TAG = "0123456789ABCDEF"
START = {"connectorId": 1, "idTag": TAG, "meterStart": 100, "timestamp": "2026-03-01T12:00:00Z"}
METER = {
    "connectorId": 1,
    "transactionId": 1001,
    "meterValue": [{"timestamp": "2026-03-01T12:01:00Z", "sampledValue": [{"value": "150"}]}],
}
STOP = {"transactionId": 1001, "meterStop": 900, "timestamp": "2026-03-01T13:00:00Z", "reason": "Local"}
STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
REMOTE_START = core.StartCharge(1, 1, TAG)


async def a_session(site: Site) -> None:
    """Drive one session from Boot to StopTransaction, with a remote start in it."""
    async with site.charger() as charger:
        boot = await charger.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
        assert boot[0] == 3
        assert boot[2]["status"] == "Accepted"
        assert boot[2]["interval"] == 300
        assert boot[2]["currentTime"].endswith("Z")
        assert await charger.call("StatusNotification", STATUS, "s") == [3, "s", {}]
        asked = site.request(REMOTE_START, command="cmd")
        frame = await charger.recv()
        assert (frame[0], frame[2], frame[3]) == (
            2,
            "RemoteStartTransaction",
            {"idTag": TAG, "connectorId": 1},
        )
        await charger.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
        ended = await site.memory.first(core.CallEnded)
        assert (ended.request, ended.command, ended.answer) == (asked.id, "cmd", "accepted")
        started = await charger.call("StartTransaction", START)
        assert started[2] == {"transactionId": 1001, "idTagInfo": {"status": "Accepted"}}
        assert (await charger.call("MeterValues", METER))[2] == {}
        assert (await charger.call("StopTransaction", STOP | {"idTag": TAG}))[2]["idTagInfo"][
            "status"
        ] == "Accepted"
        assert await charger.alive()


async def test_a_session_from_boot_to_stop() -> None:
    async with Site() as site:
        await a_session(site)
        kinds = [type(given).__name__ for given in site.memory.inputs]
        assert kinds == [
            "StationConnected",
            "Booted",
            "StatusReported",
            "CallEnded",
            "TransactionStarted",
            "MeterReported",
            "TransactionEnded",
        ]
        started = (await site.memory.first(core.TransactionStarted), TAG)[0]
        assert (started.minted, started.tag_ref) == (TAG, tag_ref(TAG.lower()))
        assert (started.started.at_ms, started.meter_start_wh) == (1_772_366_400_000, 100)
        reported = await site.memory.first(core.StatusReported)
        assert (reported.evse, reported.connector, reported.state) == (1, 1, ConnectorState.PREPARING)
        lost = await site.memory.first(core.StationDisconnected)
        assert lost.reason == "closed with code 1000"


def test_the_same_over_uvloop() -> None:
    async def main() -> None:
        async with Site() as site:
            await a_session(site)

    uvloop.run(main())


async def test_an_answer_resolves_while_a_reply_is_withheld() -> None:
    async with Site() as site, site.charger() as charger:
        site.memory.holding = True
        await charger.send(json.dumps([2, "start", "StartTransaction", START]))
        await site.memory.first(core.TransactionStarted)
        site.request(REMOTE_START)
        frame = await charger.recv()
        assert frame[2] == "RemoteStartTransaction"
        await charger.send(json.dumps([3, frame[1], {"status": "Rejected"}]))
        assert (await site.memory.first(core.CallEnded)).answer == "rejected"
        site.memory.release()
        assert (await charger.recv())[:2] == [3, "start"]


async def test_calls_without_awaiting_answers_are_cut_with_a_reason() -> None:
    async with Site(limits=limits(unanswered_max=5)) as site, site.charger() as charger:
        site.memory.holding = True
        for number in range(6):
            await charger.send(json.dumps([2, f"m{number}", "StatusNotification", STATUS]))
        assert await charger.closed() == (1008, "5 calls sent without awaiting an answer")
        await site.memory.first(core.StationDisconnected)
        assert len(site.memory.of(core.StatusReported)) == 5
        site.memory.release()  # replies to a connection that is gone go nowhere, and break nothing


async def test_a_repeat_of_the_same_message_gets_the_same_answer_and_is_decided_once() -> None:
    async with Site() as site, site.charger() as charger:
        first = await charger.call("StartTransaction", START, 7)
        assert await charger.call("StartTransaction", START, 7) == first
        assert len(site.memory.of(core.TransactionStarted)) == 1
        # another payload under the same id is another message: ids restart with the charger
        other = await charger.call("StartTransaction", START | {"connectorId": 2}, 7)
        assert other[2]["transactionId"] != first[2]["transactionId"]
        # and the same one under another id is the core's to recognise
        assert (await charger.call("StartTransaction", START, "7"))[2] == first[2]
        assert len(site.memory.of(core.TransactionStarted)) == 3
        assert site.about()["repeats"] == 1


async def test_a_repeat_while_the_answer_is_on_its_way_is_answered_by_it() -> None:
    async with Site() as site, site.charger() as charger:
        site.memory.holding = True
        frame = json.dumps([2, "same", "StopTransaction", STOP])
        await charger.send(frame)
        await charger.send(frame)
        assert await charger.alive()  # both have been read
        site.memory.holding = False
        site.memory.release()
        assert await charger.recv() == [3, "same", {}]
        assert len(site.memory.of(core.TransactionEnded)) == 1
        assert await charger.alive()  # no second answer came before this


async def test_statuses_are_never_taken_for_repeats() -> None:
    async with Site() as site, site.charger() as charger:
        for status in ("Available", "Preparing", "Available"):
            await charger.call("StatusNotification", STATUS | {"status": status}, "1")
        states = [given.state for given in site.memory.of(core.StatusReported)]
        assert states == [ConnectorState.AVAILABLE, ConnectorState.PREPARING, ConnectorState.AVAILABLE]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b'[2,"m","Heartbeat",{}', None),  # mended: only the envelope's bracket lacked
        (b'[2,"m","NoSuchAction",{}]', "NotImplemented"),
        (b'[2,"m","RemoteStartTransaction",{}]', "NotSupported"),
        (b'[2,"m",5,{}]', "FormationViolation"),
        (b'[2,"m","Authorize",{"idTag":"A"', "FormationViolation"),
        (b'[2,"m","Authorize",{}]', "OccurenceConstraintViolation"),
    ],
)
async def test_bad_calls_are_answered_as_the_specification_says(frame: bytes, code: str | None) -> None:
    async with Site() as site, site.charger() as charger:
        await charger.send(frame)
        answer = await charger.recv()
        assert answer[:2] == ([3, "m"] if code is None else [4, "m"])
        assert code is None or answer[2] == code
        assert await charger.alive()
        assert [type(given) for given in site.memory.inputs] == [core.StationConnected]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00\x00",
        b"hello",
        b"{}",
        b"[]",
        b"[2]",
        b"[9,1,2,3]",
        b'[2,null,"Heartbeat",{}]',
        b'[3,"nobody-asked",{}]',
        b'[4,"-1","GenericError","",{}]',
        b'[4,"x"]',
        b'[3,"cut',
        b"\xff\xfe\xfd",
        b"[" * 5000,
        b'[6,"m","NotifyEvent",{}]',
    ],
)
async def test_frames_that_are_none_are_counted_and_never_answered(frame: bytes) -> None:
    async with Site() as site, site.charger() as charger:
        await charger.send(frame)
        assert await charger.alive()
        await charger.ws.send(frame)  # the same as a binary message
        assert await charger.alive()
        assert [type(given) for given in site.memory.inputs] == [core.StationConnected]


async def test_bad_frames_and_violations_are_told() -> None:
    async with Site() as site, site.charger() as charger:
        await charger.send(b"hello")
        await charger.send(b'[3,"nobody-asked",{}]')
        await charger.call("NoSuchAction")
        await charger.call("StatusNotification", STATUS | {"connectorId": "1"})
        about = site.about()
        assert about["bad_frames_by_kind"] == {"not_json": 1}
        assert about["unmatched_answers"] == 1
        assert about["violations"] == 2
        assert "NoSuchAction NotImplemented" in about["violations_by_name"]
        assert about["connected"]
        assert about["protocol"] == "ocpp1.6"
        assert about["plugs"][1]["plug"] == "in"


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (b'[2,"m","StartTransaction",{"idTag":"SECRET"}]', "start"),
        (b'[2,"m","StopTransaction",{"idTag":"SECRET","meterStop":5}]', "stop"),
        (b'[2,"m","StopTransaction",{"transactionId":12,"idTag":"SECRET","meterSt', "stop"),
        (b'[2,"m","MeterValues",[1,2]]', "meter"),
        (
            b'[2,"m","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Dreaming"}]',
            "status",
        ),
    ],
)
async def test_unreadable_transaction_messages_are_kept_and_acknowledged(frame: bytes, what: str) -> None:
    async with Site() as site, site.charger() as charger:
        await charger.send(frame)
        answer = await charger.recv()
        assert answer[:2] == [3, "m"]
        kept = await site.memory.first(core.Unreadable)
        assert (kept.charger, kept.what) == ("CP1", what)
        assert kept.reason
        assert "SECRET" not in kept.raw
        if what == "start":
            assert answer[2]["transactionId"] > 0
            assert answer[2]["idTagInfo"] == {"status": "Invalid"}
            await charger.send(frame.replace(b'"m"', b'"again"'))
            assert (await charger.recv())[2] == answer[2]


class _Faulty(Ocpp16):
    """A dialect with a fault of ours in it."""

    def _meaning(self, charger: str, request: Payload, now_ms: int) -> Inbound:
        raise ZeroDivisionError

    def answer(self, action: core.Action, reply: Result | CallError) -> Answer:
        raise ZeroDivisionError


async def test_a_fault_of_ours_costs_neither_the_connection_nor_the_message() -> None:
    async with Site(dialect=_Faulty(tag_ref)) as site, site.charger() as charger:
        assert (await charger.call("StopTransaction", STOP))[2] == {}
        kept = await site.memory.first(core.Unreadable)
        assert (kept.what, kept.reason) == ("stop", "internal")
        assert json.loads(kept.raw) == STOP
        site.request(REMOTE_START)
        frame = await charger.recv()
        await charger.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
        assert (await site.memory.first(core.CallEnded)).answer == "error"


async def test_a_large_stop_passes_and_an_oversized_message_ends_the_connection() -> None:
    async with Site() as site:
        async with site.charger() as charger:
            value = {"timestamp": "2026-03-01T12:01:00Z", "sampledValue": [{"value": "150"}] * 20}
            answer = await charger.call("StopTransaction", STOP | {"transactionData": [value] * 3_000})
            assert answer[2] == {}
            assert len((await site.memory.first(core.TransactionEnded)).samples) == 3_000
            # only the head of the frame: text, masked, one byte more than is taken
            charger.ws.transport.write(b"\x81\xff" + (8 * 1024 * 1024 + 1).to_bytes(8) + b"mask")
            assert (await charger.closed())[0] == 1009
        async with site.charger() as charger:
            assert await charger.alive()


async def test_an_oversized_message_is_counted_and_the_log_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Site(limits=limits(message_max_bytes=1_000)) as site:
        for times in (1, 2):
            async with site.charger() as charger:
                assert await charger.alive()
                await charger.send("x" * 1_001)
                assert (await charger.closed())[0] == 1009
                await site.memory.first(core.StationDisconnected, times)
                assert site.about()["too_large"] == times
        assert site.about()["last_end"] == "sent a message of more than 1000 bytes"
        (line,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert "CP1" in line
        assert "1000 bytes" in line
        assert "StopTxnSampledData" in line
        async with site.charger() as charger:
            await charger.ws.close(1009, "yours was too large for me")
            await site.memory.first(core.StationDisconnected, 3)
        assert site.about()["too_large"] == 2, "the charger's own 1009 is not ours"


async def test_security_events_are_noted_but_a_flood_of_them_is_not() -> None:
    async with Site() as site, site.charger() as charger:
        event = {"type": "TamperDetectionActivated", "timestamp": "2026-03-01T12:00:00Z"}
        for _ in range(3):
            assert (await charger.call("SecurityEventNotification", event))[2] == {}
        notes = site.memory.of(core.Note)
        assert [note.body.detail for note in notes] == ["TamperDetectionActivated"]


async def test_every_action_that_a_charger_may_send_is_answered() -> None:
    async with Site() as site, site.charger() as charger:
        for action in REQUESTS:
            answer = await charger.call(action, START | METER | STOP | STATUS | {"type": "x"})
            assert answer[0] == 3, action


async def test_a_gateway_that_cannot_write_ends_the_connection_and_never_answers_with_an_error() -> None:
    async with Site() as site, site.charger() as charger:
        assert await charger.alive()
        site.memory.broken = True
        await charger.send(json.dumps([2, "m", "StopTransaction", STOP]))
        assert (await charger.closed())[0] == 1011
        with pytest.raises(Exception, match="1011"):
            await charger.ws.recv()


async def test_housekeeping_waits_for_boot_and_calls_end_when_the_link_does() -> None:
    async with Site() as site:
        async with site.charger() as charger:
            await site.memory.first(core.StationConnected)
            site.request(core.TriggerStatus(1), core.PRIORITY_HOUSEKEEPING)
            site.request(core.SetVariable("k", "v"), core.PRIORITY_HOUSEKEEPING)
            assert await charger.alive()  # nothing was sent before this answer
            await charger.send(json.dumps([2, "b", "BootNotification", {}]))
            assert (await charger.recv())[:2] == [3, "b"]
            assert (await charger.recv())[2] == "TriggerMessage"
        await site.memory.first(core.CallEnded, 2)
        assert [ended.answer for ended in site.memory.of(core.CallEnded)] == ["lost", "not_sent"]
        site.request(REMOTE_START)
        last = await site.memory.first(core.CallEnded, 3)
        assert (last.answer, last.detail) == ("not_sent", "the charger is not connected")


async def test_no_housekeeping_while_a_session_runs() -> None:
    async with Site() as site, site.charger() as charger:
        site.memory.in_session.add("CP1")
        await charger.call("BootNotification", {})
        site.request(core.TriggerStatus(None), core.PRIORITY_HOUSEKEEPING)
        assert await charger.alive()
        site.memory.in_session.clear()
        assert (await charger.call("StopTransaction", STOP))[0] == 3
        assert (await charger.recv())[2] == "TriggerMessage"


async def test_timeouts_late_answers_and_deafness() -> None:
    quick = outbox.Limits(call_timeout_ms=30, boot_grace_ms=0)
    async with Site(limits=limits(calls=quick)) as site:
        async with site.charger() as charger:
            await site.memory.first(core.StationConnected)
            site.request(REMOTE_START)
            frame = await charger.recv()
            assert (await site.memory.first(core.CallEnded)).answer == "timeout"
            await charger.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
            late = await site.memory.first(core.CallEnded, 2)
            assert late.answer == "accepted"
            assert late.request == site.memory.of(core.CallEnded)[0].request
            for _ in range(3):
                site.request(REMOTE_START)
            assert await charger.closed() == (1008, "calls are not answered")
            assert site.about()["deaf"]
        async with site.charger() as charger:  # once: the fresh connection stays, however deaf
            await site.memory.first(core.StationConnected, 2)
            ends = len(site.memory.of(core.CallEnded))
            for _ in range(4):
                site.request(REMOTE_START)
            await site.memory.first(core.CallEnded, ends + 4)
            await charger.send('[2,"h","Heartbeat",{}]')
            while (frame := await charger.recv())[0] == 2:
                pass
            assert frame[:2] == [3, "h"]
            assert site.about()["deaf"]
            site.request(REMOTE_START)
            frame = await charger.recv()
            await charger.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
            await site.memory.until(lambda: not site.about()["deaf"])


async def test_what_cannot_be_said_is_not_sent() -> None:
    async with Site() as site, site.charger() as charger:
        assert await charger.alive()
        site.request(core.StopCharge("a-2.x-transaction-id"), core.PRIORITY_STOP)
        ended = await site.memory.first(core.CallEnded)
        assert ended.answer == "not_sent"
        assert "OCPP 1.6 cannot stop it" in ended.detail
        site.request(core.SetVariable("k" * 51, "v"))  # the schema allows 50 characters
        ended = await site.memory.first(core.CallEnded, 2)
        assert ended.answer == "not_sent"
        assert await charger.alive()


async def test_an_unreadable_answer_fails_its_call_at_once() -> None:
    async with Site() as site, site.charger() as charger:
        assert await charger.alive()
        site.request(REMOTE_START)
        frame = await charger.recv()
        await charger.send(json.dumps([3, frame[1], {"status": "Accepted"}])[:-8])
        ended = await site.memory.first(core.CallEnded)
        assert (ended.answer, ended.detail) == ("error", "the charger's answer could not be read")


async def test_a_charger_that_does_not_read_is_cut() -> None:
    small = limits(unread_max_bytes=50_000, close_s=0.1)
    async with Site(limits=small) as site, site.charger(max_queue=1) as charger:
        frame = json.dumps([2, "x" * 250, "Heartbeat", {}]).encode()
        with pytest.raises(ConnectionClosed):  # noqa: PT012 - some send of many finds it closed
            while True:
                await charger.send(frame)
        lost = await site.memory.first(core.StationDisconnected)
        assert lost.reason == "does not read what it is sent"


async def test_a_charger_that_falls_silent_is_given_up() -> None:
    quick = limits(ping_after_s=0.02, gone_after_s=0.06, close_s=0.05)
    async with Site(limits=quick, heartbeat_s=0) as site, site.charger() as charger:
        await site.memory.first(core.StationConnected)
        charger.ws.transport.pause_reading()
        lost = await site.memory.first(core.StationDisconnected)
        assert lost.reason.startswith("silent for")
        charger.ws.transport.abort()


BITS = st.sampled_from(
    [b"[", b"]", b"{", b"}", b",", b":", b'"', b"2", b"3", b"4", b'"m"', b"null", b"\x00", b"\xff", b"1e999"]
    + [
        f'"{action}"'.encode()
        for action in ("Heartbeat", "StopTransaction", "StatusNotification", "Nonsense")
    ]
    + [b'"transactionId":1', b'"status":"Available","connectorId":1,"errorCode":""', b"-" * 40]
)
FRAMES = st.one_of(st.binary(max_size=80), st.lists(BITS, max_size=14).map(b"".join))
ACTIONS_IN = tuple(f'"{name}"'.encode() for name in REQUESTS)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FRAMES, min_size=1, max_size=30))
def test_no_bytes_end_a_connection_or_become_an_input_unless_they_name_an_action(frames: list[bytes]) -> None:
    async def main() -> None:
        async with Site() as site, site.charger() as charger:
            await site.memory.first(core.StationConnected)
            for number, frame in enumerate(frames):
                before = len(site.memory.of(core.FromCharger))
                await charger.send(frame)
                await charger.send(json.dumps([2, f"fence{number}", "Heartbeat", {}]))
                while (await charger.recv())[1] != f"fence{number}":
                    pass  # the answer to the frame itself
                readable = isinstance(decode(frame), Call) or any(name in frame for name in ACTIONS_IN)
                assert readable or len(site.memory.of(core.FromCharger)) == before

    asyncio.run(main())

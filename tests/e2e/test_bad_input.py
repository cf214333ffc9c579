"""Bad input to a running box: a clear code and sentence, and nothing changes.

The box is a process of its own; commands come over its LAN port, frames over its chargers' port. "Nothing
changes" is read from the box itself: the same view, no call at any charger, and no fact but the note that a
command was refused, which is what a repeat of it is answered from.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from common import wire
from common.commands import Name
from common.domain import Path
from common.errors import CATALOGUE, Code
from common.keystore import generate_identity
from tests.e2e import chargers
from tests.e2e.chargers import WireCharger, knock
from tests.e2e.phone import Phone, Sealed, Talk
from tests.e2e.place import Driver, Place, Ran, typed

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAG = "CAFE0001"


class Cast:
    """Ann's charger A and Ben's charger B, both of them at the LAN, and an operator who sees all."""

    def __init__(self, box: Place, ann: Phone, ben: Phone, operator: Phone) -> None:
        self.box, self.ann, self.ben, self.operator = box, ann, ben, operator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cast(box: Place) -> AsyncIterator[Cast]:
    await box.adopt("A", "B")
    await box.tag(TAG, "p-card")
    yield Cast(box, await box.phone("A"), await box.phone("B"), await box.phone(role="operator"))


@asynccontextmanager
async def unchanged(cast: Cast, *connected: WireCharger, refusals: int) -> AsyncIterator[None]:
    """What happens inside leaves no trace but so many notes of a refusal."""
    async with cast.operator.link(Path.LAN) as talk:
        before = await talk.follow()
        calls = [len(charger.asked) for charger in connected]
        yield
        after = await talk.follow()
        assert after.view.chargers == before.view.chargers
        assert after.view.sessions == before.view.sessions
        assert [len(charger.asked) for charger in connected] == calls
        facts = [json.loads(bytes(fact.record)) for fact in talk.of(wire.FactMessage)]
        noted = [(fact["kind"], fact["body"].get("outcome")) for fact in facts]
        assert noted == [("command_settled", "refused")] * refusals
        assert after.seq == before.seq + refusals


def clear(answer: Any, code: Code) -> None:
    """A refusal with this code, the sentence that belongs to it, and what to do next."""
    assert isinstance(answer, wire.Refusal), answer
    sentence, step = CATALOGUE[code]
    assert answer.code == code
    assert answer.message.startswith(sentence)
    assert answer.hint
    assert answer.hint == step


async def refused(talk: Talk, sealed: Sealed, code: Code) -> None:
    await talk.send(sealed)
    clear(await talk.ended(sealed.command.id), code)


# --- commands ----------------------------------------------------------------------------------------------


async def test_a_command_for_an_unknown_charger(cast: Cast) -> None:
    async with cast.operator.link(Path.LAN) as talk, unchanged(cast, refusals=1):
        await refused(talk, cast.operator.seal(Name.START, "NO-SUCH"), Code.UNKNOWN_CHARGER)


async def test_driver_a_on_driver_bs_charger(cast: Cast) -> None:
    async with chargers.wire(cast.box.url, "B") as charger:
        await charger.boot()
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=1):
            # To Ann there is no such charger: she learns nothing of Ben's.
            await refused(talk, cast.ann.seal(Name.START, "B"), Code.UNKNOWN_CHARGER)


async def test_driver_a_on_driver_bs_session(cast: Cast) -> None:
    async with chargers.wire(cast.box.url, "A") as charger:
        await charger.boot()
        start = {"connectorId": 1, "idTag": TAG, "meterStart": 5, "timestamp": chargers.now()}
        begun = await charger.call("StartTransaction", start)
        await charger.status("Charging")
        (session,) = await cast.box.sessions("A")
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=2):
            stop = cast.ann.seal(Name.STOP, "A", session=session["session"])
            await refused(talk, stop, Code.NOT_YOUR_SESSION)
            await refused(talk, cast.ann.seal(Name.UNLOCK, "A"), Code.NOT_YOUR_SESSION)
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=1):
            await refused(talk, cast.ann.seal(Name.START, "A"), Code.CONNECTOR_IN_USE)
        end = {"transactionId": begun["transactionId"], "meterStop": 6, "timestamp": chargers.now()}
        await charger.call("StopTransaction", end)
        await charger.status("Available")


async def test_an_expired_command(cast: Cast) -> None:
    async with chargers.wire(cast.box.url, "A") as charger:
        await charger.boot()
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=1):
            await refused(talk, cast.ann.seal(Name.START, "A", life_ms=-1), Code.EXPIRED)


async def test_a_repeated_id_with_other_content(cast: Cast) -> None:
    async with chargers.wire(cast.box.url, "A") as charger:
        charger.answers["RemoteStartTransaction"] = {"status": "Rejected"}
        await charger.boot()
        async with cast.ann.link(Path.LAN) as talk:
            first = cast.ann.seal(Name.START, "A")
            await talk.send(first)
            outcome = await talk.ended(first.command.id)
            assert isinstance(outcome, wire.Settled)
            assert (outcome.outcome, outcome.code) == ("failed", Code.CHARGER_REJECTED)
            other = cast.ann.seal(Name.UNLOCK, "A", command_id=first.command.id)
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=0):
            await refused(talk, other, Code.ID_REUSE)
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=0):
            # The first content again is no new command: it gets the outcome that it had.
            await talk.send(first)
            assert await talk.ended(first.command.id) == outcome


async def test_a_foreign_signature(cast: Cast) -> None:
    async with chargers.wire(cast.box.url, "A") as charger:
        await charger.boot()
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=0):
            by_ben = cast.ann.seal(Name.START, "A", key=cast.ben.key)
            await refused(talk, by_ben, Code.BAD_SIGNATURE)
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=0):
            sealed = cast.ann.seal(Name.START, "A")
            head, key, signature = sealed.envelope.split(".")
            changed = Sealed(sealed.command, f"{head}.{key}.{signature[:-4]}AAAA")
            await refused(talk, changed, Code.BAD_SIGNATURE)


async def test_another_sites_command(cast: Cast) -> None:
    async with chargers.wire(cast.box.url, "A") as charger:
        await charger.boot()
        async with cast.ann.link(Path.LAN) as talk, unchanged(cast, charger, refusals=0):
            elsewhere = cast.ann.seal(Name.START, "A", site="s-aaaaaaaaaaaaaaaa")
            here = Sealed(elsewhere.command, elsewhere.envelope)
            await talk.send(here)
            clear_one_of(await talk.ended(here.command.id), Code.WRONG_SITE, Code.UNKNOWN_SITE)


def clear_one_of(answer: Any, *codes: Code) -> None:
    assert isinstance(answer, wire.Refusal), answer
    clear(answer, next((code for code in codes if code == answer.code), codes[0]))


async def test_a_stranger_with_a_grant_that_is_not_theirs(cast: Cast) -> None:
    thief = Phone("thief")
    thief.grant, thief.site, thief.key = cast.ann.grant, cast.ann.site, generate_identity()
    async with unchanged(cast, refusals=0):
        with pytest.raises(AssertionError, match=r"bad_signature|bad_grant"):
            async with thief.link(Path.LAN):
                pass


async def test_an_invite_is_good_once(cast: Cast) -> None:
    invite = await cast.box.invite("A")
    await Phone("first").join(invite)
    with pytest.raises(AssertionError, match="bad_invite"):
        await Phone("second").join(invite)


# --- frames ------------------------------------------------------------------------------------------------

#: What comes as a frame, and the code of the CALLERROR that answers it; * = any, None = no answer.
FRAMES: dict[str, tuple[str, str | None]] = {
    "no JSON": ("pif paf", None),
    "half a message": ('[2,"1","Heartbeat"', None),
    "no array": ('{"action":"Heartbeat"}', None),
    "nothing": ("", None),
    "an empty array": ("[]", None),
    "an unknown message type": ('[9,"1","Heartbeat",{}]', None),
    "an answer to nothing": ('[3,"nobody-asked",{}]', None),
    "an error to nothing": ('[4,"nobody-asked","InternalError","",{}]', None),
    "an unknown action": ('[2,"u1","MakeCoffee",{}]', "NotImplemented"),
    "a payload that is no object": ('[2,"u2","Heartbeat","now"]', "*"),
    "a field missing": ('[2,"u3","Authorize",{}]', "*"),
    "deeply nested": ('[2,"u4","Heartbeat",' + '{"a":' * 3000 + "1" + "}" * 3000 + "]", "*"),
}


@pytest.mark.parametrize("frame", FRAMES)
async def test_a_malformed_frame_is_answered_and_the_charger_goes_on(cast: Cast, frame: str) -> None:
    text, code = FRAMES[frame]
    async with chargers.wire(cast.box.url, "A") as charger, chargers.wire(cast.box.url, "B") as neighbour:
        await charger.boot()
        await neighbour.boot()  # who says nothing is asked after a while
        async with unchanged(cast, charger, neighbour, refusals=0):
            await charger.socket.send(text)
            assert "currentTime" in await charger.call("Heartbeat")
            assert "currentTime" in await neighbour.call("Heartbeat")
            errors = [stray[2] for stray in charger.strays if stray[0] == 4]
            if code is not None:
                assert len(errors) == 1
                assert code in ("*", errors[0])


async def test_an_oversized_message_ends_its_own_connection_only(cast: Cast) -> None:
    async with chargers.wire(cast.box.url, "B") as neighbour:
        async with chargers.wire(cast.box.url, "A") as charger:
            with suppress(ConnectionClosed):  # or all of it is on its way before the close is read
                await charger.socket.send(" " * 65536 for _ in range(2000))  # one message in fragments
            await charger.socket.wait_closed()
            # 1006: what was still on its way reset the connection before the reason was read.
            assert charger.socket.close_code in {1009, 1006}
        assert "currentTime" in await neighbour.call("Heartbeat")
    async with chargers.wire(cast.box.url, "A") as charger:
        assert "currentTime" in await charger.call("Heartbeat")


async def test_the_wrong_subprotocol_is_told_in_the_handshake(cast: Cast) -> None:
    async with connect(f"{cast.box.url}/A", subprotocols=[Subprotocol("ocpp9.9")], proxy=None) as socket:
        assert socket.subprotocol is None  # OCPP-J 1.6 §3.2: complete, without the header, then close
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert "ocpp1.6" in (socket.close_reason or "")


async def test_an_unknown_charger_waits_to_be_adopted(cast: Cast) -> None:
    assert await knock(cast.box.url, "STRANGER") == 404
    rows = await cast.box.told(cast.box.edge("chargers", "list"))
    (waiting,) = [row for row in rows if row["id"] == "STRANGER"]
    assert not waiting["adopted"]
    done = await cast.box.told(cast.box.edge("chargers", "adopt", "STRANGER", "--name", "Bay 12"))
    assert done["outcome"] == "succeeded"
    async with chargers.wire(cast.box.url, "STRANGER") as charger:
        assert "currentTime" in await charger.call("Heartbeat")


async def test_a_path_that_names_nobody(cast: Cast) -> None:
    for path in ("", "..%2f..%2fetc", "a" * 300, "%00"):
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(f"{cast.box.url}/{path}", proxy=None):
                pass
        assert refusal.value.response.status_code == 404


# --- the driver's command line -----------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anns_terminal(cast: Cast) -> Driver:
    """Ann at a terminal, paired by `plugside pair`."""
    terminal = Driver(cast.box.folder / "ann")
    await terminal.told("pair", await cast.box.invite("A"))
    return terminal


def told(ran: Ran, code: Code, exit_code: int = 2) -> None:
    """Says its code to a program and its sentence and next step to a person."""
    assert (ran.code, ran.error["code"]) == (exit_code, code), str(ran)
    assert ran.error["message"].startswith(CATALOGUE[code][0])
    assert ran.error["hint"]


async def test_a_drivers_mistakes_are_told(cast: Cast, anns_terminal: Driver) -> None:
    async with chargers.wire(cast.box.url, "A") as charger, chargers.wire(cast.box.url, "B") as bens:
        await charger.boot()
        await bens.boot()
        begun = await charger.call(
            "StartTransaction",
            {"connectorId": 1, "idTag": TAG, "meterStart": 5, "timestamp": chargers.now()},
        )
        await charger.status("Charging")
        told(await anns_terminal.types("start", "NO-SUCH"), Code.UNKNOWN_CHARGER)
        told(await anns_terminal.types("start", "B"), Code.UNKNOWN_CHARGER)
        told(await anns_terminal.types("start", "A"), Code.CONNECTOR_IN_USE)
        told(await anns_terminal.types("stop", "A"), Code.UNKNOWN_SESSION)  # there is one, and not for her
        assert charger.asked_for("RemoteStartTransaction") == []
        assert charger.asked_for("RemoteStopTransaction") == []
        end = {"transactionId": begun["transactionId"], "meterStop": 6, "timestamp": chargers.now()}
        await charger.call("StopTransaction", end)
        await charger.status("Available")


async def test_a_stranger_at_a_terminal_is_told_to_pair(cast: Cast) -> None:
    stranger = Driver(cast.box.folder / "stranger")
    told(await stranger.types("start", "A"), Code.NOT_PAIRED)
    told(await stranger.types("pair", "plugside1_cut-sh"), Code.BAD_INVITE)


# --- the box's own command line ----------------------------------------------------------------------------


async def test_a_second_run_on_the_same_folder_is_refused_with_the_reason(cast: Cast) -> None:
    stage = cast.box.stage
    given = ("--data", str(stage.edge_data), "--socket", str(stage.folder / "second.sock"), "--json", "run")
    second = await typed("edge.cli.main", *given, "--ocpp", "127.0.0.1:0", "--lan", "127.0.0.1:0")
    assert second.error["code"] == Code.FOLDER_IN_USE
    assert "--data" in second.error["hint"]
    async with chargers.wire(cast.box.url, "A") as charger:
        assert "currentTime" in await charger.call("Heartbeat")


@pytest.mark.parametrize(
    ("typed_in", "code"),
    [
        (("invite", "--charger", "NO-SUCH"), Code.UNKNOWN_CHARGER),
        (("chargers", "adopt", "NO SUCH"), Code.BAD_CHARGER_ID),
        (("tags", "remove", "NOBODYS"), Code.BAD_REQUEST),
    ],
)
async def test_an_installers_mistake_is_told(cast: Cast, typed_in: tuple[str, ...], code: Code) -> None:
    seq = await cast.box.facts()
    done = await cast.box.edge(*typed_in)
    assert (done.code, done.error["code"]) == (2, code)
    assert done.error["hint"]
    assert await cast.box.facts() - seq <= 1  # at most the note of a command's refusal

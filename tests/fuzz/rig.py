"""A box in memory that is fed hostile bytes, and the laws that hold whatever they are.

Real: listener, connection, link, dialect, gateway, core. Time is virtual, so a rig takes hundreds of inputs a
second. A rig is renewed after `LIFE` inputs: what an input left behind is part of what the next ones meet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any, Self

import msgspec

from edge.chargers import doorbook, standing
from edge.chargers.frames import Call, Frame, Unreadable, decode_noting
from edge.core import engine
from tests.dialects.quirks.box import Box, Clock, Ids, Vault
from tests.dialects.quirks.lines import PROTOCOL_KEY, Client, VirtualLoop, request
from tests.sim.disk import Disk

#: Inputs that one rig takes.
LIFE = 300
#: What a rig's whole state may weigh after its life, in bytes: sessions, orphans and views are bounded.
STATE_BYTES_MAX = 2 * 1024 * 1024
#: Messages that are never answered with an error when they can be read (quirk 23).
NEVER_REFUSED = {
    "ocpp1.6": ("StartTransaction", "StopTransaction", "MeterValues", "StatusNotification"),
    "ocpp2.0.1": ("TransactionEvent", "MeterValues", "StatusNotification"),
}
#: What only a message that was read may bring about. (Timers run meanwhile, and have facts of their own.)
_OF_A_MESSAGE = {
    "session_started",
    "meter_sampled",
    "charger_booted",
    "authorization_changed",
    "command_accepted",
}


class BrokenLaw(AssertionError):  # noqa: N818 - it reads as what happened
    """An input after which a law does not hold; the text tells which."""


class Rig:
    """One charger's connection to a box. `frame` and `dial` each take one hostile input. Close it."""

    def __init__(self, protocol: str = "ocpp1.6") -> None:
        self.protocol = protocol
        self.inputs = 0
        self._loop = VirtualLoop()
        self._failed: list[str] = []
        self._loop.set_exception_handler(lambda _, context: self._failed.append(str(context)))
        self._log = _Failures(self._failed)
        logging.getLogger("plugside").addHandler(self._log)
        self._disk = Disk()
        self._box = self._run(self._start())
        self._client = self._run(self._connect())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the loop."""
        self._client.transport.abort()
        self._run(self._box.end())
        logging.getLogger("plugside").removeHandler(self._log)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._run(asyncio.sleep(0))
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    async def _start(self) -> Box:
        box = Box(self._disk, Clock(), Ids(), Vault())
        await box.start(("CP1",))
        return box

    async def _connect(self) -> Client:
        client = Client()
        await self._loop.create_connection(lambda: client, address="10.0.0.7")
        client.transport.write(request("/CP1", _headers(self.protocol)))
        if not await client.until(lambda: client.status == 101, 5):
            raise BrokenLaw(f"a proper dial was answered {client.status}: {client.response!r}")
        await asyncio.sleep(1)
        return client

    # --- inputs ------------------------------------------------------------------------------------------

    def frame(self, data: bytes) -> None:
        """One WebSocket text message with these bytes. Raises BrokenLaw."""
        self._run(self._frame(data))

    async def _frame(self, data: bytes) -> None:
        self.inputs += 1
        decoded, _ = decode_noting(data)
        before = len(self._disk.facts)
        answers = await self._say(data)
        made = {fact.kind for fact in self._disk.facts[before:]}
        if isinstance(decoded, Unreadable) and made & _OF_A_MESSAGE:
            raise BrokenLaw(f"an unreadable frame changed the state: {made}")
        _check_answers(decoded, answers, NEVER_REFUSED[self.protocol])
        self._check()

    def dial(self, data: bytes) -> None:
        """One connection whose first bytes are these; then a proper charger dials. Raises BrokenLaw."""
        self._run(self._dial(data))

    async def _dial(self, data: bytes) -> None:
        self.inputs += 1
        await self._knock(data)
        if not await self._alive():
            raise BrokenLaw("a stranger's dial ended the charger's connection")
        self._check()

    async def _knock(self, data: bytes) -> None:
        stranger = Client()
        stranger.data_received = lambda _: None  # type: ignore[method-assign]
        await self._loop.create_connection(lambda: stranger, address="10.0.0.66")
        stranger.transport.write(data)
        await asyncio.sleep(0.05)
        stranger.transport.abort()
        await asyncio.sleep(0.05)

    async def _say(self, data: bytes) -> list[list[Any]]:
        client = self._client
        client.frames.clear()
        client.send(data)
        if not await self._alive():
            raise BrokenLaw(f"the connection ended: {client.closed}")
        await asyncio.sleep(0.15)
        answers = [frame for frame in client.frames if frame[0] != 2]
        for frame in client.frames:
            if frame[0] == 2:
                client.send(json.dumps([3, frame[1], {}]).encode())
        client.frames.clear()
        return answers

    async def _alive(self) -> bool:
        """Whether the connection serves a call."""
        client, name = self._client, f"alive {self.inputs}"
        if client.lost:
            return False
        client.send(json.dumps([2, name, "Heartbeat", {}]).encode())

        def answers() -> list[Any]:
            return [frame for frame in client.frames if frame[0] == 3 and frame[1] == name]

        alive = await client.until(lambda: bool(answers()), 5)
        for answer in answers():
            client.frames.remove(answer)
        return alive

    # --- laws --------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._failed:
            raise BrokenLaw(f"an exception: {self._failed[0]}")
        about = self._box.listener.describe()
        for name in ("violations_by_name", "bad_frames_by_kind", "unread", "plugs"):
            if about and len(about[0][name]) > standing.NAMES_MAX + 1:
                raise BrokenLaw(f"{name} grows without end")
        dials = list(self._box.listener.dials())
        if len(dials) > doorbook.RECORDS_MAX or any(len(one.first_bytes) > 4096 for one in dials):
            raise BrokenLaw("the door's records grow without end")
        if self.inputs % 50 == 0:
            size = len(engine.encode_state(self._box.gateway.state))
            if size > STATE_BYTES_MAX:
                raise BrokenLaw(f"the state has grown to {size} bytes")


def _headers(protocol: str) -> dict[str, str]:
    return {
        "Host": "box",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": PROTOCOL_KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": protocol,
    }


def _check_answers(decoded: Frame, answers: list[list[Any]], never_refused: tuple[str, ...]) -> None:
    """One answer at most, to a call alone, under its id; no error to a message that may not have one."""
    if len(answers) > 1:
        raise BrokenLaw(f"more than one answer: {answers}")
    if not isinstance(decoded, Call | Unreadable) and answers:
        raise BrokenLaw(f"what is no call was answered: {answers}")
    if isinstance(decoded, Call):
        if not answers:
            raise BrokenLaw(f"a call was not answered: {decoded.action!r}")
        if answers[0][1] != decoded.message_id:
            raise BrokenLaw(f"answered under another id: {answers}")
        if decoded.action in never_refused and answers[0][0] != 3:
            raise BrokenLaw(f"{decoded.action} was refused: {answers}")


def decodes(data: bytes) -> None:
    """The laws of the frame decoder alone. Raises BrokenLaw."""
    frame, notes = decode_noting(data)
    if len(notes) > 4:
        raise BrokenLaw(f"too many notes: {notes}")
    if isinstance(frame, Unreadable):
        if len(frame.first_bytes) > 256 or (frame.message_id is not None and frame.answers is not None):
            raise BrokenLaw(f"an unreadable frame tells too much: {frame}")
    elif isinstance(frame, Call):
        with contextlib.suppress(RecursionError):
            msgspec.json.decode(frame.payload)
        if isinstance(frame.message_id, str) and len(frame.message_id) > 255:
            raise BrokenLaw("a message id of more than 255 characters")


class _Failures(logging.Handler):
    """Exceptions that somebody caught and logged: no bytes of a charger may lead to one."""

    def __init__(self, failed: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._failed.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

"""The fast lane: what it cuts out are whole messages, what it leaves is the stream without them, in order."""

import asyncio
import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from edge.chargers.lane import Lane, Piece
from tests.chargers.site import PATIENCE_S, Site

WHOLE_MAX = 200


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


TEXTS = st.binary(max_size=WHOLE_MAX + 100)


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """A message as a client may send it: the frames, with control frames between those of one message."""
    opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.TEXT, Opcode.TEXT, Opcode.BINARY]))
    parts = draw(st.lists(TEXTS, min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 3]))))
    frames = []
    for number, part in enumerate(parts):
        if draw(st.booleans()) and draw(st.booleans()):
            frames.append(
                masked(draw(st.sampled_from([Opcode.PING, Opcode.PONG])), draw(st.binary(max_size=9)))
            )
        frames.append(masked(Opcode.CONT if number else opcode, part, fin=number == len(parts) - 1))
    return frames


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A client's stream, and the chunks that it arrives in."""
    frames = [frame for message in draw(st.lists(messages(), max_size=8)) for frame in message]
    if draw(st.booleans()):
        frames.append(masked(Opcode.CLOSE, Close(CloseCode.NORMAL_CLOSURE, "").serialize()))
        frames += draw(st.lists(TEXTS.map(lambda text: masked(Opcode.TEXT, text)), max_size=2))
    stream = b"".join(frames)
    cuts = sorted({0, len(stream), *draw(st.lists(st.integers(0, len(stream)), max_size=12))})
    return stream, [stream[start:stop] for start, stop in pairwise(cuts)]


def fed(chunks: list[bytes]) -> list[Piece]:
    lane = Lane(WHOLE_MAX)
    return [piece for chunk in chunks for piece in lane.feed(chunk)]


class Package:
    """The package's own parser, past its handshake."""

    def __init__(self) -> None:
        self._protocol = ServerProtocol(state=State.OPEN)

    def receives(self, data: bytes) -> list[Frame]:
        self._protocol.receive_data(data)
        return [event for event in self._protocol.events_received() if isinstance(event, Frame)]


def assembled(frames: list[Frame]) -> list[bytes]:
    """The messages of data frames; the package delivers what comes before a close."""
    found: list[bytes] = []
    for frame in frames:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            found.append(bytes(frame.data))
        elif frame.opcode is Opcode.CONT:
            found[-1] += bytes(frame.data)
    return found


@given(streams())
def test_nothing_is_lost_doubled_or_moved(given: tuple[bytes, list[bytes]]) -> None:
    stream, chunks = given
    assert b"".join(piece.frame for piece in fed(chunks)) == stream


@given(streams())
def test_what_is_cut_out_and_what_the_package_makes_of_the_rest_are_all_messages_in_order(
    given: tuple[bytes, list[bytes]],
) -> None:
    stream, chunks = given
    package, both, promised = Package(), [], 0
    for piece in fed(chunks):
        if piece.text is None:
            both += package.receives(piece.frame)
            promised += piece.messages
        else:
            assert len(piece.text) <= WHOLE_MAX
            both.append(Frame(Opcode.TEXT, piece.text))
            promised += 1
    expected = assembled(Package().receives(stream))
    assert assembled(both) == expected
    assert promised == len(expected), "what the lane says that the package will deliver"


@given(st.lists(TEXTS.filter(lambda text: len(text) <= WHOLE_MAX), min_size=1))
def test_small_text_frames_never_reach_the_package(texts: list[bytes]) -> None:
    pieces = fed([b"".join(masked(Opcode.TEXT, text) for text in texts)])
    assert [piece.text for piece in pieces] == texts


def test_a_frame_that_is_not_masked_is_the_packages_to_refuse_and_so_is_all_behind_it() -> None:
    bad = Frame(Opcode.TEXT, b"bare").serialize(mask=False)
    good = masked(Opcode.TEXT, b"good")
    assert [piece.text for piece in fed([good + bad + good, good])] == [b"good", None, None]


def test_a_large_frame_goes_on_as_it_comes() -> None:
    large = masked(Opcode.TEXT, b"x" * (WHOLE_MAX + 1))
    lane = Lane(WHOLE_MAX)
    pieces = [piece for at in range(0, len(large), 50) for piece in lane.feed(large[at : at + 50])]
    assert [len(piece.frame) for piece in pieces[:-1]] == [50] * (len(pieces) - 1)
    assert sum(piece.messages for piece in pieces) == 1
    assert lane.feed(masked(Opcode.TEXT, b"next"))[0].text == b"next"


def heartbeat(number: int) -> bytes:
    return json.dumps([2, f"h{number}", "Heartbeat", {}]).encode()


async def test_messages_that_overtake_none_whichever_way_they_come() -> None:
    """One write: whole messages, one in fragments with a ping between, a binary one, more than a burst."""
    sent = [masked(Opcode.TEXT, heartbeat(number)) for number in range(40)]
    middle = heartbeat(5)
    sent[5] = (
        masked(Opcode.TEXT, middle[:7], fin=False)
        + masked(Opcode.PING, b"?")
        + masked(Opcode.CONT, middle[7:])
    )
    sent[6] = masked(Opcode.BINARY, heartbeat(6))
    async with Site() as site, site.charger() as charger:
        charger.ws.transport.write(b"".join(sent))
        assert [(await charger.recv())[1] for _ in range(40)] == [f"h{number}" for number in range(40)]


async def test_frames_that_come_with_the_handshake_are_read_all_the_same() -> None:
    request = (
        b"GET /CP1 HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    early, later = masked(Opcode.TEXT, heartbeat(0)), masked(Opcode.TEXT, heartbeat(1))
    async with Site() as site, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
        writer.write(request + early[:9])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early[9:] + later)
        await reader.readuntil(b'[3,"h0",')
        await reader.readuntil(b'[3,"h1",')
        writer.close()
        await writer.wait_closed()

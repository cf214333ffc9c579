"""Group 9: QUIC handshakes from forged addresses, and handshakes that are begun and left."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from ssl import CERT_NONE
from typing import cast

import pytest
import pytest_asyncio
from aioquic._buffer import Buffer
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import pull_quic_header

from common.threshold import STRANGERS_MAX
from edge.webtransport.session import Session
from tests.attacks.stand import Stand, stand

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """With the limits of the field."""
    async with stand(tmp_path_factory.mktemp("s"), paced=True) as attacked:
        yield attacked


def initial() -> bytes:
    """A genuine first datagram of a browser that will never be heard of again."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=CERT_NONE)
    quic = QuicConnection(configuration=configuration)
    quic.connect(("127.0.0.1", 1), now=0.0)
    return quic.datagrams_to_send(now=0.0)[0][0]


class Sender:
    """One address of 127/8: what is sent from it, and how much comes back."""

    def __init__(self, number: int, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((f"127.0.{number // 250}.{number % 250 + 1}", 0))
        self._to = ("127.0.0.1", port)
        self.sent = 0

    def send(self, data: bytes) -> None:
        self.sent += len(data)
        self._socket.sendto(data, self._to)

    def answered(self) -> int:
        """Bytes that came back so far."""
        total = 0
        while True:
            try:
                total += len(self._socket.recv(65536))
            except BlockingIOError:
                return total

    def close(self) -> None:
        self._socket.close()


async def test_a_flood_of_forged_first_datagrams_costs_no_more_than_the_budget(here: Stand) -> None:
    phone = await here.phone()
    threshold = here.site.lan.threshold
    senders = [Sender(number, here.port) for number in range(300)]
    answers = 0
    try:
        for sender in senders:
            sender.send(initial())
            await asyncio.sleep(0)
            assert threshold.strangers <= STRANGERS_MAX
        # An honest phone on the same machine's own address gets in while that goes on, over TCP.
        await here.works_for(phone)
        for sender in senders:
            got = sender.answered()
            answers += bool(got)
            assert got <= 3 * sender.sent, "an amplifier (RFC 9000 §8.1)"
    finally:
        for sender in senders:
            sender.close()
    assert threshold.strangers <= STRANGERS_MAX // 4 + 1
    notes = await here.written("security_noted")
    assert len(notes) <= 12


async def test_garbage_is_dropped_without_an_answer(here: Stand) -> None:
    sender = Sender(77, here.port)
    try:
        for size in (1, 7, 20, 100, 1200, 1500, 9000):
            sender.send(os.urandom(size))
            sender.send(b"\xc0\x00\x00\x00\x01" + os.urandom(size))
        await here.works_for(await here.phone())
        assert sender.answered() <= 3 * sender.sent
    finally:
        sender.close()


async def test_half_handshakes_of_one_address_do_not_keep_another_one_out(here: Stand) -> None:
    phone = await here.phone()
    sender = Sender(99, here.port)
    try:
        for _ in range(200):
            sender.send(initial())
            await asyncio.sleep(0)
        assert here.site.lan.threshold.strangers <= STRANGERS_MAX // 4 + 1
        await here.works_for(phone)
    finally:
        sender.close()


class Wire:
    """Where a session's datagrams go; how many bytes they were."""

    def __init__(self) -> None:
        self.bytes = 0

    def sendto(self, data: bytes, _: object) -> None:
        self.bytes += len(data)


async def test_a_goodbye_to_a_stranger_is_within_the_limit_too(here: Stand) -> None:
    browsers = here.site.lan._browsers
    assert browsers is not None
    first, wire = initial(), Wire()
    named = pull_quic_header(Buffer(data=first), host_cid_length=8).destination_cid
    quic = QuicConnection(
        configuration=browsers._door._configuration, original_destination_connection_id=named
    )
    session = Session(quic, browsers._door, None)
    session.connection_made(cast("asyncio.DatagramTransport", wire))
    session.datagram_received(first, ("127.0.0.1", 1))
    # Asked again and again for an answer that will not come, until no more may be sent.
    while quic._network_paths[0].can_send(100) and (due := quic.get_timer()) is not None:
        quic.handle_timer(due)
        for data, to in quic.datagrams_to_send(due):
            wire.sendto(data, to)
    session.close()
    assert quic._close_at is not None, "it is over all the same"
    session._ended()
    assert len(first) < wire.bytes <= 3 * len(first)

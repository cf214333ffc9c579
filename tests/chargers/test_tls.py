"""A chargers' port that speaks TLS, over real sockets: who comes in, and why somebody else does not."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from common.clock import SystemClock, SystemIds
from common.supervise import Supervisor
from edge.chargers.doorbook import Dial
from edge.chargers.reasons import Reason
from tests.chargers.secured import basic
from tests.chargers.site import PATIENCE_S, Charger, Site, limits


def on_both_loops(work: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test on asyncio's loop and on uvloop: each has a TLS of its own."""

    @pytest.mark.parametrize(
        "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    def test(loop: Callable[[], asyncio.AbstractEventLoop], pem: Path) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(work(pem))

    return test


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key and its own certificate, for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "box.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@asynccontextmanager
async def tls_site(pem: Path, open_timeout_s: float = PATIENCE_S) -> AsyncIterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    spawn = Supervisor(SystemClock(), SystemIds()).spawn
    async with Site(tls=context, spawn=spawn, limits=limits(open_timeout_s=open_timeout_s)) as made:
        yield made


def trusting(pem: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pem))


def distrusting(port: int) -> None:
    """Dial as a charger does that does not know the box's certificate: it says so, and goes."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost").close()


async def turned_away(site: Site) -> Dial:
    """The one connection that was turned away."""
    async with asyncio.timeout(PATIENCE_S):
        while not list(site.listener.dials()):  # noqa: ASYNC110 - the door tells nobody
            await asyncio.sleep(0.01)
    (dial,) = site.listener.dials()
    return dial


@on_both_loops
async def test_a_charger_comes_in_through_tls(pem: Path) -> None:
    async with tls_site(pem) as site:
        url = site.url().replace("ws://127.0.0.1", "wss://localhost")
        site.memory.passwords["CP1"] = b"secret"
        async with connect(
            url,
            ssl=trusting(pem),
            subprotocols=["ocpp1.6"],
            proxy=None,
            host="127.0.0.1",
            additional_headers=basic("CP1", "secret"),
        ) as ws:
            assert await Charger(ws).alive()
            assert site.about()["address"] == "127.0.0.1"
        assert list(site.listener.dials()) == []


@on_both_loops
async def test_whoever_speaks_plainly_to_it_is_told_apart(pem: Path) -> None:
    async with tls_site(pem) as site:
        with pytest.raises(Exception, match=r"HTTP|reset|closed|EOF"):
            async with site.charger():
                pass
        dial = await turned_away(site)
        assert dial.reason is Reason.PLAIN_ON_TLS
        assert dial.first_bytes.startswith("GET /CP1 HTTP/1.1")
        assert dial.address == "127.0.0.1"


@on_both_loops
async def test_a_handshake_that_fails_is_told_with_its_reason(pem: Path) -> None:
    async with tls_site(pem) as site:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(distrusting, site.listener.port)
        dial = await turned_away(site)
        assert dial.reason is Reason.TLS_FAILED
        assert "unknown ca" in dial.detail


@on_both_loops
async def test_one_that_says_nothing_is_dropped(pem: Path) -> None:
    async with tls_site(pem, open_timeout_s=0.1) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
        assert (await turned_away(site)).reason is Reason.SILENT


@on_both_loops
async def test_tls_connections_are_counted_and_paced_before_any_handshake(pem: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    begun = asyncio.Event()

    def spawn(_: str, work: Coroutine[Any, Any, None]) -> None:
        assert not begun.is_set(), "one handshake alone may begin"
        begun.set()
        work.close()

    async with Site(tls=context, spawn=spawn, limits=limits(dials_burst=1, dials_per_s=0)) as site:
        writers = []
        async with asyncio.timeout(PATIENCE_S):
            for number in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", site.listener.port)
                writers.append(writer)
                writer.write(b"\x16\x03\x01")
                if number == 0:
                    await begun.wait()
                else:
                    with contextlib.suppress(ConnectionError):
                        assert await reader.read() == b""
        assert site.listener.refusals == {"dials_too_often": 2}
        for writer in writers:
            writer.transport.abort()

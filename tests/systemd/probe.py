"""Runs in a daemon's place under its unit, tries what the sandbox must let through and what it must refuse.

`probe.py edge|cloud`, with the unit's environment. It writes {attempt: "ok" or the error} as probe.json into
the data folder, tells systemd READY=1 and feeds the watchdog, until a line "stall" on the local socket.
"""

import asyncio
import ctypes
import hashlib
import importlib
import json
import mmap
import os
import socket
import sqlite3
import ssl
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from common.notify import notify, watchdog_interval_s

ROLE = sys.argv[1]
DATA = Path(os.environ[f"PLUGSIDE_{ROLE.upper()}_DATA"])
SOCKET = Path(os.environ[f"PLUGSIDE_{ROLE.upper()}_SOCKET"])
LIBRARIES = {
    "edge": ["aiosqlite", "httpx", "jsonschema_rs", "msgspec", "ocpp.v16", "pydantic_settings", "zeroconf"],
    "cloud": ["aiosqlite", "alembic", "litestar", "msgspec", "pydantic_settings", "sqlalchemy", "uvicorn"],
}
CLONE_NEWUSER = 0x10000000  # linux/sched.h


def libraries() -> None:
    for name in LIBRARIES[ROLE]:
        importlib.import_module(name)


def certificate() -> ssl.SSLContext:
    """A server's context: of the certificate in the settings if there is one, else self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if given := os.environ.get("PLUGSIDE_CLOUD_TLS_CERT"):
        context.load_cert_chain(given, os.environ["PLUGSIDE_CLOUD_TLS_KEY"])
        return context
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=3650))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (DATA / "tls.pem").write_bytes(pem)
    context.load_cert_chain(DATA / "tls.pem")
    return context


def signatures() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    key.public_key().verify(key.sign(b"plugside"), b"plugside")


def journal() -> None:
    with sqlite3.connect(DATA / "probe.db") as database:
        assert database.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        database.executescript(
            "PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (1)"
        )
    with (DATA / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)
        os.fdatasync(file.fileno())


def interfaces() -> None:
    import ifaddr  # what zeroconf asks; it calls getifaddrs through ctypes

    assert "127.0.0.1" in {ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips}


def multicast() -> None:
    import zeroconf

    zeroconf.Zeroconf(interfaces=["127.0.0.1"]).close()


def names() -> None:
    assert socket.getaddrinfo("localhost", 443, type=socket.SOCK_STREAM)


async def echo(link: ServerConnection) -> None:
    async for message in link:
        await link.send(message)


async def listeners() -> str:
    """Plain and TLS, a message there and back over each; the certificate's SHA-256 as the client saw it."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for server_tls, client_tls in ((None, None), (certificate(), trusting)):
        async with serve(echo, "0.0.0.0", 0, ssl=server_tls) as server:
            scheme, bound = "wss" if server_tls else "ws", next(iter(server.sockets)).getsockname()[1]
            async with connect(f"{scheme}://127.0.0.1:{bound}", ssl=client_tls, proxy=None) as link:
                await link.send("hello")
                assert await link.recv() == "hello"
                tls = link.transport.get_extra_info("ssl_object")
    return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()


def write_and_execute() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def new_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")


def set_uid_bit() -> None:
    (DATA / "suid").touch()
    (DATA / "suid").chmod(0o4755)


def other_processes() -> None:
    if {entry.name for entry in Path("/proc").glob("[0-9]*")} <= {str(os.getpid())}:
        raise PermissionError("no process but this one is to be seen")


# Functions of no argument: those that must return, and those that must raise OSError, each for the sandbox's
# own reason: what any unprivileged process is refused is not tried.
ALLOWED: dict[str, list[Callable[[], None]]] = {
    "edge": [libraries, signatures, journal, names, interfaces, multicast],
    "cloud": [libraries, signatures, journal, names],
}
REFUSED: dict[str, Callable[[], object]] = {
    "write_and_execute": write_and_execute,
    "new_namespace": new_namespace,
    "set_uid_bit": set_uid_bit,
    "packet_socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "pin_to_a_core": lambda: os.sched_setaffinity(0, {0}),
    "write_settings": lambda: Path("/etc/plugside/probe").touch(),
    "write_program": lambda: Path("/opt/plugside/probe").touch(),
    "read_homes": lambda: list(Path("/home").iterdir()),
    "see_other_processes": other_processes,
    "read_kernel_settings": lambda: Path("/proc/sys/kernel/hostname").read_text(),
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


def stand_still() -> None:
    """Block the loop itself, as a wedged daemon would."""
    time.sleep(3600)


async def local(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.readline() == b"stall\n":
        stand_still()
    writer.close()


def save(report: dict[str, str]) -> None:
    (DATA / "probe.json").write_text(json.dumps(report))


async def probe() -> dict[str, str]:
    """Every attempt and how it went."""
    report = {attempt.__name__: outcome(attempt) for attempt in ALLOWED[ROLE]}
    report["certificate"] = await listeners()
    report["loop"] = type(asyncio.get_running_loop()).__module__
    return report | {name: outcome(attempt) for name, attempt in REFUSED.items()}


async def main() -> None:
    save(await probe())
    async with await asyncio.start_unix_server(local, SOCKET):
        SOCKET.chmod(0o660)  # noqa: ASYNC240 - a system call on a file in memory
        assert notify("READY=1", environ=os.environ)
        interval_s = watchdog_interval_s(os.environ)
        assert interval_s is not None
        while True:
            notify("WATCHDOG=1", environ=os.environ)
            await asyncio.sleep(interval_s)


if __name__ == "__main__":
    uvloop.run(main())

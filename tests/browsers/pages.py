"""Pages for browsers: a server for `https://app.example` on loopback, and the browsers of this machine.

The browser maps the test's names to that server by a resolver rule, and believes the test's own key. So a
page has the origin that it will have in the field, and is a secure context; it is never localhost.
Everything else that a browser would like to reach maps to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.async_api import BrowserContext, async_playwright

from common.clock import SystemClock
from tests.needs import find_tool

APP = "https://app.example"
#: Every name that a test's page may have; all are the same server.
NAMES = ("app.example", "evil.example", "app.example.evil.example", "static.example")
PATIENCE_S = 60.0
HERE = Path(__file__).parent
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


class PageServer:
    """Serves pages by path, and keeps what was asked of it. `port` is known once it listens."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self.pages: dict[str, tuple[str, bytes, dict[str, str]]] = {}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []  #: request line, headers, body
        self.told: asyncio.Queue[Any] = asyncio.Queue()  #: what pages posted to /tell
        self.pem, self.spki = _certificate(folder)
        self._server: asyncio.Server | None = None
        self.put("/", "text/html", b"<!doctype html><title>App</title><script src=/client.js></script>")
        self.put("/client.js", "text/javascript", (HERE / "client.js").read_bytes())

    def put(self, path: str, kind: str, body: bytes, **headers: str) -> None:
        """Serve this at a path. headers: more of them, `_` for `-`."""
        self.pages[path] = (kind, body, {name.replace("_", "-"): value for name, value in headers.items()})

    async def __aenter__(self) -> PageServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        self._server = await asyncio.start_server(self._attend, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append((head[0], headers, body))
            path = head[0].split(" ")[1].partition("?")[0]
            if path == "/tell":
                self.told.put_nowait(json.loads(body))
            kind, content, more = self.pages.get(path, ("text/plain", b"", {}))
            lines = {"Content-Type": kind, "Content-Length": str(len(content)), "Connection": "close", **more}
            text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            status = "200 OK" if path in self.pages or path == "/tell" else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\n{text}\r\n".encode() + content)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def _certificate(folder: Path) -> tuple[Path, str]:
    """A certificate for all names, and the hash of its key as Chromium's switch wants it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Plugside test pages")])
    now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=20))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in NAMES]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "pages.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return file, b64encode(sha256(public).digest()).decode()


def chromium_switches(server: PageServer, *more: str) -> list[str]:
    """What makes Chromium find the test's names, believe the test's key and ask nobody else."""
    rules = [
        *(f"MAP {name} 127.0.0.1:{server.port}" for name in NAMES),
        "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ]
    return [
        *QUIET,
        f"--host-resolver-rules={', '.join(rules)}",
        f"--ignore-certificate-errors-spki-list={server.spki}",
        *more,
    ]


@asynccontextmanager
async def chromium(server: PageServer, folder: Path, *switches: str) -> AsyncIterator[BrowserContext]:
    """The system's Chromium with a profile of its own."""
    async with async_playwright() as engine:
        context = await engine.chromium.launch_persistent_context(
            folder / "chromium",
            executable_path=find_tool("chromium"),
            args=chromium_switches(server, *switches),
            env={**os.environ, "HOME": str(folder)},
        )
        try:
            yield context
        finally:
            await context.close()

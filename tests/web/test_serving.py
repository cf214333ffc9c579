"""The app as pages: what is served, what is not, and under which rules, by the cloud and by the box."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from cloud.api.pages import Pages
from common import webapp
from common.clock import SystemClock
from common.link.websocket import LINK_PATH
from common.webapp import POLICY, WebApp
from edge.demo.stage import free_port
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import living
from tests.cloud.parts import running

HASHED = "/assets/index-abc123.js"
SCRIPT = b"console.log('plugside');" * 40


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A build, small."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Plugside</title>")
    (folder / "sw.js").write_text("self.x = 1;")
    (folder / "icon.svg").write_text("<svg/>")
    script = folder / HASHED[1:]
    script.write_bytes(SCRIPT)
    script.with_name(script.name + ".br").write_bytes(b"in brotli")
    script.with_name(script.name + ".gz").write_bytes(b"in gzip")
    (folder / ".stamp").write_text("not a page")
    (tmp_path / "secret.txt").write_text("a secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def app(dist: Path) -> WebApp:
    return WebApp(dist)


@pytest.fixture
def built(dist: Path) -> Iterator[None]:
    """Whatever serves the app serves this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webapp.WebApp, "__init__", _reads(dist))
        yield


def _reads(dist: Path) -> Any:
    real = webapp.WebApp.__init__

    def read(self: WebApp, _folder: Path = dist) -> None:
        real(self, dist)

    return read


# --- pure ---------------------------------------------------------------------------------------------------


def test_only_what_was_read_is_served(app: WebApp) -> None:
    assert app.paths == {"/", "/index.html", "/sw.js", "/icon.svg", HASHED}
    for path in (
        *("/../secret.txt", "/%2e%2e/secret.txt", "/assets/../../secret.txt", "//secret.txt", "/link.txt"),
        *("/.stamp", "/assets", "/assets/", "/index.html/", "", "index.html", "/\x00", HASHED + ".br"),
    ):
        assert app.answer(path) is None, path


def test_every_page_comes_with_its_rules(app: WebApp) -> None:
    for path in app.paths:
        answer = app.answer(path)
        assert answer is not None
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-length"] == str(len(answer.body))


def test_the_policy_lets_in_nothing_of_others_and_nothing_inline() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe-inline" not in POLICY
    assert "unsafe-eval" not in POLICY
    assert "'unsafe-webtransport-hashes'" in rules["connect-src"].split()


def test_what_has_a_hash_in_its_name_is_kept_and_the_rest_is_asked_for_again(app: WebApp) -> None:
    hashed, index, worker = app.answer(HASHED), app.answer("/"), app.answer("/sw.js")
    assert hashed is not None
    assert index is not None
    assert worker is not None
    assert "immutable" in hashed.headers["cache-control"]
    assert index.headers["cache-control"] == worker.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepts", "encoding", "body"),
    [
        ("gzip, deflate, br", "br", b"in brotli"),
        ("gzip", "gzip", b"in gzip"),
        ("br;q=0, gzip;q=0.5", "gzip", b"in gzip"),
        ("", None, SCRIPT),
        ("identity, broccoli", None, SCRIPT),
    ],
)
def test_text_goes_out_as_the_browser_takes_it(
    app: WebApp, accepts: str, encoding: str | None, body: bytes
) -> None:
    answer = app.answer(HASHED, accepts=accepts)
    assert answer is not None
    assert (answer.headers.get("content-encoding"), answer.body) == (encoding, body)


def test_what_the_browser_has_is_not_sent_again(app: WebApp) -> None:
    first = app.answer("/", accepts="br")
    assert first is not None
    tag = first.headers["etag"]
    again = app.answer("/", accepts="br", known=f'"other", W/{tag}')
    assert again is not None
    assert (again.status, again.body) == (304, b"")
    other = app.answer("/", accepts="br", known='"other"')
    assert other is not None
    assert other.status == 200


def test_an_installation_without_the_app_serves_none(tmp_path: Path) -> None:
    assert not WebApp(tmp_path / "nowhere").built


async def test_what_is_not_the_apps_goes_on_to_the_api(app: WebApp) -> None:
    passed: list[str] = []

    async def api(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append(f"{scope['type']} {scope.get('method', '')} {scope['path']}")

    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    pages = Pages(api, app)
    for kind, method, path in (
        ("http", "POST", "/"),
        ("http", "GET", "/v1/schema"),
        ("websocket", "", "/"),
    ):
        await pages({"type": kind, "method": method, "path": path, "headers": []}, None, send)  # type: ignore[arg-type]
    assert passed == ["http POST /", "http GET /v1/schema", "websocket  /"]
    assert sent == []
    await pages({"type": "http", "method": "HEAD", "path": "/", "headers": []}, None, send)  # type: ignore[arg-type]
    assert sent[1]["body"] == b""


# --- the cloud ----------------------------------------------------------------------------------------------


async def test_the_cloud_serves_the_app_beside_its_api(tmp_path: Path, built: None) -> None:
    async with running(tmp_path / "cloud") as cloud, httpx.AsyncClient(base_url=cloud.url) as http:
        index = await http.get("/")
        assert (index.status_code, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert index.headers["content-security-policy"] == POLICY
        script = await http.get(HASHED, headers={"accept-encoding": "identity"})
        assert script.content == SCRIPT
        assert "immutable" in script.headers["cache-control"]
        assert (await http.get("/assets/none.js")).status_code == 404
        assert (await http.get("/../secret.txt")).status_code == 404
        assert (await http.get("/%2e%2e/secret.txt")).status_code == 404
        api = await http.get("/healthz")
        assert api.headers["content-security-policy"] == "default-src 'none'"
        assert (await http.get("/", headers={"if-none-match": index.headers["etag"]})).status_code == 304


# --- the box ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def box(folder: Path, **given: Any) -> AsyncIterator[Site]:
    settings = EdgeSettings.load(
        {"data": folder, "ocpp": "127.0.0.1:0", "files": "127.0.0.1:0", "lan": "127.0.0.1:0", **given}
    )
    site = Site(settings)
    async with living(site):
        yield site


def _anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_the_box_serves_the_app_over_https_and_its_page_may_connect(
    tmp_path: Path, built: None
) -> None:
    async with box(tmp_path / "box") as site, httpx.AsyncClient(verify=_anybody()) as http:
        origin = f"https://127.0.0.1:{site.lan.port}"
        index = await http.get(origin)
        assert (index.status_code, index.headers["content-security-policy"]) == (200, POLICY)
        script = await http.get(origin + HASHED, headers={"accept-encoding": "identity"})
        assert script.content == SCRIPT
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/none.js", "/v1/sites"):
            assert (await http.get(origin + path)).status_code == 404, path
        url = f"wss://127.0.0.1:{site.lan.port}{LINK_PATH}"
        async with connect(url, origin=origin, ssl=_anybody(), proxy=None):  # type: ignore[arg-type]
            pass
        for foreign in (
            "https://evil.example",
            f"http://127.0.0.1:{site.lan.port}",
            "null",
            origin + ".evil",
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, origin=foreign, ssl=_anybody(), proxy=None)  # type: ignore[arg-type]
            assert refused.value.response.status_code == 403, foreign


async def test_a_certificate_of_the_installer_is_for_who_asks_for_its_name(
    tmp_path: Path, built: None
) -> None:
    cert, key = _certificate(tmp_path, "box.example.com")
    async with box(tmp_path / "box", lan_cert=cert, lan_key=key) as site:
        port = site.lan.port
        trusting = ssl.create_default_context(cafile=str(cert))
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="box.example.com"
        )
        writer.close()
        # Whoever comes by address gets the box's own, which apps pin.
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="127.0.0.1")
        assert site.lan.origins[0] == f"https://box.example.com:{port}"


def test_a_certificate_without_its_key_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="belong together"):
        EdgeSettings.load({"data": tmp_path, "lan_cert": tmp_path / "box.pem"})


async def test_over_plain_http_one_page_says_where_the_app_is(tmp_path: Path) -> None:
    page = f"127.0.0.1:{free_port()}"
    async with box(tmp_path / "box", page=page) as site, httpx.AsyncClient() as http:
        answer = await _soon(http, f"http://{page}/anything?at=all")
        assert f"https://127.0.0.1:{site.lan.port}" in answer.text
        assert "<script" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def _soon(http: httpx.AsyncClient, url: str) -> httpx.Response:
    async with asyncio.timeout(20):
        while True:
            try:
                return await http.get(url)
            except httpx.ConnectError:
                await asyncio.sleep(0.02)


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "box.pem", folder / "box.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, private

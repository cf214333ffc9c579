"""The whole box with both of its chargers' ports, in this process, and a charger that can be moved up.

For tests of passwords, TLS and certificates: nothing here is faked but the charger.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from common import facts
from common.client.connection import Connection
from common.client.local import local
from common.commands import Name
from common.domain import Target
from common.facts import Fact
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import living
from tests.chargers.site import PATIENCE_S, Charger

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def basic(user: str, password: str | bytes) -> dict[str, str]:
    """The header of Basic authentication."""
    raw = password.encode() if isinstance(password, str) else password
    return {"Authorization": "Basic " + base64.b64encode(user.encode() + b":" + raw).decode()}


class SecureBox:
    """A box that runs; `app` is its installer."""

    def __init__(self, site: Site, app: Connection) -> None:
        self.site, self.app = site, app
        self.facts: list[Fact] = []
        site.bus.tap(self.facts.append)

    # --- the installer -------------------------------------------------------------------------------------

    async def adopt(self, charger: str, profile: int = 0) -> None:
        await self.app.command(Name.ADOPT, Target(charger=charger), {"profile": profile}).settled()

    async def secure(self, charger: str, profile: int, **args: Any) -> Any:
        wanted = {"profile": profile, **args}
        async with asyncio.timeout(PATIENCE_S):
            return await self.app.command(Name.SECURE, Target(charger=charger), wanted).settled()

    async def password(self, charger: str) -> str:
        """Another password, as a person would type it."""
        made = await self.app.manage("charger_password", {"charger": charger})
        return str(made["password"])

    async def why(self, charger: str) -> list[str]:
        rows = await self.app.query("chargers")
        return [found["reason"] for row in rows if row["id"] == charger for found in row["why"]]

    def of(self, kind: type[facts.Body]) -> list[Any]:
        return [fact.body for fact in self.facts if isinstance(fact.body, kind)]

    # --- who dials -----------------------------------------------------------------------------------------

    def url(self, path: str, *, tls: bool = False) -> str:
        return self.site.ocpp_urls["ocpps_url" if tls else "ocpp_url"] + path

    def roots(self) -> str:
        """Both roots of the site, as a charger gets them."""
        ca = self.site._side._ca
        assert ca is not None
        return ca.root("ec") + ca.root("rsa")

    def trusting(self, own: Path | None = None, **changed: Any) -> ssl.SSLContext:
        """What a charger dials with that trusts this site; own: its certificate and key."""
        context = ssl.create_default_context(cadata=changed.pop("roots", self.roots()))
        context.set_ciphers("ALL:@SECLEVEL=1")
        for name, value in changed.items():
            setattr(context, name, value)
        if own is not None:
            context.load_cert_chain(own)
        return context

    @asynccontextmanager
    async def dial(
        self,
        charger: str = "CP1",
        password: str | bytes | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> AsyncIterator[Charger]:
        headers = {} if password is None else basic(charger, password)
        settings = {"additional_headers": headers, "subprotocols": ["ocpp1.6"], **settings}
        if tls is not None:
            settings["ssl"] = tls
        async with connect(
            self.url(charger, tls=tls is not None), proxy=None, compression=None, **settings
        ) as ws:
            yield Charger(ws)

    async def status(self, charger: str = "CP1", password: str | bytes | None = None, **settings: Any) -> int:
        """What a dial is answered: 101, or why not."""
        try:
            async with self.dial(charger, password, **settings):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code


@asynccontextmanager
async def secure_box(folder: Path, **changed: Any) -> AsyncIterator[SecureBox]:
    """A box on loopback with a plain and a TLS port."""
    given = {"ocpp": "127.0.0.1:0", "ocpps": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": folder}
    site = Site(EdgeSettings.load(given | changed))
    async with living(site), local(folder / "edge.sock") as app:
        yield SecureBox(site, app)


# --- certificates ------------------------------------------------------------------------------------------


def new_key(kind: str = "ec", bits: int = 2048) -> Key:
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, bits)


def request(key: Key, common: str, *extensions: x509.ExtensionType) -> str:
    """A charger's certificate request, PEM."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Maker"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none).decode()


# --- a charger that can be moved up ------------------------------------------------------------------------


class Wallbox:
    """Keeps what it is told: password, profile, roots, certificate; comes in again when its profile changes.

    As firmware does: it answers first, hangs up, and dials with what it has.
    """

    def __init__(
        self, box: SecureBox, folder: Path, name: str = "CP1", serial: str = "", **quirks: Any
    ) -> None:
        self.box, self.name, self.serial = box, name, serial or name
        self.profile, self.password, self.roots = 0, "", list[str]()
        self.own: Path | None = None
        self.refuses: set[str] = quirks.pop("refuses", set())  #: actions and keys that it does not know
        self.told: list[tuple[str, Any]] = []
        self.dials: list[int] = []
        self._file, self._key = folder / f"{name}.pem", new_key(quirks.pop("kind", "ec"))
        self._again = False
        self._changed = asyncio.Event()
        self._stop = False
        self._ws: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        if self._ws is not None:
            await self._ws.close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S * 3):
            while not condition():
                if self._task.done():
                    self._task.result()
                self._changed.clear()
                await self._changed.wait()

    async def _run(self) -> None:
        while not self._stop:
            self._again = False
            tls = None
            if self.profile >= 2:
                tls = self.box.trusting(self.own if self.profile == 3 else None, roots="".join(self.roots))
            password = self.password if self.profile in (1, 2) else None
            async with self.box.dial(self.name, password, tls=tls) as line:
                self.dials.append(self.profile)
                self._ws = line.ws
                boot = {
                    "chargePointVendor": "V",
                    "chargePointModel": "M",
                    "chargePointSerialNumber": self.serial,
                }
                await line.send(json.dumps([2, "boot", "BootNotification", boot]))
                with contextlib.suppress(ConnectionClosed):
                    while not self._again:
                        await self._hear(line, json.loads(await line.ws.recv()))
                        self._changed.set()

    async def _hear(self, line: Charger, frame: Any) -> None:
        if frame[0] != 2:
            return
        _, message, action, payload = frame
        if action != "GetConfiguration" and action != "TriggerMessage":
            self.told.append((action, payload))
        answer = self._do(action, payload)
        await line.send(json.dumps([3, message, answer]))
        if action == "ExtendedTriggerMessage" and answer == {"status": "Accepted"}:
            csr = request(self._key, self.serial)
            await line.send(json.dumps([2, "sign", "SignCertificate", {"csr": csr}]))

    def _do(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        accepted = {"status": "Accepted"}
        if action == "GetConfiguration":
            return {"configurationKey": [], "unknownKey": payload.get("key", [])}
        if action in self.refuses or payload.get("key") in self.refuses:
            return {"status": "Rejected"}
        match action, payload:
            case "ChangeConfiguration", {"key": "AuthorizationKey", "value": value}:
                self.password, self._again = value, self.profile > 0
            case "ChangeConfiguration", {"key": "SecurityProfile", "value": value}:
                self.profile, self._again = int(value), True
            case "InstallCertificate", {"certificate": root}:
                self.roots.append(root)
            case "CertificateSigned", {"certificateChain": chain}:
                self._file.write_text(key_pem(self._key) + chain)
                self.own = self._file
            case "ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"}:
                pass
            case _:
                return {"status": "NotSupported" if action == "ChangeConfiguration" else "NotImplemented"}
        return accepted

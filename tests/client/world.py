"""A box on the LAN, a cloud, and devices: real TLS and WebSockets on loopback, with the backend of `backend`.

Box and cloud show the same site, as they do in life; the box can be stopped and come back on its port.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path as FilePath

import msgspec

from common import trust, wire
from common.applink import new_session, serve
from common.appsession import Serving
from common.client.client import Client, Via
from common.client.pace import Pace
from common.client.profile import Profile, SiteEntry
from common.clock import SystemClock, SystemIds
from common.domain import Path, Role, iso
from common.keystore import Keystore, generate_identity, generate_issuer
from common.link import Link
from common.link.tls import ServerTls
from common.link.websocket import WebSocketListener, listen_websocket
from common.policy import Claims
from common.supervise import Backoff
from tests.client.backend import FakeBackend, FakeSite

#: Everything that waits, waits for milliseconds; what must not run out by itself has a minute.
FAST = Pace(
    cloud_delay_s=0.01,
    silence_s=0.03,
    search_after_s=0.05,
    ping_every_s=60.0,
    pong_within_s=0.05,
    retry=Backoff(base_ms=5, cap_ms=20, healthy_ms=60_000),
    renew_every_s=60.0,
)
HOST = "127.0.0.1"


class Server:
    """A listener with an identity in front of a backend. The LAN's has TLS and certificates."""

    def __init__(self, path: Path, backend: FakeBackend, issuer: trust.Issuer, folder: FilePath) -> None:
        self.identity = generate_identity()
        self.rotations: tuple[str, ...] = ()  #: how it came to that key
        self.verifier = trust.Verifier(trust.TrustSet([issuer]))
        self.backend = backend
        self.path = path
        self.port = 0
        self.accepted = 0  #: links that came in
        self.lag_ms = 0  #: what this server's clock says besides
        self._folder = folder
        self._listener: WebSocketListener | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def now_ms(self) -> int:
        return SystemClock().now_ms() + self.lag_ms

    def mono_ms(self) -> int:
        return SystemClock().mono_ms()

    @property
    def quality(self) -> str:
        return "synced"

    async def start(self) -> None:
        """Listen: on a free port at first, on the same one later."""
        tls: ServerTls | None = None
        hashes: tuple[str, ...] = ()
        if self.path is Path.LAN:
            made = Keystore(self._folder).lan_certificates(SystemClock().now_ms(), "box.local", [HOST])
            tls, hashes = ServerTls(made.current.pem, made.current.hash), made.hashes

        async def on_link(link: Link) -> None:
            self.accepted += 1
            serving = Serving(
                identity=self.identity, verifier=self.verifier, path=self.path, rotations=self.rotations
            )
            session = new_session(serving, link, SystemIds(), certificates=hashes)
            await serve(link, session, self.backend, clock=self)

        self._listener = await listen_websocket(HOST, self.port, on_link, path=self.path, tls=tls)
        self.port = self._listener.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; every link ends."""
        if self._listener is not None:
            await self._listener.close()
            self._listener = None


class World:
    """One site with its box and its cloud, and the issuer whom both believe."""

    def __init__(self, folder: FilePath, site: str = "s-home", name: str = "Home") -> None:
        self.folder = folder
        self.name = name
        self.site = FakeSite(site)
        key = generate_issuer()
        self.issuing = trust.Issuing(key=key, issuer=trust.Issuer(id="issuer", public=key.public))
        lan, cloud = FakeBackend(self.site, self.access), FakeBackend(self.site, self.access)
        self.box = Server(Path.LAN, lan, self.issuing.issuer, folder / "box")
        self.cloud = Server(Path.CLOUD, cloud, self.issuing.issuer, folder / "cloud")
        for server in (self.box, self.cloud):
            server.backend.renewed = self.granted_again
        self.succession = ""  #: the cloud's word that the box is another one now
        self.told_addresses: tuple[str, ...] | None = None

    def access(self, claims: Claims) -> wire.SiteAccess:
        """The site, as box and cloud name it in a welcome."""
        told = self.told_addresses
        return wire.SiteAccess(
            site=claims.site,
            name=self.name,
            role=claims.role.value,
            principal=claims.principal,
            expires_at=iso(claims.expires_ms),
            online=self.cloud.backend.online,
            key=self.box.identity.fingerprint,
            succession=self.succession,
            addresses=(self.box.address,) if told is None else told,
            grace=claims.grace,
        )

    def grant(
        self,
        key: str,
        *,
        principal: str = "p-ann",
        role: Role = Role.DRIVER,
        now_ms: int | None = None,
        site: str | None = None,
    ) -> str:
        """A right for the key with this thumbprint."""
        return trust.issue_grant(
            self.issuing,
            site=site or self.site.site,
            principal=principal,
            role=role,
            key=key,
            grant_id=SystemIds().uid(),
            now_ms=SystemClock().now_ms() if now_ms is None else now_ms,
        )

    def granted(self, key: str) -> wire.Granted:
        """The answer to an invite."""
        token = self.grant(key)
        claims = self.box.verifier.claims(token, SystemClock().now_ms())
        return wire.Granted(
            grant=token,
            site=self.access(claims),
            cloud=self.cloud.url,
            cloud_key=self.cloud.identity.fingerprint,
        )

    def granted_again(self, claims: Claims) -> wire.Granted:
        """The answer to a renewal."""
        granted = self.granted(claims.key)
        return msgspec.structs.replace(granted, grant=self.grant(claims.key, principal=claims.principal))

    def device(self, folder: str = "phone", **entry: object) -> Profile:
        """A device that was paired with the site. entry: what it stores differently."""
        profile = Profile(self.folder / folder)
        made = {
            "site": self.site.site,
            "name": self.name,
            "grant": self.grant(profile.key.thumbprint),
            "role": "driver",
            "principal": "p-ann",
            "box": self.box.identity.fingerprint,
            "addresses": (self.box.address,),
            "cloud_url": self.cloud.url,
            "cloud_key": self.cloud.identity.fingerprint,
        }
        profile.put(msgspec.convert({**made, **entry}, SiteEntry))
        return profile

    def client(
        self, profile: Profile, via: Via = "auto", *, pace: Pace = FAST, ready_s: float = 5.0
    ) -> Client:
        return Client(profile, via, pace=pace, ready_s=ready_s)


@asynccontextmanager
async def world(*, box: bool = True, cloud: bool = True, site: str = "s-home") -> AsyncIterator[World]:
    """Box and cloud, running unless said otherwise; each has its port either way."""
    async with AsyncExitStack() as stack:
        # Short, and private: a keystore does not accept a folder that others can look into.
        folder = FilePath(stack.enter_context(tempfile.TemporaryDirectory(prefix="plugside-")))
        made = World(folder, site)
        for server, wanted in ((made.box, box), (made.cloud, cloud)):
            await server.start()
            stack.push_async_callback(server.stop)
            if not wanted:
                await server.stop()
        yield made


class Twin:
    """Somebody on the LAN who claims to be the box: its name and fingerprint, a key of their own.

    Answers a hello with a proof that lies as well as it can, and keeps every byte it is given. With `has`, it
    has that key, too: one that the box had, or one that it says came after it (`rotations`).
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.heard: list[bytes] = []
        self.has: trust.IdentityKey | None = None
        self.rotations: tuple[str, ...] = ()
        self.port = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Twin:
        made = Keystore(self._world.folder / "twin").lan_certificates(
            SystemClock().now_ms(), "box.local", [HOST]
        )
        own = generate_identity()
        box = self._world.box.identity.fingerprint

        async def on_link(link: Link) -> None:
            while (frame := await link.receive()) is not None:
                self.heard.append(frame)
                hello = wire.client_decoder.decode(frame)
                if not isinstance(hello, wire.Hello):
                    continue
                identity = self.has or own
                server = box if self.has is None else self.has.fingerprint
                transcript = trust.Transcript(
                    offered=hello.versions,
                    version=1,
                    client_nonce=hello.nonce,
                    server_nonce=trust.b64(bytes(32)),
                    server=server,
                    path=Path.LAN,
                    certificates=made.hashes,
                    binding=link.binding,
                )
                time = iso(SystemClock().now_ms())
                proof = wire.Proof(
                    version=1,
                    nonce=trust.b64(bytes(32)),
                    server=server,
                    key=identity.public,
                    certificates=made.hashes,
                    path="lan",
                    time=time,
                    rotations=self.rotations,
                    signature=identity.sign(trust.Purpose.SERVER_PROOF, transcript.proof(time, "synced")),
                )
                await link.send(wire.encode(proof))

        tls = ServerTls(made.current.pem, made.current.hash)
        listener = await listen_websocket(HOST, 0, on_link, path=Path.LAN, tls=tls)
        self._stack.push_async_callback(listener.close)
        self.port = listener.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def was_told(self, secrets: Iterable[str]) -> bool:
        """Whether any of these reached it."""
        return any(secret.encode() in frame for frame in self.heard for secret in secrets)


async def until(client: Client, holds: object) -> None:
    """Wait, change by change, until `holds()`. Ends with the test's own time-out if it never does."""
    assert callable(holds)
    changes = client.changes()
    while not holds():
        await anext(changes)


async def soon(holds: object) -> None:
    """Wait for something of the servers', which tell nobody."""
    assert callable(holds)
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the servers' side has no event for this
            await asyncio.sleep(0.002)

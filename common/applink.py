"""The server's shell of an app link: one link, one session, one backend (the box's or the cloud's).

    link ──▶ reader ──▶ session ──▶ backend           all in one task, in the order of arrival
    link ◀── writer ◀── bounded queue ◀── peer.push   never waits: whoever reads too slowly is cut alone

The backend's calls are synchronous and answer whenever they like, by `peer.send` and `peer.push`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Protocol

import msgspec

from common import commands, wire
from common.appsession import (
    Authenticated,
    Carried,
    Closed,
    CommandAsked,
    Event,
    Followed,
    ManageAsked,
    QueryAsked,
    RedeemAsked,
    RenewAsked,
    ServerSession,
    Serving,
)
from common.budget import Bucket
from common.domain import Path
from common.errors import Code, PlugsideError, error
from common.link import Link
from common.policy import Claims
from common.ports import Clock, Ids
from common.threshold import Visit
from common.trust import b64
from common.trust.handshake import NONCE_BYTES

log = logging.getLogger("plugside.applink")


#: Ends of a link that tell of a stranger who is none of ours; an app that is out of date meets them rarely.
_TELLING = {Code.PROTOCOL, Code.BAD_SIGNATURE, Code.TOO_LARGE}


#: How often a link that is over its pace is looked at again, at most, in s.
PACE_STEP_S = 0.005


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one link may take up."""

    queue_frames: int = 512  #: a minute of a busy site's facts
    queue_bytes: int = 4 * 1024 * 1024  #: one largest snapshot
    auth_s: float = 5.0  #: from the first byte to a grant that counts: strangers hold no place
    check_s: float = 2.0  #: how soon a withdrawn or ended grant ends the link: a stolen phone's, say
    goodbye_s: float = 1.0  #: for a last word to somebody who does not read


class Peer:
    """One connected app, as a backend sees it. Every method returns at once and raises nothing."""

    def __init__(self, link: Link, session: ServerSession, limits: Limits) -> None:
        self._link, self._session, self._limits = link, session, limits
        self._visit: Visit | None = link.visit
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._opened = asyncio.Event()
        self._ending = asyncio.Event()
        #: How fast its frames are read, once its backend knows it; None = all.
        self.pace: Bucket | None = None
        self.ended: Code | None = None  #: why we ended it; None while open, or when the peer just left

    @property
    def path(self) -> Path:
        """Which way it came. Never a reason to trust it."""
        return self._link.path

    @property
    def address(self) -> str:
        """Where it came from, for logs."""
        return self._link.peer

    @property
    def client(self) -> str:
        """What the app calls itself, for logs."""
        return self._session.client

    @property
    def key(self) -> str:
        """The thumbprint of the key that it has proved; empty: none, or it is there in person."""
        return self._session.key

    @property
    def claims(self) -> Mapping[str, Claims]:
        """Its rights by site, as last judged."""
        return self._session.claims

    def push(self, frame: bytes) -> None:
        """Queue one encoded message. A peer whose queue is full is cut, and told why if it reads on."""
        if self._ending.is_set():
            return
        full = len(self._queue) >= self._limits.queue_frames or (
            bool(self._queue) and self._queued_bytes + len(frame) > self._limits.queue_bytes
        )
        if full:
            self.cut(Code.SLOW_READER)
            return
        self._put(frame)

    def send(self, message: wire.Message) -> None:
        """Queue one message."""
        self.push(wire.encode(message))

    def refuse(self, refusal: PlugsideError, request_id: str = "") -> None:
        """Answer a request with why it is declined."""
        if not self._opened.is_set():
            self.failed()
        self.send(wire.Refusal(id=request_id, code=refusal.code, message=refusal.message, hint=refusal.hint))

    def cut(self, code: Code, detail: str = "") -> None:
        """End this link with a reason. What was queued before a slow reader's cut is dropped."""
        if self._ending.is_set():
            return
        if code is Code.SLOW_READER:
            self._queue.clear()
            self._queued_bytes = 0
        self._session.close(code, detail)
        self._end(code)

    def failed(self) -> None:
        """What it showed to come in was none."""
        if self._visit is not None:
            self._visit.failed(self._session.key)

    def _put(self, frame: bytes) -> None:
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._wake.set()

    def _end(self, code: Code) -> None:
        """The session is over: its last word goes out behind what is queued, then the link closes."""
        for frame in self._session.data_to_send():
            self._put(frame)
        if code in _TELLING and not self._opened.is_set():
            self.failed()
        self.ended = code
        self._ending.set()
        self._opened.set()
        self._wake.set()


class Backend(Protocol):
    """What serves the apps: the box's commander and bus, or the cloud's router.

    All calls are synchronous and quick. A PlugsideError raised is the answer to the request; anything else
    is logged and answered as `internal`. Progress and pages follow by `peer`.
    """

    def authenticated(self, peer: Peer, claims: tuple[Claims, ...]) -> None:
        """Rights were shown, all this peer has now. Answer with `wire.Welcome`; spend their invites."""

    def carried(self, peer: Peer, lists: tuple[str, ...]) -> None:
        """Lists of withdrawn rights that this peer brings; to be checked, then kept. Needs no answer."""

    def follow(self, peer: Peer, sites: tuple[str, ...], since: dict[str, tuple[str, int]]) -> None:
        """Follow exactly these sites from now on: a snapshot each (or what is missing), then facts."""

    def command(
        self,
        peer: Peer,
        message: wire.SendCommand,
        claims: Claims,
        payload: bytes,
        command: commands.Command,
    ) -> None:
        """A command truly from the key of `claims`. Answer: accepted | refused, confirmed, settled."""

    def query(self, peer: Peer, message: wire.Query, claims: Claims) -> None:
        """Answer with `wire.Page`."""

    def manage(self, peer: Peer, message: wire.Manage, claims: Claims) -> None:
        """Answer with `wire.Managed`."""

    def redeem(self, peer: Peer, message: wire.Redeem, key: str) -> None:
        """An invite for the proved key with thumbprint `key`. Answer with `wire.Granted`."""

    def renew(self, peer: Peer, message: wire.Renew, claims: Claims) -> None:
        """A genuine grant, perhaps ended, of a key that is there. Answer with `wire.Granted`."""

    def closed(self, peer: Peer) -> None:
        """The link is gone. Called once, last, for every peer, authenticated or not."""


def new_session(
    serving: Serving,
    link: Link,
    ids: Ids,
    *,
    certificates: tuple[str, ...] = (),
    local: Claims | None = None,
) -> ServerSession:
    """A session for a link that has just come in."""
    nonce = b64(ids.token(NONCE_BYTES))
    waits = link.visit.waits if link.visit is not None else lambda _key: False
    return ServerSession(
        serving, nonce=nonce, certificates=certificates, binding=link.binding, local=local, waits=waits
    )


class _Over(Exception):  # noqa: N818 - not an error: how the tasks of a link end together
    pass


async def serve(
    link: Link, session: ServerSession, backend: Backend, *, clock: Clock, limits: Limits | None = None
) -> Code | None:
    """Run one link to its end and close it. Returns why we ended it; None when the peer left.

    Raises nothing but cancellation, which closes the link too.
    """
    peer = Peer(link, session, limits or Limits())
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_write(link, peer))
            tasks.create_task(_read(link, session, backend, peer, clock))
            tasks.create_task(_watch(session, backend, peer, clock))
    except* _Over:
        pass
    finally:
        _call_closed(backend, peer)
        await link.close(peer.ended)
    return peer.ended


def _call_closed(backend: Backend, peer: Peer) -> None:
    try:
        backend.closed(peer)
    except Exception:
        log.exception("The backend failed while a link was being closed")


async def _write(link: Link, peer: Peer) -> None:
    while True:
        await peer._wake.wait()
        peer._wake.clear()
        while peer._queue:
            frame = peer._queue.popleft()
            peer._queued_bytes -= len(frame)
            try:
                await link.send(frame)
            except ConnectionError:
                raise _Over from None
        if peer._ending.is_set():
            raise _Over


async def _read(link: Link, session: ServerSession, backend: Backend, peer: Peer, clock: Clock) -> None:
    while (frame := await link.receive()) is not None:
        if peer._ending.is_set():
            continue  # read on, so that our last word is not lost to a reset
        await _in_pace(peer, clock)
        try:
            events = session.receive(frame, clock.now_ms(), clock.quality)
        except Exception:
            log.exception("A session failed on a frame of %s", link.peer)
            peer.cut(Code.INTERNAL)
            continue
        for answer in session.data_to_send():
            peer.push(answer)
        if session.declined() and not peer._opened.is_set():
            peer.failed()
        for event in events:
            _act(event, backend, peer)
    raise _Over


async def _in_pace(peer: Peer, clock: Clock) -> None:
    """Nothing of a flood is lost or refused here: the link is just not read on for a moment."""
    while peer.pace is not None and not peer._ending.is_set():
        now_s = clock.mono_ms() / 1000
        if peer.pace.take(now_s):
            return
        await asyncio.sleep(max(PACE_STEP_S, peer.pace.wait_s(now_s)))


async def _watch(session: ServerSession, backend: Backend, peer: Peer, clock: Clock) -> None:
    """Cut who does not authenticate in time, whose grants end, and who does not read a last word."""
    limits = peer._limits
    try:
        async with asyncio.timeout(limits.auth_s):
            await peer._opened.wait()
    except TimeoutError:
        peer.cut(Code.PROTOCOL, "no grant was shown in time")
    while not peer._ending.is_set():
        try:
            async with asyncio.timeout(limits.check_s):
                await peer._ending.wait()
        except TimeoutError:
            for event in session.tick(clock.now_ms()):
                _act(event, backend, peer)
    await asyncio.sleep(limits.goodbye_s)
    raise _Over


def _act(event: Event, backend: Backend, peer: Peer) -> None:
    """Hand one event to the backend; its failure is an answer to this peer and nobody else's trouble."""
    request_id = (
        ""
        if isinstance(event, Authenticated | Carried | Followed | Closed)
        else getattr(event.message, "id", "")
    )
    try:
        _dispatch(event, backend, peer)
    except PlugsideError as declined:
        peer.refuse(declined, request_id)
    except Exception:
        log.exception("The backend failed on %s", type(event).__name__)
        peer.refuse(error(Code.INTERNAL), request_id)


def _dispatch(event: Event, backend: Backend, peer: Peer) -> None:
    match event:
        case Authenticated():
            peer._opened.set()
            if peer._visit is not None:
                peer._visit.known()
            backend.authenticated(peer, event.claims)
        case Carried():
            backend.carried(peer, event.lists)
        case Followed():
            backend.follow(peer, event.sites, event.since)
        case CommandAsked():
            backend.command(peer, event.message, event.claims, event.payload, event.command)
        case QueryAsked():
            backend.query(peer, event.message, event.claims)
        case ManageAsked():
            backend.manage(peer, event.message, event.claims)
        case RedeemAsked():
            backend.redeem(peer, event.message, event.key)
        case RenewAsked():
            backend.renew(peer, event.message, event.claims)
        case Closed():
            peer._end(event.code)

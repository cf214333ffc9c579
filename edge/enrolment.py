"""Joining a cloud: while the box shows a pairing code it asks the cloud, over HTTPS, to be taken in.

Runs before the uplink's first link, once in a box's life. The cloud answers 202 until its operator has typed
the code there. Nothing that it answers is believed before the authority has checked it against the code.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

import msgspec

from common import trust
from common.errors import Code, PlugsideError, RemoteFault, Unavailable, from_wire
from common.link.websocket import is_loopback
from common.ports import Clock
from edge.authority import Authority

log = logging.getLogger("plugside.uplink")

#: How often the cloud is asked while a pairing code is shown: a person is waiting for it.
ASK_EVERY_S = 1.0
#: After a minute that person is on the way to another desk, and the code is good for a quarter of an hour.
EAGER_MS = 60_000
ASK_LATER_EVERY_S = 5.0
#: For one request from the first byte to the last.
REQUEST_TIMEOUT_S = 10.0
#: The largest answer that is read; one with its keys is 2 KiB.
ANSWER_BYTES_MAX = 64 * 1024


def pause_s(asked_ms: int) -> float:
    """How long until the cloud is asked again. asked_ms: for how long it has been asked for this code."""
    return ASK_EVERY_S if asked_ms < EAGER_MS else ASK_LATER_EVERY_S


class Enrolment:
    """Asks one cloud to take the box in."""

    def __init__(self, base: str, authority: Authority, clock: Clock) -> None:
        """base: the cloud's URL, without a slash behind it."""
        self._base = base
        self._authority = authority
        self._clock = clock
        self._pair = ""  #: of the code that it is asked for, and since when
        self._since_ms = 0

    async def done(self) -> None:
        """Return once a cloud has taken the box in. Raises PlugsideError."""
        while not self._authority.cloud_url:
            request = self._authority.enrolment()
            if request is None:
                await asyncio.sleep(ASK_EVERY_S)
                continue
            if request.pair != self._pair:
                self._pair, self._since_ms = request.pair, self._clock.mono_ms()
            answer = await ask(self._base, request)
            if answer is not None:
                self._authority.enrolled(answer, request, self._base)
                log.info("taken in by the cloud at %s", self._authority.cloud_url)
                return
            await asyncio.sleep(pause_s(self._clock.mono_ms() - self._since_ms))


async def ask(base: str, request: trust.EnrolRequest) -> trust.EnrolAnswer | None:
    """Ask once. None: the cloud does not know the code yet (202).

    Raises Unavailable(cloud_unreachable), RemoteFault: protocol, too_large; or what the cloud says.
    """
    import httpx  # 60 ms of import that a box needs once in its life

    # Only the way off this machine may lead through a proxy.
    outward = not is_loopback(urlsplit(base).hostname or "")
    try:
        async with (
            asyncio.timeout(REQUEST_TIMEOUT_S),
            httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=outward) as client,
            client.stream(
                "POST",
                f"{base}/v1/enrolments",
                content=msgspec.json.encode(request),
                # As it is: what is packed would be small on the way and large here.
                headers={"content-type": "application/json", "accept-encoding": "identity"},
            ) as response,
        ):
            if response.status_code == httpx.codes.ACCEPTED:
                return None
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise RemoteFault(Code.TOO_LARGE, f"{base}'s answer to the enrolment")
            if not response.is_success:
                raise _refused(base, response.status_code, bytes(body))
    except (httpx.HTTPError, TimeoutError) as failed:
        why = f"{base}: {failed or type(failed).__name__}"
        raise Unavailable(Code.CLOUD_UNREACHABLE, why) from None
    try:
        return msgspec.json.decode(body, type=trust.EnrolAnswer)
    except (msgspec.DecodeError, RecursionError) as unreadable:
        raise RemoteFault(Code.PROTOCOL, str(unreadable)) from None


class _Problem(msgspec.Struct):
    """Why a cloud takes nobody in, as its API tells it."""

    code: str
    message: str
    hint: str = ""


def _refused(base: str, status: int, body: bytes) -> PlugsideError:
    """The cloud's own sentence, for whoever stands at the box; where there is none, that it refused."""
    try:
        told = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, RecursionError):
        return RemoteFault(Code.PROTOCOL, f"{base} answered {status} to the enrolment")
    return from_wire(told.code, told.message, told.hint)


def tunnel_url(url: str) -> str:
    """The tunnel's WebSocket URL under the cloud's own."""
    scheme, _, rest = url.rstrip("/").partition("://")
    return f"{'ws' if scheme == 'http' else 'wss'}://{rest}/v1/edge"

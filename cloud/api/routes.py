"""The routes: HTTP for boxes that join, devices that read and people who watch; WebSockets for the rest.

POST /v1/enrolments             a box asks to be taken in; 202 until its code was typed here
POST /v1/token                  a signed request for a token that reads
GET  /v1/sites/{site}/sessions  with that token
POST /v1/sites/{site}/bundles   a box's records in a file; the box's signature is in it
GET  /v1/sites/{site}/charge-lines?month=  the lines of a closed month, with that token
GET  /healthz, /metrics         for whoever looks after this machine
WS   /v1/edge                   a box's tunnel
WS   /v1/link                   an app
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, get, post, websocket
from litestar.connection import WebSocket
from litestar.datastructures import ResponseHeader, State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from cloud.accounts import Accounts
from cloud.api.shapes import ChargeLine, ChargeLines, Health, Problem, Session, Sessions, Waiting
from cloud.api.sockets import AppSocket, TunnelSocket
from cloud.bundles import Bundles, Taken
from cloud.counters import Counters
from cloud.edges import Edges
from cloud.exports import Exports
from cloud.hub import Hub
from cloud.joining import Joining
from cloud.queries import Queries
from cloud.store.ports import Store
from cloud.tokens import TokenAnswer, TokenRequest
from common.budget import Sources
from common.errors import Code, LocalFault, PlugsideError, Refused, RemoteFault, Unavailable, error
from common.link import Link
from common.link.websocket import LINK_PATH
from common.policy import Claims
from common.trust import EnrolAnswer, EnrolRequest

log = logging.getLogger("plugside.api")

#: One bundle, or one piece of a long one; it is held in memory while it is applied.
BUNDLE_BYTES_MAX = 1024 * 1024
#: The largest other body: an enrolment or a token request is a tenth of it.
BODY_BYTES_MAX = 32 * 1024
PAGE_MAX = 500


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes need from the rest of the cloud. hosts: by what name boxes may know it."""

    store: Store
    accounts: Accounts
    joining: Joining
    queries: Queries
    exports: Exports
    edges: Edges
    bundles: Bundles
    hub: Hub
    counters: Counters
    serve_app: Callable[[Link], Awaitable[None]]
    mono_s: Callable[[], float]
    reads: Sources  #: what one person's tokens may read, as over an app link
    hosts: Callable[[], frozenset[str]]
    origins: Callable[[], frozenset[str]]


@get("/healthz", summary="Whether this cloud and its database answer")
async def healthz(state: State) -> Health:
    await _doors(state).store.alive()
    return Health(status="ok", version=version("plugside"))


@get("/metrics", media_type=MediaType.TEXT, include_in_schema=False)
async def metrics(request: Request[Any, Any, Any], state: State) -> str:
    """For a collector on this machine; the numbers tell an outsider how busy we are."""
    if request.client is None or not _is_loopback(request.client.host):
        raise Refused(Code.NOT_PERMITTED, "metrics are told to this machine only")
    doors = _doors(state)
    return doors.counters.text(boxes=doors.hub.online, followers=doors.hub.followers)


@post("/v1/enrolments", status_code=200, summary="A box asks to be taken in")
async def enrol(data: JSONBody[EnrolRequest], state: State) -> Response[EnrolAnswer | Waiting]:
    answer = await _doors(state).joining.enrol(data)
    if answer is None:
        return Response(Waiting(), status_code=202)
    return Response(answer)


@post("/v1/token", status_code=200, summary="A token that reads, for a request signed by a device's key")
async def token(data: JSONBody[TokenRequest], state: State) -> TokenAnswer:
    return await _doors(state).accounts.token(data)


@get("/v1/sites/{site:str}/sessions", summary="Sessions, newest first", security=[{"token": []}])
async def sessions(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    state: State,
    after: FromQuery[str] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
) -> Sessions:
    claims = await _reader(request, state, site)
    page = await _doors(state).queries.sessions(claims, after=after, limit=limit)
    rows = tuple(msgspec.convert(row, Session) for row in page.rows)
    return Sessions(site=claims.site, sessions=rows, next=page.next)


@get(
    "/v1/sites/{site:str}/charge-lines", summary="What is billed for a closed month", security=[{"token": []}]
)
async def charge_lines(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    state: State,
    month: FromQuery[str],
    after: FromQuery[str] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
) -> ChargeLines:
    claims = await _reader(request, state, site)
    page = await _doors(state).exports.lines(claims, month, after=after, limit=limit)
    rows = tuple(msgspec.convert(row, ChargeLine) for row in page.rows)
    return ChargeLines(site=claims.site, month=month, lines=rows, next=page.next)


@post(
    "/v1/sites/{site:str}/bundles",
    status_code=200,
    request_max_body_size=BUNDLE_BYTES_MAX,
    summary="A box's records in a file, as `plugside-edge export` writes it; what is here already is skipped",
)
async def bundles(site: FromPath[str], request: Request[Any, Any, Any], state: State) -> Taken:
    return await _doors(state).bundles.take(await request.body(), site)


@websocket("/v1/edge")
async def edge(socket: WebSocket[Any, Any, Any], state: State) -> None:
    doors = _doors(state)
    if _foreign_page(socket, frozenset()):
        raise Refused(Code.NOT_PERMITTED, "a box is no web page")
    await socket.accept()
    await doors.edges.serve(TunnelSocket(socket), doors.hosts())


@websocket(LINK_PATH)
async def app_link(socket: WebSocket[Any, Any, Any], state: State) -> None:
    doors = _doors(state)
    if _foreign_page(socket, doors.origins()):
        raise Refused(Code.NOT_PERMITTED, "this page's origin may not connect here")
    await socket.accept()
    await doors.serve_app(AppSocket(socket))


def _foreign_page(socket: WebSocket[Any, Any, Any], origins: frozenset[str]) -> bool:
    """Whether a web page from elsewhere is at the other end; only browsers send an Origin."""
    told = socket.headers.getall("origin", [])
    return bool(told) and (len(told) > 1 or told[0] not in origins)


async def _reader(request: Request[Any, Any, Any], state: State, site: str) -> Claims:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Refused(Code.BAD_GRANT, "no bearer token", hint="Ask for one at /v1/token.")
    doors = _doors(state)
    claims = await doors.accounts.reader(secret.strip())
    known = await doors.store.site(site)
    if known is None or known.id != claims.site:
        # Another site's existence is nobody's business.
        raise Refused(Code.UNKNOWN_SITE)
    if not doors.reads.of(f"{claims.site} {claims.principal}").take(doors.mono_s()):
        raise Unavailable(Code.BUSY, "too many pages of this person")
    return claims


def _doors(state: State) -> Doors:
    doors: Doors = state.doors
    return doors


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_STATUS = {
    Code.BAD_REQUEST: 400,
    Code.EXPIRED: 400,
    Code.BAD_SIGNATURE: 401,
    Code.BAD_GRANT: 401,
    Code.GRANT_EXPIRED: 401,
    Code.BAD_INVITE: 403,
    Code.REVOKED: 403,
    Code.CLOCK_UNPROVEN: 403,
    Code.NOT_PERMITTED: 403,
    Code.WRONG_SITE: 403,
    Code.UNKNOWN_SITE: 404,
    Code.ID_REUSE: 409,
    Code.MONTH_OPEN: 409,
    Code.TOO_LARGE: 413,
}


def problem(_request: Request[Any, Any, Any], failed: PlugsideError) -> Response[Problem]:
    """One of our errors as an answer."""
    if isinstance(failed, Refused | RemoteFault):
        status = _STATUS.get(failed.code, 400)
    else:
        status = 500 if isinstance(failed, LocalFault) else 503
    headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}.get(status, {})
    told = Problem(code=failed.code.value, message=failed.message, hint=failed.hint)
    return Response(told, status_code=status, headers=headers, media_type=MediaType.JSON)


def http_problem(_request: Request[Any, Any, Any], failed: HTTPException) -> Response[Problem]:
    """The framework's own refusals (no such route, a body that is none) in the same shape."""
    extra = failed.extra[0] if isinstance(failed.extra, list) and failed.extra else {}
    about = extra.get("message", "") if isinstance(extra, dict) else ""
    told = Problem(
        code=Code.BAD_REQUEST.value,
        message=f"{failed.detail}{f': {about}' if about else ''}",
        hint="The routes and their shapes are at /v1/schema/openapi.json.",
    )
    return Response(told, status_code=failed.status_code, media_type=MediaType.JSON)


def internal_problem(request: Request[Any, Any, Any], failed: Exception) -> Response[Problem]:
    """Whatever else goes wrong, a body that is nested too deeply for any reader included."""
    if isinstance(failed, RecursionError):
        return problem(request, Refused(Code.BAD_REQUEST, "too deeply nested"))
    log.error("%s %s failed", request.method, request.url.path, exc_info=failed)
    return problem(request, error(Code.INTERNAL))


def make_app(doors: Doors) -> Litestar:
    """The ASGI application."""
    return Litestar(
        route_handlers=[healthz, metrics, enrol, token, sessions, bundles, charge_lines, edge, app_link],
        state=State({"doors": doors}),
        exception_handlers={
            PlugsideError: problem,
            HTTPException: http_problem,
            Exception: internal_problem,
        },
        request_max_body_size=BODY_BYTES_MAX,
        response_headers=[
            ResponseHeader(name="cache-control", value="no-store"),
            ResponseHeader(name="x-content-type-options", value="nosniff"),
            ResponseHeader(name="content-security-policy", value="default-src 'none'"),
        ],
        openapi_config=OpenAPIConfig(
            title="Plugside cloud",
            version=version("plugside"),
            path="/v1/schema",
            # No page that would fetch its script from somebody else.
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
            components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        ),
        logging_config=None,
    )

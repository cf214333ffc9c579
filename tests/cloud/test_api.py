"""The REST API and the front door: who is let in, in what shape errors come, and what is limited."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from cloud.api.frontdoor import Buckets, FrontDoor
from cloud.callers import STRANGERS_MAX
from cloud.counters import Counters
from cloud.service import Cloud
from common.client.local import local
from common.keystore import Keystore
from tests.cloud.parts import CLOCK, FakeBox, running, until


async def get(cloud: Cloud, path: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=cloud.url, verify=False) as client:
        return await client.get(path, **more)


async def read_token(cloud: Cloud, site: str) -> dict[str, str]:
    async with local(cloud._settings.socket_path) as operator:
        token = await operator.manage("token", {"site": site})
    return {"authorization": f"Bearer {token['token']}"}


async def test_sessions_want_a_token(cloud: Cloud, box: FakeBox) -> None:
    path = f"/v1/sites/{box.site}/sessions"
    for headers in (
        {},
        {"authorization": "Bearer"},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer x"},
    ):
        response = await get(cloud, path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert set(response.json()) == {"code", "message", "hint"}
        assert "token" in response.json()["hint"]


async def test_a_token_reads_its_site_by_name_or_id_and_no_other(cloud: Cloud, box: FakeBox) -> None:
    other = FakeBox(cloud.url)
    await other.join(cloud, "Work")
    for number in range(5):
        box.ledger.charge(f"s{number}", number * 100, number * 100 + 90)
    async with box.connected():
        await until(lambda: box.drained)
    headers = await read_token(cloud, "Home")
    first = (await get(cloud, f"/v1/sites/{box.site}/sessions?limit=3", headers=headers)).json()
    rest = (
        await get(cloud, "/v1/sites/Home/sessions", headers=headers, params={"after": first["next"]})
    ).json()
    assert [row["session"] for row in first["sessions"] + rest["sessions"]] == ["s4", "s3", "s2", "s1", "s0"]
    assert rest["next"] == ""
    assert first["sessions"][0] == {
        "session": "s4",
        "charger": "CP1",
        "evse": 1,
        "connector": 1,
        "transaction": "7",
        "state": "ended",
        "principal": "ann",
        "name": "",
        "command": None,
        "authorization": "accepted",
        "meter_start_wh": 400,
        "meter_stop_wh": 490,
        "energy_wh": 90,
        "method": "register",
        "obtained": "measured",
        "reason": "Local",
        "provisional": False,
        "revision": 0,
        "flags": [],
        "corrected_started_at": "",
        "corrected_ended_at": "",
        **{key: first["sessions"][0][key] for key in ("started_at", "received_at", "ended_at")},
    }
    for site in (other.site, "Work", "nowhere"):
        response = await get(cloud, f"/v1/sites/{site}/sessions", headers=headers)
        assert (response.status_code, response.json()["code"]) == (404, "unknown_site")


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "after=x"])
async def test_a_wrong_question_is_told_so(cloud: Cloud, box: FakeBox, query: str) -> None:
    response = await get(cloud, f"/v1/sites/Home/sessions?{query}", headers=await read_token(cloud, "Home"))
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


async def test_health_answers_for_the_database_too(cloud: Cloud) -> None:
    assert (await get(cloud, "/healthz")).json()["status"] == "ok"
    store = cloud._store
    assert store is not None
    store._db.reader.sync_engine.pool._timeout = 0.01
    held = [await store._db.reader.connect() for _ in range(4)]
    try:
        response = await get(cloud, "/healthz")
        assert (response.status_code, response.json()["code"]) == (503, "busy")
    finally:
        for connection in held:
            await connection.close()


async def test_metrics_are_told_on_this_machine(cloud: Cloud, box: FakeBox) -> None:
    async with box.connected():
        await until(lambda: cloud.hub.online == 1)
        told = (await get(cloud, "/metrics")).text
    assert "plugside_cloud_boxes 1\n" in told
    assert "# TYPE plugside_cloud_records_total counter" in told


async def test_openapi_describes_the_routes_from_their_structs(cloud: Cloud) -> None:
    told = (await get(cloud, "/v1/schema/openapi.json")).json()
    assert set(told["paths"]) == {
        "/healthz",
        "/v1/enrolments",
        "/v1/token",
        "/v1/sites/{site}/bundles",
        "/v1/sites/{site}/sessions",
        "/v1/sites/{site}/charge-lines",
    }
    assert "energy_wh" in str(told["components"]["schemas"])


async def test_bad_bodies_are_refused_in_one_shape(cloud: Cloud) -> None:
    async with httpx.AsyncClient(base_url=cloud.url, verify=False) as client:
        for path in ("/v1/enrolments", "/v1/token"):
            for body, status in (
                (b"", 400),
                (b"{", 400),
                (b"[]", 400),
                (b'{"grant": 1}', 400),
                (b"[" * 5000, 400),
                (b'"' + b"x" * 40_000 + b'"', 413),
            ):
                response = await client.post(path, content=body)
                assert (response.status_code, set(response.json())) == (status, {"code", "message", "hint"})
        assert (await client.get("/v1/enrolments")).status_code == 405
        assert (await client.get("/nothing")).json()["code"] == "bad_request"


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("/v1/edge", "https://evil.example"),
        ("/v1/link", "https://evil.example"),
        ("/v1/link", "null"),
    ],
)
async def test_a_page_from_elsewhere_opens_no_socket(cloud: Cloud, path: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as turned_away:
        async with connect(cloud.url.replace("http", "ws", 1) + path, origin=origin):  # type: ignore[arg-type]
            pass
    assert turned_away.value.response.status_code == 403


async def test_our_own_page_may(cloud: Cloud) -> None:
    async with connect(cloud.url.replace("http", "ws", 1) + "/v1/link", origin=cloud.url):  # type: ignore[arg-type]
        pass


async def test_tls_by_files(folder: Path) -> None:
    made = Keystore(folder / "pki").lan_certificates(CLOCK.now_ms(), "localhost", ["127.0.0.1"])
    pem = made.current.pem
    async with running(folder / "data", tls_cert=pem, tls_key=pem) as cloud:
        assert cloud.url.startswith("https://")
        async with httpx.AsyncClient(
            base_url=cloud.url, verify=ssl.create_default_context(cafile=pem)
        ) as client:
            assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("path", ["/v1/edge", "/v1/link"])
async def test_strangers_are_few_and_who_proves_itself_is_none(cloud: Cloud, path: str) -> None:
    box = FakeBox(cloud.url)
    await box.join(cloud)
    url = cloud.url.replace("http", "ws", 1) + path
    async with contextlib.AsyncExitStack() as links:
        await links.enter_async_context(box.connected())
        for _ in range(STRANGERS_MAX):
            await links.enter_async_context(connect(url))
        await until(lambda: cloud.edges.open + len(cloud._app_links) == STRANGERS_MAX + 1)
        one_more = await links.enter_async_context(connect(url))
        await one_more.wait_closed()
        assert (one_more.close_code, one_more.close_reason) == (4000, "busy")
        assert cloud.hub.online == 1


# --- the front door ----------------------------------------------------------------------------------------


class Steady:
    """A clock that a test moves."""

    ms = 0
    quality = "synced"

    def now_ms(self) -> int:
        return self.ms

    def mono_ms(self) -> int:
        return self.ms


async def knock(
    door: FrontDoor, address: str, kind: str = "http", *, path: str = "/v1/link", **headers: str
) -> tuple[int, str]:
    """The status and the address that the application saw; 200 when it was let in."""
    scope: dict[str, Any] = {
        "type": kind,
        "method": "POST",
        "path": path,
        "client": (address, 1),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    async def receive() -> None:
        raise AssertionError("nothing is read of who is turned away")

    await door(scope, receive, send)
    return (sent[0]["status"] if sent else 200), scope["client"][0]


def door(proxy: str = "", *, burst: float = 100, clock: Steady | None = None) -> FrontDoor:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    buckets = Buckets(clock or Steady(), burst=burst, per_second=1)
    return FrontDoor(app, trusted_proxy=proxy, buckets=buckets, counters=Counters())


FROM_PROXY = {"x_forwarded_proto": "https", "x_forwarded_for": "203.0.113.9"}


async def test_behind_a_proxy_only_the_proxy_is_answered() -> None:
    assert await knock(door("192.0.2.1"), "192.0.2.1", **FROM_PROXY) == (200, "203.0.113.9")
    assert (await knock(door("192.0.2.1"), "198.51.100.7", **FROM_PROXY))[0] == 403


async def test_the_address_is_what_the_proxy_itself_appended() -> None:
    forged = FROM_PROXY | {"x_forwarded_for": "10.0.0.1, 203.0.113.9"}
    assert await knock(door("192.0.2.1"), "192.0.2.1", **forged) == (200, "203.0.113.9")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_forwarded_proto": "http", "x_forwarded_for": "203.0.113.9"},
        {"x_forwarded_for": "203.0.113.9"},
        {"x_forwarded_proto": "https"},
        {"x_forwarded_proto": "https", "x_forwarded_for": "unknown"},
        {"x_forwarded_proto": "https, http", "x_forwarded_for": "203.0.113.9"},
    ],
)
async def test_what_did_not_come_over_tls_or_from_nowhere_is_turned_away(headers: dict[str, str]) -> None:
    assert (await knock(door("192.0.2.1"), "192.0.2.1", **headers))[0] == 403


async def test_a_watchman_beside_the_proxy_may_look_at_health_and_nothing_else() -> None:
    guarded = door("127.0.0.1")
    assert await knock(guarded, "127.0.0.1", path="/healthz") == (200, "127.0.0.1")
    assert (await knock(guarded, "127.0.0.1", path="/v1/token"))[0] == 403
    assert (await knock(guarded, "127.0.0.1", path="/metrics", x_forwarded_for="203.0.113.9"))[0] == 403


async def test_without_a_proxy_forwarded_headers_mean_nothing() -> None:
    assert await knock(door(), "198.51.100.7", **FROM_PROXY) == (200, "198.51.100.7")


async def test_an_address_that_knocks_too_often_waits_and_others_do_not() -> None:
    clock = Steady()
    guarded = door(burst=3, clock=clock)
    for kind in ("http", "websocket", "http"):
        assert (await knock(guarded, "198.51.100.7", kind))[0] == 200
    assert (await knock(guarded, "198.51.100.7"))[0] == 429
    assert (await knock(guarded, "198.51.100.8"))[0] == 200
    clock.ms += 1000
    assert (await knock(guarded, "198.51.100.7"))[0] == 200
    assert (await knock(guarded, "198.51.100.7", "websocket"))[0] == 429


async def test_one_subscriber_of_ipv6_is_one_caller() -> None:
    guarded = door(burst=1)
    assert (await knock(guarded, "2001:db8::1"))[0] == 200
    assert (await knock(guarded, "2001:db8::ffff:1"))[0] == 429
    assert (await knock(guarded, "2001:db8:0:1::1"))[0] == 200

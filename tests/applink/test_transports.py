"""What is particular to a transport: TLS and its certificates, who may connect, the socket's file."""

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import Coroutine
from pathlib import Path as Folder
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from common.domain import Path
from common.errors import Code, LocalFault, PlugsideError, Unavailable
from common.keystore import CERTIFICATE_LIFE_MS, WINDOW_MS, Keystore
from common.link import Link
from common.link.tls import ServerTls
from common.link.unix import connect_unix, listen_unix
from common.link.websocket import LINK_PATH, connect_websocket, lan_url, listen_websocket
from tests.applink.transports import TRANSPORTS
from tests.applink.world import world
from tests.trust.cast import NOW_MS


async def hold(link: Link) -> None:
    while await link.receive() is not None:
        pass


async def fails(attempt: Coroutine[Any, Any, Link]) -> PlugsideError:
    with pytest.raises(PlugsideError) as raised:
        await attempt
    return raised.value


# --- WebSocket ---------------------------------------------------------------------------------------------


async def test_a_new_certificate_is_served_to_new_links_only(tmp_path: Folder) -> None:
    keys = Keystore(tmp_path / "keys")
    now = keys.lan_certificates(NOW_MS, "box.local")
    tls = ServerTls(now.current.pem, now.current.hash)
    later = keys.lan_certificates(NOW_MS + WINDOW_MS, "box.local")
    assert now.hashes[1] == later.current.hash
    bindings: list[str] = []

    async def note(link: Link) -> None:
        bindings.append(link.binding)
        await hold(link)

    listener = await listen_websocket("127.0.0.1", 0, note, tls=tls)
    url = lan_url(f"127.0.0.1:{listener.addresses[0][1]}")
    old = await connect_websocket(url, Path.LAN)
    tls.use(later.current.pem, later.current.hash)
    new = await connect_websocket(url, Path.LAN)
    named = await connect_websocket(url.replace("127.0.0.1", "localhost"), Path.LAN)
    assert [old.binding, new.binding, named.binding] == bindings
    assert bindings == [now.current.hash, later.current.hash, later.current.hash]
    for link in (old, new, named):
        await link.close()
    await listener.close()


def test_the_same_holds_on_uvloop(tmp_path: Folder) -> None:
    async def shake_hands() -> None:
        async with world(TRANSPORTS[0], tmp_path) as box, await box.opened() as app:
            assert app.link.binding == box.links[0].binding == box.certificates[0]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(shake_hands())


async def test_nothing_older_than_tls_1_3_is_spoken(tmp_path: Folder) -> None:
    current = Keystore(tmp_path / "keys").lan_certificates(NOW_MS, "box.local").current
    listener = await listen_websocket("127.0.0.1", 0, hold, tls=ServerTls(current.pem, current.hash))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    url = lan_url(f"127.0.0.1:{listener.addresses[0][1]}")
    assert (await fails(connect_websocket(url, Path.LAN, tls=old))).code is Code.NO_PATH
    await listener.close()


async def test_towards_the_cloud_a_certificate_of_nobody_is_refused(tmp_path: Folder) -> None:
    current = Keystore(tmp_path / "keys").lan_certificates(NOW_MS, "box.local").current
    listener = await listen_websocket("127.0.0.1", 0, hold, tls=ServerTls(current.pem, current.hash))
    url = lan_url(f"127.0.0.1:{listener.addresses[0][1]}")
    assert (await fails(connect_websocket(url, Path.CLOUD))).code is Code.NO_PATH
    await listener.close()


@pytest.mark.parametrize(
    "url",
    ["ws://192.0.2.1/v1/link", "ws://localhost.example/v1/link", "http://127.0.0.1/", "wss://", "nothing"],
)
async def test_a_url_that_may_not_be_used_is_refused_before_a_byte_is_sent(url: str) -> None:
    assert (await fails(connect_websocket(url, Path.LAN))).code is Code.BAD_SETTINGS


async def test_nobody_listens() -> None:
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        port = plug.getsockname()[1]
        failed = await fails(connect_websocket(f"ws://127.0.0.1:{port}{LINK_PATH}", Path.LAN))
    assert isinstance(failed, Unavailable)


async def test_without_tls_it_listens_on_loopback_only() -> None:
    with pytest.raises(LocalFault) as raised:
        await listen_websocket("0.0.0.0", 0, hold)
    assert raised.value.code is Code.BAD_SETTINGS


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "https://app.example.evil"]
)
async def test_a_page_of_a_foreign_origin_gets_no_link(origin: str) -> None:
    listener = await listen_websocket(
        "127.0.0.1", 0, hold, allowed=lambda told: told in (None, "https://app.example")
    )
    url = f"ws://127.0.0.1:{listener.addresses[0][1]}{LINK_PATH}"
    with pytest.raises(InvalidStatus) as raised:
        await connect(url, origin=origin, proxy=None)  # type: ignore[arg-type]
    assert raised.value.response.status_code == 403
    async with connect(url, origin="https://app.example", proxy=None):  # type: ignore[arg-type]
        pass
    await listener.close()


async def test_there_is_one_place_for_links_and_pages_are_answered_beside_it() -> None:
    def pages(connection: Any, request: Any) -> Any:
        return connection.respond(200, "hello\n") if request.path == "/" else None

    listener = await listen_websocket("127.0.0.1", 0, hold, pages=pages)
    host = f"ws://127.0.0.1:{listener.addresses[0][1]}"
    for path, status in {"/": 200, "/v1/other": 404, "/v1/link/": 404}.items():
        with pytest.raises(InvalidStatus) as raised:
            await connect(host + path, proxy=None)
        assert raised.value.response.status_code == status
    await listener.close()


async def test_links_are_counted_and_given_back() -> None:
    listener = await listen_websocket("127.0.0.1", 0, hold, links_max=1)
    url = f"ws://127.0.0.1:{listener.addresses[0][1]}{LINK_PATH}"
    first = await connect_websocket(url, Path.LAN)
    assert (await fails(connect_websocket(url, Path.LAN))).code is Code.NO_PATH
    await first.close()
    async with asyncio.timeout(30):
        while True:
            try:
                second = await connect_websocket(url, Path.LAN)
            except Unavailable:
                await asyncio.sleep(0.001)
            else:
                break
    await second.close()
    await listener.close()


# --- Unix socket -------------------------------------------------------------------------------------------


async def test_the_sockets_file_is_for_its_group_and_goes_with_the_listener(tmp_path: Folder) -> None:
    file = tmp_path / "s"
    before = os.umask(0)
    try:
        listener = await listen_unix(file, hold)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o660
    link = await connect_unix(file)
    assert link.peer == f"uid:{os.geteuid()}"
    await link.close()
    await listener.close()
    await listener.close()
    assert not file.exists()


async def test_a_file_left_behind_is_replaced_but_not_one_in_use(tmp_path: Folder) -> None:
    file = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(file))
    listener = await listen_unix(file, hold)
    with pytest.raises(LocalFault) as raised:
        await listen_unix(file, hold)
    assert raised.value.code is Code.FOLDER_IN_USE
    await (await connect_unix(file)).close()  # the one in use was not harmed
    await listener.close()


async def test_a_socket_needs_a_place(tmp_path: Folder) -> None:
    (tmp_path / "file").write_text("precious")
    for file, code in {
        tmp_path / ("x" * 120): Code.BAD_SETTINGS,
        tmp_path / "absent" / "s": Code.FOLDER_UNUSABLE,
    }.items():
        with pytest.raises(LocalFault) as raised:
            await listen_unix(file, hold)
        assert raised.value.code is code
    with pytest.raises(LocalFault):
        await listen_unix(tmp_path / "file", hold)
    assert (tmp_path / "file").read_text() == "precious"


async def test_nothing_runs_there(tmp_path: Folder) -> None:
    failed = await fails(connect_unix(tmp_path / "s"))
    assert failed.code is Code.NOT_RUNNING
    assert "run" in failed.hint


async def test_local_links_are_counted(tmp_path: Folder) -> None:
    file = tmp_path / "s"
    listener = await listen_unix(file, hold, links_max=1)
    first = await connect_unix(file)
    second = await connect_unix(file)
    assert await second.receive() is None
    await first.send(b"{}")
    await first.close()
    await second.close()
    await listener.close()


def test_a_certificate_outlives_its_turn() -> None:
    assert CERTIFICATE_LIFE_MS > 2 * WINDOW_MS
    assert CERTIFICATE_LIFE_MS <= 14 * 24 * 3_600_000

"""Group 28: unknown, percent-encoded, `../`, empty, 1 KiB and look-alike charger identities; a known id in
another case. None comes in as, or beside, a charger of the site; none is written anywhere as it came."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from edge.chargers.admission import AdoptionQueue
from tests.box.support import eventually
from tests.chargers.secured import SecureBox, secure_box

HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
)
IDENTITIES = {
    "unknown": b"/CP2",
    "a longer one": b"/CP11",
    "empty": b"/",
    "nothing but slashes": b"////",
    "a query": b"/?CP1",
    "encoded blank": b"/%20CP1",
    "encoded twice": b"/CP%2531",
    "NUL behind": b"/CP1%00",
    "a line break": b"/CP1%0d%0aX:1",
    "up the tree": b"/../../etc/passwd%2f..",
    "encoded up the tree": b"/%2e%2e%2f%2e%2e%2fkeys%2fcharger-root-ec.pem",
    "1 KiB": b"/" + b"A" * 1024,
    "Cyrillic letters": b"/%D0%A1%D0%A01",
    "full-width letters": b"/%EF%BC%A3%EF%BC%B0%EF%BC%91",
    "a zero-width blank": b"/CP1%E2%80%8B",
    "SQL": b"/CP1';DROP%20TABLE%20fact;--",
    "markup": b"/%3Cscript%3Ealert(1)%3C/script%3E",
    "an option": b"/--help",
}


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*"))


async def dialled(box: SecureBox, path: bytes) -> bytes:
    """The answer's first line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", box.site.listener.port)
    try:
        writer.write(HANDSHAKE % path)
        async with asyncio.timeout(30):
            return await reader.readline()
    finally:
        writer.close()


async def test_a28_no_other_spelling_is_the_charger(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial() as honest:
            for name, path in IDENTITIES.items():
                assert b" 404 " in await dialled(box, path), name
            assert await honest.alive()
        adopted = [entry.id for entry in box.site.gateway.state.view.chargers.values() if entry.adopted]
        assert adopted == ["CP1"]
        theirs = re.compile("CP|AAAA|passwd|charger-root|script|DROP|help")
        assert not [name for name in names(tmp_path) if theirs.search(name)], (
            "a name of theirs became a file's"
        )
        # What is shown of them to a person is plain text.
        for told in (*box.site.dials(), *box.site.chargers()):
            assert str(told).isprintable()


async def test_a28_another_case_of_a_known_id_is_the_same_charger_and_no_second_one(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        async with box.dial("CP1") as first, box.dial("cp1") as second:
            assert (await first.closed())[0] == 1008, "the newest connection is the charger"
            assert await second.alive()
            await eventually(lambda: len(box.site.listener.describe()) == 1, "one charger")
        assert list(box.site.gateway.state.view.chargers) == ["CP1"]


async def test_a28_a_flood_of_names_fills_no_memory_and_keeps_nobody_out(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        for number in range(AdoptionQueue.SIZE_MAX + 20):
            assert await box.status(f"stranger-{number}") == 404
        assert len(list(box.site.listener.waiting())) == AdoptionQueue.SIZE_MAX
        assert await box.status("CP1") == 101


@pytest.mark.parametrize("identity", ["constructor", "__proto__", "None", "%", "0"])
async def test_a28_words_that_mean_something_to_programs_are_strangers(tmp_path: Path, identity: str) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        assert b" 404 " in await dialled(box, b"/" + identity.encode())
        assert await box.app.query("chargers") is not None

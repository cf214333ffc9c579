"""Several addresses at once: who wins, what happens to the others, what is told when all fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from common.client.handshake import Opened
from common.client.race import WAYS_MAX, race, telling
from common.domain import Path
from common.errors import Code, PlugsideError, error


class FakeLink:
    """Knows whether it was closed."""

    path, peer, binding = Path.LAN, "", ""

    def __init__(self) -> None:
        self.closed = False

    async def close(self, code: Code | None = None) -> None:
        await asyncio.sleep(0)
        self.closed = True


class Dials:
    """Addresses that answer when the test says so: an event to wait for, and then a link or an error."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self.links: dict[str, FakeLink] = {}
        self.cancelled: list[str] = []
        self.go: dict[str, asyncio.Event] = {name: asyncio.Event() for name in answers}

    async def __call__(self, address: str) -> Opened:
        self.asked.append(address)
        name, _, failure = address.partition("!")
        try:
            if name in self.go:
                await self.go[name].wait()
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        if failure:
            raise error(Code(failure))
        link = self.links[address] = FakeLink()
        return Opened(link, None, (), 0)  # type: ignore[arg-type]


async def found(*addresses: str) -> AsyncIterator[str]:
    for address in addresses:
        yield address


async def test_all_known_addresses_are_dialled_at_once_and_the_first_wins() -> None:
    dials = Dials("slow", "slower")
    address, opened = await race(["slow", "quick", "slower"], dials)
    assert dials.asked == ["slow", "quick", "slower"]
    assert address == "quick"
    assert cast(object, opened.link) is dials.links["quick"]
    assert sorted(dials.cancelled) == ["slow", "slower"]
    assert not dials.links["quick"].closed


async def test_a_second_by_a_moment_is_closed() -> None:
    dials = Dials("a", "b")
    running = asyncio.gather(race(["a", "b"], dials))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    dials.go["a"].set()
    dials.go["b"].set()
    ((address, _),) = await running
    (other,) = {"a", "b"} - {address}
    assert dials.links[other].closed
    assert not dials.links[address].closed


async def test_a_failure_leaves_the_race_to_the_others() -> None:
    dials = Dials("late")
    running = asyncio.gather(race(["bad!untrusted_peer", "late"], dials))
    await asyncio.sleep(0)
    dials.go["late"].set()
    ((address, _),) = await running
    assert address == "late"


async def test_mdns_is_asked_when_the_known_addresses_have_failed() -> None:
    dials = Dials()
    address, _ = await race(["old!no_path"], dials, lambda: found("old!no_path", "new"), search_after_s=60)
    assert address == "new"
    assert dials.asked == ["old!no_path", "new"]  # and nothing is dialled twice


async def test_mdns_is_asked_when_the_known_addresses_are_silent() -> None:
    dials = Dials("silent")
    address, _ = await race(["silent"], dials, lambda: found("new"), search_after_s=0.001)
    assert address == "new"


async def test_mdns_is_not_asked_when_a_known_address_answers() -> None:
    asked: list[str] = []

    async def search() -> AsyncIterator[str]:
        asked.append("mdns")
        yield "new"

    address, _ = await race(["known"], Dials(), search, search_after_s=60)
    assert (address, asked) == ("known", [])


async def test_without_any_address_the_search_is_all_there_is() -> None:
    assert (await race([], Dials(), lambda: found("new")))[0] == "new"
    with pytest.raises(PlugsideError) as failed:
        await race([], Dials(), lambda: found())
    assert failed.value.code is Code.NO_PATH


async def test_a_flood_of_announcements_is_bounded() -> None:
    dials = Dials()
    with pytest.raises(PlugsideError):
        await race([], dials, lambda: found(*(f"n{n}!no_path" for n in range(1000))))
    assert len(dials.asked) == WAYS_MAX


async def test_cancelling_a_race_cancels_every_dial() -> None:
    dials = Dials("a", "b")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.005):
            await race(["a", "b"], dials)
    assert sorted(dials.cancelled) == ["a", "b"]


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ("no_path untrusted_peer no_path", "untrusted_peer"),
        ("no_path revoked untrusted_peer", "revoked"),
        ("no_path shutting_down", "shutting_down"),
        ("", "no_path"),
    ],
)
def test_the_most_telling_failure_is_told(codes: str, told: str) -> None:
    assert telling([error(Code(code)) for code in codes.split()]).code == told

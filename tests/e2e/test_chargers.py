"""The charger clients themselves: what they do comes behind what they answer, and no two times are one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.chargers import PackageCharger, now
from tests.e2e.stations import PackageStation

TOKEN = {"idToken": "AB12", "type": "Central"}
START_16 = ("RemoteStartTransaction", {"idTag": "AB12"})
START_201 = ("RequestStartTransaction", {"idToken": TOKEN, "remoteStartId": 7})


def test_no_two_times_are_the_same() -> None:
    told = [now() for _ in range(1000)]
    assert told == sorted(set(told))


class Socket:
    """Keeps what was sent, and whether the client had anything else to say by then."""

    def __init__(self, client: PackageCharger | PackageStation) -> None:
        self.sent: list[tuple[Any, bool]] = []
        self._client = client

    async def send(self, frame: str) -> None:
        self.sent.append((json.loads(frame), self._client.idle))


@pytest.mark.parametrize(
    ("kind", "asked"), [(PackageCharger, START_16), (PackageStation, START_201)], ids=["1.6", "2.0.1"]
)
async def test_an_answer_leaves_before_what_comes_of_it(
    kind: type[PackageCharger | PackageStation], asked: tuple[str, dict[str, Any]]
) -> None:
    client = kind("ws://127.0.0.1:9", "CP1")
    client.plugged = True
    socket: Any = Socket(client)
    role = client._role(socket)
    await role.route_message(json.dumps([2, "1", *asked]))
    assert socket.sent == [([3, "1", {"status": "Accepted"}], True)]
    assert not client.idle, "it has begun"
    await role.route_message(json.dumps([2, "2", *asked]))
    assert socket.sent[1][0] == [3, "2", {"status": "Rejected"}]

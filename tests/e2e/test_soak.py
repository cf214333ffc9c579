"""Twenty kills of the kill loop; `make soak` has two hundred."""

from pathlib import Path

import pytest

from tests.e2e.soak import soak
from tests.needs import needs

KILLS = 20


@pytest.mark.timeout(
    600
)  # a minute when it has two processors for itself; it waits for what comes between deaths
@needs("ocpp-rpc")
async def test_twenty_kills_lose_and_double_nothing(tmp_path_factory) -> None:
    folder: Path = tmp_path_factory.mktemp("s")  # sockets' paths are short
    told = await soak(folder, KILLS)
    assert told["kills"] == KILLS
    assert told["charges"] >= 3
    assert told["energy_wh"] > 0

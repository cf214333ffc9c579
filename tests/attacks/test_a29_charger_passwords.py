"""Group 29: no, empty, wrong, not base64, with a colon; a user that is not the id; thousands of tries. Nobody
comes in, the real charger is not locked out, and others notice nothing."""

from __future__ import annotations

import asyncio
import base64
import collections
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.facts import SecurityNoted
from edge.chargers.admission import Patience
from edge.chargers.credentials import Credentials
from tests.box.support import eventually
from tests.chargers.secured import SecureBox, basic, secure_box


def _b64(raw: bytes) -> str:
    return "Basic " + base64.b64encode(raw).decode()


FORGED = {
    "no header": [],
    "no credentials": ["Basic"],
    "not base64": ["Basic ***"],
    "not even ASCII": ["Basic \u00e9"],
    "no colon": [_b64(b"CP1")],
    "empty": [_b64(b"CP1:")],
    "wrong": [_b64(b"CP1:wrong")],
    "a colon": [_b64(b"CP1:wrong:CP1:wrong")],
    "NUL": [_b64(b"CP1:\x00")],
    "1 KiB": [_b64(b"CP1:" + b"x" * 1024)],
    "another scheme": ["Bearer CP1:wrong"],
    "many": [_b64(b"CP1:1"), _b64(b"CP1:2")],
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
async def test_a29_what_is_no_password_is_none(tmp_path: Path, headers: list[str]) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1", profile=1)
        good = await box.password("CP1")
        forged = [("Authorization", value) for value in headers]
        assert await box.status("CP1", additional_headers=forged) == 401
        assert await box.status("CP1", good) == 101
        assert await box.status("CP1", bytes.fromhex(good)) == 101


async def test_a29_a_user_that_is_not_the_charger_is_refused_with_the_right_password(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        for charger in ("CP1", "CP2"):
            await box.adopt(charger, profile=1)
        mine, _ = await box.password("CP1"), await box.password("CP2")
        assert await box.status("CP2", additional_headers=basic("CP1", mine)) == 401
        assert await box.status("CP2", mine) == 401, "another charger's password"
        assert await box.status("CP1", mine) == 101
        await eventually(
            lambda: {note.what for note in box.of(SecurityNoted)} == {"identity_mismatch", "wrong_password"},
            "notes",
        )


class Counting:
    """The passwords, with a count of how often they were looked at."""

    def __init__(self, inner: Credentials) -> None:
        self.looked, self._inner = 0, inner

    def fitting(self, charger: str, presented: Sequence[bytes]) -> str:
        self.looked += 1
        return self._inner.fitting(charger, presented)


async def test_a29_hundreds_of_tries_are_not_looked_at_and_harm_nobody(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        for charger in ("CP1", "CP2"):
            await box.adopt(charger, profile=1)
        good, other = await box.password("CP1"), await box.password("CP2")
        guard = box.site.listener._doorman._guard
        counting = Counting(guard._credentials)  # type: ignore[attr-defined]
        guard._credentials.fitting = counting.fitting  # type: ignore[attr-defined]
        counting._inner = Credentials(box.site._store, box.site.clock, box.site.ids)
        async with box.dial("CP2", other) as honest:
            answers: collections.Counter[int] = collections.Counter()
            for burst in range(20):
                tries = [box.status("CP1", f"guess-{burst}-{n}") for n in range(20)]
                answers.update(await asyncio.gather(*tries))
                assert await honest.alive()
            assert set(answers) <= {401, 429}
            # concurrent ones may be looked at before the first has failed
            assert counting.looked <= Patience.FREE + 30
            assert answers[429] >= 370
            assert "too_many_tries" in await box.why("CP1")
        # The charger itself dials from its own address, and is not made to wait for theirs.
        assert await box.status("CP1", good, local_addr=("127.0.0.2", 0)) == 101


async def test_a29_nothing_of_a_wrong_password_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1", profile=1)
        good = await box.password("CP1")
        assert await box.status("CP1", "mistyped-secret") == 401
        await _alive(box, good)
        told = str([*box.site.dials(), *box.site.chargers(), box.site.health()])
    kept = told + caplog.text + on_disk(tmp_path)
    for secret in ("mistyped-secret", good, base64.b64encode(b"CP1:mistyped-secret").decode()):
        assert secret not in kept


def on_disk(folder: Path) -> str:
    return "".join(file.read_bytes().decode("latin-1") for file in folder.rglob("*") if file.is_file())


async def _alive(box: SecureBox, good: str) -> None:
    async with box.dial("CP1", good) as charger:
        assert await charger.alive()

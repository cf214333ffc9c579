"""Secrets on their way from a box to the one after it: what is due when, and what opens it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from common import sync
from common.clock import SystemClock, SystemIds
from common.errors import Code, Refused
from common.keystore import Keystore
from common.policy import local_presence
from common.trust.recovery import Sealed, unseal
from common.trust.recovery import read as read_key
from edge.recovery import Recovery

LOCAL = local_presence("s-1")


class Drawer:
    """A part that keeps one secret."""

    name = "chargers"

    def __init__(self, secret: bytes = b"") -> None:
        self.secret = secret

    def collect(self) -> bytes:
        return self.secret

    async def restore(self, data: bytes) -> int:
        if data == b"broken":
            raise ValueError("broken")
        self.secret = data
        return 1


def box(folder: Path, secret: bytes = b"") -> tuple[Recovery, Drawer]:
    made = Recovery(Keystore(folder), lambda: "s-1", SystemClock(), SystemIds())
    drawer = Drawer(secret)
    made.parts.append(drawer)
    return made, drawer


def welcome(*sealed: Sealed, number: int = 0) -> sync.TunnelWelcome:
    return sync.TunnelWelcome(
        version=1, link_epoch=1, epoch="e", hwm=0, chain_at_hwm=b"", sealed=sealed, sealed_number=number
    )


async def ask(made: Recovery, name: str, **args: str) -> dict[str, object]:
    request = made.requests[name]
    return await request.handler(msgspec.convert(args, request.shape), LOCAL)


async def test_the_key_is_shown_once(tmp_path: Path) -> None:
    made, _ = box(tmp_path / "a")
    key = made.first()
    read_key(key)
    assert made.first() == ""
    again, _ = box(tmp_path / "a")
    assert again.first() == ""
    assert key not in "".join(file.read_text() for file in (tmp_path / "a").iterdir())


async def test_what_changed_is_due_until_it_is_kept(tmp_path: Path) -> None:
    made, drawer = box(tmp_path / "a", b"one")
    assert made.due() is None, "without a recovery key nothing is sealed"
    key = read_key(made.first())
    first = made.due()
    assert first is not None
    assert unseal(first, key) == {"chargers": b"one"}
    assert made.due() == first, "asked again before it was kept it is the same"
    made.welcomed(welcome(number=first.number))
    assert made.due() is None
    drawer.secret = b"two"
    second = made.due()
    assert second is not None
    assert second.number > first.number
    again, _ = box(tmp_path / "a", b"two")
    again.welcomed(welcome(number=second.number))
    assert again.due() is None, "a restart seals nothing anew"
    again.welcomed(welcome(number=first.number))
    third = again.due()
    assert third is not None, "a cloud that was restored has it again"
    assert unseal(third, key) == {"chargers": b"two"}


async def test_the_next_box_gets_everything_for_the_key(tmp_path: Path) -> None:
    old, _ = box(tmp_path / "a", b"secret")
    key = old.first()
    left = old.due()
    assert left is not None
    new, drawer = box(tmp_path / "b")
    assert new.first(), "the new box shows a key of its own when it is paired"
    new.welcomed(welcome(left, number=left.number))
    assert (await ask(new, "recovery"))["waiting"] == 1
    with pytest.raises(Refused):
        await ask(new, "recovery_restore", key=key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert drawer.secret == b""
    assert (await ask(new, "recovery_restore", key=key))["restored"] == {"chargers": 1}
    assert drawer.secret == b"secret"
    assert (await ask(new, "recovery"))["waiting"] == 0
    sealed = new.due()
    assert sealed is not None
    assert sealed.number > left.number
    assert unseal(sealed, read_key(key)) == {"chargers": b"secret"}, "the key in the drawer goes on"


async def test_what_is_of_another_site_or_key_is_left_alone(tmp_path: Path) -> None:
    old, _ = box(tmp_path / "a", b"secret")
    old.first()
    left = old.due()
    assert left is not None
    new, _ = box(tmp_path / "b")
    new.welcomed(welcome(msgspec.structs.replace(left, site="s-2")))
    with pytest.raises(Refused) as nothing:
        await ask(new, "recovery_restore", key=new.first())
    assert nothing.value.code is Code.BAD_REQUEST
    new.welcomed(welcome(left))
    other, _ = box(tmp_path / "c")
    with pytest.raises(Refused) as wrong:
        await ask(new, "recovery_restore", key=other.first())
    assert wrong.value.code is Code.BAD_INVITE
    assert (await ask(new, "recovery"))["waiting"] == 1


async def test_a_part_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    old, _ = box(tmp_path / "a", b"broken")
    key = old.first()
    left = old.due()
    assert left is not None
    new, _ = box(tmp_path / "b")
    new.welcomed(welcome(left))
    with pytest.raises(Refused) as why:
        await ask(new, "recovery_restore", key=key)
    assert "chargers" in why.value.detail

"""Files that a command writes: there whole, or what stood there before stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from common.cli.files import whole_file
from common.errors import Code, LocalFault

HINT = "Name another one."


def test_a_file_takes_the_place_of_another_once_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "march.csv"
    target.write_bytes(b"before")
    with whole_file(target, hint=HINT) as file:
        file.write(b"after")
        file.flush()
        assert target.read_bytes() == b"before"
    assert target.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("failed", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_what_is_not_written_to_its_end_leaves_what_was_there(tmp_path: Path, failed: BaseException) -> None:
    target = tmp_path / "march.csv"
    target.write_bytes(b"before")

    def write() -> None:
        with whole_file(target, hint=HINT) as file:
            file.write(b"half")
            raise failed

    with pytest.raises(LocalFault if isinstance(failed, OSError) else KeyboardInterrupt) as told:
        write()
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]
    if isinstance(told.value, LocalFault):
        assert (told.value.code, told.value.hint) == (Code.BAD_SETTINGS, HINT)
        assert "No space left" in told.value.message


@pytest.mark.parametrize("name", [".", "no/such/folder/file"])
def test_what_can_be_no_file_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalFault) as told, whole_file(tmp_path / name, hint=HINT) as file:
        file.write(b"")
    assert told.value.hint == HINT
    with pytest.raises(LocalFault), whole_file(Path(), hint=HINT):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link_and_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    target, link = tmp_path / "there", tmp_path / "here"
    link.symlink_to(target)
    with whole_file(link, hint=HINT) as file:
        file.write(b"through")
    assert link.is_symlink()
    assert target.read_bytes() == b"through"
    with whole_file(Path("/dev/null"), hint=HINT) as file:
        file.write(b"gone")
    assert not Path("/dev/null").is_file()
    with pytest.raises(LocalFault, match="No space left"), whole_file(Path("/dev/full"), hint=HINT) as file:
        file.write(b"too much")

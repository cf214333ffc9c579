"""The log's reserved place: commits overwrite it, a kill leaves it readable, it neither grows nor stays."""

from pathlib import Path

from edge.journal.folder import WAL_BYTES_MAX
from edge.journal.journal import Journal
from edge.journal.reserve import reserve
from tests.journal.support import FakeIds, lost, running, table

#: More commits than the writer waits for before it takes the place.
SOME = 70


def log_of(run) -> Path:
    return Path(f"{run.journal.path}-wal")


async def some(run, count: int = SOME) -> None:
    for _ in range(count):
        await run.write(lost())


async def test_a_log_in_use_has_its_full_length_and_what_stood_in_it_stays(tmp_path):
    async with running(tmp_path) as run:
        await some(run)
        log = log_of(run)
        assert log.stat().st_size == WAL_BYTES_MAX
        content = log.read_bytes()
        assert content.endswith(bytes(WAL_BYTES_MAX // 2))
        await some(run, 5)
        assert log.stat().st_size == WAL_BYTES_MAX
        assert log.read_bytes() != content
        assert table(run.journal.path, "SELECT count(*) FROM fact") == [(SOME + 5,)]


async def test_after_a_kill_the_reserved_log_tells_all_that_was_committed(tmp_path):
    folder, copy = tmp_path / "box", tmp_path / "after"
    async with running(folder) as run:
        await some(run)
        # What a kill leaves: the files as they are, without the last checkpoint of an orderly end.
        copy.mkdir()
        for part in ("journal.db", "journal.db-wal"):
            (copy / part).write_bytes((folder / part).read_bytes())
    journal = Journal.open(copy, ids=FakeIds())
    try:
        assert journal.last_seq == SOME
    finally:
        journal.close()


async def test_an_orderly_end_leaves_no_log(tmp_path):
    async with running(tmp_path) as run:
        await some(run)
        log = log_of(run)
    assert not log.exists() or not log.stat().st_size


def test_what_is_longer_already_is_left_alone(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"frames")
    assert reserve(log, 4)
    assert log.read_bytes() == b"frames"
    assert reserve(log, 600_000)
    assert log.read_bytes() == b"frames" + bytes(600_000 - 6)


def test_no_file_and_no_room_are_no_error(tmp_path):
    assert not reserve(tmp_path / "none", 10)
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert not reserve(tmp_path / "link", 10)
    assert not reserve(Path("/dev/full"), 10)

"""Names and raw tags: found while they are known; after `forget` no file holds a byte of them."""

import sqlite3

from edge.journal.people import name_person, put_tag
from tests.journal.support import chain_of, ended, running, started, table


def bytes_of(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_names_and_tags_are_kept_and_changed(tmp_path):
    async with running(tmp_path) as run:
        submit, journal = run.journal.submit, run.journal
        await submit(lambda db: name_person(db, "p1", "Ada"))
        await submit(lambda db: name_person(db, "p1", "Ada L."))
        await submit(lambda db: put_tag(db, "r1", "04A1B2", None))
        assert journal.recall_tag("r1").principal is None
        await submit(lambda db: put_tag(db, "r1", "04A1B2", "p1"))
        assert journal.recall_name("p1") == "Ada L."
        assert (journal.recall_tag("r1").tag, journal.recall_tag("r1").principal) == ("04A1B2", "p1")
        assert journal.recall_name("p2") is None
        assert journal.recall_tag("r2") is None


def crowd(db):
    """So many people, so long names, changed so often that pages split and keep old copies of their rows."""
    for turn in range(3):
        for number in range(300):
            person = number * 37 % 300
            name_person(
                db, f"p{person}", f"<Name-{person}-{turn}>" + "x" * ((person * 131 + turn * 977) % 1500)
            )
            put_tag(db, f"r{person}", f"<TAG-{person}-{turn}>", f"p{person}")


async def test_forget_leaves_no_byte_and_the_ledger_as_it_was(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.submit(crowd)
        await run.write(started("s1", principal="p7"), ended("s1", principal="p7"))
        ledger = "SELECT seq, uid, inner, salt, record FROM fact ORDER BY seq"
        facts, chain = table(run.journal.path, ledger), chain_of(run.journal.path, run.journal.epoch)
        await run.journal.forget("nobody, but the log is emptied")
        content = bytes_of(tmp_path)
        assert all(content.count(f"<Name-{person}-2>".encode()) >= 1 for person in range(300))
        for person in (7, 120, 299):
            assert await run.journal.forget(f"p{person}")
            for trace in (f"<Name-{person}-", f"<TAG-{person}-"):
                assert trace.encode() not in bytes_of(tmp_path)
            assert run.journal.recall_name(f"p{person}") is None
            assert run.journal.recall_tag(f"r{person}") is None
        assert run.journal.recall_name("p8").startswith("<Name-8-2>")
        assert run.journal.recall_tag("r8").tag == "<TAG-8-2>"
        assert table(run.journal.path, "SELECT count(*) FROM person") == [(297,)]
        assert table(run.journal.path, "SELECT count(*) FROM tag") == [(297,)]
        assert table(run.journal.path, ledger) == facts
        assert chain_of(run.journal.path, run.journal.epoch) == chain
        assert run.journal.recall_session("s1").energy_wh == 7000.0
        assert not await run.journal.forget("p7")


async def test_forget_reaches_the_old_copies_that_a_split_page_keeps(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.submit(crowd)
    content = (tmp_path / "journal.db").read_bytes()
    copied = [person for person in range(300) if content.count(f"<Name-{person}-".encode()) > 1]
    assert copied, "nothing lies about: this test looks at nothing"
    async with running(tmp_path) as run:
        for person in copied:
            await run.journal.forget(f"p{person}")
        content = bytes_of(tmp_path)
        assert [person for person in copied if f"<Name-{person}-".encode() in content] == []


async def test_an_unassigned_tag_outlives_everybody(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.submit(lambda db: put_tag(db, "r1", "04A1B2", None))
        assert not await run.journal.forget("p1")
        assert run.journal.recall_tag("r1").tag == "04A1B2"


async def test_forget_waits_for_whoever_still_reads_the_old_pages(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.submit(lambda db: name_person(db, "p1", "Rosalind Franklin"))
        reader = sqlite3.connect(run.journal.path, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT name FROM person").fetchall() == [("Rosalind Franklin",)]
        forgotten = run.journal.forget("p1")
        await run.journal.probe()
        await run.journal.probe()
        assert not forgotten.done()
        assert run.journal.recall_name("p1") is None
        assert b"Rosalind" in bytes_of(tmp_path)
        reader.execute("COMMIT")
        reader.close()
        assert await forgotten
        assert b"Rosalind" not in bytes_of(tmp_path)


async def test_a_forgetting_that_a_restart_cut_short_is_finished_by_it(tmp_path):
    async with running(tmp_path) as run:
        await run.journal.submit(lambda db: name_person(db, "p1", "Rosalind Franklin"))
        reader = sqlite3.connect(run.journal.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT name FROM person").fetchall()
        run.journal.forget("p1")
        await run.journal.probe()
        # As after a kill: the deletion is in the log, the log is not emptied.
        left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        reader.close()
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name, content in left.items():
        if not name.endswith("-shm"):
            (crashed / name).write_bytes(content)
    assert b"Rosalind" in bytes_of(crashed)
    async with running(crashed) as run:
        assert run.journal.recall_name("p1") is None
        assert b"Rosalind" not in bytes_of(crashed)

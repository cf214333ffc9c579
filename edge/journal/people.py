"""Names and raw tags: the only place that has them, and how they leave it without a trace in the file.

Functions for `Journal.submit`: each takes the writing connection inside a transaction.

Facts hold pseudonyms and tag references, so emptying these two tables leaves the chain and every sum true.
SQLite's `secure_delete` zeroes what is deleted, but a page that was split keeps old copies of its rows in its
unused middle. So `forget` empties the tables whole (which zeroes their pages) and writes the others back; the
journal then truncates the write-ahead log, where earlier versions still stand.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from edge.journal.rows import TagRow


def name_person(db: sqlite3.Connection, principal: str, name: str) -> None:
    """Remember the person's name, in place of an earlier one."""
    db.execute(
        "INSERT INTO person VALUES (?, ?) ON CONFLICT(principal) DO UPDATE SET name = excluded.name",
        (principal, name),
    )


def put_tag(db: sqlite3.Connection, ref: str, tag: str, principal: str | None) -> None:
    """Remember the raw tag behind a reference, and whose it is."""
    db.execute(
        "INSERT INTO tag VALUES (?, ?, ?) ON CONFLICT(ref) DO UPDATE"
        " SET tag = excluded.tag, principal = excluded.principal",
        (ref, tag, principal),
    )


def remove_tag(db: sqlite3.Connection, ref: str) -> None:
    """Forget the raw tag behind a reference: as nobody's it would stay when its owner is forgotten."""
    db.execute("DELETE FROM tag WHERE ref = ?", (ref,))


def keep_unassigned(db: sqlite3.Connection, refs: Collection[str]) -> None:
    """Forget the tags that nobody has, but for these."""
    known = [ref for (ref,) in db.execute("SELECT ref FROM tag WHERE principal IS NULL")]
    db.executemany("DELETE FROM tag WHERE ref = ?", [(ref,) for ref in known if ref not in refs])


def forget(db: sqlite3.Connection, principal: str) -> bool:
    """Remove the person's name and tags; True if there were any."""
    (known,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM person WHERE principal = :p)"
        " OR EXISTS (SELECT 1 FROM tag WHERE principal = :p)",
        {"p": principal},
    ).fetchone()
    _rewrite(db, principal)
    return bool(known)


def _rewrite(db: sqlite3.Connection, principal: str) -> None:
    people = db.execute("SELECT * FROM person WHERE principal <> ?", (principal,)).fetchall()
    tags = db.execute("SELECT * FROM tag WHERE principal IS NOT ?", (principal,)).fetchall()
    db.execute("DELETE FROM person")
    db.execute("DELETE FROM tag")
    db.executemany("INSERT INTO person VALUES (?, ?)", people)
    db.executemany("INSERT INTO tag VALUES (?, ?, ?)", tags)


def person_name(db: sqlite3.Connection, principal: str) -> str | None:
    """The person's name, if it is known."""
    found = db.execute("SELECT name FROM person WHERE principal = ?", (principal,)).fetchone()
    return found[0] if found else None


def tag_of(db: sqlite3.Connection, ref: str) -> TagRow | None:
    """The raw tag behind a reference."""
    found = db.execute("SELECT ref, tag, principal FROM tag WHERE ref = ?", (ref,)).fetchone()
    return TagRow(*found) if found else None

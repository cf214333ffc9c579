"""Laws: how pushes fall into groups changes nothing, and the projections are the facts' fold."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from common import facts
from common.facts import Body
from edge.journal.projection import command_after, session_after, touches_command, touches_session
from tests.journal.support import (
    Teller,
    accepted,
    chain_of,
    confirmed,
    ended,
    lost,
    revised,
    running,
    sampled,
    sent,
    settled,
    started,
    table,
)

#: These laws are not about the disk, so they need not wait for one.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
TABLES = {
    "fact": "seq",
    "mark": "seq",
    "session": "session",
    "command": "id",
    "reply": "key",
}


@st.composite
def histories(draw: st.DrawFn) -> list[Body]:
    """Bodies that a site could tell: no session or command begins twice, anything else in any order."""
    bodies: list[Body] = []
    sessions: set[str] = set()
    commands: set[str] = set()
    for _ in range(draw(st.integers(0, 40))):
        name = str(draw(st.integers(0, 3)))
        options = [
            sampled(name, late=draw(st.booleans())),
            lost(),
            ended(name, provisional=draw(st.booleans())),
        ]
        options += [revised(name, draw(st.integers(1, 3)), energy_wh=draw(st.floats(0, 9e6)))]
        options += [sent(name), confirmed(name), settled(name)]
        if name not in sessions:
            options += [started(name, weak=draw(st.booleans()), key=f"k{int(name) % 2}{name}")] * 3
        if name not in commands:
            options += [accepted(name, draw(st.sampled_from([None, "0", "1"])))] * 3
        body = draw(st.sampled_from(options))
        if isinstance(body, facts.SessionStarted):
            sessions.add(name)
        if isinstance(body, facts.CommandAccepted | facts.CommandSettled):
            commands.add(name)  # a refused id is taken as well
        bodies.append(body)
    return bodies


def replies(seq: int) -> list[tuple[str, bytes]]:
    """Every third fact has a stored reply, under one of two keys."""
    return [] if seq % 3 else [(f"key{seq % 2}", f"reply {seq}".encode())]


def written(bodies: list[Body], pushes: list[int], waits: list[bool]) -> dict[str, list[tuple[object, ...]]]:
    """The tables after these bodies, pushed in pieces of these sizes, with a wait for the disk after some."""

    async def write(folder: Path) -> dict[str, list[tuple[object, ...]]]:
        async with running(folder) as run:
            left, number = list(bodies), 0
            while left:
                size = pushes[number % len(pushes)]
                piece, left = left[:size], left[size:]
                first = run.teller.seq + 1
                run.push(*piece, replies=[r for n in range(first, first + len(piece)) for r in replies(n)])
                if waits[number % len(waits)]:
                    await run.journal.probe()
                number += 1
            await run.journal.probe()
            assert run.watch.failures == []
            chain_of(run.journal.path, run.journal.epoch)
            return {
                # A reply's seq is the last of its push: of the whole row only this depends on the split.
                name: table(
                    run.journal.path,
                    f"SELECT {'key, body' if name == 'reply' else '*'} FROM {name} ORDER BY {key}",
                )
                for name, key in TABLES.items()
            }

    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return asyncio.run(write(Path(folder)))


@settings(max_examples=25, deadline=None)
@given(
    bodies=histories(),
    pushes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    waits=st.lists(st.booleans(), min_size=1, max_size=6),
)
def test_any_split_into_pushes_and_groups_gives_the_same_tables(bodies, pushes, waits):
    assert written(bodies, pushes, waits) == written(bodies, [1000], [True])


@settings(max_examples=25, deadline=None)
@given(bodies=histories(), size=st.integers(1, 9))
def test_the_projections_are_the_fold_of_the_facts(bodies, size):
    sessions, commands = {}, {}
    for fact in Teller("1-x").tell(*bodies):
        if (session := touches_session(fact)) is not None:
            sessions[session] = session_after(sessions.get(session), fact)
        if (command := touches_command(fact)) is not None:
            commands[command] = command_after(commands.get(command), fact)
    expected = (
        {uid: row for uid, row in sessions.items() if row is not None},
        {uid: row for uid, row in commands.items() if row is not None},
    )

    async def stored(folder: Path):
        async with running(folder) as run:
            for at in range(0, len(bodies), size):
                run.push(*bodies[at : at + size])
            before = _found(run.journal)
            await run.journal.probe()
            return before, _found(run.journal)

    def _found(journal):
        names = [str(n) for n in range(4)]
        return (
            {n: row for n in names if (row := journal.recall_session(n)) is not None},
            {n: row for n in names if (row := journal.recall_command(n)) is not None},
        )

    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        pending, on_disk = asyncio.run(stored(Path(folder)))
    assert on_disk == expected
    assert pending == expected

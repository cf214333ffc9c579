"""A central system that commits each message by itself before it answers: what group commit is held against.

    python -m tests.bench.commit_each FOLDER

`websockets` and SQLite in WAL with synchronous=FULL, each commit on a thread, so that the loop goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import sys
from pathlib import Path

import msgspec
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from common.clock import SystemClock
from common.domain import iso
from tests.bench.processes import HOST, serve_until_told

_clock = SystemClock()
_transactions = itertools.count(1)


def _answer(action: str) -> dict[str, object]:
    match action:
        case "BootNotification":
            return {"currentTime": iso(_clock.now_ms()), "interval": 300, "status": "Accepted"}
        case "Heartbeat":
            return {"currentTime": iso(_clock.now_ms())}
        case "StartTransaction":
            return {"transactionId": next(_transactions), "idTagInfo": {"status": "Accepted"}}
    return {}


async def main(folder: Path) -> None:
    db = sqlite3.connect(folder / "each.db", isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, charger TEXT, frame BLOB)")
    turn = asyncio.Lock()

    async def attend(socket: ServerConnection) -> None:
        assert socket.request is not None
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await socket.recv(decode=False)
                _, number, action, _ = msgspec.json.decode(frame)
                async with turn:
                    await asyncio.to_thread(
                        db.execute,
                        "INSERT INTO message (charger, frame) VALUES (?, ?)",
                        (socket.request.path, frame),
                    )
                await socket.send(msgspec.json.encode([3, number, _answer(action)]), text=True)

    async with serve(
        attend, HOST, 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None, backlog=1024
    ) as server:
        await serve_until_told(port=server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))

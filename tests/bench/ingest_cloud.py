"""The cloud as it is, on a database of the bench's, until the parent stops it.

python -m tests.bench.ingest_cloud FOLDER DATABASE   (DATABASE: a URL; "" = SQLite in FOLDER)
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from tests.bench.processes import serve_until_told
from tests.cloud.parts import running


async def main(folder: Path, database: str) -> None:
    given = {"database": database} if database else {}
    async with running(folder, log_level="WARNING", **given) as cloud:
        await serve_until_told(url=cloud.url, control=str(folder / "c.sock"))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))

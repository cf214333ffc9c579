"""A box on a small file system that fills up, told as JSON. Run by test_full_disk in a namespace of its own.

python -m tests.journal.full_disk_child FOLDER
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from edge import outage
from edge.journal import inspection, quota
from tests.journal.keeping import Kept, kept


def fill(place: Path, leave: int) -> None:
    """Take the disk but for `leave` bytes."""
    with (place / "filler").open("ab") as filler:
        while (free := shutil.disk_usage(place).free) > leave:
            try:
                filler.write(b"x" * min(free - leave, 1 << 20))
                filler.flush()
            except OSError:
                break
    os.sync()


async def story(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    data = folder / "data"
    async with kept(data, quota_mib=512) as box:
        await box.begun()
        await box.samples(2500)
        await box.keeper.look()
        told["begins"] = [box.keeper.level.name, (data / "ballast").exists()]
        used = box.keeper.space.used if box.keeper.space else 0
        fill(folder, quota.RESERVE_BYTES + used // 12)
        await box.keeper.look()
        told["short"] = [box.stored()[1] > 0, bool(box.declared())]
        fill(folder, 0)
        await box.keeper.look()
        told["full"] = [(data / "ballast").exists(), box.gateway.sparse]
        answered = [bool((await box.ended(9000.0)).sent)]
        await box.begun_again()
        told["sessions_still_commit"] = [*answered, box.gateway.accepting]
        fill(folder, 0)
        told["acked"] = await until_it_fails(box)
        told["committed"] = box.journal.committed_seq
        failed = box.gateway.failed
        assert failed is not None
        why = failed.result()
        told["why"] = [str(why), outage.for_want_of_room(why), outage.has_room(data)]
        told["accepting"] = box.gateway.accepting
    (folder / "filler").unlink()
    told["room_again"] = outage.has_room(data)
    await outage.over(data, enough=outage.has_room)
    async with kept(data, "b", quota_mib=512) as box:
        told["after"] = [box.journal.committed_seq >= told["committed"], inspection.damage(box.journal.path)]
        stored = {fact for (fact,) in box.journal._all("SELECT uid FROM fact", ())}
        told["lost"] = len(set(told.pop("acked")) - stored)
        told["sums"] = [s.energy_wh for s in box.gateway.state.view.sessions.values() if s.ended_at]
    return told


async def until_it_fails(box: Kept) -> list[str]:
    """Write large facts until nothing can be written; the uids of those that were acknowledged."""
    acknowledged: list[str] = []
    box.gateway.bus.tap(lambda fact: acknowledged.append(fact.uid))
    assert box.gateway.failed is not None
    for _ in range(20_000):
        if box.gateway.failed.done():
            break
        box.large()
        await asyncio.sleep(0)
        if len(box.gateway._gate) > 500:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        await asyncio.shield(box.gateway.failed)
    return acknowledged


if __name__ == "__main__":
    print(json.dumps(asyncio.run(story(Path(sys.argv[1])))))

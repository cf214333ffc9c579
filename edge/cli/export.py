"""`plugside-edge export FILE`: everything that the box has written down, for a cloud that it cannot reach."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from common.cli.files import whole_file
from common.cli.output import print_json
from common.client.connection import Connection
from common.sync import bundle
from common.trust import unb64
from edge.cli.connect import connect


async def export(args: argparse.Namespace) -> int:
    """Write the file; what stood there before stays until the new one is whole and on the disk."""
    target: Path = args.file
    hint = "Name a file in a folder that you may write, on a disk with room."
    async with connect(args) as box:
        with whole_file(target, hint=hint) as file:
            told = await _write(box, args, file)
    if args.json:
        print_json({"file": str(target), **told})
        return 0
    first, last = told["after"] + 1, told["up_to"]
    print(f"{target}: records {first} to {last} of epoch {told['epoch']}.")
    print(f"Carry it to the cloud and type there:  plugside-cloud import {target.name}")
    return 0


async def _write(box: Connection, args: argparse.Namespace, file: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"after": args.after, "new_epoch": args.new_epoch}
    file.write(bundle.MAGIC)
    frames, after = 0, None
    while True:
        page = await box.manage("export", wanted)
        after = page["after"] if after is None else after
        for frame in page["frames"]:
            file.write(bundle.framed(unb64(frame)))
            frames += 1
        if not page["next"]:
            break
        wanted = {"after": page["next"], "epoch": page["epoch"], "up_to": page["up_to"]}
    file.write(bundle.closing(frames - 1))
    return {"epoch": page["epoch"], "after": after, "up_to": page["up_to"]}

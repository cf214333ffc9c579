"""`plugside-edge backup` and `restore`: a copy of the journal out of the running box, and one put back.

`restore` is, with `run`, the one command that opens the data folder itself: it takes the folder's lock, so a
running box is refused by name.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from common.cli.output import print_json
from common.clock import SystemIds
from common.errors import Code, LocalFault
from common.keystore import Keystore
from edge import opening
from edge.cli.connect import connect
from edge.journal import backups
from edge.settings import EdgeSettings
from edge.sitefile import SiteDocument


async def backup(args: argparse.Namespace) -> int:
    """Have the box copy its journal, and take the copy to a folder if one is named."""
    async with connect(args) as box:
        made = await box.manage("backup")
    path = Path(made["path"])
    if args.dir is not None:
        path = _taken(path, args.dir)
    if args.json:
        print_json({"path": str(path), "bytes": made["bytes"]})
        return 0
    print(f"{path} ({made['bytes'] / 1024:.0f} KiB)")
    print("It holds names and tags as the box does: keep it as carefully, and away from the keys folder.")
    return 0


def _taken(source: Path, folder: Path) -> Path:
    target = folder / source.name
    part = folder / f"{source.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part)
        part.chmod(0o600)
        fd = os.open(part, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        part.replace(target)
    except OSError as failed:
        raise LocalFault(
            Code.FOLDER_UNUSABLE,
            f"{failed.filename}: {failed.strerror}",
            hint=f"The copy is at {source}: take it from there as a user who may (sudo).",
        ) from None
    return target


async def restore(args: argparse.Namespace) -> int:
    """Put a copy in the place of the journal of a stopped box."""
    settings = EdgeSettings.load({"data": getattr(args, "data", None)})
    if not args.file.is_file():
        raise LocalFault(
            Code.BAD_SETTINGS, f"{args.file}: there is no such file", hint=_copies(settings.data)
        )
    _become_the_box(settings.data, args.file)
    known = Keystore(settings.data / "keys").load("site", SiteDocument)
    aside = opening.restore(settings.data, args.file, SystemIds(), known.site if known is not None else "")
    if args.json:
        print_json({"restored": str(args.file), "aside": aside})
        return 0
    print(f"The journal is what {args.file} held. Start the box: it sends everything to its cloud again.")
    if aside:
        print(f"The journal that was here is kept in {aside}.")
    return 0


def _copies(data: Path) -> str:
    newest = backups.newest(data / backups.FOLDER)
    latest = f" The latest of this box: {data / backups.FOLDER / newest}" if newest else ""
    return f"Name a file that `backup` made.{latest}"


def _become_the_box(data: Path, copy: Path) -> None:
    """What root would make in a folder of the box's user, the box could not open: go on as that user."""
    owner = data.stat() if data.is_dir() else None
    if os.geteuid() != 0 or owner is None or owner.st_uid == 0:
        return
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    if not os.access(copy, os.R_OK, effective_ids=True):
        beside = data / backups.FOLDER / copy.name
        bring = f"install -o {owner.st_uid} -g {owner.st_gid} -m 600 {copy} {beside}"
        raise LocalFault(
            Code.BAD_SETTINGS,
            f"{copy}: the box's user may not read it",
            hint=f"Bring it in, then name that: {bring}",
        )

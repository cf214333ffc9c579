"""What all three command lines say things with: results on stdout, errors on stderr, one exit code each.

Nothing heavy is imported before it is needed: a terminal's tables come from rich, a pipe's are plain text.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from common.errors import PlugsideError
    from common.view import ConnectorView, SessionView

T = TypeVar("T")

#: Exit codes, the same for every command (128 + SIGINT is the shell's own).
DONE, FAILED, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine, on uvloop where it is installed. Ctrl-C raises KeyboardInterrupt."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def run_command(work: Callable[[], Coroutine[Any, Any, int]], *, as_json: bool = False) -> int:
    """Run a command to its exit code: errors are told, a full disk behind stdout too; Ctrl-C and a closed
    pipe end it quietly."""
    from common.errors import Code, LocalFault, PlugsideError

    try:
        done = run_async(work())
        sys.stdout.flush()  # what cannot be said any more shows here, and not behind our back
    except PlugsideError as failed:
        return report_error(failed, as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `| head` has read enough. What Python would still flush at its end has nowhere to go.
        _say_no_more()
        return DONE
    except OSError as failed:
        if failed.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say_no_more()
        full = LocalFault(
            Code.BAD_SETTINGS,
            f"the output: {failed.strerror}",
            hint="Free space on its disk, or send it elsewhere; then type the same again.",
        )
        return report_error(full)
    return done


def _say_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any) -> None:
    """One JSON document, for programs: indented on a terminal, one line in a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    print(json.dumps(_plain(value), indent=indent, ensure_ascii=False))


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def report_error(failed: PlugsideError, *, as_json: bool = False) -> int:
    """Say what happened and what to do next. Returns the exit code.

    as_json: the same as an object on stdout, where a program looks.
    """
    if as_json:
        print_json({"error": {"code": failed.code.value, "message": failed.message, "hint": failed.hint}})
    print(failed.message, file=sys.stderr)
    if failed.hint:
        print(failed.hint, file=sys.stderr)
    return exit_code(failed)


def exit_code(failed: PlugsideError) -> int:
    """1 failed or outcome unknown · 2 refused, or used wrongly · 3 cannot be reached."""
    from common.errors import Code, Refused, Unavailable

    if isinstance(failed, Refused) or failed.code in {Code.BAD_SETTINGS, Code.NOT_PAIRED}:
        return REFUSED
    if isinstance(failed, Unavailable) or failed.code is Code.NOT_RUNNING:
        return UNREACHABLE
    return FAILED


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, out: TextIO | None = None) -> None:
    """Rows under headers: drawn on a terminal, columns parted by two blanks elsewhere.

    Where a terminal is too narrow for them each row is a few lines: an id that is cut short cannot be typed.
    """
    out = out or sys.stdout
    # What a charger or a person named may hold anything; a terminal must not be steered by it.
    clean = [[printable(cell) for cell in row] for row in rows]
    if out.isatty():
        _drawn(headers, clean, out)
        return
    widths = [max(len(cell) for cell in column) for column in zip(headers, *clean, strict=True)]
    for row in (headers, *clean):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip(), file=out)


#: Cells between two columns of a drawn table.
_COLUMN_GAP = 3


def _drawn(headers: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    from rich.box import SIMPLE
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out)
    widest = [max(map(cell_len, column)) for column in zip(headers, *rows, strict=True)]
    if sum(widest) + _COLUMN_GAP * len(widest) > console.width:
        _told(headers, rows, out)
        return
    drawn = Table(*headers, box=SIMPLE, pad_edge=False)
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def _told(headers: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    """A row as lines: what it is about, and below it what there is to tell."""
    for row in rows:
        first, *others = zip(headers, row, strict=True)
        print(f"\n{first[0]}: {first[1]}", file=out)
        for header, cell in others:
            if cell:
                print(f"  {header}: {cell}", file=out)


def printable(text: str) -> str:
    """Text that others chose, without what a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in text)


def count(number: int, one: str, many: str = "") -> str:
    """`1 session`, `2 sessions`. many: where it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def print_qr(text: str) -> None:
    """A QR code, for a camera in front of a terminal; nothing in a pipe."""
    if not sys.stdout.isatty():
        return
    import segno

    segno.make(text, error="l").terminal(compact=True)


def connector_text(place: ConnectorView, session: SessionView | None) -> str:
    """One connector in words (`common.cli.words`)."""
    from common.cli import words

    return words.connector_text(place, session)

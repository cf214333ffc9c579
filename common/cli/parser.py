"""The parser of all three command lines: each subcommand's `--help` says what it does, `--json` holds when a
command is used wrongly, too, and the exit codes are told once.

Nothing heavy is imported: `--help` should not wait.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

#: Told at the end of every command line's help.
EXIT_CODES = "Exit codes: 0 done · 1 failed, or outcome unknown · 2 refused, or used wrongly · 3 unreachable"


class Parser(argparse.ArgumentParser):
    """A command line, and each of its subcommands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.register("action", "parsers", _Described)

    def error(self, message: str) -> NoReturn:
        """Wrong usage: told on stderr, with --json on stdout, too, where a program looks. Exit code 2."""
        if "--json" in sys.argv[1:]:
            from common.cli.output import print_json
            from common.errors import Code

            hint = f"See `{self.prog} --help`."
            print_json({"error": {"code": Code.BAD_SETTINGS.value, "message": message, "hint": hint}})
        super().error(message)


class _Described(argparse._SubParsersAction):  # type: ignore[type-arg]  # there is no public name for it
    """Subcommands whose own help begins with what the list of them says."""

    def add_parser(self, name: str, **given: Any) -> Any:
        if given.get("help"):
            told = given["help"]
            given.setdefault("description", f"{told[0].upper()}{told[1:]}.")
        return super().add_parser(name, **given)


class Version(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than all the rest of `--help`."""

    def __init__(self, option_strings: list[str], **_: Any) -> None:
        nowhere = argparse.SUPPRESS  # it leaves nothing among what was asked
        super().__init__(option_strings, nowhere, nargs=0, default=nowhere, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('plugside')}")
        parser.exit()

"""`make fuzz`: look for bytes that break a law, guided by coverage, for so many seconds a target.

The corpus is made of `seeds` in a folder that is thrown away; an input that breaks a law is printed as a line
for `found.txt`, from where `make test` plays it for ever.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import seeds

#: Longest input, in bytes: what decides about a frame is in its first KiB; long ones only cost time.
_LEN_MAX = 4096
TARGETS = ("decode", "ocpp1.6", "ocpp2.0.1", "dial")


def main() -> int:
    """Exit code 1 if an input was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    args = parser.parse_args()
    if find_spec("atheris") is None:
        print(
            "atheris has no wheel for this machine (Linux on x86-64 has): nothing was fuzzed.",
            file=sys.stderr,
        )
        print("`make test` plays the corpus and what hypothesis makes of it.", file=sys.stderr)
        return 1
    found = [target for target in args.target or TARGETS if not _fuzzed(target, args.seconds)]
    return 1 if found else 0


def _fuzzed(target: str, seconds: int) -> bool:
    """Whether nothing was found."""
    inputs = seeds.dials() if target == "dial" else seeds.frames(target if target[:4] == "ocpp" else "")
    with tempfile.TemporaryDirectory(prefix="plugside-fuzz-") as folder:
        corpus, crashes = Path(folder) / "corpus", Path(folder) / "found"
        corpus.mkdir()
        crashes.mkdir()
        for number, data in enumerate(inputs):
            (corpus / f"{number:04d}").write_bytes(data)
        print(f"{target}: {len(inputs)} seeds, {seconds} s", flush=True)
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={_LEN_MAX}",
            f"-artifact_prefix={crashes}/",
            f"-dict={Path(__file__).with_name('dictionary.txt')}",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        command = [sys.executable, "-m", "tests.fuzz.guided", target, str(corpus), *options]
        ended = subprocess.run(command, timeout=seconds + 120, check=False, capture_output=True, text=True)
        found = sorted(crashes.iterdir())
        if ended.returncode != 0 or found:
            print(ended.stdout, ended.stderr, sep="\n")
        for crash in found:
            name = "dial" if target == "dial" else "frame"
            print(f"Add to tests/fuzz/found.txt:\n{name} {crash.read_bytes()!r}")
        print(f"{target}: {_figures(ended.stderr)}", flush=True)
        return ended.returncode == 0 and not found


def _figures(said: str) -> str:
    """libFuzzer's own count, in words."""
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    return (
        f"{stats.get('number_of_executed_units', '?')} inputs ({stats.get('average_exec_per_sec', '?')}/s),"
        f" {stats.get('new_units_added', '?')} of them reached something new,"
        f" {stats.get('peak_rss_mb', '?')} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())

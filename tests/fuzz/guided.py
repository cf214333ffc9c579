"""One target under libFuzzer, by way of atheris: `python -m tests.fuzz.guided decode CORPUS OPTION...`.

Started by `tests.fuzz` in a process of its own, since libFuzzer ends the process when it is done or has found
an input. What follows the corpus goes to libFuzzer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["edge", "common"]):
    from tests.fuzz.rig import LIFE, NEVER_REFUSED, Rig, decodes


def target(name: str) -> Callable[[bytes], None]:
    """What is done with one input. `decode`: the decoder alone; the others: a whole box."""
    if name == "decode":
        return decodes
    rig: list[Rig] = []

    def whole(data: bytes) -> None:
        if rig and rig[0].inputs >= LIFE:
            rig.pop().close()
        if not rig:
            rig.append(Rig(name if name in NEVER_REFUSED else "ocpp1.6"))
        (rig[0].dial if name == "dial" else rig[0].frame)(data)

    return whole


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target(sys.argv[1]))
    atheris.Fuzz()

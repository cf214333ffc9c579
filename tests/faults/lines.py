"""Box and cloud with a cable in each line, and the faults that a line may have while a car charges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.e2e.cable import Cable
from tests.e2e.place import Place


@asynccontextmanager
async def through_a_cable(folder: Path) -> AsyncIterator[tuple[Place, Cable]]:
    """Box and cloud, with a cable between the two."""
    here = Place(folder)
    port = int(here.stage.cloud_url.rpartition(":")[2])
    async with Cable(port) as cable:
        far = f"http://127.0.0.1:{cable.here}"
        here.cloud._arguments += ["--public-url", far]
        here.box._arguments[here.box._arguments.index("--cloud") + 1] = far
        try:
            await here.cloud.start()
            await here.box.start()
            await here.take_in()
            yield here, cable
        finally:
            await here.stage.stop()


class Fault(NamedTuple):
    """How a line goes bad, and how that ends: it carries on, or it breaks with what was on it."""

    name: str
    begins: Callable[[Cable], None]
    resumes: bool = True
    loses_calls: bool = False  #: what is said to who dialled may never come

    def ends(self, cable: Cable) -> None:
        cable.delay_s = cable.jitter_s = 0.0
        if self.resumes:
            cable.unblock()
        else:
            cable.cut()
        cable.mend()


def _slow(cable: Cable) -> None:
    cable.delay_s, cable.jitter_s = 0.3, 1.2


def _half_open(cable: Cable) -> None:
    cable.vanish()  # who dialled dials again at once, beside its own ghost


#: *There* is what is said by who dials: charger to box, phone to box, box to cloud; *back* is the other way.
FAULTS: Final = (
    Fault("slow and uneven", _slow),
    Fault("there dead, then resumed", lambda cable: cable.block(back=False)),
    Fault("there dead, then broken", lambda cable: cable.block(back=False), resumes=False),
    Fault("back dead, then resumed", lambda cable: cable.block(there=False)),
    Fault("back dead, then broken", lambda cable: cable.block(there=False), resumes=False, loses_calls=True),
    Fault("half open", _half_open, loses_calls=True),
)

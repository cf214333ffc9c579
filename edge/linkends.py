"""How a link of several tasks ends, and how it waits for its next work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from common.errors import Code, PlugsideError, Unavailable
from common.link.here import is_here

#: How often it is looked whether a link's own address is still here, in s.
LOOK_EVERY_S = 2.0


def reason(ended: BaseExceptionGroup) -> BaseException:
    """What ended the link: an error that says what to do, if there is one."""
    reasons = [reason(one) if isinstance(one, BaseExceptionGroup) else one for one in ended.exceptions]
    return next((reason for reason in reasons if isinstance(reason, PlugsideError)), reasons[0])


async def wait(work: asyncio.Event, wake_at_ms: int | None, now_ms: int) -> None:
    timeout_s = None if wake_at_ms is None else max(0.0, (wake_at_ms - now_ms) / 1000)
    try:
        async with asyncio.timeout(timeout_s):
            await work.wait()
    except TimeoutError:
        pass


async def rooted(
    address: str, *, here: Callable[[str], bool] = is_here, every_s: float = LOOK_EVERY_S
) -> None:
    """Raises Unavailable once this machine no longer has the address that a link leaves from.

    Nothing can arrive by such a link, and TCP would wait for it through both pings. Looked at twice, and not
    at all where the address cannot be looked for (one of its link alone).
    """
    missed = 0 if here(address) else None
    while missed is not None and missed < 2:
        await asyncio.sleep(every_s)
        missed = 0 if here(address) else missed + 1
    if missed:
        raise Unavailable(Code.CLOUD_UNREACHABLE, f"this box has the address {address} no longer")

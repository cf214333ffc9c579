"""How a link of several tasks ends, and how it waits for its next work."""

from __future__ import annotations

import asyncio

from common.errors import PlugsideError


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

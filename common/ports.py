"""The seams: what the pure parts need from the world, as protocols that shells and fakes implement."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time as the site knows it."""

    def now_ms(self) -> int:
        """UTC milliseconds; never earlier than the latest time this installation has written down."""

    def mono_ms(self) -> int:
        """Milliseconds that never step, for durations within one boot."""

    @property
    def quality(self) -> str:
        """`synced` or `floor`: how far `now_ms` can be believed."""


class Ids(Protocol):
    """Where unguessable and unique things come from."""

    def uid(self) -> str:
        """A UUIDv7 as text: unique, and roughly ordered by time."""

    def token(self, size: int = 16) -> bytes:
        """`size` unguessable bytes."""

    def transaction(self) -> int:
        """A random positive 31-bit integer (design §4: OCPP 1.6 transaction ids)."""

    def jitter(self) -> float:
        """A number in [0, 1) for spreading retries; not for secrets."""

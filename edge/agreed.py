"""What people's grants say of their caps, noted for cards, which bring no grant along (`edge.core.cards`)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from common.errors import PlugsideError, Unavailable
from common.policy import Claims
from edge.authority import Authority
from edge.core import allowance
from edge.gateway import Gateway

log = logging.getLogger("plugside.trust")


def told(gateway: Gateway, authority: Authority, grants: Iterable[str], now_ms: int) -> None:
    """The same of grants that the cloud tells of; what does not count is passed over."""
    for grant in grants:
        try:
            learn(gateway, authority.claims_of(grant, now_ms))
        except PlugsideError as wrong:
            log.info("a right for cards: %s", wrong)


def learn(gateway: Gateway, claims: Claims) -> None:
    """Note the caps of a grant that counts, where they are news. Never raises: the next grant tells again."""
    news = allowance.learnt(gateway.state, claims)
    if news is not None:
        with suppress(Unavailable):
            gateway.note(news)
            log.info("what %s may have is another thing now", claims.principal)

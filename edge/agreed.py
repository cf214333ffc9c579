"""What people's grants say of their caps, noted for cards, which bring no grant along (`edge.core.cards`)."""

from __future__ import annotations

import logging
from contextlib import suppress

from common.errors import Unavailable
from common.policy import Claims
from edge.core import allowance
from edge.gateway import Gateway

log = logging.getLogger("plugside.trust")


def learn(gateway: Gateway, claims: Claims) -> None:
    """Note the caps of a grant that counts, where they are news. Never raises: the next grant tells again."""
    news = allowance.learnt(gateway.state, claims)
    if news is not None:
        with suppress(Unavailable):
            gateway.note(news)
            log.info("what %s may have is another thing now", claims.principal)

"""The words of `plugside-edge chargers limit` and `trait` on the command line; see `tuning`."""

from __future__ import annotations

import argparse
from typing import Any


def add_actions(actions: Any, shared: argparse.ArgumentParser) -> None:
    """The parsers, below `chargers`."""
    limit = actions.add_parser(
        "limit", parents=[shared], help="show, set or lift the limit that nobody exceeds at a charger"
    )
    limit.add_argument("charger", metavar="ID")
    what = limit.add_mutually_exclusive_group()
    what.add_argument(
        "--amps", type=float, metavar="N", help="for each phase; of a charger with several connectors: of all"
    )
    what.add_argument("--clear", action="store_true", help="lift it")
    trait = actions.add_parser(
        "trait", parents=[shared], help="say how a charger departs from what is known of its model"
    )
    trait.add_argument("charger", metavar="ID")
    trait.add_argument("trait", metavar="TRAIT", help="for example relative, watts, levels, below_minimum")
    trait.add_argument("value", metavar="VALUE", nargs="?", help="as JSON; none: back to what is known")

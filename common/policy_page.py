"""The page that says who may ask for what, made from the rules themselves. Pure.

`common/POLICY.md` is this page; a test holds that it is. To make it anew:

    python -c "from common.policy_page import page; print(page(), end='')" > common/POLICY.md
"""

from __future__ import annotations

from common.commands import CLASSES, Class, Name, Repeat
from common.domain import Role

_ROLES = (Role.DRIVER, Role.OPERATOR, Role.INSTALLER, Role.LOCAL)
_REPEATS = {
    Repeat.AT_MOST_ONCE: "once",
    Repeat.UNTIL_CONFIRMED: "until confirmed",
    Repeat.LOCAL: "in the box",
}
#: What `authorize` asks beyond the role, in its own order.
_MORE = {
    Name.START: "a charger and connector of the grant, within its caps",
    Name.STOP: "a driver: a charge of their own",
    Name.UNLOCK: "a driver: no other person's charge there",
    Name.LIMIT: "a driver: a charge of their own; the safety limit is the installer's",
    Name.CLEAR_LIMIT: "a driver: a charge of their own; the safety limit is the installer's",
    Name.RESERVE: "a charger and connector of the grant",
    Name.SECURE: "a lower profile: local presence alone",
}

_TAIL = """
A card has the rights of its owner: it is good where they may charge, and held to the same caps, counted
together with what they begin from the app. It is answered `Blocked` where no charge may begin, its owner
and the journal are told, and a charge that begins all the same is stopped; it is never kept from ending
a charge. What a charger begins by its own list while the box is away is held to what is left once it tells.
The caps are those of the newest grant of that person that the box has seen, or was told of by its cloud. What
was counted for them goes along to a box that takes another one's place.

A grant that runs out is renewed from half its life on, and afterwards while its key is known and nothing is
withdrawn, by whoever can be reached of those who may speak for it. The box renews what it made itself. What
is the cloud's it brings to the cloud through its tunnel, so a phone without internet is renewed at a box that
has it; in a silent cloud's stead it signs nothing, except for the very right that it had made and the cloud
took over. The cloud renews its own and what its boxes have told it of: drivers at once, operators after the
owner's word. A renewal never adds a role, charger, cap or day: what another device was given of a right of
the cloud's, by the code that the first one shows at the box, ends with that right until the cloud renews it.

A driver's grant that has run out counts for seven days more while the box cannot reach its cloud. The
person is shown that and until when, and the journal has it. Staff have no such grace.
"""

_HEAD = """# Who may ask for what

Made from `common/commands.py` and `common/policy.py` by `common/policy_page.py`; a test holds that it is
true, and another one tries every cell at a running box with nobody's check before it
(`tests/box/test_policy_cells.py`).

The path changes no right: what is permitted over the LAN is permitted through the cloud, and the box alone
decides. `local` is whoever may open the box's own socket; no grant gives it, and nothing that comes from
elsewhere has it. An owner is an operator who may also let the box go (`release`), on the LAN or at the box.
Nobody may do anything to a charger that their grant does not name, or that was not adopted: to them it does
not exist.

"""


def page() -> str:
    """The whole page, as Markdown."""
    rows = ["| Command | LAN or cloud: driver | operator | installer | at the box: local | Sent | Besides |"]
    rows.append("|" + "---|" * 7)
    rows += [_row(name, known) for name, known in CLASSES.items()]
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


def _row(name: Name, known: Class) -> str:
    cells = ["yes" if role in known.roles else "–" for role in _ROLES]
    return f"| `{name.value}` | {' | '.join(cells)} | {_REPEATS[known.repeat]} | {_MORE.get(name, '')} |"

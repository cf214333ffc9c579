"""Who may ask the box what, every role against every request; and what is left of who is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common import wire
from common.domain import ConnectorState, MeterSample, Role, iso
from common.errors import Code, PlugsideError
from common.facts import ChargerAdopted
from common.policy import Claims
from edge.core import inputs
from edge.core.engine import encode_state
from edge.core.inputs import Stamp
from edge.settings import EdgeSettings
from edge.site import Site
from tests.box.support import begin, eventually, living, status
from tests.journal.support import chain_of, table

ROLES = (Role.LOCAL, Role.INSTALLER, Role.OPERATOR, Role.DRIVER)
NAME, TAG = "Ada Lovelace of Bay 12", "C0FFEE42DECAF"


@asynccontextmanager
async def box(folder: Path) -> AsyncIterator[Site]:
    """A box with one session of a driver and one of somebody else, both ended."""
    site = Site(EdgeSettings.load({"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": folder}))
    async with living(site):
        await charge(site)
        yield site


async def charge(site: Site) -> None:
    site.gateway.note(ChargerAdopted(charger="CP1"))
    site.gateway.submit(inputs.StationConnected(charger="CP1", protocol="ocpp1.6"))
    now = site.clock.now_ms() - 60_000
    for number, who in enumerate(("p-ada", "p-bob")):
        tag = TAG if who == "p-ada" else "B0B"
        await manage(site, "tag_assign", {"tag": tag, "principal": who})
        ref, at_ms = site.authority.document.tag_ref(tag), now + number * 10_000
        site.gateway.submit(status(ConnectorState.PREPARING))
        site.gateway.submit(begin(ref, at_ms))
        transaction = await row_of(site, who, ended=False)
        sample = MeterSample(at=iso(at_ms + 1000), energy_wh=1500.0)
        moved = inputs.MeterReported(charger="CP1", evse=1, transaction=transaction, samples=(sample,))
        site.gateway.submit(moved)
        ended = inputs.TransactionEnded(
            charger="CP1",
            transaction=transaction,
            meter_stop_wh=2000.0,
            ended=Stamp(iso(at_ms + 5000), at_ms + 5000),
        )
        site.gateway.submit(ended)
        await row_of(site, who, ended=True)


async def row_of(site: Site, principal: str, *, ended: bool) -> str:
    """The transaction of the one session of a principal, once it is on disk like that."""
    rows: list[tuple[object, ...]] = []

    def there() -> bool:
        known = table(site.journal.path, "SELECT transaction_id, principal, ended FROM session")
        rows[:] = [row for row in known if row[1:] == (principal, ended)]
        return bool(rows)

    await eventually(there, "the session")
    return str(rows[0][0])


def claims(site: Site, role: Role, principal: str = "p-ada") -> Claims:
    return Claims(site=site.authority.site, principal=principal, role=role, expires_ms=2**60)


async def query(site: Site, role: Role, what: str, **more: Any) -> list[Any]:
    limit, after = more.pop("limit", 100), more.pop("after", "")
    asked = wire.Query(id="q", site=site.authority.site, what=what, args=more, limit=limit, after=after)
    page = await site.queries.answer(asked, claims(site, role))
    return list(page.rows)


async def manage(site: Site, name: str, args: dict[str, Any], role: Role = Role.LOCAL) -> dict[str, Any]:
    asked = wire.Manage(id="m", site=site.authority.site, name=name, args=args)
    return (await site.management.answer(asked, claims(site, role))).result


async def code_of(asked: Any) -> str:
    """`ok`, or the code of the refusal."""
    try:
        await asked
    except PlugsideError as refused:
        return refused.code.value
    return "ok"


QUERIES = {
    "sessions": ("ok", "ok", "ok", "ok"),
    "audit": ("ok", "ok", "ok", "not_permitted"),
    "ledger": ("ok", "ok", "ok", "not_permitted"),
    "counts": ("ok", "ok", "ok", "not_permitted"),
    "health": ("ok", "ok", "ok", "not_permitted"),
    "chargers": ("ok", "ok", "ok", "not_permitted"),
    "invites_of_others": ("bad_request",) * 4,
}
NO = "not_permitted"
REQUESTS: dict[str, tuple[dict[str, Any], tuple[str, str, str, str]]] = {
    "pair": ({}, ("ok", NO, NO, NO)),
    "invite": ({"role": "driver"}, ("ok", "ok", "ok", NO)),
    "invite ": ({"role": "operator"}, ("ok", "ok", NO, NO)),
    "invite  ": ({"role": "installer"}, (NO, NO, NO, NO)),
    "invite   ": ({"role": "local"}, (NO, NO, NO, NO)),
    "tag_assign": ({"tag": "F00", "principal": "p-x"}, ("ok", "ok", "ok", NO)),
    "tag_remove": ({"tag": "F00"}, ("ok", "bad_request", "bad_request", NO)),
    "forget": ({"principal": "p-x"}, ("ok", "ok", "ok", NO)),
    "firmware_begin": ({"sha256": "a" * 64, "size_bytes": 1}, ("ok", "ok", NO, NO)),
    "firmware_begin ": ({"sha256": "../" + "a" * 61, "size_bytes": 1}, (*("bad_request",) * 2, NO, NO)),
    "firmware_begin  ": ({"sha256": "a" * 64, "size_bytes": 2**40}, (*("too_large",) * 2, NO, NO)),
    "firmware_begin   ": (
        {"sha256": "a" * 64, "size_bytes": 1, "signature": "c2ln"},
        (*("bad_request",) * 2, NO, NO),
    ),
    "firmware_chunk": ({"upload": "x", "offset": 0, "data": "YQ"}, (*("unknown_file",) * 2, NO, NO)),
    "firmware_end": ({"upload": "x"}, (*("unknown_file",) * 2, NO, NO)),
    "firmware_remove": ({"sha256": "a" * 64}, ("ok", "ok", NO, NO)),
    "firmware_list": ({}, ("ok", "ok", "ok", NO)),
    "upload_read": ({"file": "../journal.db"}, (*("unknown_file",) * 3, NO)),
    "rotate_key": ({}, ("ok", NO, NO, NO)),
    "nothing": ({}, ("bad_request",) * 4),
}


async def test_the_table_of_roles_and_requests(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        for what, wanted in QUERIES.items():
            told = tuple([await code_of(query(site, role, what)) for role in ROLES])
            assert told == wanted, what
        for name, (args, wanted) in REQUESTS.items():
            told = tuple([await code_of(manage(site, name.strip(), args, role)) for role in ROLES])
            assert told == wanted, name


async def test_a_driver_sees_their_own_sessions_and_no_trace_of_others(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        rows = await query(site, Role.DRIVER, "sessions")
        assert {row["principal"] for row in rows} == {"p-ada"}
        everyone = {row["principal"]: row["session"] for row in await query(site, Role.OPERATOR, "sessions")}
        assert set(everyone) == {"p-ada", "p-bob"}
        for what in ("session", "meter"):
            assert await query(site, Role.DRIVER, what, session=everyone["p-ada"])
            assert await query(site, Role.OPERATOR, what, session=everyone["p-bob"])
            for session in (everyone["p-bob"], "no such session", ""):
                refused = await code_of(query(site, Role.DRIVER, what, session=session))
                assert refused == Code.UNKNOWN_SESSION, "another's is answered as if it did not exist"


BAD_QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("sessions", {"charger": 5}),
    ("sessions", {"after": "²"}),
    ("sessions", {"after": "-1"}),
    ("sessions", {"after": "9" * 19}),
    ("sessions", {"limit": 0}),
    ("sessions", {"limit": 501}),
    ("session", {"session": ["x"]}),
    ("audit", {"kinds": "session_started"}),
    ("audit", {"kinds": [1]}),
]
BAD_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("pair", {"force": True}),
    ("invite", {"role": "king"}),
    ("invite", {"hours": 0}),
    ("invite", {"name": "x" * 81}),
    ("tag_assign", {"tag": "", "principal": "p"}),
    ("tag_assign", {"tag": "   ", "principal": "p"}),
    ("tag_assign", {"tag": "x" * 37, "principal": "p"}),
    ("tag_assign", {"tag": "F00"}),
    ("tag_remove", {"tag": "never seen"}),
    ("forget", {}),
    ("forget", {"principal": ""}),
]


def identities(folder: Path) -> dict[Path, bytes]:
    """The keys in a box's folder; its certificates change with the time."""
    return {
        path: path.read_bytes() for path in (folder / "keys").iterdir() if not path.name.startswith("lan-")
    }


async def test_bad_arguments_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        keys = identities(tmp_path)
        before, seq = encode_state(site.gateway.state), site.journal.last_seq
        for what, args in BAD_QUERIES:
            assert await code_of(query(site, Role.OPERATOR, what, **args)) == Code.BAD_REQUEST, (what, args)
        for name, args in BAD_REQUESTS:
            assert await code_of(manage(site, name, args)) == Code.BAD_REQUEST, (name, args)
        assert await code_of(manage(site, "invite", {"chargers": ["NONE"]})) == Code.UNKNOWN_CHARGER
        assert (encode_state(site.gateway.state), site.journal.last_seq) == (before, seq)
        assert identities(tmp_path) == keys


@pytest.mark.parametrize("removed_first", [False, True])
async def test_nothing_is_left_of_who_is_forgotten_and_chain_and_sums_stay(
    tmp_path: Path, removed_first: bool
) -> None:
    async with box(tmp_path) as site:
        made = await manage(site, "invite", {"name": NAME})
        await manage(site, "tag_assign", {"tag": TAG, "principal": made["principal"]})
        assert found(tmp_path, NAME)
        assert found(tmp_path, TAG)
        if removed_first:
            await manage(site, "tag_remove", {"tag": TAG})
        counts = await query(site, Role.LOCAL, "counts")
        for principal in (made["principal"], "p-ada"):
            await manage(site, "forget", {"principal": principal})
        after = await query(site, Role.LOCAL, "counts")
        epoch = site.journal.epoch
    for text in (NAME, TAG):
        assert not found(tmp_path, text)
        assert not found(tmp_path, text.lower())
    for sums in ("energy_wh", "ended", "orphans"):
        assert after[0][sums] == counts[0][sums]
    assert after[0]["ended"] == 2
    assert max(chain_of(tmp_path / "journal.db", epoch)) >= after[0]["facts"]


def found(folder: Path, text: str) -> list[str]:
    """The files that hold a text."""
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]

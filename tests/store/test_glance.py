"""Many sites at once: whose they are, how far their facts are here, what waits in them; invites withdrawn."""

from __future__ import annotations

import msgspec
import pytest

from cloud.store.ports import Store
from cloud.store.rows import Matters
from common import facts
from common.domain import EnergyMethod, Role
from common.errors import Code, Refused
from common.policy import is_staff
from common.sought import Sought
from common.trust import InviteRecord
from tests.store.box import T0_MS, Box, driver, staff


async def another(store: Store, number: int) -> Box:
    made = Box(f"site-{number}")
    await made.settle_in(store)
    return made


async def join(store: Store, site: str, role: Role, key: str, principal: str) -> None:
    record = InviteRecord(
        hash=f"{site}{key}", site=site, role=role, principal=principal, expires_ms=T0_MS + 1
    )
    await store.add_invite(record, "")
    await store.redeem(record.hash, lambda r: msgspec.structs.replace(r, redeemed_by=key), T0_MS)


async def test_a_key_sees_the_sites_at_which_it_is_staff(store: Store, box: Box) -> None:
    await another(store, 2), await another(store, 3)
    await join(store, "site-1", Role.OPERATOR, "k", "op")
    await join(store, "site-2", Role.DRIVER, "k", "dr")
    assert [site.id for site in await store.sites_run_by("k")] == ["site-1"]
    assert await store.sites_run_by("other") == []


async def test_a_right_can_be_given_at_other_sites_too(store: Store, box: Box) -> None:
    await another(store, 2), await another(store, 3)
    await join(store, "site-1", Role.OPERATOR, "k", "op")
    await join(store, "site-2", Role.DRIVER, "k", "dr")
    assert await store.entrust("op", ["site-1", "site-2", "site-3"], T0_MS) == 2
    assert [site.id for site in await store.sites_run_by("k")] == ["site-1", "site-3"], "a driver stays one"
    device = await store.device("site-3", "k")
    assert device is not None
    assert (device.principal, device.role, is_staff(staff("x"))) == ("op", Role.OPERATOR, True)
    assert await store.entrust("op", ["site-3"], T0_MS) == 0
    for nobody in ("dr", "nobody"):
        with pytest.raises(Refused) as refused:
            await store.entrust(nobody, ["site-3"], T0_MS)
        assert refused.value.code is Code.BAD_REQUEST


async def test_marks_are_those_of_the_present_epoch(store: Store, box: Box) -> None:
    box.charge("s1", 0, 10)
    await box.drain(store)
    assert await store.marks(["site-1", "elsewhere"]) == {"site-1": 3}
    box.rotate()
    await box.connect(store)
    assert await store.marks(["site-1"]) == {"site-1": 0}


async def test_what_waits_for_a_person_is_counted(store: Store, box: Box) -> None:
    quiet = await another(store, 2)
    quiet.charge("q1", 0, 10)
    await quiet.drain(store)
    for number in range(3):
        box.start(f"s{number}", 0)
        box.write(
            facts.SessionEnded(
                session=f"s{number}",
                charger="CP1",
                evse=1,
                ended_at="2026-03-01T09:00:00Z",
                received_at="2026-03-01T09:00:00Z",
                energy_wh=900.0,
                method=EnergyMethod.REGISTER,
                flags=("offline",) if number == 0 else ("estimated",),
            )
        )
    for orphan in ("o-1", "o-2"):
        box.write(facts.OrphanRecorded(charger="CP1", orphan=orphan, what="stop", reason="unknown"))
    box.write(facts.OrphanResolved(charger="CP1", orphan="o-1", decision="dismissed", reason="seen"))
    await box.drain(store)
    assert await store.matters(["site-1", "site-2"]) == {"site-1": Matters(flagged=2, orphans=1)}


async def test_sessions_are_filtered(store: Store, box: Box) -> None:
    box.charge("s1", 0, 10)  # begins at 08:01, each three minutes behind the one before
    box.charge("s2", 10, 20, principal="bob")
    box.charge("s3", 20, 30, charger="CP2")
    await box.drain(store)

    async def found(**wanted: str) -> list[str]:
        page = await store.sessions(staff(box.site), sought=Sought(**wanted))  # type: ignore[arg-type]
        return [row.session for row in page.rows]

    assert await found() == ["s3", "s2", "s1"]
    assert await found(charger="CP2") == ["s3"]
    assert await found(principal="bob") == ["s2"]
    assert await found(session="s1") == ["s1"]
    assert await found(since="2026-03-01T08:04:00.000Z") == ["s3", "s2"]
    assert await found(until="2026-03-01T08:04:00.000Z") == ["s1"]
    mine = await store.sessions(driver(box.site), sought=Sought(principal="bob"))
    assert mine.rows == (), "a filter shows nobody what is not theirs"


async def test_an_invite_that_is_withdrawn_brings_nobody_in(store: Store, box: Box) -> None:
    record = InviteRecord(hash="h", site="site-1", role=Role.DRIVER, principal="p", expires_ms=T0_MS)
    await store.add_invite(record, "Ann")
    assert await store.open_invites("site-1", T0_MS - 1) == [record]
    assert await store.open_invites("site-1", T0_MS) == [], "it has run out"
    assert not await store.withdraw_invite("site-2", "p")
    assert await store.withdraw_invite("site-1", "p")
    assert not await store.withdraw_invite("site-1", "p")
    assert await store.open_invites("site-1", T0_MS - 1) == []


async def test_a_story_leaves_the_samples_to_the_meter(store: Store, box: Box) -> None:
    box.charge("s1", 0, 10)
    await box.drain(store)
    page = await store.story(staff(box.site), "s1")
    kinds = [facts.read(row.epoch, row.seq, bytes(row.record)).kind for row in page.rows]
    assert kinds == ["session_started", "session_ended"]

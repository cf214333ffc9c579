"""What a site goes on with when its box is replaced: chargers by their latest name, sessions not over yet."""

from __future__ import annotations

from cloud.store.ports import Store
from common import facts
from common.caps import Caps
from common.domain import EnergyMethod, Role
from common.trust.recovery import Sealed
from common.tuning import LimitWanted, OfflinePolicyChanged, TraitsChanged
from tests.store.box import Box


async def handed_over(store: Store, box: Box) -> list[facts.Body]:
    await box.drain(store)
    return [facts.read("", 0, record).body for record in await store.estate(box.site)]


async def test_chargers_by_their_latest_name_without_those_that_left(store: Store, box: Box) -> None:
    for charger, name, removed in (
        ("CP1", "Bay 1", False),
        ("CP2", "Bay 2", False),
        ("CP1", "Bay 7", False),
        ("CP2", "", True),
    ):
        box.write(facts.ChargerAdopted(charger=charger, name=name, removed=removed))
    (only,) = await handed_over(store, box)
    assert isinstance(only, facts.ChargerAdopted)
    assert (only.charger, only.name) == ("CP1", "Bay 7")


async def test_open_and_provisional_sessions_with_their_last_register(store: Store, box: Box) -> None:
    box.charge("over", 0, 100)
    box.start("guessed", 100)
    ended = box.write(
        facts.SessionEnded(
            session="guessed",
            charger="CP1",
            evse=1,
            ended_at="2026-03-01T09:00:00Z",
            received_at="2026-03-01T09:00:00Z",
            meter_stop_wh=150,
            energy_wh=50,
            method=EnergyMethod.SAMPLES,
            provisional=True,
        )
    )
    box.start("running", 200)
    box.sample("running", 250)
    box.sample("running", 300)
    given = await handed_over(store, box)
    assert [(body.KIND, getattr(body, "session", "")) for body in given] == [
        ("session_started", "guessed"),
        ("session_ended", "guessed"),
        ("session_started", "running"),
        ("meter_sampled", "running"),
    ]
    assert given[1] == ended.body
    assert isinstance(given[3], facts.MeterSampled)
    assert given[3].samples[0].energy_wh == 300


async def test_what_was_decided_on_chargers_and_site_goes_with_them(store: Store, box: Box) -> None:
    box.write(facts.ChargerAdopted(charger="CP1"))
    box.write(LimitWanted(charger="CP1", rank="installer", limit_a=32.0, revision=1))
    latest = [
        LimitWanted(charger="CP1", rank="installer", limit_a=16.0, revision=2),
        LimitWanted(charger="CP1", evse=1, rank="operator", limit_a=10.0, revision=3),
        LimitWanted(charger="CP1", evse=2, rank="operator", revision=4),
        TraitsChanged(charger="CP1", source="installer", traits={"minting": False}, revision=1),
        OfflinePolicyChanged(policy="strict", revision=2),
    ]
    for body in latest:
        box.write(body)
    # a driver's is for a session, a model's is known from its next boot, and CP2 is not the site's
    box.write(LimitWanted(charger="CP1", evse=1, rank="driver", limit_a=8.0, revision=5))
    box.write(TraitsChanged(charger="CP1", source="catalogue", traits={}))
    box.write(LimitWanted(charger="CP2", rank="installer", limit_a=16.0, revision=1))
    adopted, *settings = await handed_over(store, box)
    assert isinstance(adopted, facts.ChargerAdopted)
    assert sorted(settings, key=repr) == sorted(latest, key=repr)


def sealed(to: str, number: int, site: str = "") -> Sealed:
    return Sealed(site=site, number=number, to=to, by="by", data=f"{to}{number}")


async def test_the_newest_of_each_recovery_key_is_kept_and_not_too_many(store: Store, box: Box) -> None:
    site = box.site
    for now_ms, (to, number) in enumerate([("a", 2), ("a", 1), ("b", 3), ("a", 4), ("c", 5), ("d", 6)]):
        await store.keep_sealed(sealed(to, number, site), now_ms)
    assert [(blob.to, blob.number) for blob in await store.sealed(site)] == [("d", 6), ("c", 5), ("a", 4)]
    await store.keep_sealed(sealed("d", 6, site), 99)
    assert (await store.sealed(site))[0] == sealed("d", 6, site), "told again, it is the same"
    assert await store.sealed("another") == ()


async def test_each_charger_s_security_profile_goes_with_it(store: Store, box: Box) -> None:
    for charger in ("CP1", "CP2"):
        box.write(facts.ChargerAdopted(charger=charger))
        box.write(facts.ChargerSecured(charger=charger, change="set", profile=1))
        box.write(facts.ChargerSecured(charger=charger, change="moved", profile=2))
    box.write(facts.ChargerAdopted(charger="CP2", removed=True))
    _, secured = await handed_over(store, box)
    assert isinstance(secured, facts.ChargerSecured)
    assert (secured.charger, secured.profile) == ("CP1", 2)


async def test_what_those_with_caps_have_charged_and_nobody_else(store: Store, box: Box) -> None:
    for principal, key, caps in (("ann", "k-1", Caps(sessions=3)), ("bob", "k-2", None)):
        granted = facts.AuthorizationChanged(
            principal=principal, change="granted", role=Role.DRIVER, key=key, caps=caps
        )
        box.write(granted)
    for number, (principal, authorization) in enumerate(
        (("ann", "accepted"), ("bob", "accepted"), ("ann", "blocked"), ("ann", "accepted"))
    ):
        begun = f"2026-03-01T0{number}:00:00Z"
        box.write(
            facts.SessionStarted(
                session=f"s-{number}",
                charger="CP1",
                evse=1,
                transaction="7",
                principal=principal,
                authorization=authorization,
                started_at=begun,
                received_at=begun,
            )
        )
        if number < 3:  # the last one is open: the estate has it
            box.write(
                facts.SessionEnded(
                    session=f"s-{number}",
                    charger="CP1",
                    evse=1,
                    ended_at="2026-03-01T09:00:00Z",
                    received_at="2026-03-01T09:00:00Z",
                    energy_wh=1000.0 * (number + 1),
                )
            )
    await box.drain(store)
    told = await store.charges(box.site, "")
    assert {principal: [c.session for c in charges] for principal, charges in told.items()} == {
        "ann": ["s-0", "s-2"]
    }
    first, second = told["ann"]
    assert (first.energy_wh, first.refused, first.charger) == (1000.0, False, "CP1")
    assert (second.energy_wh, second.refused) == (3000.0, True)
    assert await store.charges(box.site, "2099-01-01T00:00:00Z") == {}
    assert await store.charges("another", "") == {}

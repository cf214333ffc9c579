"""A new box takes over from the one before it: what runs goes on, what this box knows it knows better, and
what was counted for caps counts on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.store.estate import charges_of
from cloud.store.projection import session_after, session_of
from cloud.store.rows import SessionRow
from common import facts
from common.caps import PERIOD_MAX_MS, Caps, Charge, Used
from common.domain import from_iso, iso
from common.facts import Fact
from common.tuning import LimitWanted, OfflinePolicyChanged, TraitsChanged
from edge.core import allowance, inputs
from edge.core.estate import counted, taken_over, vacant
from tests.core.world import CHARGING, HOUR, MINUTE, T0, Site, kinds, tagged

DAY = 24 * HOUR


def estate_of(old: Site, *wanted: type[facts.Body]) -> list[Fact]:
    """The old box's records of these kinds, as the cloud keeps them."""
    return [fact for fact in old.journal if isinstance(fact.body, wanted)]


def handed_over(old: Site, new: Site, *wanted: type[facts.Body], known: frozenset[str] = frozenset()) -> None:
    for body in taken_over(new.state, estate_of(old, *wanted), known.__contains__):
        new.feed(inputs.Note(body=body))


SETTINGS = (LimitWanted, TraitsChanged, OfflinePolicyChanged)
SESSION = (facts.ChargerAdopted, facts.SessionStarted, facts.MeterSampled, facts.SessionEnded)


def charging_box() -> tuple[Site, str]:
    old = Site().ready()
    old.feed(inputs.Note(body=facts.ChargerAdopted(charger="CP1", name="Bay 1")))
    transaction = old.begun(meter_start_wh=1000.0)
    old.meter(old.sample(1500.0), transaction=transaction)
    return old, transaction


def replacement(old: Site) -> Site:
    new = Site()
    assert vacant(new.state)
    new.now = old.now + 10 * MINUTE
    handed_over(old, new, *SESSION)
    return new


def test_a_running_session_ends_at_the_new_box_with_its_true_energy() -> None:
    old, transaction = charging_box()
    new = replacement(old)
    assert not vacant(new.state)
    assert new.state.view.chargers["CP1"].name == "Bay 1"
    new.connect()
    new.end(transaction, meter_stop_wh=4200.0)
    ended = new.last(facts.SessionEnded)
    assert ended.session == old.last(facts.SessionStarted).session
    assert (ended.energy_wh, ended.provisional) == (3200.0, False)
    new.check()


def test_the_installers_limit_and_traits_go_on_and_a_session_that_runs_gets_them() -> None:
    old, _ = charging_box()
    old.feed(inputs.Note(body=LimitWanted(charger="CP1", rank="installer", limit_a=16.0, revision=1)))
    old.feed(inputs.Note(body=LimitWanted(charger="CP1", evse=1, rank="operator", limit_a=10.0, revision=2)))
    changed = TraitsChanged(charger="CP1", source="installer", traits={"phases": 1}, revision=1)
    old.feed(inputs.Note(body=changed))
    old.feed(inputs.Note(body=OfflinePolicyChanged(policy="strict", revision=1)))
    new = Site()
    new.now = old.now + 10 * MINUTE
    handed_over(old, new, *SETTINGS, *SESSION)
    tuning = new.state.look("CP1").tuning
    assert (tuning.limits.safety_a, tuning.limits.policy_a, tuning.limits.revision) == (16.0, {1: 10.0}, 2)
    assert tuning.limits.held == new.open_sessions(), "it began before this box knew a limit"
    assert (tuning.installer, tuning.revision) == ({"phases": 1}, 1)
    assert new.state.offline_policy == "strict"
    again = len(new.journal)
    handed_over(old, new, *SETTINGS)
    assert len(new.journal) == again, "what it has it leaves alone"


def test_a_restored_box_takes_over_only_what_was_decided_since() -> None:
    old = Site().ready()
    decided = [
        LimitWanted(charger="CP1", rank="installer", limit_a=amps, revision=n)
        for n, amps in ((1, 32.0), (2, 10.0))
    ]
    new = Site().ready()
    for body in decided:
        old.feed(inputs.Note(body=body))
    new.feed(inputs.Note(body=decided[0]))
    handed_over(old, new, LimitWanted)
    assert new.state.look("CP1").tuning.limits.safety_a == 10.0


def test_a_cloud_raises_no_limit_and_sets_nothing_that_an_installer_could_not() -> None:
    """It chooses what it hands over, and the installer's limit here is the floor."""
    box = Site().ready()
    box.feed(inputs.Note(body=facts.ChargerAdopted(charger="CP1")))
    box.feed(inputs.Note(body=LimitWanted(charger="CP1", rank="installer", limit_a=10.0, revision=1)))
    before = len(box.journal)
    for body in (
        LimitWanted(charger="CP1", rank="installer", limit_a=32.0, revision=9),
        LimitWanted(charger="CP1", rank="installer", revision=9),
        LimitWanted(charger="CP1", evse=1, rank="operator", limit_a=-1.0, revision=9),
        LimitWanted(charger="CP1", evse=1, rank="driver", limit_a=8.0, revision=9),
        LimitWanted(charger="CP9", rank="installer", limit_a=8.0, revision=9),
        TraitsChanged(charger="CP1", source="installer", traits={"no such": 1}, revision=9),
        TraitsChanged(
            charger="CP1", source="installer", traits={"settings": {"AuthorizationKey": "x"}}, revision=9
        ),
    ):
        told = Fact("1-x", 1, "u", body.KIND, 1, "", "synced", body, b"")
        assert list(taken_over(box.state, [told], lambda _: False)) == [], body
    assert len(box.journal) == before


def test_its_start_told_again_is_the_same_session_under_any_tag_secret() -> None:
    old, transaction = charging_box()
    new = replacement(old)
    new.connect()
    before = old.last(facts.SessionStarted)
    stamp = inputs.Stamp(before.started_at, from_iso(before.started_at))
    again = new.begin(meter_start_wh=1000.0, tag_ref="another reference", started=stamp)
    assert isinstance(again.reply, inputs.StartReply)
    assert (again.reply.transaction, again.reply.replay) == (transaction, True)
    assert kinds(again) == []
    assert len(new.open_sessions()) == 1


def test_without_its_stop_it_closes_from_the_last_register_that_was_told() -> None:
    old, _ = charging_box()
    new = replacement(old)
    new.connect()
    new.begin(meter_start_wh=2000.0)
    ended = new.last(facts.SessionEnded)
    assert (ended.provisional, ended.energy_wh) == (True, 500.0)


def test_a_provisional_end_still_waits_for_the_chargers_own() -> None:
    old, transaction = charging_box()
    old.begin(meter_start_wh=1600.0)  # its stop was lost
    new = Site()
    new.now = old.now + MINUTE
    first = old.all(facts.SessionStarted)[0]
    handed_over(old, new, *SESSION)
    new.connect()
    new.end(transaction, meter_stop_wh=1600.0)
    revised = new.last(facts.SessionRevised)
    assert (revised.session, revised.energy_wh) == (first.session, 600.0)


def test_what_this_box_knows_it_knows_better() -> None:
    old, _ = charging_box()
    known = frozenset({old.last(facts.SessionStarted).session})
    new = Site().ready()
    running = new.begun(meter_start_wh=7.0)
    before = len(new.journal)
    handed_over(old, new, *SESSION, known=known)
    assert {fact.kind for fact in new.journal[before:]} <= {"charger_adopted"}
    assert new.open_sessions() == [new.last(facts.SessionStarted).session]
    assert new.last(facts.SessionStarted).transaction == running


def test_a_connector_that_is_in_use_stays_so() -> None:
    old, transaction = charging_box()
    new = Site().ready()
    new.begin(meter_start_wh=5000.0)
    here = new.last(facts.SessionStarted).session
    handed_over(old, new, *SESSION)
    place = new.state.look("CP1").open_on(1)
    assert place is not None
    assert place.id == here
    new.end(transaction, meter_stop_wh=1700.0)
    assert new.last(facts.SessionEnded).energy_wh == 700.0
    still = new.state.look("CP1").open_on(1)
    assert still is not None
    assert still.id == here


def test_a_charger_s_security_profile_is_never_less_at_the_new_box() -> None:
    old, _ = charging_box()
    for change, profile in (("set", 1), ("moving", 1), ("moved", 2), ("offered", 2)):
        old.feed(inputs.Note(body=facts.ChargerSecured(charger="CP1", change=change, profile=profile, to=3)))
    new = Site()
    new.now = old.now + 10 * MINUTE
    handed_over(old, new, facts.ChargerAdopted, facts.ChargerSecured)
    security = new.state.look("CP1").security
    assert (security.profile, security.to) == (2, None)
    again = Site()
    again.now = new.now
    again.feed(inputs.Note(body=facts.ChargerSecured(charger="CP1", change="set", profile=3)))
    handed_over(old, again, facts.ChargerAdopted, facts.ChargerSecured)
    assert again.state.look("CP1").security.profile == 3
    new.check()


# --- what was counted for caps -----------------------------------------------------------------------------


def told_by_cloud(old: Site) -> dict[str, tuple[Charge, ...]]:
    """What a cloud hands over, by its own fold of the old box's facts (`cloud.store.estate`)."""
    rows: dict[str, SessionRow] = {}
    for fact in old.journal:
        if (uid := session_of(fact)) is not None:
            rows[uid] = session_after(rows.get(uid), fact)
    since = iso(old.now - PERIOD_MAX_MS)
    lately = sorted((row for row in rows.values() if row.first_at >= since), key=lambda row: row.first_at)
    return charges_of(
        row for row in lately if row.principal is not None and row.ended_at and not row.provisional
    )


def inherit(new: Site, charges: dict[str, tuple[Charge, ...]]) -> int:
    """Write down what is news; how many facts that took."""
    bodies = list(counted(new.state, charges))
    for body in bodies:
        new.feed(inputs.Note(body=body))
    return len(bodies)


@given(
    st.lists(
        st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 40), st.integers(0, 50_000)), max_size=8
    )
)
@settings(max_examples=25, deadline=None)
def test_a_new_box_counts_what_the_old_one_counted(charged: list[tuple[str, int, int]]) -> None:
    old = Site().ready()
    capped = facts.AuthorizationChanged(change="capped", principal="ann", caps=Caps(sessions=2))
    for body in (capped, tagged("ann", "ann").body, tagged("bob", "bob").body):
        old.feed(inputs.Note(body=body))
    for who, days, energy_wh in sorted(charged, key=lambda one: one[1]):
        old.now = max(old.now + MINUTE, T0 + days * DAY)
        transaction = old.begun(tag_ref=who, meter_start_wh=0.0)
        old.now += MINUTE
        old.end(transaction, float(energy_wh))
    new = Site()
    new.now = old.now + MINUTE
    told = told_by_cloud(old)
    inherit(new, told)
    for who in ("ann", "bob"):
        for since_ms in (0, T0 + 10 * DAY, old.now - DAY):
            since_ms = max(since_ms, old.now - PERIOD_MAX_MS)
            assert allowance.used(new.state, who, since_ms) == allowance.used(old.state, who, since_ms)
    assert inherit(new, told) == 0, "and counts it once"
    new.check()


def test_what_this_box_counted_itself_it_counts_once_and_a_late_word_still_counts() -> None:
    old = Site().ready()
    old.feed(tagged("tag-a", "ann"))
    transaction = old.begun(meter_start_wh=0.0)
    old.now += MINUTE
    old.end(transaction, 4000.0)
    told = told_by_cloud(old)
    assert inherit(old, told) == 0
    new = Site()
    new.now = old.now
    assert inherit(new, told) == 1
    (session,) = (charge.session for charge in told["ann"])
    later = facts.SessionRevised(
        session=session, charger="CP1", principal="ann", revision=1, energy_wh=5000.0
    )
    new.feed(inputs.Note(body=later))
    assert allowance.used(new.state, "ann", 0) == Used(energy_wh=5000.0, sessions=1)
    new.check()


def test_a_month_of_charges_fits_into_facts() -> None:
    told = tuple(
        Charge(
            session=f"01890000-0000-8000-8000-{number:012d}",
            charger="C" * 48,
            at=iso(T0),
            told_at=iso(T0),
            energy_wh=54_321.123,
        )
        for number in range(200)
    )
    new = Site()
    assert inherit(new, {"p-0123456789abcdef": told}) == 5  # the world holds that each fits into a record
    assert allowance.used(new.state, "p-0123456789abcdef", 0).sessions == 200


def test_a_charge_that_told_its_meter_before_its_estate_came_is_one_session() -> None:
    old, transaction = charging_box()
    new = Site().ready()
    new.now = old.now + 10 * MINUTE
    new.status(CHARGING)
    new.meter(new.sample(1900.0), transaction=transaction)
    stray = new.last(facts.SessionStarted)
    assert stray.authorization == "unattributed"
    handed_over(old, new, *SESSION)
    begun, ended = new.last(facts.SessionStarted), new.last(facts.SessionEnded)
    assert (begun.session, begun.supersedes) == (old.last(facts.SessionStarted).session, stray.session)
    assert (ended.session, ended.energy_wh, ended.provisional) == (stray.session, 0.0, False)
    assert "superseded" in ended.flags
    assert new.open_sessions() == [begun.session]
    new.end(transaction, meter_stop_wh=4200.0)
    ended = new.last(facts.SessionEnded)
    assert (ended.session, ended.energy_wh, ended.provisional) == (begun.session, 3200.0, False)
    new.check()

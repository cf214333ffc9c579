"""What people see while a car charges: live figures that are of now, or none."""

from __future__ import annotations

import pytest

from common import commands, facts
from common.cli.words import connector_text
from common.commands import Name
from common.domain import EnergyMethod, iso
from common.live import LIVE_MS, Live, live
from common.view import SessionView
from tests.core.world import (
    AVAILABLE,
    CHARGING,
    FINISHING,
    MINUTE,
    PREPARING,
    SUSPENDED_EV,
    SUSPENDED_EVSE,
    UNAVAILABLE,
    Site,
    operator,
)


def charging() -> tuple[Site, str]:
    site = Site().ready()
    transaction = site.begun()
    site.status(CHARGING)
    return site, transaction


def shown(site: Site) -> SessionView:
    (session,) = site.state.view.sessions.values()
    return session


def test_power_current_charge_and_energy_are_shown() -> None:
    site, transaction = charging()
    sample = site.sample(1500.0, power_w=7200.0, current_a=(10.4, 10.4, 10.3), soc_percent=55.0)
    site.meter(sample, transaction=transaction)
    assert live(shown(site), site.now) == Live(7200.0, (10.4, 10.4, 10.3), 55.0)
    assert (shown(site).energy_wh, shown(site).method) == (500.0, EnergyMethod.SAMPLES)
    text = connector_text(site.state.view.chargers["CP1"].connectors[1], shown(site), now_ms=site.now)
    assert text.startswith("Charging 7.2 kW, 0.50 kWh, battery 55 %")


def test_live_figures_age_and_energy_does_not() -> None:
    site, transaction = charging()
    site.meter(site.sample(1500.0, power_w=7200.0, soc_percent=55.0), transaction=transaction)
    assert live(shown(site), site.now + LIVE_MS).power_w == 7200.0
    assert live(shown(site), site.now + LIVE_MS + 1) == Live()
    assert shown(site).energy_wh == 500.0
    place = site.state.view.chargers["CP1"].connectors[1]
    assert "kW," not in connector_text(place, shown(site), now_ms=site.now + LIVE_MS + 1)


@pytest.mark.parametrize("state", [SUSPENDED_EV, SUSPENDED_EVSE, FINISHING])
def test_a_meter_that_goes_on_telling_the_last_power_is_not_believed(state: object) -> None:
    site, transaction = charging()
    site.meter(site.sample(1500.0, power_w=7200.0), transaction=transaction)
    site.status(state)  # type: ignore[arg-type]
    assert shown(site).power_w == 0.0
    site.now += MINUTE
    site.meter(site.sample(1500.0, power_w=7200.0), transaction=transaction)
    assert (shown(site).power_w, shown(site).current_a) == (0.0, None)
    site.end(transaction, 1500.0)
    site.meter(site.sample(1500.0, power_w=7200.0), transaction=transaction)
    assert live(shown(site), site.now) == Live()
    site.check()


def test_late_batches_touch_no_live_figure() -> None:
    site, transaction = charging()
    site.now += 10 * MINUTE
    site.meter(site.sample(2000.0, power_w=7200.0), transaction=transaction)
    site.meter(site.sample(1200.0, site.now - 5 * MINUTE, power_w=100.0), transaction=transaction)
    assert (shown(site).power_w, shown(site).energy_wh) == (7200.0, 1000.0)


def test_what_was_taken_out_of_service_is_remembered_over_a_restart() -> None:
    site = Site().ready()
    decision = site.command(
        Name.AVAILABILITY, commands.SetAvailability(operative=False), evse=1, claims=operator()
    )
    site.answer(decision)
    site.status(UNAVAILABLE)
    assert site.state.view.chargers["CP1"].connectors[1].out_of_service
    site.lose()
    site.ready()
    assert site.state.view.chargers["CP1"].connectors[1].out_of_service
    decision = site.command(
        Name.AVAILABILITY, commands.SetAvailability(operative=True), claims=operator(), id="cmd-2"
    )
    site.answer(decision)
    assert not site.state.view.chargers["CP1"].connectors[1].out_of_service


def test_charging_that_nobody_started_says_so() -> None:
    site = Site().ready()
    site.status(PREPARING)
    site.status(CHARGING)
    site.wait(5 * MINUTE)
    place = site.state.view.chargers["CP1"].connectors[1]
    assert connector_text(place, None) == "Charging, unattributed: the charger told of no start"
    site.meter(site.sample(2000.0, power_w=3000.0))
    text = connector_text(place, shown(site), now_ms=site.now)
    assert text.startswith("Charging, unattributed: the charger told of no start 3.0 kW")
    site.status(AVAILABLE)
    site.wait(11 * MINUTE)
    assert site.last(facts.SessionEnded).received_at <= iso(site.now)

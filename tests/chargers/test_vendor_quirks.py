"""The catalogue of vendor differences: data that fits its shape, found by what a charger says it is."""

from __future__ import annotations

import pytest

from edge.chargers.quirks import ENTRIES, traits_for
from edge.core.configuration import DEFAULTS
from edge.core.traits import DEFAULT, merged


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.vendor)
def test_an_entry_departs_from_the_standard_and_names_who_saw_it(entry: object) -> None:
    assert entry in ENTRIES
    known = next(one for one in ENTRIES if one is entry)
    assert known.source.startswith("https://")
    assert known.traits != DEFAULT
    assert known.vendor == known.vendor.casefold()
    assert set(known.traits.never_write) | set(known.traits.settings) <= set(DEFAULTS)


@pytest.mark.parametrize(
    ("vendor", "trait", "value"),
    [
        ("Wall Box Chargers", "relative", True),
        ("ABB", "levels", [1, 0]),
        ("United Chargers Inc.", "read_batch", 1),
        ("HUAWEI", "watts", True),
        ("FoxESS", "protocol", "1.6"),
        (" fox ess ", "protocol", "1.6"),
    ],
)
def test_a_model_is_found_in_any_case(vendor: str, trait: str, value: object) -> None:
    assert traits_for(vendor, "Any Model", "1.0")[trait] == value


def test_who_is_not_listed_keeps_to_the_standard() -> None:
    assert traits_for("ACME", "Wallbox") == {}
    assert merged(traits_for("", "")) == DEFAULT


def test_an_installer_s_value_wins() -> None:
    assert merged(traits_for("Huawei", "X"), {"watts": False}).watts is False

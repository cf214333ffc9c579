"""What an app is told of a site: its zone, where an operator has named one."""

import msgspec
import pytest

from cloud.access import access
from cloud.store.rows import SiteRow
from common.domain import Role
from common.policy import Claims

SITE = SiteRow(id="s", name="Home", box="b", public="p", issuer="i")
ANN = Claims(site="s", principal="ann", role=Role.DRIVER)


@pytest.mark.parametrize(("set_to", "told"), [("UTC", ""), ("Europe/Berlin", "Europe/Berlin")])
def test_an_app_hears_the_zone_that_was_set(set_to: str, told: str) -> None:
    site = msgspec.structs.replace(SITE, zone=set_to)
    assert access(site, ANN, (), online=True).zone == told

"""Which names a box has."""

import pytest

from common.link.hosts import is_ours


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.7",
        "192.0.2.7:9443",
        "[2001:db8::7]:9443",
        "[::1]",
        "localhost:1",
        "plugside-abcdefgh.local:9443",
        "PLUGSIDE-ABCDEFGH.LOCAL",
        "box.example.com:9443",
    ],
)
def test_addresses_local_names_and_the_listed_are_ours(host: str) -> None:
    assert is_ours(host, {"box.example.com"})


@pytest.mark.parametrize(
    "host",
    [
        *("", ":9443", "evil.example", "evil.example:9443", "local", ".local", "x.local.evil.example"),
        *("192.0.2.7.evil.example", "192.0.2.7, evil.example", "evil.example@192.0.2.7", "192.0.2.7/evil"),
        *("http://192.0.2.7/", "192.0.2.7:port", "localhost.evil.example", "2001:db8::7", "box.example.com."),
    ],
)
def test_all_others_are_not(host: str) -> None:
    assert not is_ours(host, {"box.example.com"})

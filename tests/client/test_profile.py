"""What a device keeps: private, whole, and not undone by another program of the same person."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from common.client.profile import PENDING_KEPT_MS, Pending, Profile, SiteEntry, default_folder, renewal_due
from common.commands import Name
from common.domain import Target
from common.errors import Code, LocalFault, Refused
from common.trust import b64

HOME = SiteEntry(site="s-1", name="Home", grant="g", box="b")
PENDING = Pending(
    id="0190-a", site="s-1", name=Name.START, target=Target("CP1"), envelope="e", expires_ms=1_000
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "home"


def test_everything_is_for_this_user_alone(folder: Path) -> None:
    profile = Profile(folder)
    assert profile.key.thumbprint
    profile.put(HOME)
    profile.remember(PENDING)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_folder_or_file_that_others_can_read_is_refused(folder: Path) -> None:
    Profile(folder).put(HOME)
    (file,) = folder.glob("site-*.json")
    file.chmod(0o644)
    with pytest.raises(LocalFault) as failed:
        Profile(folder)
    assert failed.value.code is Code.FOLDER_UNUSABLE
    file.chmod(0o600)
    folder.chmod(0o750)
    with pytest.raises(LocalFault):
        Profile(folder)


def test_key_and_sites_are_there_the_next_time(folder: Path) -> None:
    first = Profile(folder)
    first.put(HOME)
    again = Profile(folder)
    assert again.key.public == first.key.public
    assert again.sites == (HOME,)


def test_two_programs_do_not_undo_each_other(folder: Path) -> None:
    watch, pair = Profile(folder), Profile(folder)
    watch.put(HOME)
    office = msgspec.structs.replace(HOME, site="s-2", name="Office")
    pair.put(office)
    watch.put(msgspec.structs.replace(HOME, grant="renewed"))
    watch.reload()
    assert [(entry.name, entry.grant) for entry in watch.sites] == [("Home", "renewed"), ("Office", "g")]
    watch.forget("s-2")
    assert [entry.name for entry in Profile(folder).sites] == ["Home"]


def test_a_site_is_found_by_id_or_by_name_in_any_case(folder: Path) -> None:
    profile = Profile(folder)
    profile.put(HOME)
    assert profile.find("s-1") == profile.find("home") == profile.find("HOME") == HOME
    with pytest.raises(Refused) as unknown:
        profile.find("Office")
    assert (unknown.value.code, unknown.value.hint) == (Code.UNKNOWN_SITE, "Paired with: Home")
    profile.put(msgspec.structs.replace(HOME, site="s-2", name="HOME"))
    with pytest.raises(Refused, match=r"s-\d, s-\d"):
        profile.find("home")


@pytest.mark.parametrize("site", ["../../etc/x", "", "a/b", "s" * 500, "\ud800", "ünï"])
def test_a_sites_id_is_never_a_path(folder: Path, site: str) -> None:
    profile = Profile(folder)
    try:
        profile.put(msgspec.structs.replace(HOME, site=site))
    except UnicodeEncodeError:
        assert site == "\ud800"  # no text at all; it cannot have come over the wire
        return
    assert [entry.site for entry in Profile(folder).sites] == [site]
    assert {file.parent for file in folder.rglob("*")} == {folder}


def test_pending_commands_are_kept_until_they_are_settled(folder: Path) -> None:
    profile = Profile(folder)
    later = msgspec.structs.replace(PENDING, id="0190-b")
    profile.remember(later)
    profile.remember(PENDING)
    assert Profile(folder).pending(500) == (PENDING, later)
    profile.settle(PENDING.id)
    profile.settle(PENDING.id)
    assert Profile(folder).pending(500) == (later,)


def test_an_id_is_stored_once(folder: Path) -> None:
    profile = Profile(folder)
    profile.remember(PENDING)
    with pytest.raises(LocalFault):
        profile.remember(PENDING)


def test_old_and_half_written_commands_are_forgotten(folder: Path) -> None:
    profile = Profile(folder)
    profile.remember(PENDING)
    torn = folder / "pending-torn.json"
    torn.write_bytes(b'{"id":"torn"')
    torn.chmod(0o600)
    assert profile.pending(PENDING.expires_ms) == (PENDING,)
    assert not torn.exists()
    assert profile.pending(PENDING.expires_ms + PENDING_KEPT_MS + 1) == ()
    assert list(folder.glob("pending-*")) == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PLUGSIDE_HOME": "/p", "XDG_DATA_HOME": "/x"}, "/p"),
        ({"XDG_DATA_HOME": "/x"}, "/x/plugside"),
        ({"XDG_DATA_HOME": "relative"}, str(Path.home() / ".local/share/plugside")),
        ({}, str(Path.home() / ".local/share/plugside")),
    ],
)
def test_where_it_is(environ: dict[str, str], expected: str) -> None:
    assert default_folder(environ) == Path(expected)


def test_a_grant_is_due_from_half_its_life_on() -> None:
    payload = b64(b'{"iat":1000,"exp":3000}')
    grant = f"h.{payload}.s"
    assert not renewal_due(grant, 1_999_999)
    assert renewal_due(grant, 2_000_000)
    assert renewal_due("no grant", 0)
    assert renewal_due("a.b.c", 0)

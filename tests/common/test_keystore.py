"""The keystore: whole files, closed to others, and certificates on a calendar."""

import os
import stat
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import Code, LocalFault
from common.keystore import CERTIFICATE_LIFE_MS, FILE_BYTES_MAX, SETTLE_MS, WINDOW_MS, YEAR_AHEAD, Keystore

NOW_MS = 1_800_000_000_000


class Profile(msgspec.Struct):
    name: str
    sites: dict[str, int] = {}


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keys")


def unusable(raised: pytest.ExceptionInfo[LocalFault], *words: str) -> None:
    assert raised.value.code is Code.FOLDER_UNUSABLE
    assert all(word in str(raised.value) for word in words)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_kept(store: Keystore) -> None:
    identity, issuer = store.identity(), store.issuer()
    again = Keystore(store.folder)
    assert again.identity().public == identity.public
    assert again.issuer().kid == issuer.kid
    assert store.identity("other").public != identity.public


def test_everything_is_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Keystore(tmp_path / "keys")
        store.identity()
        store.save("profile", Profile("a"))
        store.lan_certificates(NOW_MS, "box.local")
    finally:
        os.umask(before)
    assert mode(store.folder) == 0o700
    files = list(store.folder.iterdir())
    assert len(files) == 4
    assert {mode(file) for file in files} == {0o600}


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o620, 0o602])
def test_a_key_that_others_may_have_read_is_refused_with_what_to_do(store: Keystore, open_to: int) -> None:
    store.identity()
    file = store.folder / "identity.pem"
    file.chmod(open_to)
    with pytest.raises(LocalFault) as raised:
        store.identity()
    unusable(raised, f"{open_to:04o}", f"chmod 600 {file}")


def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    with pytest.raises(LocalFault) as raised:
        Keystore(tmp_path / "keys")
    unusable(raised, "0755", "chmod 700")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    for folder in (tmp_path / "keys", tmp_path / "keys" / "below"):
        with pytest.raises(LocalFault) as raised:
            Keystore(folder)
        unusable(raised, str(folder))


def test_a_link_is_not_followed(store: Keystore, tmp_path: Path) -> None:
    # A good key with a good mode, but in a place that somebody else may rule.
    Keystore(tmp_path / "elsewhere").identity()
    elsewhere = tmp_path / "elsewhere" / "identity.pem"
    (store.folder / "identity.pem").symlink_to(elsewhere)
    with pytest.raises(LocalFault) as raised:
        store.identity()
    unusable(raised, "identity.pem")


def test_a_damaged_key_or_document_is_named_and_not_replaced(store: Keystore) -> None:
    for name, content in {"identity.pem": b"rubbish", "profile.json": b'{"name": 7}'}.items():
        (store.folder / name).write_bytes(content)
        (store.folder / name).chmod(0o600)
    with pytest.raises(LocalFault):
        store.identity()
    with pytest.raises(LocalFault) as raised:
        store.load("profile", Profile)
    unusable(raised, "profile.json")
    assert (store.folder / "identity.pem").read_bytes() == b"rubbish"


def test_a_file_that_is_too_large_is_none_of_ours(store: Keystore) -> None:
    store.save("profile", Profile("x" * FILE_BYTES_MAX))
    with pytest.raises(LocalFault) as raised:
        store.load("profile", Profile)
    unusable(raised, "profile.json")


def test_documents_come_back_are_replaced_and_removed(store: Keystore) -> None:
    assert store.load("profile", Profile) is None
    store.save("profile", Profile("a", {"s": 1}))
    store.save("profile", Profile("b", {"s": 2}))
    assert store.load("profile", Profile) == Profile("b", {"s": 2})
    assert [file.name for file in store.folder.iterdir()] == ["profile.json"]
    store.remove("profile")
    store.remove("profile")
    assert store.load("profile", Profile) is None


def test_of_two_that_make_a_key_at_once_one_has_made_it(store: Keystore) -> None:
    # The second process found no file, made its key, and comes to write when the first one's is there.
    first = store.identity()
    pem = first.to_pem()
    store._write("identity.pem", b"the second's", replace=False)
    assert store.identity().to_pem() == pem
    assert [file.name for file in store.folder.iterdir()] == ["identity.pem"]


def test_a_write_that_was_cut_short_leaves_the_old_file(store: Keystore) -> None:
    store.save("profile", Profile("a"))
    (store.folder / f".profile.json.{os.getpid()}.tmp").write_bytes(b"half")
    assert store.load("profile", Profile) == Profile("a")
    store.save("profile", Profile("b"))
    assert store.load("profile", Profile) == Profile("b")


# --- certificates ------------------------------------------------------------------------------------------


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_a_certificate_is_one_that_browsers_pin(store: Keystore) -> None:
    served = store.lan_certificates(NOW_MS, "plugside-abc.local", ["192.0.2.7", "2001:db8::1"])
    found = certificate(served.current.pem)
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["plugside-abc.local"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("192.0.2.7"), ip_address("2001:db8::1")]
    life = found.not_valid_after_utc - found.not_valid_before_utc
    assert life.total_seconds() * 1000 == CERTIFICATE_LIFE_MS == 13.5 * 24 * 3_600_000
    from cryptography.hazmat.primitives import hashes

    assert found.fingerprint(hashes.SHA256()).hex() == served.current.hash == served.hashes[0]


def test_what_is_served_is_always_valid_settled_and_announced_before(store: Keystore) -> None:
    step_ms = 12 * 3_600_000
    announced: tuple[str, ...] | None = None
    for now_ms in range(NOW_MS, NOW_MS + 3 * WINDOW_MS, step_ms):
        served = store.lan_certificates(now_ms, "box.local")
        assert served.current.not_before_ms + SETTLE_MS <= now_ms < served.renew_at_ms
        assert served.renew_at_ms + SETTLE_MS < served.current.not_after_ms
        assert announced is None or served.hashes[0] in announced
        assert store.lan_certificates(served.renew_at_ms, "box.local").current.hash == served.hashes[1]
        announced = served.hashes


def test_certificates_are_kept_over_a_restart_and_a_new_address(store: Keystore) -> None:
    served = store.lan_certificates(NOW_MS, "box.local", ["192.0.2.7"])
    again = Keystore(store.folder).lan_certificates(NOW_MS + 1000, "box.local", ["192.0.2.99"])
    assert again == served


def test_as_many_are_made_ahead_as_are_wanted(store: Keystore) -> None:
    served = store.lan_certificates(NOW_MS, "box.local", ahead=8)
    assert len(set(served.hashes)) == 9


def test_a_year_may_be_made_bit_by_bit_and_is_named_without_a_gap(store: Keystore) -> None:
    first = store.lan_certificates(NOW_MS, "box.local", ahead=4, at_once=2)
    assert len(first.hashes) == 2
    third = store.lan_certificates(NOW_MS, "box.local", ahead=4, at_once=3)
    assert third.hashes[:2] == first.hashes
    assert len(third.hashes) == 3
    store.lan_certificates(NOW_MS + 4 * WINDOW_MS, "box.local", ahead=0)  # made out of turn
    assert len(store.lan_certificates(NOW_MS, "box.local", ahead=4, at_once=1).hashes) == 3
    assert len(store.lan_certificates(NOW_MS, "box.local", ahead=4, at_once=4).hashes) == 5


def test_a_clock_that_was_wrong_costs_no_certificate_that_phones_know(store: Keystore) -> None:
    known = store.lan_certificates(NOW_MS, "box.local", ahead=3)
    store.lan_certificates(NOW_MS + 10 * 365 * 24 * 3_600_000, "box.local", ahead=3)
    assert store.lan_certificates(NOW_MS, "box.local", ahead=3) == known


def test_the_past_is_removed_once_it_is_long(store: Keystore) -> None:
    window = NOW_MS // WINDOW_MS
    for back in range(10, 10 + 4 * YEAR_AHEAD):
        (store.folder / f"lan-{window - back}.pem").touch()
    served = store.lan_certificates(NOW_MS, "box.local", ahead=2)
    left = sorted(store.folder.glob("lan-*.pem"))
    assert 2 * YEAR_AHEAD < len(left) < 4 * YEAR_AHEAD
    assert served.current.pem in left


def test_what_is_served_changes_when_the_clock_leaves_its_window(store: Keystore) -> None:
    served = store.lan_certificates(NOW_MS, "box.local")
    assert served.serves(NOW_MS)
    assert served.serves(served.renew_at_ms - 1)
    assert not served.serves(served.renew_at_ms)
    assert not served.serves(NOW_MS - WINDOW_MS)

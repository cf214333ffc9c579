"""A charger moved up by the box, profile by profile, over real sockets and the site's own authority."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.facts import CertificateChanged, ChargerSecured
from tests.box.support import eventually
from tests.chargers.secured import Wallbox, secure_box


def up(profile: int) -> list[str]:
    return ["moving", "offered", "moved"] if profile == 1 else ["moving", "moved", "offered", "rotated"]


async def at_0(box: object, charger: Wallbox) -> None:
    await charger.until(lambda: charger.dials)
    # the box leaves a charger alone until its Boot was answered
    await eventually(lambda: charger.box.site.gateway.state.boots(charger.name) > 0, "its boot")


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_from_nothing_to_a_certificate_of_its_own(tmp_path: Path, kind: str) -> None:
    async with secure_box(tmp_path / "box") as box:
        await box.adopt("CP1")
        async with Wallbox(box, tmp_path, serial="SN-7", kind=kind) as charger:
            await at_0(box, charger)
            for profile in (1, 2, 3):
                end = await box.secure("CP1", profile)
                assert (end.outcome, charger.dials[-1]) == ("succeeded", profile)
            assert charger.dials == [0, 1, 2, 2, 3], "over TLS it got another password"
            passwords = [told["value"] for _, told in charger.told if told.get("key") == "AuthorizationKey"]
            assert len(set(passwords)) == 2
            assert [body.change for body in box.of(CertificateChanged)] == ["asked", "sent", "installed"]
            # what was good before is good no more
            assert await box.status("CP1") == 403
            assert await box.status("CP1", charger.password) == 403
            assert await box.status("CP1", charger.password, tls=box.trusting()) == 403
            assert await box.why("CP1") == ["no_certificate", "tls_wanted"]
        changes = [body.change for body in box.of(ChargerSecured)]
        assert changes == ["set", *up(1), *up(2), "moving", "moved"]
    # No secret is in what is written down, or told.
    for file in (tmp_path / "box").rglob("*"):
        if file.is_file():
            assert charger.password.encode() not in file.read_bytes(), file
            assert bytes.fromhex(charger.password) not in file.read_bytes(), file


async def test_passwords_and_authority_come_back_at_the_next_box(tmp_path: Path) -> None:
    async with secure_box(tmp_path / "old") as old:
        await old.adopt("CP1", profile=2)
        password, roots = await old.password("CP1"), old.roots()
        async with old.dial("CP1", password, tls=old.trusting()) as charger:
            assert await charger.alive()
        assert await old.password("CP1") != password
        sealed = old.site._side.part.collect()
        assert password.encode() not in sealed
        assert sealed == old.site._side.part.collect(), "nothing has changed"
    async with secure_box(tmp_path / "new") as new:
        await new.adopt("CP1", profile=1)
        assert await new.status("CP1", password) == 401
        assert await new.why("CP1") == ["no_password_known", "never_dialled"]
        assert await new.site._side.part.restore(sealed) == 1
        assert new.site.gateway.state.look("CP1").security.profile == 2
        # a charger that trusts the old box's roots finds the new one behind the same ones
        async with new.dial("CP1", password, tls=new.trusting(roots=roots)) as charger:
            assert await charger.alive()


async def test_the_box_s_own_certificates_are_kept_over_a_start_and_follow_its_names(tmp_path: Path) -> None:
    def served(folder: Path) -> bytes:
        return b"".join(
            (folder / "keys" / f"charger-server-{kind}.pem").read_bytes() for kind in ("ec", "rsa")
        )

    found = []
    for names in ("", "", "chargers.example"):
        async with secure_box(tmp_path, ocpps_names=names):
            found.append(served(tmp_path))
    assert found[0] == found[1] != found[2]

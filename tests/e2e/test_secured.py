"""Chargers that we did not write prove who they are: `ocpp-rpc` from a password to TLS under the site's own
authority, moved up by what an installer types; `test-ocpp` by each profile."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_ocpp import check_connection
from websockets.exceptions import InvalidStatus

from tests.chargers.secured import SecureBox, key_pem, new_key, request, secure_box
from tests.e2e.chargers import PATIENCE_S, NpmCharger
from tests.e2e.place import Ran, typed
from tests.needs import needs


async def edge(folder: Path, *words: str) -> Ran:
    """What an installer types."""
    done = await typed("edge.cli.main", "--data", str(folder), "--json", *words)
    assert done.code == 0, str(done)
    return done


def rpc(box: SecureBox, *password: str) -> NpmCharger:
    plain, secure = box.url("", tls=False).rstrip("/"), box.url("", tls=True).rstrip("/")
    return NpmCharger("secured.mjs", plain, secure, "CP1", *password)


@needs("ocpp-rpc")
async def test_ocpp_rpc_comes_in_by_password_takes_another_one_and_is_moved_up_to_tls(tmp_path: Path) -> None:
    async with secure_box(tmp_path) as box:
        await edge(tmp_path, "chargers", "adopt", "CP1", "--profile", "1")
        first = (await edge(tmp_path, "chargers", "password", "CP1")).json["password"]
        async with rpc(box, first) as charger:
            await charger.heard("booted", profile=1)
            done = await edge(tmp_path, "chargers", "security", "CP1", "--rotate")
            assert done.json["outcome"] == "succeeded"
            await charger.heard("in", 2, profile=1)
            assert charger.of("told", key="AuthorizationKey")
            assert await box.status("CP1", first) == 401, "the old one is over"
            done = await edge(tmp_path, "chargers", "security", "CP1", "--profile", "2")
            assert (done.json["outcome"], done.json["profile"], done.json["to"]) == ("succeeded", 2, None)
            await charger.heard("in", profile=2)
            assert len(charger.of("told", key="CentralSystemRootCertificate")) == 2
            await charger.heard("booted", profile=2)
            (about,) = [row for row in await box.app.query("chargers") if row["id"] == "CP1"]
            assert (about["online"], about["profile"], about["vendor"]) == (True, 2, "ocpp-rpc")
            assert not charger.of("out")


@needs("ocpp-rpc")
async def test_ocpp_rpc_that_proves_nothing_is_given_a_password_over_the_air(tmp_path: Path) -> None:
    async with secure_box(tmp_path, ocpps="") as box:
        await box.adopt("CP1")
        box_url = box.url("").rstrip("/")
        async with NpmCharger("secured.mjs", box_url, box_url, "CP1") as charger:
            await charger.heard("booted", profile=0)
            done = await edge(tmp_path, "chargers", "security", "CP1", "--profile", "1")
            assert done.json["outcome"] == "succeeded"
            await charger.heard("in", profile=1)
            assert await box.status("CP1") == 401
            # Without a port for TLS there is no way further up, and it is said which setting is missing.
            done = await typed(
                *("edge.cli.main", "--data", str(tmp_path), "--json"),
                *("chargers", "security", "CP1", "--profile", "2"),
            )
            assert (done.code, done.json["code"]) == (1, "bad_settings")
            assert box.site.gateway.state.look("CP1").security.profile == 1


async def test_test_ocpp_comes_in_by_each_profile_and_by_no_other(tmp_path: Path) -> None:
    async with secure_box(tmp_path / "box") as box:
        ca = box.site._side._ca
        assert ca is not None
        roots, own = tmp_path / "roots.pem", tmp_path / "own.pem"
        roots.write_text(box.roots())
        key = new_key("rsa")
        own.write_text((await ca.sign("CP1", request(key, "CP1"))).chain)
        (tmp_path / "key.pem").write_text(key_pem(key))
        await box.adopt("CP1", profile=1)
        password = await box.password("CP1")
        plain, secure = box.url("").rstrip("/"), box.url("", tls=True).rstrip("/")
        by_password = {"username": "CP1", "password": password}
        by_certificate = {"cert": str(own), "key": str(tmp_path / "key.pem")}
        proofs = {
            1: (plain, by_password),
            2: (secure, {**by_password, "ca": str(roots)}),
            3: (secure, {**by_certificate, "ca": str(roots)}),
        }
        for profile in (1, 2, 3):
            await box.secure("CP1", profile, by_hand=True)
            url, proof = proofs[profile]
            result = await check_connection(url, "CP1", timeout=PATIENCE_S, **proof)
            assert result.boot_notification["status"] == "Accepted"
            for other in {1, 2, 3} - {profile}:
                url, proof = proofs[other]
                with pytest.raises(InvalidStatus) as refused:
                    await check_connection(url, "CP1", timeout=PATIENCE_S, **proof)
                assert refused.value.response.status_code in (401, 403)

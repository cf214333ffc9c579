"""Another signing key: asked for by the cloud, signed by a root that is elsewhere, told to boxes at once."""

import asyncio
import json
from pathlib import Path

import pytest

from cloud.cli.main import main
from cloud.keyring import TOLD_BEFORE_MS
from cloud.service import Cloud
from common import sync, trust
from common.domain import Role
from common.keystore import generate_issuer
from tests.cloud.parts import FakeBox, join, until
from tests.cloud.test_cli import Shell


@pytest.fixture
def shell(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(cloud, capsys)


@pytest.fixture
def root(cloud: Cloud, tmp_path: Path) -> Path:
    """The root, put away: the running cloud has it no more."""
    here = cloud.accounts.keyring._store.folder / "root.pem"
    return here.rename(tmp_path / "safe.pem")


def told(box: FakeBox) -> trust.SignedKeySet | None:
    """The last key set that the box was told of while its link stood."""
    said = [one for one in box.said if isinstance(one, sync.Statements)]
    return json_set(said[-1].trust[0]) if said else None


def json_set(statement: str) -> trust.SignedKeySet:
    return trust.SignedKeySet(**json.loads(statement))


async def test_rotation_with_the_root_elsewhere(cloud: Cloud, box: FakeBox, shell: Shell, root: Path) -> None:
    ring = cloud.accounts.keyring
    before = ring.issuing.issuer
    async with box.connected():
        code, out, _ = await shell("keys", "rotate", "--root", str(root))
        assert code == 0
        assert "Key set 2" in out
        assert "put keys/root.pem" not in out
        await until(lambda: told(box) is not None)
    signed = told(box)
    assert signed is not None
    keys = trust.open_key_set(signed, ring.root, at_least=2)
    assert len(keys.keys) == 2
    # A box that was without its cloud for some days still believes what is signed now.
    assert ring.issuing.issuer == before
    assert max(key.from_ms for key in keys.keys) >= cloud.clock.now_ms() + TOLD_BEFORE_MS - 60_000


async def test_three_steps_with_a_file_between(
    cloud: Cloud, box: FakeBox, shell: Shell, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cloud.accounts.keyring.issuing.issuer.public
    wanted = await shell.json("keys", "request", "--at-once")
    again = await shell.json("keys", "request", "--at-once")
    assert (again["number"], again["keys"][0]["public"]) == (2, wanted["keys"][0]["public"])
    request = tmp_path / "request.json"
    request.write_text(json.dumps(wanted))
    sign = ["--socket", "/nowhere", "keys", "sign", str(request), "--root", str(root)]
    assert await asyncio.to_thread(main, sign) == 0, "no cloud is asked"
    signed = tmp_path / "signed.json"
    signed.write_text(capsys.readouterr().out)
    code, out, _ = await shell("keys", "install", str(signed))
    assert code == 0, out
    assert "signs now" in out
    assert cloud.accounts.keyring.issuing.issuer.public != before
    device = await join(cloud, box.site, Role.DRIVER)
    async with device.link():
        pass
    code, _, err = await shell("keys", "install", str(signed))
    assert code == 2, "a set is installed once"
    assert "keys request" in err


async def test_a_key_that_was_copied_counts_no_more(
    cloud: Cloud, box: FakeBox, shell: Shell, root: Path
) -> None:
    ring = cloud.accounts.keyring
    stolen = ring.issuing
    code, _, _ = await shell("keys", "rotate", "--root", str(root), "--drop-old")
    assert code == 0
    assert [key.public for key in ring.keys.keys] == [ring.issuing.issuer.public]
    assert cloud.accounts.verifier.trust.issuer(stolen.issuer.kid) is None
    assert (await shell.json("keys"))["number"] == 2


async def test_what_the_root_did_not_sign_changes_nothing(
    cloud: Cloud, shell: Shell, root: Path, tmp_path: Path
) -> None:
    ring = cloud.accounts.keyring
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(generate_issuer().to_pem())
    code, _, err = await shell("keys", "rotate", "--root", str(stranger))
    assert code == 2
    assert "another cloud's root" in err
    forged = trust.sign_key_set(generate_issuer(), 2, ring.request().keys)
    file = tmp_path / "forged.json"
    file.write_text(json.dumps({"body": forged.body, "signature": forged.signature}))
    assert (await shell("keys", "install", str(file)))[0] != 0
    true_root = trust.IssuerKey.from_pem(await asyncio.to_thread(root.read_bytes))
    foreign = trust.OnlineKey(public=generate_issuer().public, not_after_ms=2**50)
    smuggled = trust.sign_key_set(true_root, 2, (*ring.request().keys, foreign))
    file.write_text(json.dumps({"body": smuggled.body, "signature": smuggled.signature}))
    assert (await shell("keys", "install", str(file)))[0] == 2, (
        "a set with a key that this cloud has not asked for"
    )
    assert ring.keys.number == 1
    assert (await shell("keys", "rotate", "--root", str(tmp_path / "nothing.pem")))[0] == 2

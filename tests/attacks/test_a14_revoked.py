"""Group 14: a revoked grant, person, key and issuer key; lists with a lower number, a bad signature, cut;
revoked in mid-session; a hundred thousand entries; and a box without internet, which a thief finds first."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import sync, trust
from common.client.local import local
from common.commands import Name
from common.domain import Target
from common.errors import Code, PlugsideError
from common.trust.revocations import ENTRIES_MAX
from tests.box.phones import CLOCK, Phone, listed, place, refused
from tests.box.support import eventually
from tests.e2e.place import Driver
from tests.e2e.place import place as processes
from tests.trust.cast import flipped

ENTRIES = {
    "grant": lambda phone: trust.revoked_grant(phone.claims.grant),
    "person": lambda phone: trust.revoked_principal(phone.claims.principal),
    "key": lambda phone: trust.revoked_key(phone.key.thumbprint),
}


@pytest.mark.parametrize("what", ENTRIES)
async def test_a14_what_is_revoked_ends_in_mid_session_and_stays_out(what: str, tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        thief, honest = Phone(site).granted_by(cloud), Phone(site).granted_by(cloud)
        entry = ENTRIES[what](thief)
        async with thief.link() as stolen, honest.link() as other:
            site.authority.withdrawals.take([listed(cloud, site, 1, entry).text])
            assert (await stolen.closed()).code is Code.REVOKED
            await other.query("sessions")
        await refused(thief)
        async with honest.link():
            pass


async def test_a14_a_revoked_signing_key_takes_everything_it_has_signed_with_it(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        thief, of_the_box = Phone(site).granted_by(cloud), await Phone(site).join()
        (issuer,) = trust.cloud_issuers(trust.open_key_set(cloud.keys(), cloud.root.public))
        site.authority.withdrawals.revoke([trust.revoked_issuer_key(issuer.kid)])
        await refused(thief)
        async with of_the_box.link():
            pass


async def test_a14_no_list_of_an_attacker_moves_anything(tmp_path: Path) -> None:
    async with place(tmp_path, dials=True) as (site, cloud):
        thief, honest = Phone(site).granted_by(cloud), await Phone(site).join()
        true = listed(cloud, site, 5, trust.revoked_key(thief.key.thumbprint))
        site.authority.withdrawals.take([true.text])
        header, entries, signature = true.text.split(".")
        empty = listed(cloud, site, 4).text
        forged = [
            empty,
            listed(cloud, site, 5).text,
            flipped(true.text, 10),
            flipped(true.text, -10),
            f"{header}.{entries[:-4]}.{signature}",
            f"{empty.split('.')[0]}.{entries}.{signature}",
            f"{header}..{signature}",
            true.text[:200],
            "",
            "x" * 40_000,
        ]
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        await cloud.say(sync.Statements(revocations=tuple(forged)))
        honest.lists = tuple(forged)[:8]
        async with honest.link() as link:
            assert link.sites[site.authority.site].revocations == (true.text,)
        await refused(thief)
        assert list(site.authority.withdrawals.numbers().values()) == [5]


async def test_a14_a_neighbour_cannot_revoke_the_operator(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, _):
        driver, other = await Phone(site).join(), await Phone(site).join()
        async with driver.link() as link:
            for wanted in (
                {"principal": other.claims.principal},
                {"key": other.key.thumbprint},
                {"grant": other.claims.grant},
                {"principal": driver.claims.principal},
            ):
                with pytest.raises(PlugsideError) as no:
                    await link.manage("revoke", wanted)
                assert no.value.code is Code.NOT_PERMITTED
        async with other.link():
            pass


async def test_a14_a_hundred_thousand_entries_and_still_the_right_answer(tmp_path: Path) -> None:
    async with place(tmp_path) as (site, cloud):
        thief, honest = Phone(site).granted_by(cloud), Phone(site).granted_by(cloud)
        filler = [f"grant:{number}" for number in range(ENTRIES_MAX - 1)]
        one = listed(cloud, site, 1, *filler, trust.revoked_key(thief.key.thumbprint))
        site.authority.withdrawals.take([one.text])
        await refused(thief)
        async with honest.link() as link:
            assert link.sites[site.authority.site].revocations == (), "too long to be carried by a phone"
        (kept,) = site.authority.withdrawals.texts
        assert len(trust.kept_list(kept).entries) == ENTRIES_MAX


@pytest.mark.parametrize("what", ENTRIES)
async def test_a14_nobody_renews_what_is_revoked(what: str, tmp_path: Path) -> None:
    """Not the box, which knows of it; nor by asking its cloud, which is not even troubled."""
    async with place(tmp_path, dials=True) as (site, cloud):
        await eventually(lambda: site.tunnel_stands, "the tunnel")
        of_the_cloud, of_the_box = Phone(site).granted_by(cloud), await Phone(site).join()
        fresh = cloud.grant(of_the_cloud.claims, CLOCK.now_ms(), "fresh")
        cloud.renewal = lambda _: sync.Renewed(ref="", grant=fresh)
        for thief in (of_the_cloud, of_the_box):
            async with thief.link() as stolen:
                site.authority.withdrawals.revoke([ENTRIES[what](thief)])
                with pytest.raises(PlugsideError) as no:
                    await stolen.renew(thief.grant)
                assert no.value.code is Code.REVOKED
            await refused(thief)
        assert cloud.asked_renewals == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a14_revoked_while_the_box_is_offline(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Real processes: the thief is let in by a box that nobody could tell, until an honest phone comes by."""
    folder = tmp_path_factory.mktemp("o")
    async with processes(folder, cloud=True) as home:
        await home.adopt("CP1")
        thief, honest = Driver(folder / "thief"), Driver(folder / "honest")
        stolen = await thief.told("pair", await home.invite(by_cloud=True))
        await honest.told("pair", await home.invite(by_cloud=True))
        for driver in (thief, honest):
            (site,) = (await driver.told("--via", "lan", "status"))["sites"]
            assert site["path"] == "lan"
        await home.box.stop()
        done = await home.told(home.at_cloud("revoke", "Home", stolen["principal"]))
        assert (done["number"], done["devices"], done["box_told"]) == (1, 1, False)
        assert (await thief.types("--via", "cloud", "status")).code != 0
        await honest.told("--via", "cloud", "status")  # on the way home: the list is in its pocket
        await home.cloud.stop()
        await home.box.start()
        (site,) = (await thief.told("--via", "lan", "status"))["sites"]
        assert site["path"] == "lan", "nobody has told the box"
        await honest.told("--via", "lan", "status")
        refused_now = await thief.types("--via", "lan", "start", "CP1")
        assert refused_now.error["code"] == Code.REVOKED, str(refused_now)
        await honest.told("--via", "lan", "status")
        async with local(home.box.control) as installer:
            told = await installer.query("audit", {"kinds": ["security_noted", "authorization_changed"]})
            assert "rights_withdrawn" in [row["body"].get("what") for row in told]
            assert (await installer.manage("people"))["lists"]
            with pytest.raises(PlugsideError) as no:
                await installer.command(Name.STOP, Target("CP1"), {"session": "none"}).settled()
            assert no.value.code is not Code.REVOKED, "whoever stands at the box still may"
        # Not by a new start of the box either.
        await home.box.stop()
        await home.box.start()
        again = await thief.types("--via", "lan", "start", "CP1")
        assert again.error["code"] == Code.REVOKED, str(again)

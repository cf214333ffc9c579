"""Group 38: the cloud's routes with another organisation's token, with none, with one in the URL."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from common import wire
from common.client.local import local
from common.domain import Role
from common.errors import Code, PlugsideError
from tests.cloud.parts import Device, FakeBox, invite, join, running, send
from tests.cloud.test_api import read_token

#: A site that is not on this link is none that could be asked about.
FOREIGN = {Code.WRONG_SITE, Code.NOT_PERMITTED, Code.UNKNOWN_SITE, Code.BAD_GRANT}
WRITES = ("post", "put", "patch", "delete")


async def test_no_route_shows_a_site_to_anothers_token_or_to_none(tmp_path: Path) -> None:
    async with running(tmp_path / "cloud") as cloud:
        ours, theirs = FakeBox(cloud.url), FakeBox(cloud.url)
        await ours.join(cloud, "Ours")
        await theirs.join(cloud, "Theirs")
        token = (await read_token(cloud, "Ours"))["authorization"].removeprefix("Bearer ")
        async with httpx.AsyncClient(base_url=cloud.url, trust_env=False) as web:
            described = (await web.get("/v1/schema/openapi.json")).json()["paths"]
            routes = [path for path, how in described.items() if "get" in how and "{site" in path]
            assert routes, "no route of a site was found"
            for route in routes:
                for site in ("Theirs", theirs.site):
                    path = route.replace(next(part for part in route.split("/") if "{site" in part), site)
                    path = path.partition("{")[0]
                    tried = {
                        "another's": await web.get(path, headers={"Authorization": f"Bearer {token}"}),
                        "none": await web.get(path),
                        "in the URL": await web.get(path, params={"token": token, "access_token": token}),
                        "a cookie": await web.get(
                            path, headers={"Cookie": f"token={token}; session={token}"}
                        ),
                        "no bearer": await web.get(path, headers={"Authorization": f"Basic {token}"}),
                    }
                    for how, answer in tried.items():
                        assert answer.status_code in (400, 401, 403, 404), (route, how)
                        assert theirs.site not in answer.text.replace(path, "")
                        assert "set-cookie" not in answer.headers
            for route, how in described.items():
                for method in set(WRITES) & how.keys():
                    answer = await web.request(method, route, headers={"Authorization": f"Bearer {token}"})
                    assert answer.status_code >= 400, "a token only reads"


async def test_by_the_app_link_nobody_reaches_another_site(tmp_path: Path) -> None:
    """Drivers and operators of one site ask for another one's, by every question that there is."""
    async with running(tmp_path / "cloud") as cloud:
        ours, theirs = FakeBox(cloud.url), FakeBox(cloud.url)
        await ours.join(cloud, "Ours")
        await theirs.join(cloud, "Theirs")
        victim = await join(cloud, theirs.site)
        async with theirs.connected(), ours.connected():
            questions = set(cloud.queries._table)
            assert {"sessions", "audit", "acts"} <= questions
            for role in (Role.DRIVER, Role.OPERATOR):
                thief = await join(cloud, ours.site, role)
                async with thief.link() as link:
                    for what in sorted(questions):
                        with pytest.raises(PlugsideError) as no:
                            await link.query(what, site=theirs.site)
                        assert no.value.code in FOREIGN, (role, what)
                    for name in sorted(cloud.apps._management._table):
                        with pytest.raises(PlugsideError) as no:
                            await link.manage(name, {"site": theirs.site}, site=theirs.site)
                        assert no.value.code in FOREIGN | {Code.BAD_REQUEST}, (role, name)
                    told = await send(link, thief.command(theirs.site))
                    assert isinstance(told[-1], wire.Refusal)
                    assert told[-1].code in FOREIGN
                    with pytest.raises(PlugsideError) as no:
                        await anext(link.follow(theirs.site))
                    assert no.value.code in FOREIGN
                assert theirs.relayed == []
            async with victim.link() as link:
                assert await link.query("sessions", site=theirs.site) == []


@pytest.mark.parametrize("role", [Role.DRIVER, Role.OPERATOR])
async def test_who_is_removed_while_linked_is_out_at_once(tmp_path: Path, role: Role) -> None:
    async with running(tmp_path / "cloud") as cloud:
        box = FakeBox(cloud.url)
        await box.join(cloud)
        made = await invite(cloud, box.site, role=role.value)
        gone, stays = Device(cloud), await join(cloud, box.site)
        await gone.join(made["invite"])
        async with gone.link() as link, stays.link() as other:
            async with local(cloud._settings.socket_path) as operator:
                await operator.manage("revoke", {"site": box.site, "principal": made["principal"]})
            assert (await link.closed()).code is Code.REVOKED
            await other.query("sessions", site=box.site)
        with pytest.raises(PlugsideError) as no:
            async with gone.link():
                pass
        assert no.value.code is Code.REVOKED


@pytest.mark.parametrize(
    "path", ["/v1/sites/../sites", "/v1/sites/%2e%2e/", "/v1/sites/Ours%00Theirs/sessions"]
)
async def test_odd_paths_lead_nowhere(tmp_path: Path, path: str) -> None:
    async with (
        running(tmp_path / "cloud") as cloud,
        httpx.AsyncClient(base_url=cloud.url, trust_env=False) as web,
    ):
        assert (await web.get(path)).status_code in (400, 401, 403, 404)

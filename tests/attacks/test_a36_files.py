"""Group 36: keys that others may read; secrets in logs, in what health tells, on the wire of a whole run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from common.client.local import local
from common.commands import Name
from common.domain import Path as Way
from common.errors import Code, LocalFault
from common.trust import Invite
from edge.settings import EdgeSettings
from edge.site import Site
from tests.attacks.stand import begun, stand
from tests.e2e.phone import Phone

TAG = "CAFE0001CAFE0001"
PERSON = "Ann Example-Person"


class Capture:
    """A relay in front of the LAN port that keeps every byte, both ways: what an eavesdropper has."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.bytes = bytearray()
        self.port = 0

    async def __aenter__(self) -> Capture:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    self.bytes += data
                    sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


@pytest.mark.parametrize("what", ["keys", "identity.pem"])
def test_a_box_whose_keys_others_may_read_does_not_start(tmp_path: Path, what: str) -> None:
    settings = EdgeSettings.load({"ocpp": "127.0.0.1:0", "lan": "127.0.0.1:0", "data": tmp_path / "box"})
    Site(settings).journal.close()
    keys = tmp_path / "box" / "keys"
    open_to_all = keys if what == "keys" else keys / what
    open_to_all.chmod(0o755 if what == "keys" else 0o644)
    with pytest.raises(LocalFault) as refused:
        Site(settings)
    assert refused.value.code is Code.FOLDER_UNUSABLE
    assert "chmod" in refused.value.hint


async def test_a_whole_run_leaves_no_grant_tag_or_name_on_the_wire_or_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with stand(tmp_path) as here, Capture(here.port) as between:
        async with local(tmp_path / "box" / "edge.sock") as link:
            made: Any = await link.manage("invite", {"role": "driver", "chargers": None, "name": PERSON})
            await link.manage("tag_assign", {"tag": TAG, "principal": made["principal"], "chargers": None})
        phone = await Phone(PERSON).join(made["invite"])
        async with (
            here.charger() as charger,
            phone.link(Way.LAN, lan=f"127.0.0.1:{between.port}") as talk,
        ):
            await talk.follow()
            session = await begun(talk, phone, charger)
            await talk.query("sessions")
            stop = phone.seal(Name.STOP, "CP1", session=session)
            await talk.send(stop)
            await charger.is_asked("RemoteStopTransaction", 1)
            tagged = {"connectorId": 1, "idTag": TAG, "meterStart": 5, "timestamp": "2026-01-01T00:00:00Z"}
            await charger.call("Authorize", {"idTag": TAG})
            await charger.call("StartTransaction", tagged)
            (minted,) = {call["idTag"] for call in charger.asked_for("RemoteStartTransaction")}
        health = json.dumps(here.site.health(), default=str)
        written = b"".join(file.read_bytes() for file in (tmp_path / "box").glob("journal.db*"))
    assert len(between.bytes) > 4000, "nothing was captured"
    secret = Invite.from_text(made["invite"]).secret
    secrets = {
        "grant": phone.grant,
        "grant's signature": phone.grant.split(".")[2],
        "invite": secret,
        "tag": TAG,
        "minted tag": minted,
        "name": PERSON,
    }
    on_the_wire = {name for name, text in secrets.items() if text.encode() in between.bytes}
    # DEBUG of the OCPP client that plays the charger is not the box's log.
    log = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("plugside", "quic"))
    )
    in_the_log = {name for name, text in secrets.items() if text in log}
    told = {name for name, text in secrets.items() if text in health}
    assert (on_the_wire, in_the_log, told) == (set(), set(), set())
    assert phone.grant.encode() not in written
    assert secret.encode() not in written

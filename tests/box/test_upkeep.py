"""Upkeep in the whole box: the `ocpp` package's charger, real files over real HTTP, the command line."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result, enums
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from common import facts
from common.client.local import local
from common.commands import Name
from common.domain import Target
from common.errors import Code, PlugsideError
from common.trust import b64
from edge.cli.local import HANDLERS
from edge.cli.main import parser
from edge.site import Site
from tests.box.support import eventually
from tests.box.test_site import serving, settings

IMAGE = bytes(range(256)) * 2048  # half a MiB
LOG = b"boot ok\nmeter ok\n" * 9000


class Station(ChargePoint):
    """A charger of the older generation: it fetches and sends files over HTTP as it is told."""

    protocols: str | None = "HTTP,FTP"
    firmware = "1.0.0"

    def start_work(self) -> None:
        self.fetched: list[bytes] = []
        self.asked: list[str] = []
        self.work: list[asyncio.Task[None]] = []

    def spawn(self, work: Any) -> None:
        self.work.append(asyncio.get_running_loop().create_task(work))

    async def boot(self) -> None:
        await self.call(call.BootNotification("M", "V", firmware_version=self.firmware), suppress=False)
        status = call.StatusNotification(
            1, enums.ChargePointErrorCode.no_error, enums.ChargePointStatus.available
        )
        await self.call(status, suppress=False)

    @on(enums.Action.get_configuration)
    def on_configuration(self, key: list[str]) -> call_result.GetConfiguration:
        self.asked.append(f"read {','.join(key)}")
        if self.protocols is None:
            return call_result.GetConfiguration(configuration_key=[], unknown_key=key)
        known = [{"key": key[0], "readonly": True, "value": self.protocols}]
        return call_result.GetConfiguration(configuration_key=known, unknown_key=key[1:])

    @on(enums.Action.update_firmware)
    def on_update(self, location: str, retrieve_date: str, **more: Any) -> call_result.UpdateFirmware:
        self.asked.append("update")
        return call_result.UpdateFirmware()

    @after(enums.Action.update_firmware)
    def update_answered(self, location: str, **more: Any) -> None:
        self.spawn(self.update(location))

    async def update(self, location: str) -> None:
        await self.tell(enums.FirmwareStatus.downloading)
        async with httpx.AsyncClient(verify=False, trust_env=False) as http:
            first = await http.get(location, headers={"Range": "bytes=0-99999"})
            rest = await http.get(location, headers={"Range": "bytes=100000-"})
        self.fetched.append(first.content + rest.content)
        for status in (enums.FirmwareStatus.downloaded, enums.FirmwareStatus.installing):
            await self.tell(status)
        self.firmware = "2.0.0"
        await self.boot()

    async def tell(self, status: enums.FirmwareStatus) -> None:
        await self.call(call.FirmwareStatusNotification(status), suppress=False)

    @on(enums.Action.get_diagnostics)
    def on_diagnostics(self, location: str, **more: Any) -> call_result.GetDiagnostics:
        self.asked.append("diagnostics")
        return call_result.GetDiagnostics(file_name="log.txt")

    @after(enums.Action.get_diagnostics)
    def diagnostics_answered(self, location: str, **more: Any) -> None:
        self.spawn(self.upload(location))

    async def upload(self, location: str) -> None:
        await self.call(call.DiagnosticsStatusNotification(enums.DiagnosticsStatus.uploading), suppress=False)

        async def pieces() -> AsyncIterator[bytes]:  # sent as chunks, with no length told
            for start in range(0, len(LOG), 10_000):
                yield LOG[start : start + 10_000]

        async with httpx.AsyncClient(verify=False, trust_env=False) as http:
            sent = await http.put(f"{location}log.txt", content=pieces())
            assert sent.status_code == 201, sent.text
            again = await http.put(f"{location}log.txt", content=b"once more")
            assert again.status_code == 404
        await self.call(call.DiagnosticsStatusNotification(enums.DiagnosticsStatus.uploaded), suppress=False)


@asynccontextmanager
async def station(site: Site, kind: type[Station] = Station) -> AsyncIterator[Station]:
    async with connect(f"{site.ocpp_url}CP1", subprotocols=[Subprotocol("ocpp1.6")], proxy=None) as ws:
        charger = kind("CP1", ws)
        charger.start_work()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(charger.start())
            await charger.boot()
            await eventually(lambda: bool(site.files.port), "the file server")
            try:
                yield charger
                await asyncio.gather(*charger.work)
            finally:
                reading.cancel()


async def typed(folder: Path, *words: str) -> int:
    args = parser().parse_args([*words])
    args.json, args.socket = False, folder / "edge.sock"
    return await HANDLERS[f"{args.command}_{args.action}"](args)


async def of(site: Site, kind: type[facts.Body]) -> list[Any]:
    await site.journal.probe()
    page = await site.history.audit([kind.KIND], after=0, limit=100)
    return [fact.body for fact in page.rows]


async def test_firmware_from_a_file_to_another_version_at_boot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "charger v2.bin"
    image.write_bytes(IMAGE)
    site = Site(settings(tmp_path))
    async with serving(site), station(site) as charger:
        assert (
            await typed(tmp_path, "chargers", "firmware", "CP1", "--file", str(image), "--to", "2.0.0") == 0
        )
        assert "CP1 has the new firmware." in capsys.readouterr().out
        assert [hashlib.sha256(one).digest() for one in charger.fetched] == [hashlib.sha256(IMAGE).digest()]
        assert charger.asked == ["read SupportedFileTransferProtocols", "update"]
        statuses = [body.status for body in await of(site, facts.FirmwareChanged)]
        assert statuses[0] == "downloading"
        assert {"fetched", "downloaded", "installing"} <= set(statuses)
        assert site.gateway.state.view.chargers["CP1"].firmware == "2.0.0"
        # the box keeps the file under its hash: the second time nothing is sent to it
        digest = hashlib.sha256(IMAGE).hexdigest()
        assert (tmp_path / "firmware" / digest).read_bytes() == IMAGE
        assert await typed(tmp_path, "firmware", "list") == 0
        assert digest in capsys.readouterr().out.replace("\n", "")


async def test_a_log_arrives_whole_and_comes_out_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path))
    out = tmp_path / "out.log"
    async with serving(site), station(site) as charger:
        assert await typed(tmp_path, "chargers", "diagnostics", "CP1", "--output", str(out)) == 0
        assert out.read_bytes() == LOG
        assert "log.txt" in capsys.readouterr().out
        # the package's charger knows no GetLog: found out once, and not asked again
        assert charger.asked == ["read SupportedFileTransferProtocols", "diagnostics"]
        assert site.gateway.state.stations["CP1"].abilities["log"] == "no"
        received = [body for body in await of(site, facts.UploadChanged) if body.status == "received"]
        assert [(body.size_bytes, body.sha256) for body in received] == [
            (len(LOG), hashlib.sha256(LOG).hexdigest())
        ]


class FtpOnly(Station):
    protocols = "FTP, FTPS"


async def test_a_charger_that_speaks_ftp_alone_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings(tmp_path))
    async with serving(site), station(site, FtpOnly) as charger:
        assert await typed(tmp_path, "chargers", "diagnostics", "CP1") == 1
        assert "FTP only" in capsys.readouterr().out
        assert charger.asked == ["read SupportedFileTransferProtocols"]


async def test_a_certificate_request_without_an_authority_is_refused_at_once(tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    async with serving(site), station(site) as charger:
        answer = await charger.call(call.SignCertificate("-----BEGIN CERTIFICATE REQUEST---"), suppress=False)
        assert answer.status == enums.GenericStatus.rejected
        (refused,) = await of(site, facts.CertificateChanged)
        assert refused.change == "refused"


async def test_an_address_serves_nobody_else_and_ends_with_its_command(tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    held: list[str] = []

    class Slow(Station):
        async def upload(self, location: str) -> None:
            held.append(location)

    async with serving(site), station(site, Slow) as charger, local(tmp_path / "edge.sock") as box:
        stages = box.command(Name.FETCH_DIAGNOSTICS, Target("CP1"), {})
        await eventually(lambda: bool(held), "the call")
        async with httpx.AsyncClient(
            trust_env=False, transport=httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        ) as other:
            assert (await other.put(held[0] + "x", content=b"mine")).status_code == 403
        async with httpx.AsyncClient(verify=False, trust_env=False) as own:
            assert (await own.get(held[0])).status_code == 405
            assert (await own.put(held[0] + "..%2F..%2Fetc%2Fpasswd", content=b"mine")).status_code == 201
            assert (await own.put(held[0] + "x", content=b"mine")).status_code == 404
        end = await stages.settled()
        assert (end.outcome, end.result["name"]) == ("succeeded", "passwd")
        noted = [body for body in await of(site, facts.SecurityNoted) if body.what == "file_from_elsewhere"]
        assert [body.address for body in noted] == ["127.0.0.2"]
        assert [path.suffix for path in (tmp_path / "uploads").iterdir()] == [".bin"]
        assert charger.asked[-1] == "diagnostics"


async def test_firmware_that_is_not_what_was_announced_is_not_kept(tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    async with serving(site), local(tmp_path / "edge.sock") as box:
        announced = {"sha256": hashlib.sha256(b"real").hexdigest(), "size_bytes": 4}

        async def give(data: bytes, offset: int = 0) -> str:
            begun = await box.manage("firmware_begin", announced)
            chunk = {"upload": begun["upload"], "offset": offset, "data": b64(data)}
            await box.manage("firmware_chunk", chunk)
            return str((await box.manage("firmware_end", {"upload": begun["upload"]}))["sha256"])

        for data, offset, code in (
            (b"fake", 0, Code.BAD_REQUEST),
            (b"rea", 0, Code.BAD_REQUEST),
            (b"reals", 0, Code.TOO_LARGE),
            (b"real", 1, Code.BAD_REQUEST),
        ):
            with pytest.raises(PlugsideError) as refused:
                await give(data, offset)
            assert refused.value.code is code
        assert (await box.manage("firmware_list"))["firmware"] == []
        assert await give(b"real") == announced["sha256"]
        assert (await box.manage("firmware_begin", announced))["known"]
        kept = (await box.manage("firmware_list"))["firmware"]
        assert [(row["sha256"], row["signed"]) for row in kept] == [(announced["sha256"], False)]


async def test_firmware_that_the_box_no_longer_has_ends_the_command_with_that(tmp_path: Path) -> None:
    site = Site(settings(tmp_path))
    async with serving(site), station(site), local(tmp_path / "edge.sock") as box:
        end = await box.command(Name.UPDATE_FIRMWARE, Target("CP1"), {"file": "a" * 64}).settled()
        assert (end.outcome, end.code) == ("failed", Code.UNKNOWN_FILE)


async def test_a_log_is_still_taken_after_the_box_was_started_again(tmp_path: Path) -> None:
    held: list[str] = []

    class Slow(Station):
        async def upload(self, location: str) -> None:
            held.append(location)

    site = Site(settings(tmp_path))
    async with serving(site), station(site, Slow), local(tmp_path / "edge.sock") as box:
        stages = box.command(Name.FETCH_DIAGNOSTICS, Target("CP1"), {})
        await stages.confirmed()
        await eventually(lambda: bool(held), "the call")
    again = Site(settings(tmp_path, files=httpx.URL(held[0]).netloc.decode()))
    async with serving(again), httpx.AsyncClient(verify=False, trust_env=False) as http:
        await eventually(lambda: bool(again.files.port), "the file server")
        assert (await http.put(held[0], content=LOG)).status_code == 201
        (settled,) = await of(again, facts.CommandSettled)
        assert settled.outcome == "succeeded"
        (received,) = await of(again, facts.UploadChanged)
        assert again.gateway.state.orders[settled.command].result["file"] == received.file

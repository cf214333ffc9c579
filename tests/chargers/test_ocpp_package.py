"""The `ocpp` package's charger, which we did not write, against the listener; each judges the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result, enums
from websockets.asyncio.client import connect

from edge.core import inputs as core
from tests.chargers.site import Site, tag_ref

TAG = "0123456789ABCDEF"


class Simulated(ChargePoint):
    """Accepts what it is asked, with the package's own validation of every call and answer."""

    asked: list[str]

    @on(enums.Action.remote_start_transaction)
    def on_start(self, id_tag: str, connector_id: int) -> call_result.RemoteStartTransaction:
        self.asked.append(f"start {connector_id} {id_tag}")
        return call_result.RemoteStartTransaction(status=enums.RemoteStartStopStatus.accepted)

    @on(enums.Action.remote_stop_transaction)
    def on_stop(self, transaction_id: int) -> call_result.RemoteStopTransaction:
        self.asked.append(f"stop {transaction_id}")
        return call_result.RemoteStopTransaction(status=enums.RemoteStartStopStatus.accepted)

    @on(enums.Action.unlock_connector)
    def on_unlock(self, connector_id: int) -> call_result.UnlockConnector:
        return call_result.UnlockConnector(status=enums.UnlockStatus.unlock_failed)

    @on(enums.Action.change_availability)
    def on_availability(self, connector_id: int, type: str) -> call_result.ChangeAvailability:  # noqa: A002
        return call_result.ChangeAvailability(status=enums.AvailabilityStatus.scheduled)

    @on(enums.Action.get_configuration)
    def on_configuration(self, key: list[str]) -> call_result.GetConfiguration:
        known = [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}]
        return call_result.GetConfiguration(configuration_key=known, unknown_key=key[1:])


@asynccontextmanager
async def simulated(site: Site) -> AsyncIterator[Simulated]:
    async with connect(site.url(), proxy=None, subprotocols=["ocpp1.6"]) as ws:
        charger = Simulated("CP1", ws)
        charger.asked = []
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(charger.start())
            try:
                yield charger
            finally:
                reading.cancel()


async def test_a_session_with_the_package_as_charger() -> None:
    async with Site() as site, simulated(site) as charger:
        boot = await charger.call(call.BootNotification("Model", "Vendor"), suppress=False)
        assert boot.status == enums.RegistrationStatus.accepted
        assert (await charger.call(call.Heartbeat(), suppress=False)).current_time.endswith("Z")
        status = call.StatusNotification(
            1, enums.ChargePointErrorCode.no_error, enums.ChargePointStatus.preparing
        )
        await charger.call(status, suppress=False)
        authorized = await charger.call(call.Authorize(TAG), suppress=False)
        assert authorized.id_tag_info["status"] == enums.AuthorizationStatus.accepted
        site.request(core.StartCharge(1, 1, TAG))
        assert (await site.memory.first(core.CallEnded)).answer == "accepted"
        start = call.StartTransaction(1, TAG, 1000, "2026-03-01T12:00:00Z")
        started = await charger.call(start, suppress=False)
        again = await charger.call(start, suppress=False)
        assert again.transaction_id == started.transaction_id > 0
        sampled = {"timestamp": "2026-03-01T12:01:00Z", "sampledValue": [{"value": "1500"}]}
        await charger.call(call.MeterValues(1, [sampled], started.transaction_id), suppress=False)
        site.request(core.StopCharge(str(started.transaction_id)), core.PRIORITY_STOP)
        assert (await site.memory.first(core.CallEnded, 2)).answer == "accepted"
        stop = call.StopTransaction(
            2000,
            "2026-03-01T13:00:00Z",
            started.transaction_id,
            reason=enums.Reason.remote,
            id_tag=TAG,
            transaction_data=[sampled],
        )
        stopped = await charger.call(stop, suppress=False)
        assert stopped.id_tag_info["status"] == enums.AuthorizationStatus.accepted
        assert charger.asked == [f"start 1 {TAG}", f"stop {started.transaction_id}"]
        ended = await site.memory.first(core.TransactionEnded)
        assert (ended.transaction, ended.meter_stop_wh, ended.reason) == (
            str(started.transaction_id),
            2000,
            "Remote",
        )
        assert (ended.tag_ref, [sample.energy_wh for sample in ended.samples]) == (
            tag_ref(TAG.lower()),
            [1500],
        )


async def test_every_other_request_to_the_package_as_charger() -> None:
    async with Site() as site, simulated(site) as charger:
        await charger.call(call.BootNotification("Model", "Vendor"), suppress=False)
        expected = []
        for action, answer in (
            (core.UnlockConnector(1, 1), "rejected"),
            (core.ChangeAvailability(1, 1, operative=False), "scheduled"),
            (core.GetVariables(("HeartbeatInterval", "Nothing")), "accepted"),
            (core.ResetStation(hard=False), "not_supported"),  # the package has no handler: NotImplemented
            (core.ClearAuthorizationCache(), "not_supported"),
            (core.TriggerStatus(1), "not_supported"),
            (core.VendorMessage("v", "m", "d"), "not_supported"),
            (core.SetVariable("k", "v"), "not_supported"),
        ):
            expected.append(answer)
            site.request(action)
        await site.memory.first(core.CallEnded, len(expected))
        ends = site.memory.of(core.CallEnded)
        assert [ended.answer for ended in ends] == expected
        assert ends[2].result == {
            "values": {"HeartbeatInterval": {"value": "300", "readonly": False}},
            "unknown": ["Nothing"],
        }
